"""How far the curves of advice are from full simulations (tests/bench/advice.c), and
whether twice the memory gives what a daemon says it would (doc/advice.md)."""

import json
import os
import subprocess
import tempfile

from .load import FAILURES, load

MIB = 1 << 20
MEMORY = 32
ZIPF = ["--zipf", "0.99", "--keyspace", 1000000]
STREAMS = {
    "web07": {"file": "web07.trace.xz", "sizes": "loguniform:1KiB..64KiB"},
    "orm-busy": {"file": "orm-busy.trace.xz", "sizes": "loguniform:256..16KiB"},
    "Zipf": {"generate": ZIPF, "sizes": "300"},
}
RATES = {"200 a second": 200, "100,000 a second": 100000}


def compared(ctx, path, sizes, rate):
    out = subprocess.run([os.path.join(ctx.build, "tests/bench/advice"), path, sizes, str(rate),
                          "1MiB"], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def errors(ctx, folder):
    found = {}
    for name, stream in STREAMS.items():
        path = os.path.join(folder, "stream.trace")
        if "generate" in stream:
            subprocess.run([ctx.sim, "gen", path, "--requests", str(ctx.n(3000000, 100000)),
                            *map(str, stream["generate"])], check=True)
        else:
            path = os.path.join(ctx.traces, stream["file"])
            if not os.path.exists(path):
                ctx.trouble(f"advice: there is no {path} (see --traces)")
                continue
            if ctx.quick and name == "orm-busy":
                continue
        found[name] = {}
        for what, rate in RATES.items():
            found[name][what] = compared(ctx, path, stream["sizes"], rate)
            ctx.say(f"advice: {name}, {what}: mean error {found[name][what]['mean_error']:.4f}")
    return found


def hit_ratio(ctx, memory, ask):
    """Of the same stream with so much memory, and what ask() made of the daemon then."""
    with ctx.server("pannier", memory * MIB) as server:
        result = load(ctx, server, *ZIPF, "--cache-aside", "--clients", 1, "--pipeline", 16,
                      "--value-size", 300, "--requests", ctx.n(3000000, 200000), tolerant=True)
        with server.connect() as c:
            return result["hit_ratio"], ask(c)


def said_of_twice(c):
    reply = c.call("PANNIER.ADVISE")
    fields = {reply[i]: reply[i + 1] for i in range(0, len(reply), 2)}
    curve = {float(p[0]): p[2] for p in fields[b"curve"]}
    return {"now": float(curve[1]), "twice": float(curve[2])}


def run(ctx):
    with tempfile.TemporaryDirectory(prefix="pannier-bench-") as folder:
        results = {"errors": errors(ctx, folder)}
    try:
        now, said = hit_ratio(ctx, MEMORY, said_of_twice)
        twice, _ = hit_ratio(ctx, 2 * MEMORY, lambda c: None)
    except FAILURES as e:
        ctx.trouble(f"advice: {e}")
        return results
    results["twice"] = {"now": now, "twice": twice, "said_now": said["now"],
                        "said_twice": said["twice"]}
    ctx.say(f"advice: {MEMORY} MiB gave {now:.4f} (said {said['now']:.4f}), twice {twice:.4f} "
            f"(said {said['twice']:.4f})")
    return results
