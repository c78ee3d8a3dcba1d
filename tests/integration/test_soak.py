#!/usr/bin/env python3
"""In a memory cgroup of the kernel's own (version 1): no OOM kill while sizes of values
change, and another limit is followed under load, with no error at the client.

    ./dev soak [SECONDS]     for longer, 600 s; prints what was measured

Where no cgroup can be made (no root, or version 2 alone) resident memory stands for what
the cgroup would count, and limits are a directory's."""
# exclusive: it measures memory

import os
import time
import unittest

import harness
from cgroups import MIB, Cgroup, Load, Root

SOAK_S = float(os.environ.get("PANNIER_SOAK_S") or 3)
PAUSE_S = 0.004 if SOAK_S > 60 else 0
FOLLOWED_S = 10
BANDS = ((64, 16 << 10), (64, 512), (4 << 10, 16 << 10), (16 << 10, 64 << 10))


def report(text):
    if SOAK_S > 60:
        print(text, flush=True)


@unittest.skipIf(harness.SANITIZER, "sanitizers need memory of their own")
class Soak(harness.Case):
    def setUp(self):
        self.cgroup = Cgroup.make()
        if self.cgroup is not None:
            self.addCleanup(self.cgroup.remove)

    def limit(self, mib):
        """Whether the kernel took it."""
        return self.cgroup is None or self.cgroup.limit(mib)

    def started(self, config, **more):
        if self.cgroup is not None:
            more["cgroup"] = self.cgroup.path
        d = self.daemon(config, **more)
        load = Load(d.client(), 1, PAUSE_S)
        self.addCleanup(load.end)
        load.start()
        return d, load

    def used(self, d):
        if self.cgroup is None:
            return d.status("VmRSS")
        return self.cgroup.number("usage_in_bytes")

    def well(self, d, load):
        load.end()
        self.assertEqual(load.wrong, [])
        self.assertTrue(d.running())
        if self.cgroup is not None:
            self.assertIn(self.cgroup.oom_kills(), (None, "0"))

    def figures(self, d, load):
        text = f"written {load.bytes >> 20} MiB in {load.rounds} rounds, client errors " \
               f"{len(load.wrong)}, VmHWM {d.status('VmHWM') >> 10} KiB"
        if self.cgroup is not None:
            text += f", memory.max_usage_in_bytes {self.cgroup.number('max_usage_in_bytes')}" \
                    f", failcnt {self.cgroup.number('failcnt')}" \
                    f", oom_kill {self.cgroup.oom_kills()}"
        return text

    def test_values_that_change_size_at_four_fifths_of_the_cgroup_end_in_no_oom_kill(self):
        self.assertTrue(self.limit(80))
        d, load = self.started("memory: 64MiB\nthreads: 2\n")
        bands = list(BANDS) * max(1, int(SOAK_S / 60))
        for load.least, load.most in bands:
            end = time.monotonic() + SOAK_S / len(bands)
            harness.wait_until(lambda: load.wrong or time.monotonic() > end, "the end of a band",
                               patience_s=SOAK_S + harness.PATIENCE_S)
        self.assertGreater(load.bytes, 128 * MIB if SOAK_S > 60 else 0)
        self.well(d, load)
        self.assertLessEqual(d.status("VmHWM"), 64 * MIB)
        report(f"64 MiB in a cgroup of 80 MiB: {self.figures(d, load)}")

    def wait_limit(self, d, mib):
        """How long until it was so."""
        begun = time.monotonic()
        harness.wait_until(lambda: d.info("memory")["maxmemory"] == str(mib * MIB),
                           f"a limit of {mib} MiB")
        return time.monotonic() - begun

    def fill(self, d, load, mib):
        load.least, load.most = BANDS[3]
        harness.wait_until(lambda: load.wrong or self.used(d) > mib * MIB, f"{mib} MiB in use")

    def test_a_limit_halved_and_doubled_is_followed_until_the_kernel_can_enforce_it(self):
        """What the directory says at once, the kernel takes when so little is used, as
        Kubernetes does."""
        folder = self.folder()
        root = Root(folder)
        root.limit(128)
        self.assertTrue(self.limit(128))
        d, load = self.started("memory: auto\nthreads: 2\n", folder=folder,
                               env={"PANNIER_MACHINE_ROOT": root.folder})
        self.wait_limit(d, 96)
        self.fill(d, load, 80)
        root.limit(64)
        begun = time.monotonic()
        harness.wait_until(lambda: self.used(d) < 64 * MIB and self.limit(64), "half of it")
        halved = time.monotonic() - begun
        self.assertLess(halved, FOLLOWED_S)
        load.least, load.most = BANDS[1]
        root.limit(128)
        self.assertTrue(self.limit(128))
        doubled = self.wait_limit(d, 96)
        self.assertLess(doubled, FOLLOWED_S)
        self.fill(d, load, 80)
        self.well(d, load)
        report(f"128 MiB halved: the kernel could enforce it after {halved:.1f} s; doubled: "
               f"followed after {doubled:.1f} s; {self.figures(d, load)}")

    def test_the_kernels_own_limit_is_followed_up_and_down_by_the_documented_steps(self):
        if self.cgroup is None:
            self.skipTest("sanitizers, or no root: the kernel's own limit cannot be set here")
        self.assertTrue(self.limit(64))
        d, load = self.started("memory: auto\nthreads: 2\n")
        self.wait_limit(d, 48)
        self.assertTrue(self.limit(128))
        doubled = self.wait_limit(d, 96)
        self.fill(d, load, 80)
        self.assertFalse(self.limit(64), "the kernel took a limit below what is used")
        begun = time.monotonic()
        c = d.client()
        self.assertEqual(c("CONFIG", "SET", "maxmemory", str(48 * MIB)), "OK")
        harness.wait_until(lambda: self.used(d) < 64 * MIB and self.limit(64), "half of it")
        self.assertEqual(c("CONFIG", "SET", "memory", "auto"), "OK")
        self.wait_limit(d, 48)
        halved = time.monotonic() - begun
        self.assertLess(halved, FOLLOWED_S)
        self.assertLess(doubled, FOLLOWED_S)
        self.well(d, load)
        report(f"the kernel's own limit doubled: followed after {doubled:.1f} s; halved after "
               f"CONFIG SET maxmemory: {halved:.1f} s; {self.figures(d, load)}")


if __name__ == "__main__":
    harness.main()
