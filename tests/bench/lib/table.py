"""The table of the figures to reach: ours beside the others, and verdicts.

Rows are made from results.json, so that sections can be measured one by one.
What the issue gives for the best known peer was measured by its author."""

COLUMNS = ("pannier", "redis", "memcached", "floor")


class Row:
    """sense "<=": small values are good. target None: only to look at."""

    def __init__(self, label, values, target=None, sense="<=", peer="", digits=2, text=None):
        self.label, self.values, self.target, self.sense = label, values, target, sense
        self.peer, self.digits, self.text = peer, digits, text

    def show(self, value):
        if value is None:
            return "-"
        return f"{value:,.{self.digits}f}"

    def cell(self, name):
        return self.show(self.values.get(name))

    def ratio(self, name):
        ours, theirs = self.values.get("pannier"), self.values.get(name)
        return f"{ours / theirs:.2f}" if ours is not None and theirs else "-"

    def goal(self):
        if self.target is None:
            return "-"
        how = "at most" if self.sense == "<=" else "at least"
        return f"{how} {self.text or self.show(self.target)}"

    def verdict(self):
        ours = self.values.get("pannier")
        if self.target is None:
            return ""
        if ours is None:
            return "not measured"
        if ours <= self.target if self.sense == "<=" else ours >= self.target:
            return "reached"
        if self.target == 0:
            return "missed"
        return f"missed by {100 * abs(ours - self.target) / abs(self.target):.1f} %"


def pick(found, *path):
    """{name: value} of {name: {...: value}}"""
    values = {}
    for name, inner in (found or {}).items():
        for key in path:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if inner is not None:
            values[name] = inner
    return values


def scaled(values, name, factor):
    return values[name] * factor if values.get(name) is not None else None


def cpu_rows(cpu):
    goals = (("pipeline 1", "CPU us/op, no pipelining", "floor", 1.15, "5.4"),
             ("pipeline 16", "CPU us/op, pipeline 16", "redis", 0.40, "1.01"),
             ("pipeline 64", "CPU us/op, pipeline 64", "redis", 0.33, "0.81"))
    for what, label, beside, factor, peer in goals:
        values = pick(cpu.get(what), "cpu_us")
        target = scaled(values, beside, factor)
        text = f"{target:.2f} ({factor:.2f} x {beside})" if target else f"{factor:.2f} x {beside}"
        yield Row(label, values, target or 0, peer=peer, text=text)
    values = pick(cpu.get("open loop"), "cpu_us")
    target = scaled(values, "floor", 1.15)
    yield Row("CPU us/op at 20,000/s", values, target or 0, peer="17.2",
              text=f"{target:.2f} (1.15 x floor)" if target else "1.15 x floor")
    yield Row("99 % latency at 20,000/s, us", pick(cpu.get("open loop"), "latency", "p99"),
              digits=0)
    for what, label in (("pipeline 1", "operations/s, no pipelining"),
                        ("pipeline 16", "operations/s, pipeline 16"),
                        ("pipeline 64", "operations/s, pipeline 64")):
        yield Row(label, pick(cpu.get(what), "per_second"), digits=0)


def instr_rows(instr):
    for what, target, peer in (("GET, pipeline 16", 600, "2,040"), ("SET, pipeline 16", 1200, ""),
                               ("GET alone", 900, "")):
        yield Row(f"instructions a {what}", instr.get(what, {}), target, peer=peer, digits=0)


def overhead_rows(overhead):
    for what, target, peer in (
            ("16 + 32, no TTL", 21, "36"), ("16 + 32, TTL", 29, "52"),
            ("32 + 200, no TTL", 21, "45"), ("32 + 200, TTL", 29, "45")):
        yield Row(f"overhead bytes an entry, {what}", pick(overhead.get(what), "bytes"), target,
                  peer=peer, digits=1)


