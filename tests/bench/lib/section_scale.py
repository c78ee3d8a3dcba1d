"""Two loops beside one. Needs two processors for the server and two for the
load, so it is left out on smaller machines."""

from .load import FAILURES, load
from .measure import CpuMeter

KEYS = 100000


def throughput(ctx, loops):
    with ctx.server("pannier", threads=loops, cpu=set(ctx.cpus[2:2 + loops])) as server:
        args = ["--clients", 50, "--threads", 2, "--keyspace", KEYS]
        load(ctx, server, *args, "--scan", "--ratio", "0:1", "--requests", KEYS,
             cpu=set(ctx.cpus[:2]))
        with CpuMeter(server.pid) as cpu:
            result = load(ctx, server, *args, "--pipeline", 16, "--requests",
                          ctx.n(6000000, 100000), cpu=set(ctx.cpus[:2]))
        return {"per_second": result["per_second"],
                "cpu_us": cpu.ns / 1000 / result["requests"]}


def run(ctx):
    if len(ctx.cpus) < 4:
        ctx.say("scale: not measured, four processors are needed")
        return {"skipped": f"{len(ctx.cpus)} processors, four are needed"}
    try:
        one, two = (throughput(ctx, loops) for loops in (1, 2))
    except FAILURES as e:
        ctx.trouble(f"scale: {e}")
        return {"skipped": str(e)}
    ratio = two["per_second"] / one["per_second"]
    ctx.say(f"scale: two loops serve {ratio:.2f} times what one does")
    return {"one": one, "two": two, "ratio": ratio}
