"""Bytes that an entry costs beyond its key and value: the growth of VmRSS
over the number of entries, whatever it is spent on."""

from .load import FAILURES, LoadFailed, load
from .measure import rss, settled_rss

NAMES = ("redis", "memcached", "pannier")
MEMORY = 2 << 30
SHAPES = {"16 + 32": (16, 32, 2000000), "32 + 200": (32, 200, 1000000)}


def measure(ctx, name, key, value, entries, ttl):
    args = ["--clients", 4, "--pipeline", 16, "--key-size", key, "--value-size", value,
            "--scan", "--ratio", "0:1", "--keyspace", entries]
    with ctx.server(name, MEMORY) as server:
        # The buffers of connections and all that is made at first use.
        load(ctx, server, *args, "--first-key", 10 ** 9, "--requests", 1000)
        before = settled_rss(server.pid)
        load(ctx, server, *args, "--requests", entries, *(["--ttl", "10h"] if ttl else []))
        with server.connect() as c:
            have = c.count()
        if have < entries:
            raise LoadFailed(f"{have} of {entries} entries are there")
        after = settled_rss(server.pid)
        return {"bytes": (after - before) / entries - key - value, "rss": rss(server.pid)}


def run(ctx):
    results = {}
    for shape, (key, value, entries) in SHAPES.items():
        entries = entries if not ctx.quick else entries // 10
        for ttl in (False, True):
            what = f"{shape}, {'TTL' if ttl else 'no TTL'}"
            results[what] = {}
            for name in ctx.wanted(*NAMES):
                try:
                    results[what][name] = measure(ctx, name, key, value, entries, ttl)
                except FAILURES as e:
                    ctx.trouble(f"overhead, {name}: {e}")
                    continue
                ctx.say(f"overhead: {what}, {name}: "
                        f"{results[what][name]['bytes']:.1f} bytes an entry")
    return results