def memory_rows(memory):
    new, reads = memory.get("new keys"), memory.get("random reads")
    yield Row("peak RSS / limit while sizes shift", pick(new, "peak"), 1.0, peer="3.2", digits=3)
    yield Row("peak RSS / limit, random reads between", pick(reads, "peak"), 1.0, digits=3)
    for phase, target in (("mixed", 0.92), ("small", 0.86), ("large", 0.92)):
        yield Row(f"live bytes / limit after {phase} values", pick(new, "phases", phase, "live"),
                  target, ">=", peer="over its limit", digits=3)
    for phase in ("mixed", "small", "large"):
        yield Row(f"live / limit after {phase}, random reads between",
                  pick(reads, "phases", phase, "live"), 0.85, ">=", digits=3)
    yield Row("lowest live / limit after the first filling", pick(new, "watched", "lowest"), 0.85,
              ">=", digits=3)
    for phase in ("mixed", "small", "large"):
        yield Row(f"share of the newest bytes that is there, {phase}",
                  pick(new, "phases", phase, "newest"), 0.99, ">=", digits=4)
    for phase in ("mixed", "small", "large"):
        values = pick(new, "phases", phase, "sets_per_second")
        yield Row(f"SETs/s, {phase} values", values, values.get("redis", 0), ">=", digits=0,
                  text="redis's")
    yield from size_rows(memory)


def size_rows(memory):
    small, large = memory.get("32 MiB"), memory.get("4 GiB")
    yield Row("VmRSS of the empty process, MiB",
              {n: b / 2 ** 20 for n, b in pick(small, "base_rss").items()}, 8, digits=1)
    for what, found in (("32 MiB", small), ("4 GiB", large)):
        if found is None:
            continue
        yield Row(f"limit {what}: peak RSS / limit", pick(found, "peak"), 1.0, digits=3)
        lowest = {n: min(p["live"] for p in r["phases"].values()) for n, r in found.items()}
        # Of 32 MiB, the process's own 8 are taken off first.
        yield Row(f"limit {what}: least live / limit after a phase", lowest,
                  0.86 if what == "4 GiB" else 0.86 * 24 / 32, ">=", digits=3)


def hit_rows(hit):
    at64 = (hit.get("Zipf") or {}).get("64") or {}
    ratios = pick(at64, "hit_ratio")
    if ratios:
        ideal = f" (ideal LRU {ratios.get('ideal LRU', 0):.3f})"
        best = max((v for n, v in ratios.items() if n.startswith("pannier")), default=None)
        redis = max((v for n, v in ratios.items() if n.startswith("redis")), default=None)
        yield Row("hit ratio, Zipf, 64 MiB, LRU" + ideal, ratios, 0.815, ">=", digits=4)
        yield Row("hit ratio, Zipf, 64 MiB, best policy of each",
                  {"pannier": best, "redis": redis, "memcached": ratios.get("memcached")}, 0.83,
                  ">=", digits=4)
    for stream in ("Zipf and scans", "orm-busy", "web07"):
        row = pick((hit.get(stream) or {}).get("64"), "hit_ratio")
        if row:
            yield Row(f"hit ratio, {stream}, 64 MiB, LRU (ideal {row['ideal LRU']:.3f})", row,
                      digits=4)


def expiry_rows(expiry):
    if not expiry:
        return
    n = f"{expiry['entries']:,}"
    mass = expiry.get("mass") or {}
    yield Row(f"{n} entries end: bytes are back after, s", pick(mass, "back_after_s"), 1.0)
    quiet = pick(mass, "worst_before_us").get("pannier", 0)
    yield Row("worst latency of others meanwhile, us", pick(mass, "worst_us"), quiet + 1000,
              digits=0, text="1,000 above before")
    yield Row("the same before, us", pick(mass, "worst_before_us"), digits=0)
    yield Row("CPU of an idle, full server, %",
              {k: 100 * v for k, v in pick(expiry.get("idle"), "cpu_share").items()}, 2.0)


def pause_rows(pauses):
    events = pauses.get("events") or {}
    quiet = pick(events.get("nothing"), "worst_us").get("pannier", 0)
    for what, found in events.items():
        target = None if what == "nothing" else quiet + 1000
        yield Row(f"worst latency, {what}, us", pick(found, "worst_us"), target, digits=0,
                  text="1,000 above nothing")


def scale_rows(scale):
    if "ratio" in scale:
        yield Row("two loops / one loop, throughput", {"pannier": scale["ratio"]}, 1.8, ">=")


