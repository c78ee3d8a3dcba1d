#!/usr/bin/env python3
"""The memory limit: whatever is written, nothing fails, the newest keys are
there, and the process stays below its limit."""
# exclusive: it measures memory

import os
import random
import unittest

import harness
from harness import encode

MIB = 1 << 20
BATCH = 64


def log_uniform(rng, low, high):
    return int(low * (high / low) ** rng.random())


class Writer:
    """Numbered keys with values of which the first bytes are the key."""

    def __init__(self, client, seed):
        self.client, self.rng = client, random.Random(seed)
        self.n, self.bytes = 0, 0
        self.filler = os.urandom(MIB)

    @staticmethod
    def key(n):
        return b"key:%012d" % n

    def value(self, n, size):
        key = self.key(n)
        at = n * 7919 % (MIB - size) if size < MIB else 0
        return (key + self.filler[at:at + size])[:size]

    def write(self, until_bytes, low, high, check):
        """Until so many more bytes are written; sizes are known by number."""
        sizes = {}
        end = self.bytes + until_bytes
        while self.bytes < end:
            batch = []
            for _ in range(BATCH):
                size = log_uniform(self.rng, low, high)
                batch.append(("SET", self.key(self.n), self.value(self.n, size)))
                sizes[self.n] = size
                self.n += 1
                self.bytes += size + 16
            for reply in self.client.pipeline(*batch):
                if reply != "OK":
                    raise AssertionError(f"a SET was answered {reply!r}")
            check()
        return sizes


@unittest.skipIf(harness.SANITIZER, "sanitizers need memory of their own")
class Limit(harness.Case):
    def setUp(self):
        self.samples = 0

    def started(self, mib, threads=1):
        d = self.daemon(f"memory: {mib}MiB\nthreads: {threads}\n")
        limit = mib * MIB

        def check():
            self.samples += 1
            if self.samples % 16 == 0:
                self.assertLessEqual(d.status("VmRSS"), limit)
        return d, Writer(d.client(), mib), check

    def newest_are_there(self, writer, sizes, share):
        """Those written last, up to this share of what could be kept; a list
        per shard makes the oldest of them fuzzy, not the newest."""
        c = writer.client
        kept, budget = 0, share
        for n in sorted(sizes, reverse=True):
            budget -= sizes[n] + 16
            if budget < 0:
                break
            value = c("GET", writer.key(n))
            self.assertIsNotNone(value, f"key {n}, {writer.n - n} keys ago, is gone")
            self.assertEqual(value, writer.value(n, sizes[n]))
            kept += 1
        self.assertGreater(kept, 0)

    def test_four_times_the_limit_in_values_of_64_bytes_to_16_kib(self):
        d, w, check = self.started(64)
        sizes = w.write(4 * 64 * MIB, 64, 16 * 1024, check)
        self.newest_are_there(w, sizes, 24 * MIB)
        self.assertIsNone(w.client("GET", w.key(0)))
        self.assertLessEqual(d.status("VmHWM"), 64 * MIB)
        self.assertGreater(int(d.info()["evicted_keys"]), 0)

    def test_sizes_that_shift(self):
        d, w, check = self.started(64)
        w.write(64 * MIB, 64, 16 * 1024, check)
        w.write(2 * 64 * MIB, 64, 512, check)
        sizes = w.write(2 * 64 * MIB, 4 * 1024, 16 * 1024, check)
        self.newest_are_there(w, sizes, 24 * MIB)
        self.assertLessEqual(d.status("VmHWM"), 64 * MIB)

    def test_a_small_pod_and_two_threads(self):
        d, w, check = self.started(32, threads=2)
        sizes = w.write(4 * 32 * MIB, 64, 16 * 1024, check)
        self.newest_are_there(w, sizes, 4 * MIB)
        self.assertLessEqual(d.status("VmHWM"), 32 * MIB)

    def test_what_is_read_stays_and_what_is_not_goes(self):
        d, w, check = self.started(64)
        c = w.client
        hot = [b"hot:%d" % i for i in range(100)]
        for key in hot:
            self.assertEqual(c("SET", key, key * 10), "OK")

        def read_hot():
            check()
            for reply, key in zip(c.pipeline(*(("GET", k) for k in hot)), hot):
                self.assertEqual(reply, key * 10)
        w.write(2 * 64 * MIB, 1024, 16 * 1024, read_hot)

    def test_a_value_larger_than_the_memory_is_refused_and_nothing_is_lost(self):
        d, w, check = self.started(64)
        c = w.client
        self.assertEqual(c("SET", "k", "v"), "OK")
        c.raw(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n" % (100 * MIB))
        self.assertIn(b"ERR", c.until_closed())
        c = d.client()
        self.assertEqual(c("GET", "k"), b"v")
        self.assertIsNone(c("GET", "big"))

    def test_clients_with_half_a_request_each_stay_within_the_limit(self):
        d, w, check = self.started(64)
        w.write(64 * MIB, 64, 16 * 1024, check)
        half = [d.client() for _ in range(50)]
        for c in half:
            c.sock.settimeout(1)
            try:
                c.raw(encode("SET", "x", b"y" * (4 * MIB))[:2 * MIB])
            except OSError:
                pass # the daemon may close whom it cannot serve
        self.assertEqual(w.client("PING"), "PONG")
        self.assertLessEqual(d.status("VmRSS"), 64 * MIB)
        for c in half:
            c.close()


if __name__ == "__main__":
    harness.main()
