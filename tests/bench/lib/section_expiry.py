"""What the end of many entries costs: 2,000,000 that end in the same second,
while another client reads other keys; and what an idle server spends."""

import time

from .load import FAILURES, Load, LoadFailed, latency, load
from .measure import CpuMeter, rss

NAMES = ("redis", "memcached", "pannier")
MEMORY = 1 << 30
SHAPE = ["--key-size", 16, "--value-size", 32]
INTERVAL = 0.1
AHEAD = 3       # seconds that the reader runs before the end
AFTER = 12      # and behind it


def fill(ctx, server, entries, *more):
    load(ctx, server, *SHAPE, "--clients", 4, "--pipeline", 32, "--scan", "--ratio", "0:1",
         "--keyspace", entries, "--requests", entries, *more)


def fill_until(ctx, server, entries):
    """All end at one moment, far enough off for the load to be done by then:
    a first part tells how long it takes."""
    part = entries // 10
    start = time.monotonic()
    fill(ctx, server, part, "--ttl", "1h")
    seconds = (time.monotonic() - start) * 10
    end = time.time() + 2 * seconds + AHEAD + 2
    fill(ctx, server, entries, "--expire-at", int(end * 1000))
    return end


def watch_bytes(server, end, baseline, seconds):
    """[(seconds after the end, used bytes)], until they are back."""
    points = []
    with server.connect() as c:
        peak = c.used_bytes()
        # Half a percent of what ended may stay: tables shrink in steps.
        back = baseline + (peak - baseline) * 0.005
        while time.time() < end + seconds:
            now, used = time.time() - end, c.used_bytes()
            points.append((now, used))
            if now > 0 and used <= back:
                break
            # Asking costs the server time too.
            time.sleep(0.05 if -0.2 < now < 3 else 0.25)
    back_after = points[-1][0] if points and points[-1][1] <= back else None
    return points, peak, back_after


def mass_expiry(ctx, name, entries):
    with ctx.server(name, MEMORY) as server:
        fill(ctx, server, 10000, "--first-key", 5 * 10 ** 9)
        with server.connect() as c:
            baseline = c.used_bytes()
        end = fill_until(ctx, server, entries)
        if time.time() > end - AHEAD:
            raise LoadFailed("the load took longer than the entries had to live")
        time.sleep(max(0, end - AHEAD - time.time()))
        reader_start = time.time()
        after = ctx.n(AFTER, 4)
        reading = ["--first-key", 5 * 10 ** 9, "--keyspace", 10000, "--ratio", "1:0", *SHAPE,
                   "--clients", 4, "--rate", 2000, "--interval", INTERVAL, "--seconds",
                   AHEAD + after]
        with Load(ctx, server, reading) as reader:
            points, peak, back = watch_bytes(server, end, baseline, after)
            result = reader.result()
        begin = end - reader_start
        quiet = [m["max_us"] for m in result["timeline"] if m["at_s"] < begin - 0.2]
        busy = [m["max_us"] for m in result["timeline"] if m["at_s"] >= begin - INTERVAL]
        return {"back_after_s": back, "worst_us": max(busy, default=0),
                "worst_before_us": max(quiet, default=0), "latency": latency(result),
                "peak_used": peak, "points": points, "rss_after": rss(server.pid)}


def idle(ctx, name, entries):
    """CPU share of a full server that nobody asks, with entries that have a
    mix of times to live which all end later."""
    seconds = ctx.n(10, 2)
    with ctx.server(name, MEMORY) as server:
        fill(ctx, server, entries, "--ttl", "1h..20h")
        time.sleep(ctx.n(3, 1))
        with CpuMeter(server.pid) as cpu:
            time.sleep(seconds)
        return {"cpu_share": cpu.ns / 1e9 / seconds}


def run(ctx):
    entries = ctx.n(2000000, 100000)
    results = {"entries": entries, "mass": {}, "idle": {}}
    for name in ctx.wanted(*NAMES):
        try:
            results["mass"][name] = r = mass_expiry(ctx, name, entries)
            results["idle"][name] = i = idle(ctx, name, entries // 2)
        except FAILURES as e:
            ctx.trouble(f"expiry, {name}: {e}")
            continue
        back = "not back" if r["back_after_s"] is None else f"back after {r['back_after_s']:.2f} s"
        ctx.say(f"expiry: {name}: {back}, worst latency {r['worst_us']} us (before: "
                f"{r['worst_before_us']} us), idle {100 * i['cpu_share']:.2f} %")
    return results
