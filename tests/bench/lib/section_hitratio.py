"""Hit ratios at equal memory, cache-aside, from empty. All systems and the
simulations get the same streams: those of `sim gen`, and real ones."""

import json
import os
import subprocess
import tempfile

from .load import FAILURES, load
from .measure import peak_rss, rss

MIB = 1 << 20
KEY_BYTES = 24
NAMES = ("redis", "redis-lfu", "memcached", "pannier", "pannier-s3fifo", "pannier-tinylfu")
ZIPF = ["--zipf", "0.99", "--keyspace", 1000000]
# Traces carry no sizes; these make them several times as large as the memory.
# Real streams ask for the same key several times in a row: a pipeline, whose SETs
# come behind all of its GETs, would make misses of those.
STREAMS = {
    "Zipf": {"generate": ZIPF, "sizes": "300", "memory": (16, 32, 64, 128)},
    "Zipf and scans": {"generate": [*ZIPF, "--pollute", "0.2"], "sizes": "300", "memory": (64,)},
    "orm-busy": {"file": "orm-busy.trace.xz", "sizes": "loguniform:256..16KiB", "memory": (64,),
                 "pipeline": 1, "requests": 2000000},
    "web07": {"file": "web07.trace.xz", "sizes": "loguniform:1KiB..64KiB", "memory": (64,),
              "pipeline": 1},
}


def generate(ctx, path, args):
    requests = ctx.n(5000000, 300000)
    subprocess.run([ctx.sim, "gen", path, "--requests", str(requests),
                    *map(str, args)], check=True)


def shortened(trace, path, requests):
    """The start of a trace; without a pipeline all of it would take an hour."""
    with subprocess.Popen(["xz", "-dcq", trace], stdout=subprocess.PIPE) as xz, \
            open(path, "wb") as f:
        f.write(xz.stdout.read(4 * requests))
        xz.stdout.close()
    return path


def simulate(ctx, trace, sizes, memories):
    out = subprocess.run([ctx.sim, "run", trace, str(KEY_BYTES), sizes, "0",
                          *[f"{m}MiB" for m in memories]],
                         check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def ask(ctx, name, trace, sizes, memory, pipeline):
    with ctx.server(name, memory * MIB) as server:
        # One connection, so that requests come in the stream's order.
        result = load(ctx, server, "--trace", trace, "--cache-aside", "--clients", 1,
                      "--pipeline", pipeline, "--key-size", KEY_BYTES, "--value-size", sizes,
                      tolerant=True)
        if result["fault"]:
            ctx.refused(name, f"hit ratio, {name}: {result['errors']} errors: {result['fault']}")
        return {"hit_ratio": result["hit_ratio"], "rss": rss(server.pid),
                "peak_rss": peak_rss(server.pid)}


def stream_results(ctx, what, trace, stream, memories):
    found, sizes = {}, stream["sizes"]
    for i, sim in enumerate(simulate(ctx, trace, sizes, memories)):
        memory = memories[i]
        row = {"ideal LRU": {"hit_ratio": sim["lru"]}, "Belady": {"hit_ratio": sim["belady"]}}
        for name in ctx.wanted(*NAMES):
            try:
                row[name] = ask(ctx, name, trace, sizes, memory, stream.get("pipeline", 16))
            except FAILURES as e:
                ctx.trouble(f"hit ratio, {name}: {e}")
        found[str(memory)] = row
        ctx.say(f"hitratio: {what}, {memory} MiB: " +
                ", ".join(f"{n} {r['hit_ratio']:.4f}" for n, r in row.items()))
    return found


def run(ctx):
    results = {}
    with tempfile.TemporaryDirectory(prefix="pannier-bench-") as folder:
        for what, stream in STREAMS.items():
            path = os.path.join(folder, "stream.trace")
            if "generate" in stream:
                generate(ctx, path, stream["generate"])
            else:
                trace = os.path.join(ctx.traces, stream["file"])
                if not os.path.exists(trace):
                    ctx.trouble(f"hit ratio: there is no {trace} (see --traces)")
                    continue
                requests = 200000 if ctx.quick else stream.get("requests")
                path = shortened(trace, path, requests) if requests else trace
            memories = stream["memory"] if not ctx.quick else stream["memory"][:1]
            results[what] = stream_results(ctx, what, path, stream, memories)
    return results
