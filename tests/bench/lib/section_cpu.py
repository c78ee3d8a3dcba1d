"""CPU time, throughput and latency: every server from the same load, one
after the other, round by round, so that a drift of the machine meets all."""

import collections
import contextlib
import statistics

from .load import FAILURES, latency, load
from .measure import CpuMeter

NAMES = ("redis", "memcached", "floor", "pannier")
PIPELINES = (1, 16, 64)
KEYS = 100000
REQUESTS = {1: 400000, 16: 3000000, 64: 6000000}
RATE = 20000


def common(name):
    args = ["--clients", 50, "--keyspace", KEYS, "--value-size", 100, "--ratio", "9:1"]
    return args + (["--any-reply"] if name == "floor" else [])


def one_run(ctx, server, args):
    with CpuMeter(server.pid) as cpu:
        result = load(ctx, server, *common(server.name), *args)
    n = result["requests"]
    return {"cpu_us": cpu.ns / 1000 / n, "per_second": result["per_second"],
            "user_share": cpu.user_share, "requests": n, "latency": latency(result),
            "curve": result["latency_us"]["all"]["curve"]}


def summary(runs):
    """Medians, and all runs beside them."""
    mid = lambda key: statistics.median(r[key] for r in runs)
    typical = min(runs, key=lambda r: abs(r["latency"]["p99"] -
                                          statistics.median(x["latency"]["p99"] for x in runs)))
    return {"cpu_us": mid("cpu_us"), "per_second": mid("per_second"),
            "user_share": mid("user_share"), "latency": typical["latency"],
            "curve": typical["curve"],
            "runs": [{k: r[k] for k in ("cpu_us", "per_second", "requests")} for r in runs]}


def loads(ctx):
    """[(name, arguments)]"""
    found = [(f"pipeline {p}", ["--pipeline", p, "--requests",
                                ctx.n(REQUESTS[p], REQUESTS[p] // 40)]) for p in PIPELINES]
    seconds = ctx.n(10, 1)
    found.append(("open loop", ["--rate", RATE, "--arrivals", "poisson", "--seconds", seconds,
                                "--requests", RATE * seconds * 2]))
    return found


class Contest:
    """The servers that still answer."""

    def __init__(self, ctx, stack):
        self.ctx, self.servers = ctx, []
        for name in ctx.wanted(*NAMES):
            server = ctx.server(name)
            if self.attempt(name, stack.enter_context, server):
                self.servers.append(server)

    def attempt(self, name, function, *args):
        try:
            return function(*args)
        except FAILURES as e:
            self.ctx.trouble(f"cpu, {name}: {e}")
            return None

    def each(self, function, *args):
        """[(server, answer)]; who fails is out."""
        found = [(s, self.attempt(s.name, function, self.ctx, s, *args)) for s in self.servers]
        self.servers = [s for s, answer in found if answer]
        return [(s, answer) for s, answer in found if answer]


def fill(ctx, server):
    return load(ctx, server, *common(server.name), "--scan", "--ratio", "0:1", "--requests", KEYS,
                "--pipeline", 16)


def run(ctx):
    results = {}
    with contextlib.ExitStack() as stack:
        contest = Contest(ctx, stack)
        contest.each(fill)
        for what, args in loads(ctx):
            runs = collections.defaultdict(list)
            for _ in range(ctx.rounds):
                for server, found in contest.each(one_run, args):
                    runs[server.name].append(found)
            results[what] = {name: summary(r) for name, r in runs.items()}
            for name, r in results[what].items():
                ctx.say(f"cpu: {what}, {name}: {r['cpu_us']:.3f} us/op, "
                        f"{r['per_second']:.0f}/s, 99 % within {r['latency']['p99']} us")
    return results