def protocol_rows(protocol):
    """Of the binary protocol, beside RESP in the place of the best peer."""
    def row(label, beside, sense="<=", digits=2):
        resp = beside.get("RESP")
        return Row(label, {"pannier": beside.get("binary")}, resp, sense, digits=digits,
                   peer=f"RESP {resp:,.{digits}f}" if resp is not None else "", text="RESP")

    for what, found in (protocol.get("loads") or {}).items():
        for key, label, sense, digits in (
                ("cpu_us", "CPU us/op", "<=", 2), ("per_second", "operations/s", ">=", 0),
                ("p99", "99 % latency, us", "<=", 0),
                ("bytes_in", "bytes a request (9 GET, 1 SET of 100)", "<=", 1),
                ("bytes_out", "bytes a reply", "<=", 1)):
            yield row(f"{label}, {what}", pick(found, key), sense, digits)
    for what, found in (protocol.get("instructions") or {}).items():
        yield row(f"instructions a {what}", found, digits=0)


def advice_rows(advice):
    for name, rates in (advice.get("errors") or {}).items():
        for what, found in rates.items():
            yield Row(f"mean error of advice, {name}, {what}", {"pannier": found["mean_error"]},
                      0.02, digits=4)
    if "twice" in advice:
        t = advice["twice"]
        yield Row("hit ratio with twice the memory, against what was said",
                  {"pannier": abs(t["twice"] - t["said_twice"])}, 0.02, digits=4)


GROUPS = (("Cost of an operation", "cpu", cpu_rows), ("Instructions", "instr", instr_rows),
          ("Overhead", "overhead", overhead_rows), ("Memory", "memory", memory_rows),
          ("Hit ratio", "hitratio", hit_rows), ("Expiry", "expiry", expiry_rows),
          ("Pauses", "pauses", pause_rows), ("Scaling", "scale", scale_rows), ("Advice", "advice", advice_rows),
          ("The binary protocol beside RESP", "protocol", protocol_rows))
HEAD = ("", "pannier", "redis", "memcached", "floor", "best peer", "/ redis",
        "/ memcached", "ours shall be", "")


def groups(results):
    """[(title, [Row])] of the sections that were measured."""
    found = []
    for title, section, make in GROUPS:
        data = results["sections"].get(section)
        rows = list(make(data["results"])) if data else []
        if rows:
            found.append((title + (" (quick run)" if data["quick"] else ""), rows))
    return found


def cells(row):
    return [row.label, *[row.cell(c) for c in COLUMNS], row.peer or "-", row.ratio("redis"),
            row.ratio("memcached"), row.goal(), row.verdict()]


def text(results):
    lines = []
    for title, rows in groups(results):
        grid = [list(HEAD)] + [cells(r) for r in rows]
        grid[0][0] = title
        widths = [max(len(line[i]) for line in grid) for i in range(len(HEAD))]
        for line in grid:
            lines.append("  ".join(c.ljust(w) if i in (0, 8, 9) else c.rjust(w)
                                   for i, (c, w) in enumerate(zip(line, widths))).rstrip())
        lines.append("")
    return "\n".join(lines)


def machine_line(machine):
    return (f"Measured {machine['when']} on {machine['processor']}, {machine['processors']} "
            f"processors, {machine['memory_bytes'] / 2 ** 30:.0f} GiB, Linux {machine['kernel']}, "
            f"beside {machine['redis']} and {machine['memcached']}; commit {machine['commit']}.")


def markdown(results):
    lines = [machine_line(results["machine"]), ""]
    for title, rows in groups(results):
        lines += [f"### {title}", "", "| " + " | ".join(HEAD) + " |",
                  "|---" + "|---:" * 7 + "|---|---|"]
        lines += ["| " + " | ".join(cells(r)) + " |" for r in rows]
        lines.append("")
    return "\n".join(lines)


def tally(results):
    verdicts = [r.verdict() for _, rows in groups(results) for r in rows if r.target is not None]
    return {"reached": verdicts.count("reached"), "not measured": verdicts.count("not measured"),
            "missed": sum(v.startswith("missed") for v in verdicts)}
