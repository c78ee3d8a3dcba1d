#!/usr/bin/env python3
"""PANNIER.INVALIDATE as clients see it: replies in order, other clients told, origins asked
anew, and who leaves while a walk runs."""

import harness

CONFIG = """
memory: 64MiB
namespaces:
  - prefix: "user:"
    origin: users
    path: /{rest}
    ttl: 1h
  - prefix: "n:"
    grace: 1h
    coalesce: lease
origins:
  users:
    http:
      endpoints: ["http://127.0.0.1:1"]
"""


class Invalidate(harness.Case):
    def start(self):
        d = self.daemon(CONFIG)
        return d, d.client()

    def test_keys_prefixes_and_what_stays(self):
        _, c = self.start()
        c("MSET", "a:1", 1, "a:2", 2, "b:1", 3, "c", 4)
        self.assertEqual(c("PANNIER.INVALIDATE", "c", "none"), 1)
        self.assertEqual(c("PANNIER.INVALIDATE", "PREFIX", "a:", "x:"), 2)
        self.assertEqual(c("PANNIER.INVALIDATE", "SOFT", "TAG", "t"), 0)
        self.assertEqual(c("KEYS", "*"), [b"b:1"])

    def test_what_is_behind_it_in_a_pipeline_sees_it_done(self):
        _, c = self.start()
        for i in range(20):
            for j in range(500):
                c.send("SET", f"p:{i}:{j}", "v")
            for j in range(500):
                c.reply()
            values = c.pipeline(("SET", "x", i), ("PANNIER.INVALIDATE", "PREFIX", f"p:{i}:"),
                                ("EXISTS", f"p:{i}:0", f"p:{i}:499"), ("GET", "x"), ("DBSIZE",))
            self.assertEqual(values, ["OK", 500, 0, str(i).encode(), 1])

    def test_many_at_a_time_are_each_answered(self):
        d, c = self.start()
        others = [d.client() for _ in range(20)]
        for i in range(20):
            c("MSET", f"p:{i}:a", 1, f"p:{i}:b", 2)
        for i, other in enumerate(others):
            other.send("PANNIER.INVALIDATE", "PREFIX", f"p:{i}:")
        self.assertEqual([other.reply() for other in others], [2] * 20)
        self.assertEqual(c("DBSIZE"), 0)

    def test_clients_that_track_and_watch_are_told(self):
        d, c = self.start()
        tracks, watches = d.client(), d.client()
        tracks("HELLO", 3)
        tracks("CLIENT", "TRACKING", "ON")
        for n, how in enumerate((["k"], ["SOFT", "k"], ["PREFIX", "k"], ["SOFT", "PREFIX", "k"])):
            c("SET", "k", n)
            watches("WATCH", "k")
            tracks("GET", "k")
            self.assertEqual(c("PANNIER.INVALIDATE", *how), 1)
            self.assertEqual(tracks.value(), [b"invalidate", [b"k"]])
            self.assertIsNone(watches.pipeline(("MULTI",), ("PING",), ("EXEC",))[-1])

    def test_softly_values_are_stale_until_one_loads_them(self):
        d, c = self.start()
        other = d.client()
        c("SET", "n:1", "old")
        self.assertEqual(c("PANNIER.INVALIDATE", "SOFT", "PREFIX", "n:"), 1)
        self.assertEqual(c("PANNIER.LEASE", "n:1")[:2], ["LEASE", b"old"])
        self.assertEqual(other("GET", "n:1"), b"old")
        c("SET", "n:1", "new")
        self.assertEqual(other("GET", "n:1"), b"new")

    def test_who_leaves_or_is_told_to_go_on_does_not_stop_it(self):
        d, c = self.start()
        gone, stays = d.client(), d.client()
        me = stays("CLIENT", "ID")
        for i in range(3000):
            c.send("SET", f"p:{i}", "v")
        for i in range(3000):
            c.reply()
        gone.send("PANNIER.INVALIDATE", "PREFIX", "p:1")
        gone.close()
        stays.send("PANNIER.INVALIDATE", "PREFIX", "p:2")
        c("CLIENT", "UNBLOCK", me) # if it still waits: then its reply is nil
        self.assertIn(stays.reply(), (1111, None))
        harness.wait_until(lambda: c("EXISTS", "p:1", "p:1999", "p:2", "p:2999") == 0, "the walks")
        self.assertEqual(c("EXISTS", "p:0", "p:999"), 2)

    def test_counters(self):
        d, c = self.start()
        c("MSET", "user:1", 1, "n:1", 2, "n:2", 3)
        c("PANNIER.INVALIDATE", "user:1")
        c("PANNIER.INVALIDATE", "PREFIX", "n:")
        info = d.info()
        self.assertIn("invalidated=1,", info["ns_user"])
        self.assertIn("invalidated=2,", info["ns_n"])
        self.assertEqual(info["invalidation_walks"], "1")


if __name__ == "__main__":
    harness.main()
