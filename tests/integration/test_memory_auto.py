#!/usr/bin/env python3
"""`memory: auto` follows the cgroup while clients are served: its limit is halved
and doubled, in a directory that looks like the machine's root."""

import os
import subprocess

import harness
from cgroups import MIB, Load, Root


class MemoryAuto(harness.Case):
    def started(self, mib, config="memory: auto\nthreads: 2\n", **more):
        folder = self.folder()
        root = Root(folder)
        root.limit(mib)
        d = self.daemon(config, folder=folder, env={"PANNIER_MACHINE_ROOT": root.folder}, **more)
        return d, root

    def wait_limit(self, d, mib):
        harness.wait_until(lambda: int(d.info("memory")["maxmemory"]) == mib * MIB,
                           f"a limit of {mib} MiB")

    def wait_arena(self, d, test, what):
        harness.wait_until(lambda: test(int(d.info("memory")["arena_budget_bytes"])), what)

    def test_halved_and_doubled_under_load_it_is_followed_and_no_client_sees_it(self):
        d, root = self.started(256)
        self.wait_limit(d, 192)
        loads = [Load(d.client(), seed) for seed in range(2)]
        for load in loads:
            load.start()
        try:
            full = int(d.info("memory")["arena_budget_bytes"])
            root.limit(128)
            self.wait_limit(d, 96)
            # Of the 96 MiB less, clients' buffers and the margin bear their shares.
            self.wait_arena(d, lambda n: n <= full - 90 * MIB, "the arena to shrink")
            harness.wait_until(lambda: int(d.info("memory")["arena_used_bytes"]) <=
                               full - 90 * MIB, "what is used to shrink")
            if not harness.SANITIZER:
                harness.wait_until(lambda: d.status("VmRSS") <= 96 * MIB, "resident memory")
            root.limit(512)
            self.wait_limit(d, 384)
            if not harness.SANITIZER: # what AddressSanitizer keeps of freed memory counts too
                self.wait_arena(d, lambda n: n >= full + 90 * MIB, "the arena to grow")
            seen = [load.rounds for load in loads]
            harness.wait_until(lambda: all(load.wrong or load.rounds > n
                                           for load, n in zip(loads, seen)), "more rounds")
        finally:
            for load in loads:
                load.end()
        for load in loads:
            self.assertEqual(load.wrong, [])
        self.assertEqual(d.info("stats")["memory_follows"], "2")
        d.wait_log("memory: auto is 96MiB now, and was 192MiB")

    def test_an_ancestors_limit_and_memory_high_count_too(self):
        d, root = self.started(256)
        root.limit(128, of="pod1")
        self.wait_limit(d, 96)
        root.limit(64, file="memory.high")
        self.wait_limit(d, 48)

    def test_version_1_is_followed(self):
        folder = self.folder()
        root = Root(folder)
        root.put("proc/self/cgroup", "7:memory:/pod1\n")
        path = "sys/fs/cgroup/memory/pod1/memory.limit_in_bytes"
        root.put(path, f"{128 * MIB}\n")
        d = self.daemon("memory: auto\n", folder=folder,
                        env={"PANNIER_MACHINE_ROOT": root.folder})
        self.wait_limit(d, 96)
        self.wait_limit(d, 96)
        root.put(path, f"{256 * MIB}\n")
        self.wait_limit(d, 192)

    def test_an_explicit_limit_stays_and_is_warned_of_where_it_is_too_high(self):
        d, root = self.started(256, config="memory: 128MiB\n")
        self.assertNotIn("which is what the cgroup allows", d.text())
        root.limit(96)
        d.wait_log(r"warn.*memory: 128MiB is more than 96MiB, which is what the cgroup allows"
                   r".*72MiB")
        self.wait_limit(d, 128)
        self.assertEqual(d.info("stats")["memory_follows"], "0")
        out = subprocess.run([harness.BINARY, "check", d.config], check=True, text=True,
                             capture_output=True, env={**os.environ, **d.env})
        self.assertIn("warning: memory: 128MiB is more than 96MiB", out.stderr)
        # One that is set while it runs is warned of too; auto takes what there is now.
        c = d.client()
        self.assertEqual(c("CONFIG", "SET", "maxmemory", str(160 * MIB)), "OK")
        d.wait_log(r"warn.*memory: 160MiB is more than 96MiB")
        self.assertEqual(c("CONFIG", "SET", "memory", "auto"), "OK")
        self.wait_limit(d, 72)

    def test_a_limit_too_low_to_work_with_is_told_and_the_daemon_goes_on(self):
        d, root = self.started(256)
        c = d.client()
        self.assertEqual(c("SET", "k", "v"), "OK")
        root.limit(1)
        d.wait_log(r"warn.*leaves no room for a cache.*it goes on with \d+ KiB")
        self.assertIn(c("GET", "k"), (b"v", None))
        self.assertEqual(c("SET", "k", "w"), "OK")
        root.limit(128)
        self.wait_limit(d, 96)
        self.assertEqual(c("GET", "k"), b"w")
        d.wait_log("auto is 96MiB now")

    def test_under_pressure_it_purges_and_then_evicts_and_refuses_nothing(self):
        d, root = self.started(128, "memory: auto\nlatency_threshold: 10ms\n")
        stalled = 0

        def press():
            """All of the time since the last look is waited for memory."""
            nonlocal stalled
            stalled += 10 ** 7
            root.put("sys/fs/cgroup/kubepods/pod1/app/memory.pressure",
                     f"some avg10=0.00 avg60=0.00 avg300=0.00 total={stalled}\n")
            return d.info()
        root.put("sys/fs/cgroup/kubepods/pod1/app/memory.current", "1\n")
        load = Load(d.client(), 1)
        load.start()
        try:
            before = int(press()["arena_budget_bytes"])
            harness.wait_until(lambda: int(press()["pressure_purges"]) == 1, "a purge")
            harness.wait_until(lambda: int(press()["pressure_steps"]) >= 1, "a step")
            now = harness.wait_until(lambda: (i := press()) and
                                     int(i["arena_budget_bytes"]) < before and i, "less")
            self.assertGreaterEqual(int(now["arena_held_bytes"]), 2 * MIB)
            self.assertEqual(now["maxmemory"], str(96 * MIB))
            # Switched off, it has all back at once, however short memory is.
            c, held = d.client(), int(now["arena_budget_bytes"])
            self.assertEqual(c("CONFIG", "SET", "pressure", "false"), "OK")
            now = harness.wait_until(lambda: (i := press()) and
                                     i["arena_held_bytes"] == "0" and i, "nothing held")
            if not harness.SANITIZER: # whose own memory grows, and the cache pays for it
                harness.wait_until(lambda: int(press()["arena_budget_bytes"]) > held, "more")
            self.assertEqual(press()["pressure_steps"], now["pressure_steps"])
            self.assertEqual(c("CONFIG", "SET", "pressure", "true"), "OK")
            harness.wait_until(lambda: int(press()["pressure_purges"]) == 2, "another purge")
        finally:
            load.end()
        self.assertEqual(load.wrong, [])
        events = [e[0] for e in d.client()("LATENCY", "LATEST")]
        self.assertIn(b"memory-pressure", events)
        d.wait_log("warn.*the cgroup is short of it; the cache gives some up for now")


if __name__ == "__main__":
    harness.main()
