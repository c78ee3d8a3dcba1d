"""The worst latency of a steady client while something large happens."""

import threading
import time

from .load import FAILURES, Load, LoadFailed, latency, load

NAMES = ("redis", "memcached", "pannier")
MIB = 1 << 20
MEMORY = 1024 * MIB
SHAPE = ["--key-size", 16, "--value-size", 100]
STEADY = ["--first-key", 5 * 10 ** 9, "--keyspace", 10000, "--ratio", "9:1", *SHAPE,
          "--clients", 10, "--rate", 5000, "--interval", 0.1]


def nothing(ctx, server, entries):
    del ctx, server, entries


def grow(ctx, server, entries):
    """Tables grow from small to large. One request at a time and below the
    steady client, which shall queue neither behind a pipeline nor for its
    processor."""
    load(ctx, server, *SHAPE, "--clients", 4, "--scan", "--ratio", "0:1", "--keyspace", entries,
         "--requests", entries, "--first-key", 10 ** 9, nice=15)


def flush(ctx, server, entries):
    del ctx, entries
    with server.connect() as c:
        c.flush()


def shrink(ctx, server, entries):
    del ctx, entries
    with server.connect() as c:
        c.set_limit(MEMORY // 16)


def widen(ctx, server, entries):
    del ctx, entries
    with server.connect() as c:
        c.set_limit(MEMORY)


def fill(ctx, server, entries):
    load(ctx, server, *SHAPE, "--clients", 4, "--pipeline", 32, "--scan", "--ratio", "0:1",
         "--keyspace", entries, "--requests", entries)


# name, whether it begins with a full server, event
EVENTS = (("nothing", True, nothing), ("table grows", False, grow), ("FLUSHALL", True, flush),
          ("limit down", True, shrink), ("limit up", False, widen))


class Later(threading.Thread):
    """Runs the event a moment after the steady client has started."""

    def __init__(self, delay, function, *args):
        super().__init__(daemon=True)
        self.delay, self.function, self.args = delay, function, args
        self.error, self.seconds = None, 0.0

    def run(self):
        time.sleep(self.delay)
        start = time.monotonic()
        try:
            self.function(*self.args)
        except FAILURES as e:
            self.error = e
        self.seconds = time.monotonic() - start


def one_event(ctx, server, function, entries):
    seconds = ctx.n(8, 2)
    event = Later(0.5, function, ctx, server, entries)
    # With growing entries the client stays until the load is done.
    with Load(ctx, server, [*STEADY, "--seconds", seconds]) as steady:
        event.start()
        result = steady.result(tolerant=True)
    event.join()
    if event.error:
        raise LoadFailed(str(event.error))
    return {"worst_us": result["latency_us"]["all"]["max"], "latency": latency(result),
            "errors": result["errors"], "event_seconds": event.seconds}


def run(ctx):
    entries = ctx.n(2000000, 100000)
    results = {"entries": entries, "events": {what: {} for what, _, _ in EVENTS}}
    for name in ctx.wanted(*NAMES):
        try:
            with ctx.server(name, MEMORY) as server:
                load(ctx, server, *SHAPE, "--first-key", 5 * 10 ** 9, "--keyspace", 10000,
                     "--scan", "--ratio", "0:1", "--requests", 10000)
                for what, full, function in EVENTS:
                    if full:
                        fill(ctx, server, entries)
                    r = one_event(ctx, server, function, entries)
                    results["events"][what][name] = r
                    ctx.say(f"pauses: {what}, {name}: worst {r['worst_us']} us, "
                            f"99.9 % within {r['latency']['p999']} us")
        except FAILURES as e:
            ctx.trouble(f"pauses, {name}: {e}")
    return results
