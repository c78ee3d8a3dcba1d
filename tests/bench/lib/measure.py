"""What the kernel says about a process."""

import os
import threading
import time


def status_kb(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    return 0


def rss(pid):
    return status_kb(pid, "VmRSS") * 1024


def peak_rss(pid):
    return status_kb(pid, "VmHWM") * 1024


def cpu_ns(pid):
    """CPU time of all its threads, user and system, in nanoseconds."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass  # that thread has ended
    return total


def cpu_ticks(pid):
    """(user, system) in clock ticks: coarse, but it tells the two apart."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


class CpuMeter:
    """with CpuMeter(pid) as m: ...; m.ns, m.user_share"""

    def __init__(self, pid):
        self.pid, self.ns, self.user_share = pid, 0, 0.0

    def __enter__(self):
        self.before = cpu_ns(self.pid), cpu_ticks(self.pid)
        return self

    def __exit__(self, *exc):
        ticks = cpu_ticks(self.pid)
        self.ns = cpu_ns(self.pid) - self.before[0]
        user, system = (ticks[i] - self.before[1][i] for i in (0, 1))
        self.user_share = user / max(user + system, 1)


class RssSampler:
    """Samples a process's memory from a thread, until closed."""

    def __init__(self, pid, every=0.02):
        self.pid, self.every, self.samples = pid, every, []
        self.start = time.monotonic()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.stop.wait(self.every):
            try:
                self.samples.append((time.monotonic() - self.start, rss(self.pid)))
            except (FileNotFoundError, ProcessLookupError):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.stop.set()
        self.thread.join()


def settled_rss(pid, tolerance=256 << 10, tries=40):
    """Once it stands still: allocators and hash tables work on for a while."""
    last = rss(pid)
    for _ in range(tries):
        time.sleep(0.25)
        now = rss(pid)
        if abs(now - last) <= tolerance:
            return now
        last = now
    return last


def thinned(samples, most=400):
    step = max(1, len(samples) // most)
    return [list(s) for s in samples[::step]]
