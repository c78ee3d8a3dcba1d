#!/usr/bin/env python3
"""CLIENT TRACKING over the socket: between loops, behind replies that are owed, for
clients that come and go, and the one claim that matters: whoever drops a key when
told keeps no value that is older than the last change."""

import random
import threading

import harness
from harness import Push, wait_until

TWO_LOOPS = ["--threads", "2"]
ROUTED = """
memory: 64MiB
threads: 2
namespaces:
  - prefix: "o:"
    origin: backend
    path: /{rest}
    ttl: %s
  - prefix: "l:"
    coalesce: lease
origins:
  backend:
    http:
      endpoints: ["%s"]
"""
ROUNDS = 30 if harness.SANITIZER else 120


def invalidate(*keys):
    return Push([b"invalidate", [k.encode() for k in keys]])


class Reader:
    """Keeps what it reads, as client libraries do, and drops it when told."""

    def __init__(self, daemon, *modes):
        self.conn = daemon.client()
        self.conn("HELLO", 3)
        self.conn("CLIENT", "TRACKING", "ON", *modes)
        self.kept, self.told = {}, 0

    def take(self):
        """The next reply; messages before it are followed."""
        while True:
            value = self.conn.value()
            if not isinstance(value, Push):
                return value
            self.follow(value)

    def follow(self, push):
        self.told += 1
        if push[1] is None:
            self.kept.clear()
        for key in push[1] or []:
            self.kept.pop(key.decode(), None)

    def read(self, *commands):
        """GET and MGET, in one write."""
        self.conn.raw(b"".join(harness.encode(*c) for c in commands))
        for command in commands:
            value = self.take()
            for key, v in zip(command[1:], value if command[0] == "MGET" else [value]):
                self.kept[key] = v

    def drain(self):
        """All that was posted before: a message may be behind one PING, not behind two."""
        for _ in range(2):
            self.conn.send("PING")
            assert self.take() == "PONG"


