#!/usr/bin/env python3
"""Namespaces of class protected: their keys outlast whatever the cache is filled
with, and take no more than their share."""
# exclusive: it measures memory

import os
import random
import unittest

import harness

MIB = 1 << 20
BATCH = 64
KEYS = 3000

CONFIG = """
memory: {mib}MiB
eviction: {policy}
threads: 2
protected_limit: {limit}
namespaces:
  - prefix: "lock:"
    class: {kind}
"""


@unittest.skipIf(harness.SANITIZER, "sanitizers need memory of their own")
class Protected(harness.Case):
    def started(self, policy="lru", mib=32, limit="auto", kind="protected"):
        config = dict(policy=policy, mib=mib, limit=limit, kind=kind)
        return self.daemon(CONFIG.format(**config)), config

    @staticmethod
    def pipelines(c, commands):
        """All of them, a batch at a time; their replies."""
        batch = []
        for command in commands:
            batch.append(command)
            if len(batch) == BATCH:
                yield from c.pipeline(*batch)
                batch = []
        if batch:
            yield from c.pipeline(*batch)

    def fill(self, c, total_bytes, seed=1, between=()):
        """Cache data, in values of 64 bytes to 16 KiB."""
        rng, filler, n = random.Random(seed), os.urandom(16384), 0

        def commands():
            nonlocal n
            written = 0
            while written < total_bytes:
                size = int(64 * 256 ** rng.random())
                written += size
                n += 1
                yield ("SET", b"cache:%d:%d" % (seed, n), filler[:size])
                if between and n % 4 == 0:
                    yield ("GET", between[rng.randrange(len(between))])
        for reply in self.pipelines(c, commands()):
            self.assertTrue(reply == "OK" or reply is not None, reply)

    def put_locks(self, c):
        keys = [b"lock:%d" % i for i in range(KEYS)]
        for reply in self.pipelines(c, (("SET", k, b"owner of " + k) for k in keys)):
            self.assertEqual(reply, "OK")
        return keys

    def all_there(self, c, keys):
        values = list(self.pipelines(c, (("GET", k) for k in keys)))
        self.assertEqual([k for k, v in zip(keys, values) if v != b"owner of " + k], [])

    def test_they_outlast_four_times_the_memory_in_cache_data_under_each_policy(self):
        for policy in ("lru", "s3fifo", "tinylfu"):
            with self.subTest(policy):
                d, _ = self.started(policy)
                c = d.client()
                keys = self.put_locks(c)
                self.fill(c, 4 * 32 * MIB, between=keys[::2])
                self.all_there(c, keys)
                info = d.info()
                self.assertGreater(int(info["evicted_keys"]), 0)
                self.assertEqual(int(info["arena_protected_keys"]), KEYS)
                self.assertLessEqual(d.status("VmHWM"), 32 * MIB)

    def test_beyond_their_limit_a_write_is_refused_in_redis_words_and_counted(self):
        d, _ = self.started(limit="1MiB")
        c = d.client()
        replies = list(self.pipelines(c, (("SET", b"lock:%d" % i, b"x" * 500)
                                          for i in range(4000))))
        refused = [r for r in replies if r != "OK"]
        self.assertEqual({str(r) for r in refused},
                         {"OOM command not allowed when used memory > 'maxmemory'."})
        stored = [i for i, r in enumerate(replies) if r == "OK"]
        self.assertGreater(len(stored), MIB // 700)
        self.assertEqual(c("EXISTS", *(b"lock:%d" % i for i in stored)), len(stored))
        self.assertEqual(c("SET", "cache", "fine"), "OK")
        self.assertEqual(c("DEL", "lock:0"), 1)
        self.assertEqual(c("SET", "lock:new", "room again"), "OK")
        line = d.info("namespaces")["ns_lock"]
        self.assertIn(f",refused={len(refused)},", line)
        self.assertLessEqual(int(d.info()["arena_protected_bytes"]), MIB)
        self.assertEqual(int(d.info()["arena_protected_limit_bytes"]), MIB)

    def reload(self, d, config):
        d.write_config(CONFIG.format(**config))
        d.signal(harness.signal.SIGHUP)
        d.wait_log("reload: done")

    def test_a_reload_makes_keys_protected_that_were_not(self):
        d, config = self.started(kind="cache")
        c = d.client()
        keys = self.put_locks(c)
        self.assertEqual(int(d.info()["arena_protected_keys"]), 0)
        self.reload(d, dict(config, kind="protected"))
        self.fill(c, 4 * 32 * MIB)
        self.all_there(c, keys)

    def test_a_reload_gives_them_back_to_the_cache(self):
        d, config = self.started()
        c = d.client()
        keys = self.put_locks(c)
        self.assertEqual(int(d.info()["arena_protected_keys"]), KEYS)
        self.reload(d, dict(config, kind="cache"))
        harness.wait_until(lambda: int(d.info()["arena_protected_keys"]) == 0,
                           "them to be cache data")
        self.fill(c, 4 * 32 * MIB)
        self.assertEqual(c("EXISTS", *keys), 0)

    def test_config_set_of_the_limit_counts_at_once(self):
        d, _ = self.started(limit="64KiB")
        c = d.client()
        with self.assertRaisesRegex(harness.ReplyError, "OOM"):
            c("SET", "lock:big", b"x" * 100000)
        self.assertEqual(c("CONFIG", "SET", "protected_limit", "1mb"), "OK")
        self.assertEqual(c("SET", "lock:big", b"x" * 100000), "OK")

    def test_a_flush_takes_them_too(self):
        d, _ = self.started()
        c = d.client()
        self.put_locks(c)
        self.assertEqual(c("FLUSHALL"), "OK")
        self.assertEqual(int(d.info()["arena_protected_keys"]), 0)
        self.assertEqual(c("DBSIZE"), 0)


if __name__ == "__main__":
    harness.main()
