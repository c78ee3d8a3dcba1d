#!/usr/bin/env python3
"""PANNIER.ADVISE and `pannier advise`: what is said of twice the memory is what twice
the memory then gives."""

import json
import random
import subprocess
import unittest

import harness

# Some 45 MiB, so that 24MiB has room for less than half of it. Few reads, so that much of
# them is sampled however fast they come.
KEYS, READS, VALUE = 3000, 8000, 15000
BATCH = 20


def stream():
    draw = random.Random(7)
    return [draw.randrange(KEYS) for _ in range(READS)]


def as_map(reply):
    return {reply[i].decode(): reply[i + 1] for i in range(0, len(reply), 2)}


class Advise(harness.Case):
    def daemon_of(self, memory, more=""):
        return self.daemon(f"threads: 1\nmemory: {memory}\n{more}")

    def play(self, daemon):
        """Cache-aside in batches; the hit rate."""
        hits, reads, keys = 0, 0, stream()
        client, value = daemon.client(), b"x" * VALUE
        for at in range(0, len(keys), BATCH):
            batch = list(dict.fromkeys(keys[at:at + BATCH]))
            found = client.pipeline(*[("GET", f"k{k}") for k in batch])
            missed = [k for k, v in zip(batch, found) if v is None]
            reads += len(batch)
            hits += len(batch) - len(missed)
            client.pipeline(*[("SET", f"k{k}", value) for k in missed])
        return hits / reads

    def cli(self, daemon, *args):
        return subprocess.run([harness.BINARY, "advise", "--socket", daemon.path, *args],
                              capture_output=True, text=True, check=False,
                              timeout=harness.PATIENCE_S)

    @unittest.skipIf(harness.SANITIZER, "sanitizers: their own memory is no part of the plan")
    def test_twice_the_memory_gives_the_hit_rate_that_was_said(self):
        small, large = self.daemon_of("24MiB"), self.daemon_of("48MiB")
        now, twice = self.play(small), self.play(large)
        said = as_map(small.client()("PANNIER.ADVISE"))
        curve = {float(p[0]): p for p in said["curve"]}
        # Some hundred keys are sampled, which is off by 0.02 as a rule.
        self.assertAlmostEqual(float(said["hit_rate"]), now, delta=0.12)
        self.assertAlmostEqual(float(curve[2][2]), twice, delta=0.12)
        self.assertEqual(curve[2][1], 48 << 20)
        self.assertGreater(twice, now + 0.2)
        self.assertIn(b"Twice the memory (48 MiB) would raise the hit rate", said["advice"])
        page = self.cli(small, "--target", "0.3")
        self.assertEqual((page.returncode, page.stderr), (0, ""))
        self.assertIn("Twice the memory (48 MiB) would raise the hit rate", page.stdout)
        self.assertRegex(page.stdout, r"(?m)^ *48.0MiB +2x +0\.\d+ .*##")
        self.assertRegex(page.stdout, r"A hit rate of 0.3 wants|No memory up to")
        fields = json.loads(self.cli(small, "--json").stdout)["advice"]
        self.assertEqual(fields["advice_enabled"], 1)
        self.assertLessEqual(fields["advice_memory_bytes"], 24 << 20 >> 8)

    @unittest.skipIf(harness.SANITIZER, "sanitizers: their own memory is no part of the plan")
    def test_it_holds_for_the_other_policies_too(self):
        for eviction in ("s3fifo", "tinylfu"):
            with self.subTest(eviction):
                more = f"eviction: {eviction}\n"
                small, large = self.daemon_of("24MiB", more), self.daemon_of("48MiB", more)
                self.play(small)
                twice = self.play(large)
                said = as_map(small.client()("PANNIER.ADVISE"))
                curve = {float(p[0]): float(p[2]) for p in said["curve"] if p[2] is not None}
                self.assertAlmostEqual(curve[2], twice, delta=0.12)
                self.assertEqual(said["eviction"], eviction.encode())
                names = [name for name, _ in said["policies"]]
                self.assertEqual(names, [b"lru", b"s3fifo", b"tinylfu"])

    def test_it_says_what_it_does_not_know(self):
        d = self.daemon_of("32MiB")
        self.assertIn("It is too early to say", self.cli(d).stdout)
        done = self.cli(d, "--namespace", "nobody")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('nothing is known of a namespace "nobody"', done.stderr)
        self.assertEqual(self.cli(d, "--target", "2").returncode, 64)

    def test_off_it_learns_nothing(self):
        d = self.daemon_of("32MiB", "advice: off\n")
        client = d.client()
        client.pipeline(*[("GET", f"k{i}") for i in range(2000)])
        self.assertIn(b"advice is off", as_map(client("PANNIER.ADVISE"))["advice"])
        self.assertIn("advice is off", self.cli(d).stdout)
        self.assertEqual(client("PANNIER.ADVISE", "RESET"), "OK")

    def test_an_origins_time_is_counted(self):
        origin = self.origin()
        for i in range(200):
            origin.on(f"/{i}", b"v")
        d = self.daemon_of("32MiB", f"origins: {{b: {{http: {{endpoints: ['{origin.url}']}}}}}}\n"
                           "namespaces: [{prefix: 'u:', name: users, origin: b, path: '/{key}'}]\n")
        client = d.client()
        for _ in range(8):
            for at in range(0, 200, 20):
                client.pipeline(*[("GET", f"u:{i}") for i in range(at, at + 20)])
        info = d.info("advice")
        self.assertIn(",origin=1,", info["advice_ns_users"])
        self.assertIn(",origin=1,", info["advice"])
        self.assertIn("saves s an hour", self.cli(d, "--namespace", "users").stdout)


if __name__ == "__main__":
    harness.main()
