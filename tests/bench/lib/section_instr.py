"""User-space instructions an operation, counted by callgrind. Two runs of
different length are subtracted, so that start and end cancel."""

import re

from .load import FAILURES, LoadFailed, load

# After a start pannier samples more for its advice than later (doc/advice.md), which is over
# after so many requests.
WARM = 400000
NAMES = ("redis", "memcached", "floor", "pannier")
KEYS = 1000
LOADS = {"GET, pipeline 16": ["--ratio", "1:0", "--pipeline", 16],
         "SET, pipeline 16": ["--ratio", "0:1", "--pipeline", 16],
         "GET alone": ["--ratio", "1:0", "--pipeline", 1]}


def count(ctx, name, args, requests):
    """Instructions of a server's whole life with so many requests."""
    wrapper = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    pretend = ["--any-reply"] if name == "floor" else []
    common = ["--clients", 1, "--keyspace", KEYS, "--value-size", 100, "--timeout", 120, *pretend]
    with ctx.server(name, wrapper=wrapper, patience=120) as server:
        load(ctx, server, *common, "--scan", "--ratio", "0:1", "--requests", KEYS)
        if name == "pannier":
            load(ctx, server, *common, *LOADS["GET, pipeline 16"], "--requests", ctx.n(WARM, 1600))
        load(ctx, server, *common, *args, "--requests", requests)
        said = server.end(120)
    found = re.search(r"Collected : (\d+)", said)
    if not found:
        raise LoadFailed(f"callgrind did not say what it counted: {said[-300:]}")
    return int(found[1])


def run(ctx):
    short, long = ctx.n((20000, 120000), (2000, 6000))
    results = {what: {} for what in LOADS}
    for name in ctx.wanted(*NAMES):
        for what, args in LOADS.items():
            try:
                # A whole number of turns of the pipeline in both runs.
                n = count(ctx, name, args, long) - count(ctx, name, args, short)
            except FAILURES as e:
                ctx.trouble(f"instructions, {name}: {e}")
                break
            results[what][name] = n / (long - short)
            ctx.say(f"instr: {what}, {name}: {results[what][name]:.0f} instructions")
    return results