class Tracking(harness.Case):
    def setUp(self):
        self.d = self.daemon(args=TWO_LOOPS)

    def tracker(self, *modes):
        c = self.d.client()
        c("HELLO", 3)
        self.assertEqual(c("CLIENT", "TRACKING", "ON", *modes), "OK")
        return c

    def test_clients_of_all_loops_are_told_once(self):
        trackers = [self.tracker() for _ in range(6)]
        w = self.d.client()
        for c in trackers:
            self.assertEqual(c("MGET", "a", "b"), [None, None])
        self.assertEqual(self.d.info()["tracking_total_items"], "12")
        self.assertEqual(w.pipeline(("SET", "a", 1), ("SET", "a", 2), ("SET", "c", 1)), ["OK"] * 3)
        for c in trackers:
            self.assertEqual(c.value(), invalidate("a"))
            self.assertEqual(c("PING"), "PONG")
        self.assertEqual(w("DEL", "a", "b"), 1)
        self.assertEqual(w("SET", "b", 1), "OK")
        for c in trackers:
            self.assertEqual(c.value(), invalidate("b"))
        self.assertEqual(self.d.info()["tracking_total_keys"], "0")

    def test_all_kinds_of_changes_are_told(self):
        c, w = self.tracker(), self.d.client()
        for command in (("SET", "k", 1), ("INCR", "k"), ("APPEND", "k", 0), ("EXPIRE", "k", 100),
                        ("PERSIST", "k"), ("SETRANGE", "k", 0, "x"), ("GETEX", "k", "EX", 100),
                        ("GETSET", "k", 1), ("SETBIT", "k", 0, 1), ("RENAME", "k", "n"), ("COPY", "n", "k"),
                        ("MSET", "k", 1, "j", 2), ("GETDEL", "k"), ("SET", "k", 1), ("UNLINK", "k"),
                        ("SETNX", "k", 1), ("DECRBY", "k", 3), ("PEXPIREAT", "k", 1), ("SETEX", "k", 9, "v")):
            c("GET", "k")
            w(*command)
            self.assertEqual(c.value(), invalidate("k"), command)

    def test_ends_in_time_are_told_though_nobody_looks(self):
        c, b, w = self.tracker(), self.tracker("BCAST"), self.d.client()
        w("SET", "k", "v")
        self.assertEqual(b.value(), invalidate("k"))
        self.assertEqual(c("GET", "k"), b"v")
        w("PEXPIRE", "k", 50)
        self.assertEqual([c.value(), b.value()], [invalidate("k")] * 2)
        c("TTL", "k")
        self.assertEqual([c.value(), b.value()], [invalidate("k")] * 2)

    def test_evictions_are_told(self):
        d = self.daemon(f"memory: {64 if harness.SANITIZER else 16}MiB\n", args=TWO_LOOPS)
        c, w = d.client(), d.client()
        c("HELLO", 3)
        c("CLIENT", "TRACKING", "ON")
        w("SET", "k", "v")
        self.assertEqual(c("GET", "k"), b"v")
        n = 0
        while int(d.info()["evicted_keys"]) == 0:
            w.pipeline(*[("SET", f"fill{i}", b"x" * 5000) for i in range(n, n + 500)])
            n += 500
        while w("EXISTS", "k"):
            w.pipeline(*[("SET", f"fill{i}", b"x" * 5000) for i in range(n, n + 500)])
            n += 500
        self.assertEqual(c.value(), invalidate("k"))

    def test_a_flush_tells_everybody_of_everything(self):
        trackers = [self.tracker(*modes) for modes in ([], ["BCAST"], ["NOLOOP"], [])]
        self.d.client()("FLUSHALL")
        for c in trackers:
            self.assertEqual(c.value(), Push([b"invalidate", None]))

    def test_own_changes_come_behind_the_replies_of_a_transaction(self):
        c = self.tracker()
        c("MGET", "a", "b")
        self.assertEqual(c.pipeline(("MULTI",), ("SET", "a", 1), ("SET", "b", 1), ("EXEC",))[3], ["OK", "OK"])
        self.assertEqual([c.value(), c.value()], [invalidate("a"), invalidate("b")])
        c("GET", "a")
        self.assertEqual(c.pipeline(("SET", "a", 2), ("PING",))[:2], ["OK", invalidate("a")])
        self.assertEqual(c.value(), "PONG")

    def test_prefixes_come_sorted_and_each_key_once(self):
        c, w = self.tracker("BCAST", "PREFIX", "b:", "PREFIX", "a:"), self.d.client()
        w.pipeline(*[("SET", k, 1) for k in ("b:2", "a:1", "c:1", "b:1", "b:2", "b:10")])
        self.assertEqual([c.value(), c.value()], [invalidate("a:1"), invalidate("b:1", "b:10", "b:2")])
        self.assertEqual(c("CLIENT", "TRACKINGINFO"),
                         {b"flags": [b"on", b"bcast"], b"redirect": 0, b"prefixes": [b"a:", b"b:"]})
        self.assertEqual(self.d.info()["tracking_total_prefixes"], "2")
        c("CLIENT", "TRACKING", "OFF")
        self.assertEqual(self.d.info()["tracking_total_prefixes"], "0")

    def test_messages_go_to_another_connection_on_another_loop(self):
        for _ in range(3):  # whichever loops they get
            target, w = self.d.client(), self.d.client()
            self.assertEqual(target("SUBSCRIBE", "__redis__:invalidate")[2], 1)
            t_id = [line for line in w("CLIENT", "LIST", "TYPE", "PUBSUB").decode().splitlines()][-1]
            t_id = int(t_id.split()[0][3:])
            trackers = [self.d.client() for _ in range(2)]
            for c in trackers:
                self.assertEqual(c("CLIENT", "TRACKING", "ON", "REDIRECT", t_id), "OK")
                c("GET", "k")
            w("SET", "k", 1)
            for c in trackers:
                self.assertEqual(target.value(), [b"message", b"__redis__:invalidate", [b"k"]])
            w("FLUSHALL")
            for c in trackers:
                self.assertEqual(target.value(), [b"message", b"__redis__:invalidate", None])

    def test_a_target_that_is_gone_is_told(self):
        target, c, w = self.d.client(), self.d.client(), self.d.client()
        t_id = target("CLIENT", "ID")
        c("HELLO", 3)
        c("CLIENT", "TRACKING", "ON", "REDIRECT", t_id)
        self.assertEqual(c("CLIENT", "GETREDIR"), t_id)
        target.close()
        wait_until(lambda: f"id={t_id} " not in w("CLIENT", "LIST").decode(), "its end")
        c("GET", "k")
        w("SET", "k", 1)
        self.assertEqual(c.value(), Push([b"tracking-redir-broken", t_id]))
        self.assertIn(b"broken_redirect", c("CLIENT", "TRACKINGINFO")[b"flags"])
        self.assertIn(" flags=tRU ", c("CLIENT", "INFO").decode())

    def test_who_leaves_is_forgotten(self):
        for c in [self.tracker(), self.tracker("BCAST", "PREFIX", "x")]:
            c("MGET", *[f"k{i}" for i in range(1000)])
            c.close()
        reset = self.tracker()
        reset("MGET", *[f"k{i}" for i in range(500, 1500)])
        reset("RESET")

        def counts():
            return [int(v) for k, v in self.d.info().items() if k.startswith("tracking_")]
        wait_until(lambda: not any(counts()), "all to be forgotten")
        self.d.client()("SET", "k700", 1)
        self.assertEqual(reset("PING"), "PONG")

    def test_more_keys_than_are_remembered_count_as_changed(self):
        c = self.tracker()
        c("CONFIG", "SET", "tracking-table-max-keys", 10)
        keys = [f"k{i}" for i in range(100)]
        c("MGET", *keys)
        told = [c.value()[1][0].decode() for _ in range(90)]
        self.assertEqual(len(set(told)), 90)
        self.assertEqual(self.d.info()["tracking_total_keys"], "10")
        self.d.client().pipeline(*[("SET", k, 1) for k in keys])
        told += [c.value()[1][0].decode() for _ in range(10)]
        self.assertEqual(sorted(told), sorted(keys))

    def test_what_is_remembered_takes_a_share_of_the_buffers(self):
        d = self.daemon("memory: 64MiB\nbuffers_limit: 4MiB\n", args=TWO_LOOPS)
        c = Reader(d)
        for i in range(60):
            c.read(("MGET", *[f"{i}:{k}" + "x" * 200 for k in range(100)]))
        self.assertLess(int(d.info()["tracking_total_keys"]), (1 << 20) // 250)
        d.client()("FLUSHALL")
        c.drain()
        self.assertEqual(c.kept, {})
        self.assertGreater(c.told, 1000)

    def test_who_does_not_read_is_closed(self):
        d = self.daemon("output_limit: 64KiB\nmemory: 64MiB\n", args=TWO_LOOPS)
        c, w = d.client(), d.client()
        c("HELLO", 3)
        c("CLIENT", "TRACKING", "ON", "BCAST")
        n = 0
        while int(d.info()["tracking_clients"]) != 0:
            w.pipeline(*[("SET", f"{n}:{i}" + "x" * 400, 1) for i in range(200)])
            n += 1
        self.assertEqual(d.info()["output_limit_closes"], "1")
        c.until_closed()


class BehindReplies(harness.Case):
    """A reply that is owed may be older than the change."""

    def routed(self, ttl="300s"):
        self.backend = self.origin()
        return self.daemon(ROUTED % (ttl, self.backend.url))

    def test_a_change_while_the_origin_is_asked_is_told_before_and_behind(self):
        d = self.routed()
        for modes in ([], ["BCAST"]):
            gate = self.backend.hold("/a", b"old")
            c, w = d.client(), d.client()
            c("HELLO", 3)
            c("CLIENT", "TRACKING", "ON", *modes)
            n = self.backend.count("/a")
            c.send("GET", "o:a")
            self.backend.wait_requests(n + 1, "/a")
            w("SET", "o:a", "new")
            self.assertEqual(c.value(), invalidate("o:a"))
            gate.open()
            self.assertEqual(c.value(), b"old")
            self.assertEqual(c.value(), invalidate("o:a"))
            self.assertEqual(c("GET", "o:a"), b"new")
            w("DEL", "o:a")
            self.assertEqual(c.value(), invalidate("o:a"))

    def test_what_is_fetched_is_a_change_for_who_had_nothing(self):
        d = self.routed()
        self.backend.on("/b", b"value")
        c, w = d.client(), d.client()
        c("HELLO", 3)
        c("CLIENT", "TRACKING", "ON")
        self.assertEqual(c("EXISTS", "o:b"), 0)
        self.assertEqual(w("GET", "o:b"), b"value")
        self.assertEqual(c.value(), invalidate("o:b"))

    def test_what_is_not_stored_cannot_be_kept(self):
        d = self.routed()
        self.backend.on("/c", b"value", headers=[("Cache-Control", "no-store")])
        c = d.client()
        c("HELLO", 3)
        c("CLIENT", "TRACKING", "ON")
        self.assertEqual(c("GET", "o:c"), b"value")
        self.assertEqual(c.value(), invalidate("o:c"))
        self.assertEqual(c("GET", "o:missing"), None)
        self.assertEqual(c.value(), invalidate("o:missing"))

    def test_who_waits_for_a_lease_is_told_behind_the_value(self):
        d = self.routed()
        holder, c = d.client(), d.client()
        c("HELLO", 3)
        c("CLIENT", "TRACKING", "ON")
        self.assertIsNone(holder("GET", "l:k"))
        c.send("GET", "l:k")
        wait_until(lambda: d.info()["blocked_clients"] == "1", "it to wait")
        holder("SET", "l:k", "v")
        got = [c.value(), c.value()]
        while b"v" not in got or got[-1] != invalidate("l:k"):
            got.append(c.value())
        self.assertEqual(c("GET", "l:k"), b"v")
        holder("SET", "l:k", "w")
        self.assertEqual(c.value(), invalidate("l:k"))


    def test_a_stale_value_is_not_kept(self):
        d = self.daemon("namespaces:\n  - prefix: \"s:\"\n    coalesce: lease\n    grace: 60s\n",
                        args=TWO_LOOPS)
        loader, c = d.client(), d.client()
        c("HELLO", 3)
        c("CLIENT", "TRACKING", "ON")
        loader("SET", "s:k", "old", "PX", 20)
        wait_until(lambda: loader("EXISTS", "s:k") == 0, "its end")
        self.assertIsNone(loader("GET", "s:k"))
        self.assertEqual(c("GET", "s:k"), b"old")
        self.assertEqual(c.value(), invalidate("s:k"))
        loader("SET", "s:k", "new")
        self.assertEqual(c("GET", "s:k"), b"new")
        loader("SET", "s:k", "newer")
        self.assertEqual(c.value(), invalidate("s:k"))


class NothingOldIsKept(harness.Case):
    """Random writes and reads from both loops; after each round all that readers have
    kept is what is there."""

    def check(self, d, modes, prefix, writes):
        rng = random.Random(f"{modes} {prefix}")
        keys = [f"{prefix}{i}" for i in range(12)]
        readers = [Reader(d, *modes) for _ in range(2)]
        writers = [d.client() for _ in range(2)]
        checker = d.client()
        kept = told = 0
        for n in range(ROUNDS):
            threads = [threading.Thread(target=self.write, args=(w, random.Random(rng.random()), keys,
                                                                 writes, n))
                       for w in writers]
            threads += [threading.Thread(target=self.read, args=(r, random.Random(rng.random()), keys))
                        for r in readers]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            # Who looks makes what has ended in time go.
            now = dict(zip(keys, [checker("GET", k) for k in keys]))
            for r in readers:
                r.drain()
                self.assertEqual({k: v for k, v in r.kept.items() if v != now[k]}, {}, (n, modes))
                kept += len(r.kept)
        told = sum(r.told for r in readers)
        self.assertGreater(kept, ROUNDS)
        self.assertGreater(told, ROUNDS)

    def write(self, conn, rng, keys, kinds, n):
        commands = []
        for i in range(rng.randrange(40)):
            k, v = rng.choice(keys), f"{n}.{i}.{rng.randrange(10**6)}"
            kind = rng.choice(kinds)
            if kind == "exec":
                commands += [("MULTI",), ("SET", k, v), ("SET", rng.choice(keys), v), ("EXEC",)]
            elif kind == "short":
                commands += [("SET", k, v, "PX", 1)]
            elif kind == "mset":
                commands += [("MSET", k, v, rng.choice(keys), v)]
            elif kind == "flush":
                commands += [("FLUSHALL",)] if rng.random() < 0.1 else []
            else:
                commands += [(kind, k, v) if kind == "SET" else (kind, k)]
        conn.pipeline(*commands)

    def read(self, reader, rng, keys):
        for _ in range(rng.randrange(1, 6)):
            commands = [("GET", rng.choice(keys)) if rng.random() < 0.8 else ("MGET", *rng.sample(keys, 3))
                        for _ in range(rng.randrange(1, 12))]
            reader.read(*commands)

    KINDS = ["SET", "SET", "SET", "DEL", "exec", "short", "mset", "flush"]

    def test_by_key(self):
        self.check(self.daemon(args=TWO_LOOPS), [], "k", self.KINDS)

    def test_by_key_with_noloop(self):
        self.check(self.daemon(args=TWO_LOOPS), ["NOLOOP"], "k", self.KINDS)

    def test_by_prefix(self):
        self.check(self.daemon(args=TWO_LOOPS), ["BCAST", "PREFIX", "k"], "k", self.KINDS)

    def test_where_few_keys_are_remembered(self):
        d = self.daemon("tracking_max_keys: 5\n", args=TWO_LOOPS)
        self.check(d, [], "k", self.KINDS)

    def test_where_an_origin_fills(self):
        backend, fetched = self.origin(), [0]

        def answer(exchange):
            fetched[0] += 1
            exchange.answer(200, b"fetched %d" % fetched[0])
        for i in range(12):
            backend.on(f"/{i}", answer)
        d = self.daemon(ROUTED % ("10ms", backend.url))
        for modes in ([], ["BCAST", "PREFIX", "o:"]):
            self.check(d, modes, "o:", ["SET", "DEL", "DEL", "exec", "short"])


if __name__ == "__main__":
    harness.main()
