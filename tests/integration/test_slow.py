#!/usr/bin/env python3
"""PANNIER.SLOWLOG and LATENCY: what was slow, and why."""

import time

import harness

CONFIG = """threads: 2
slow_wait: 1ms
latency_threshold: 1ms
origins:
  api:
    http:
      endpoints: ["%s"]
    deadline: 60s
namespaces:
  - {prefix: "o:", origin: api, path: "/{rest}", ttl: 60s}
  - {prefix: "l:", coalesce: lease, lease_time: 60s}
"""


class Slow(harness.Case):
    def begin(self):
        self.api = self.origin()
        self.d = self.daemon(CONFIG % self.api.url)
        return self.d.client()

    def some_time(self):
        """More than what counts as long."""
        end = time.monotonic() + 0.005
        harness.wait_until(lambda: time.monotonic() > end, "5 ms")

    def test_a_slow_command_has_a_cause(self):
        c = self.begin()
        c("SET", "k", b"v" * 100)
        c("CONFIG", "SET", "slowlog-log-slower-than", 0)
        script = ('if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) '
                  'else return 0 end')
        calls = [(("KEYS", "*"), b"all keys"), (("EVAL", script, 1, "lock", "me"), b"script"),
                 (("MGET", *[f"k{i}" for i in range(64)]), b"many keys"),
                 (("SET", "k", b"x" * 70000), b"large request"), (("GETRANGE", "k", 0, 9), b"large value"),
                 (("CLIENT", "LIST"), b"administration"), (("GET", "k"), b"waited for CPU or memory")]
        for args, _ in calls:
            c(*args)
        found = {}
        for entry in c("PANNIER.SLOWLOG", "COMMANDS", -1):
            self.assertEqual(len(entry), 7)
            found.setdefault(entry[3][0].upper(), entry[6])
        for args, cause in calls:
            self.assertEqual(found[args[0].encode()], cause, args[0])
        self.assertTrue(all(len(entry) == 6 for entry in c("SLOWLOG", "GET", -1)))
        self.assertEqual(c("SLOWLOG", "RESET"), "OK")
        self.assertLess(len(c("PANNIER.SLOWLOG", "COMMANDS")), 3)

    def test_reads_that_waited_long_are_kept_with_what_for(self):
        c = self.begin()
        gate = self.api.hold("/1", b"one")
        self.addCleanup(gate.open)
        first, second = self.d.client(), self.d.client()
        first.send("GET", "o:1")
        self.api.wait_requests(1)
        second.send("GET", "o:1")
        harness.wait_until(lambda: b"coalesced=1," in c("INFO", "namespaces"), "two that wait")
        self.some_time()
        gate.open()
        self.assertEqual([first.reply(), second.reply()], [b"one", b"one"])
        self.assertIsNone(first("GET", "l:1"))
        second.send("GET", "l:1")
        harness.wait_until(lambda: b"lease_waits=1," in c("INFO", "namespaces"), "one that waits")
        self.some_time()
        self.assertEqual(first("SET", "l:1", "v"), "OK")
        self.assertEqual(second.reply(), b"v")
        waits = c("PANNIER.SLOWLOG", "WAITS")
        self.assertEqual(waits[0][3:4] + waits[0][6:], [[b"get", b"l:1"], b"lease"])
        self.assertEqual(sorted((tuple(w[3]), w[6]) for w in waits[1:]),
                         [((b"get", b"o:1"), b"origin"), ((b"get", b"o:1"), b"origin, another's fetch")])
        self.assertTrue(all(w[2] >= 5000 for w in waits))
        self.assertEqual(len(c("PANNIER.SLOWLOG", "WAITS", 1)), 1)
        events = {e[0] for e in c("LATENCY", "LATEST")}
        self.assertTrue({b"origin-wait", b"lease-wait"} <= events, events)
        self.assertIn(b"Reads waited for their origin.", c("LATENCY", "DOCTOR"))
        # They took no time of their own.
        self.assertNotIn(b"o:1", str(c("SLOWLOG", "GET")).encode())
        c("SLOWLOG", "RESET")
        self.assertEqual(c("PANNIER.SLOWLOG", "WAITS"), [])

    def test_what_is_wrong_is_named(self):
        c = self.begin()
        self.assertEqual(c.error("PANNIER.SLOWLOG", "WHY"), "ERR syntax error")
        self.assertEqual(c.error("PANNIER.SLOWLOG", "WAITS", 1, 2), "ERR syntax error")
        self.assertEqual(c.error("PANNIER.SLOWLOG", "WAITS", -2), "ERR count should be greater than or equal to -1")


if __name__ == "__main__":
    harness.main()
