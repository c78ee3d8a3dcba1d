#!/usr/bin/env python3
"""Namespaces with min_memory and max_memory: the one is kept whatever others write, the
other is never passed, from the file, after a reload, and while the memory changes."""

import signal
import subprocess
import unittest

import harness

MIB = 1 << 20

CONFIG = """
memory: 32MiB
eviction: {policy}
threads: 2
namespaces:
  - prefix: "kept:"
    min_memory: {least}
  - prefix: "scan:"
    max_memory: {most}
"""


def config(policy="lru", least="3MiB", most="2MiB"):
    return CONFIG.format(policy=policy, least=least, most=most)


@unittest.skipIf(harness.SANITIZER, "sanitizers need memory of their own")
class Quota(harness.Case):
    @staticmethod
    def ns(d, name):
        line = d.info("namespaces")[f"ns_{name}"]
        return {k: v for k, v in (pair.split("=") for pair in line.split(","))}

    def number(self, d, name, field):
        return int(self.ns(d, name)[field])

    def write(self, d, prefix, n, size, first=0):
        c, value = d.client(), b"x" * size
        for at in range(first, first + n, 100):
            replies = c.pipeline(*(("SET", b"%s:%06d" % (prefix, i), value)
                                   for i in range(at, min(at + 100, first + n))))
            self.assertEqual(set(replies), {"OK"})
        c.close()

    def there(self, d, prefix, n):
        c = d.client()
        replies = c.pipeline(*(("EXISTS", b"%s:%06d" % (prefix, i)) for i in range(n)))
        c.close()
        return sum(replies)

    def settled(self, d):
        """What the start has to count has been counted."""
        harness.wait_until(lambda: self.number(d, "scan", "max_bytes") > 0, "the quotas")

    def test_a_maximum_holds_and_a_minimum_is_kept_by_each_policy(self):
        for policy in "lru", "s3fifo", "tinylfu":
            with self.subTest(policy=policy):
                d = self.daemon(config(policy))
                self.settled(d)
                self.write(d, b"kept", 2000, 1000)
                self.write(d, b"scan", 6000, 1000)
                self.assertLessEqual(self.number(d, "scan", "bytes"), 2 * MIB)
                self.assertGreater(self.number(d, "scan", "bytes"), MIB)
                self.assertGreater(self.number(d, "scan", "evicted_over_max"), 3000)
                self.write(d, b"others", 6000, 8000)
                self.assertEqual(self.there(d, b"kept", 2000), 2000)
                self.assertEqual(self.number(d, "kept", "evicted"), 0)
                self.assertGreater(int(d.info("stats")["evicted_keys"]), 5000)
                d.stop()

    def test_a_value_larger_than_the_maximum_is_refused_and_nothing_is_lost(self):
        d = self.daemon(config(most="64KiB"))
        self.settled(d)
        c = d.client()
        self.assertEqual(c("SET", "scan:1", "old"), "OK")
        harness.wait_until(lambda: "OOM" in str(c.pipeline(("SET", "scan:2", b"x" * 65536))[0]),
                           "the refusal")
        self.assertEqual(c("GET", "scan:1"), b"old")
        self.assertGreaterEqual(self.number(d, "scan", "refused"), 1)

    def test_a_reload_changes_what_they_may_have(self):
        d = self.daemon(config(most="6MiB"))
        self.settled(d)
        self.write(d, b"scan", 8000, 1000)
        self.assertGreater(self.number(d, "scan", "bytes"), 5 * MIB)
        d.write_config(config(most="1MiB"))
        d.signal(signal.SIGHUP)
        harness.wait_until(lambda: self.number(d, "scan", "bytes") <= MIB, "less")
        # Keys of another prefix: what is there belongs to it now.
        self.write(d, b"later", 3000, 1000)
        d.write_config(config(most="1MiB") + '  - prefix: "later:"\n    max_memory: 512KiB\n')
        d.signal(signal.SIGHUP)
        harness.wait_until(lambda: self.there(d, b"later", 3000) <= 512, "what is too much to go")
        self.assertGreater(self.there(d, b"later", 3000), 300)
        d.write_config(config(most="0", least="0"))
        d.signal(signal.SIGHUP)
        harness.wait_until(lambda: self.number(d, "scan", "max_bytes") == 0, "no maximum")
        self.write(d, b"scan", 3000, 1000)
        self.assertGreater(self.number(d, "scan", "bytes"), 2 * MIB)

    def test_a_share_follows_the_memory(self):
        d = self.daemon(config(most="25%", least="25%"))
        self.settled(d)
        before = self.number(d, "scan", "max_bytes")
        budget = int(d.info("memory")["arena_budget_bytes"])
        self.assertAlmostEqual(before / budget, 0.25, delta=0.03)
        c = d.client()
        self.assertEqual(c("CONFIG", "SET", "memory", "64MiB"), "OK")
        harness.wait_until(lambda: self.number(d, "scan", "max_bytes") > before + 4 * MIB, "more")

    def test_minimums_that_leave_too_little_are_refused_wherever_they_come_from(self):
        d = self.daemon(config(), stopped=True)
        d.write_config(config(least="17MiB"))
        out = subprocess.run([harness.BINARY, "check", d.config], check=False, text=True,
                             capture_output=True)
        self.assertEqual(out.returncode, 78)
        self.assertIn("min_memory of all together is 17408 KiB; at most half of memory",
                      out.stderr)
        d.write_config(config(least="6MiB"))
        d.start()
        why = d.client().error("CONFIG", "SET", "memory", "16MiB")
        self.assertIn("min_memory: all namespaces together ask for 6144 KiB, and half", why)
        d.write_config(config(least="6MiB") + '  - prefix: "more:"\n    min_memory: 11MiB\n')
        d.signal(signal.SIGHUP)
        d.wait_log("reload: .*min_memory of all together is 17408 KiB.*the old configuration stays")


if __name__ == "__main__":
    harness.main()
