"""Memory against the limit while the sizes of values shift.

Three phases: values of 64 B to 16 KiB (log-uniform) until the limit is passed
twice, then 4 times the limit in 64 to 512 B, then 4 times in 4 to 16 KiB. All
keys are new ones. A first pass goes at full speed and takes throughput, CPU
time and the peak of VmRSS; at the end of each phase a sample of all keys ever
written tells which are still there. A second, slower pass with a probe beside
it draws the curve and finds dips between the ends of phases."""

import random
import threading
import time

from .keys import Sizes, key_text
from .load import FAILURES, Load, LoadFailed, latency
from .measure import CpuMeter, RssSampler, peak_rss, rss, thinned

MIB = 1 << 20
KEY_BYTES = 24
# name, sizes, how many times the limit
PHASES = (("mixed", "loguniform:64..16KiB", 2), ("small", "uniform:64..512", 4),
          ("large", "uniform:4KiB..16KiB", 4))
FIRST_KEY = 10 ** 9 # of the first phase; the second one's at twice that ...
WATCH_SECONDS = 8   # a phase in the second pass


class Phase:
    def __init__(self, index, limit):
        self.name, spec, self.times = PHASES[index]
        self.spec, self.sizes = spec, Sizes(spec)
        self.first = FIRST_KEY * (index + 1)
        self.entry = self.sizes.mean() + KEY_BYTES
        self.planned = int(self.times * limit / self.entry)
        self.window = int(0.8 * limit / self.entry)
        self.written = 0

    def args(self, reads, rate=0):
        gets = 2 if reads else 0
        args = ["--grow", "--ratio", f"{gets}:1", "--first-key", self.first,
                "--requests", self.planned * (gets + 1), "--keyspace", self.window,
                "--value-size", self.spec, "--key-size", KEY_BYTES, "--clients", 10,
                "--pipeline", 16]
        return args + (["--rate", rate * (gets + 1)] if rate else [])


