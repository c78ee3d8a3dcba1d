"""RESP and the binary protocol side by side: the same server, the same load, by
turns. Bytes are those of the sockets; prefaces and INFO are a small part of them."""

import collections
import statistics

from .load import FAILURES, latency, load
from .measure import CpuMeter
from .section_instr import count

NAMES = {"RESP": "pannier", "binary": "pannier-binary"}
PIPELINES = (1, 16, 64)
KEYS = 100000
REQUESTS = {1: 400000, 16: 3000000, 64: 6000000}
COMMON = ["--clients", 50, "--keyspace", KEYS, "--value-size", 100]
INSTRUCTIONS = {"GET alone": ["--ratio", "1:0", "--pipeline", 1],
                "GET, pipeline 16": ["--ratio", "1:0", "--pipeline", 16],
                "GET, pipeline 64": ["--ratio", "1:0", "--pipeline", 64],
                "SET, pipeline 16": ["--ratio", "0:1", "--pipeline", 16]}


def net_bytes(server):
    with server.connect() as c:
        info = c.info("stats")
    return int(info["total_net_input_bytes"]), int(info["total_net_output_bytes"])


def one_run(ctx, server, pipeline):
    n = ctx.n(REQUESTS[pipeline], REQUESTS[pipeline] // 40)
    before = net_bytes(server)
    with CpuMeter(server.pid) as cpu:
        result = load(ctx, server, *COMMON, "--ratio", "9:1", "--pipeline", pipeline,
                      "--requests", n)
    after = net_bytes(server)
    n = result["requests"]
    return {"cpu_us": cpu.ns / 1000 / n, "per_second": result["per_second"],
            "p99": latency(result)["p99"], "bytes_in": (after[0] - before[0]) / n,
            "bytes_out": (after[1] - before[1]) / n}


def instructions(ctx):
    short, long = ctx.n((20000, 120000), (2000, 6000))
    return {what: {said: (count(ctx, name, args, long) - count(ctx, name, args, short)) / (long - short)
                   for said, name in NAMES.items()}
            for what, args in INSTRUCTIONS.items()}


def loads(ctx):
    found = {}
    with ctx.server(NAMES["RESP"]) as resp, ctx.server(NAMES["binary"]) as binary:
        servers = {"RESP": resp, "binary": binary}
        for server in servers.values():
            load(ctx, server, *COMMON, "--scan", "--ratio", "0:1", "--requests", KEYS,
                 "--pipeline", 16)
        for pipeline in PIPELINES:
            runs = collections.defaultdict(list)
            for _ in range(ctx.rounds):
                for said, server in servers.items():
                    runs[said].append(one_run(ctx, server, pipeline))
            found[f"pipeline {pipeline}"] = {
                said: {k: statistics.median(r[k] for r in rs) for k in rs[0]}
                for said, rs in runs.items()}
    return found


def run(ctx):
    found = {}
    for what, measure in (("loads", loads), ("instructions", instructions)):
        try:
            found[what] = measure(ctx)
        except FAILURES as e:
            ctx.trouble(f"protocol: {e}")
    for what, beside in found.get("loads", {}).items():
        ctx.say(f"protocol: {what}: " + ", ".join(
            f"{said} {r['cpu_us']:.3f} us/op, {r['per_second']:.0f}/s, "
            f"{r['bytes_in']:.1f} and {r['bytes_out']:.1f} bytes" for said, r in beside.items()))
    for what, beside in found.get("instructions", {}).items():
        ctx.say(f"protocol: {what}: " + ", ".join(f"{said} {n:.0f}" for said, n in beside.items()))
    return found
