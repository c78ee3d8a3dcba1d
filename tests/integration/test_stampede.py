#!/usr/bin/env python3
"""Stampedes of unchanged cache-aside code: 200 clients, in processes and threads,
miss the same key at once. One of them loads it, which takes 200 ms; when it is
killed in the middle, one other does."""

import collections
import os
import queue
import subprocess
import threading

import harness
import real
import test_real_node
import test_real_python

CLIENTS = 200
LEASE_S = 30
CONFIG = f"""
memory: 64MiB
threads: 2
namespaces:
  - prefix: "page:"
    coalesce: lease
    lease_time: {LEASE_S}s
"""


class Herd:
    """Processes, and the lines that they say."""

    def __init__(self, case, d, argv, processes):
        self.each, self.lines = CLIENTS // processes, queue.Queue()
        self.kept = collections.defaultdict(list)
        self.folder = case.folder()
        self.errors = open(os.path.join(self.folder, "stderr"), "w+b")
        case.addCleanup(self.errors.close)
        self.all = [subprocess.Popen(argv + [str(self.each), self.folder], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                     env={**os.environ, "SOCKET": d.path})
                    for _ in range(processes)]
        for p in self.all:
            case.addCleanup(self.end, p)
            threading.Thread(target=self.read, args=(p,), daemon=True).start()

    def read(self, p):
        for line in p.stdout:
            self.lines.put(line.split())

    @staticmethod
    def end(p):
        p.kill()
        p.wait()
        p.stdin.close()
        p.stdout.close()

    def heard(self, word):
        """The rest of the next line that begins so. Only lines of one process are in
        order; others are kept."""
        while not self.kept[word]:
            try:
                line = self.lines.get(timeout=2 * harness.PATIENCE_S)
            except queue.Empty:
                self.errors.seek(0)
                raise AssertionError(f"nobody says {word!r}: {self.errors.read().decode()}") from None
            self.kept[line[0]].append(line[1:])
        return self.kept[word].pop(0)

    def begin(self):
        for _ in self.all:
            self.heard("ready")
        for p in self.all:
            p.stdin.write("go\n")
            p.stdin.flush()

    def make_first_load_slow(self):
        with open(os.path.join(self.folder, "slow"), "wb"):
            pass


class Stampede:
    """The claims; what follows says with which library."""

    processes = 0
    sharing = "single"
    counts_subtests = False

    def command(self):
        """Of the herd's processes."""
        raise NotImplementedError

    def herd(self):
        argv = self.command() # may skip
        shared = self.sharing == "shared"
        self.d = self.daemon(CONFIG + ("    lease_holder: request\n" if shared else ""))
        return Herd(self, self.d, argv + [self.sharing], self.processes)

    def ns(self):
        line = self.d.info("namespaces")["ns_page"]
        return {k: float(v) for k, v in (f.split("=") for f in line.split(","))}

    def got(self, herd, n):
        """All of them, in good time."""
        for _ in range(n):
            ms, value = herd.heard("got")
            self.assertEqual(value, "made")
            self.assertLess(int(ms), LEASE_S * 1000)
        self.assertEqual(herd.kept["load"], []) # who loads says so first

    def test_one_loads(self):
        herd = self.herd()
        herd.begin()
        herd.heard("load")
        self.got(herd, CLIENTS)
        counts = self.ns()
        self.assertEqual(counts["leases"], 1)
        self.assertEqual(counts["lease_promoted"] + counts["lease_expired"], 0)

    def test_when_the_first_is_killed_one_other_loads(self):
        herd = self.herd()
        herd.make_first_load_slow()
        herd.begin()
        first = int(herd.heard("load")[0])
        harness.wait_until(lambda: self.ns()["lease_waits"] >= CLIENTS - 1, "all others to wait")
        winner = next(p for p in herd.all if p.pid == first)
        winner.kill()
        winner.wait()
        self.assertNotEqual(int(herd.heard("load")[0]), first)
        self.got(herd, CLIENTS - herd.each)
        counts = self.ns()
        # Others of the killed process may be promoted before they are seen to be gone.
        self.assertEqual(counts["leases"], counts["lease_promoted"] + 1)
        self.assertEqual(counts["lease_voided"], counts["lease_promoted"])
        self.assertEqual(counts["lease_expired"], 0)
        self.assertEqual(self.d.info("clients")["blocked_clients"], "0")


class Python(Stampede, real.Case):
    processes = 5

    def command(self):
        python = test_real_python.DEBIANS
        self.needs(python, "-c", "import redis", package="python3-redis")
        return [python, "-B", os.path.join(real.CLIENTS, "python", "stampede.py")]


class IoRedis(Stampede, test_real_node.Node):
    processes = 4
    library = "ioredis"
    test_ioredis = test_node_redis = None # those are test_real_node.py's

    def command(self):
        versions = [self.needs("node", "--version", package="nodejs"),
                    self.needs("npm", "--version", package="npm")]
        folder = self.installed("node", versions, self.packages)
        return ["node", os.path.join(folder, "stampede.js"), self.library]


class NodeRedis(IoRedis):
    library = "redis"


# All callers of a process share a pool, or even one connection: with
# lease_holder: request they are protected from each other too.


class PythonPool(Python):
    sharing = "shared"


class IoRedisShared(IoRedis):
    sharing = "shared"


class NodeRedisShared(NodeRedis):
    sharing = "shared"


if __name__ == "__main__":
    real.main()