class Sample:
    """Every step-th key of a phase, and what bytes each stands for."""

    def __init__(self, phase, most):
        self.step = max(1, phase.planned // most)
        # A phase with reads draws its SETs, so it may write some more.
        ids = range(phase.first, phase.first + int(phase.planned * 1.02) + 1, self.step)
        self.keys = [key_text(i, KEY_BYTES) for i in ids]
        self.bytes = [(phase.sizes.of(i) + KEY_BYTES) * self.step for i in ids]
        self.seen, self.over = False, False

    def note(self, alive):
        """Keys that are gone do not come back, so a phase that has passed is
        asked for no more."""
        self.over = self.seen and not alive
        self.seen = self.seen or alive


def live_bytes(samples, connection):
    """Keys of all phases are asked for in one mixed order: were the old phase
    asked first, what leaves it meanwhile would count beside what replaced it."""
    asked = [(s, k, b) for s in samples if not s.over for k, b in zip(s.keys, s.bytes)]
    random.Random(1).shuffle(asked)
    there = [a for a, yes in zip(asked, connection.exists([k for _, k, _ in asked])) if yes]
    alive = {id(s) for s, _, _ in there}
    for s in samples:
        s.note(id(s) in alive)
    return sum(b for _, _, b in there)


def survey(server, phases, limit):
    """Live bytes, and the share of the newest so many bytes that is there."""
    with server.connect() as c:
        samples = [Sample(p, 60000) for p in phases]
        flat = [pair for s in samples for pair in zip(s.bytes, c.exists(s.keys))]
        live = sum(b for b, there in flat if there)
        # From the newest key that was written on; behind it the sample may
        # hold some that never were.
        passed = kept = 0
        started = False
        for size, there in reversed(flat):
            started = started or there
            if not started:
                continue
            if passed + size > live:
                break
            passed += size
            kept += size if there else 0
        entries = c.count()
    return {"live": live / limit, "newest": kept / passed if passed else 0,
            "entries": entries, "rss": rss(server.pid) / limit}


def fast_pass(ctx, name, limit, reads):
    phases, result = [], {"phases": {}}
    with ctx.server(name, limit) as server:
        result["base_rss"] = rss(server.pid)
        with RssSampler(server.pid) as sampler:
            for i in range(len(PHASES)):
                phase = Phase(i, limit)
                phases.append(phase)
                with CpuMeter(server.pid) as cpu, Load(ctx, server, phase.args(reads)) as job:
                    load_result = job.result(tolerant=True)
                if load_result["fault"]:
                    ctx.refused(name, f"memory: {name} at {limit // MIB} MiB, {phase.name}: "
                                f"{load_result['errors']} errors: {load_result['fault']}")
                result["phases"][phase.name] = {
                    "per_second": load_result["per_second"],
                    "sets_per_second": load_result["sets"] / load_result["seconds"],
                    "cpu_us": cpu.ns / 1000 / load_result["requests"],
                    "hit_ratio": load_result["hit_ratio"],
                    "latency": latency(load_result, "set"), "errors": load_result["errors"],
                    **survey(server, phases, limit)}
        result["peak"] = max([peak_rss(server.pid)] + [r for _, r in sampler.samples]) / limit
    return result


class Probe(threading.Thread):
    """Draws the curve of live bytes beside a load."""

    def __init__(self, server, samples, limit, start):
        super().__init__(daemon=True)
        self.server, self.samples, self.limit, self.start_time = server, samples, limit, start
        self.points, self.done, self.error = [], threading.Event(), None

    def run(self):
        try:
            with self.server.connect() as c:
                while not self.done.is_set():
                    at = time.monotonic() - self.start_time
                    self.points.append((at, live_bytes(self.samples, c) / self.limit))
                    self.done.wait(0.05)
        except FAILURES as e:
            self.error = e

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.done.set()
        self.join()


def watched_pass(ctx, name, limit, reads, sample=6000):
    phases = [Phase(i, limit) for i in range(len(PHASES))]
    samples, ends, points = [], [], []
    with ctx.server(name, limit) as server, RssSampler(server.pid) as sampler:
        for phase in phases:
            rate = phase.planned / ctx.n(WATCH_SECONDS, 1)
            samples.append(Sample(phase, sample))
            with Probe(server, samples, limit, sampler.start) as probe, \
                    Load(ctx, server, phase.args(reads, rate)) as job:
                job.result(tolerant=True)
            if probe.error:
                raise LoadFailed(f"the probe failed: {probe.error}")
            points += probe.points
            ends.append((time.monotonic() - sampler.start, phase.name))
        peak = peak_rss(server.pid)
    full = [live for at, live in points if at >= ends[0][0]]
    return {"lowest": min(full, default=0), "ends": ends, "peak": peak / limit,
            "live": thinned(points), "rss": thinned([(t, r / limit) for t, r in sampler.samples])}


def measured(ctx, what, name, function, *args):
    try:
        return function(ctx, name, *args)
    except FAILURES as e:
        ctx.trouble(f"memory, {what}, {name}: {e}")
        return None


def say(ctx, what, name, r):
    live = ", ".join(f"{p['live']:.3f}" for p in r["phases"].values())
    newest = ", ".join(f"{p['newest']:.3f}" for p in r["phases"].values())
    ctx.say(f"memory: {what}, {name}: peak {r['peak']:.3f}, live {live}, newest {newest}")


def run(ctx):
    limit = ctx.n(256, 32) * MIB
    plan = [("new keys", ctx.wanted("redis", "memcached", "pannier"), limit, False),
            ("random reads", ctx.wanted("redis", "memcached", "pannier"), limit, True),
            ("32 MiB", ctx.wanted("redis", "memcached", "pannier"), 32 * MIB, False)]
    if not ctx.quick:
        plan.append(("4 GiB", ctx.wanted("pannier"), 4096 * MIB, False))
    results = {"limit": limit}
    for what, names, size, reads in plan:
        results[what] = {}
        for name in names:
            found = measured(ctx, what, name, fast_pass, size, reads)
            if found is None:
                continue
            results[what][name] = found
            say(ctx, what, name, found)
            if size == limit and what != "32 MiB":
                found["watched"] = measured(ctx, what, name, watched_pass, size, reads)
    return results
