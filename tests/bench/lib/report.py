"""build/bench/report.html: everything on one page that needs nothing else."""

import html

from . import plot, table
from .plot import Series

STYLE = """
:root { color-scheme: light dark; --page: #fbfbfa; --card: #ffffff; --ink: #1d1f21;
  --soft: #5c6166; --grid: #e4e5e3; --good: #1a7f4b; --bad: #b3261e;
  --pannier: #1f6fd1; --redis: #c8372d; --memcached: #b87700; --floor: #7a7f85;
  --s3: #0b8f8f; --lfu: #7a4fc4; --ideal: #30343a; --opt: #9aa0a6; }
@media (prefers-color-scheme: dark) { :root { --page: #16181a; --card: #1e2124; --ink: #e8e9ea;
  --soft: #a3a9af; --grid: #33383d; --good: #5cc98d; --bad: #ff8a80;
  --pannier: #6aa9f7; --redis: #f2786d; --memcached: #e5a93c; --floor: #8f959c;
  --s3: #4cc3c3; --lfu: #b497f0; --ideal: #e8e9ea; --opt: #70767d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 36px 0 10px; }
p.sub { color: var(--soft); margin: 0 0 18px; }
.tally { display: flex; gap: 28px; margin: 18px 0; } .tally b { font-size: 28px; display: block; }
.card, figure { background: var(--card); border: 1px solid var(--grid); border-radius: 8px; }
.card { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { padding: 6px 8px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--grid); font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 250px; }
th { white-space: normal; }
tr:last-child td { border-bottom: 0; } td.own { font-weight: 650; }
.reached { color: var(--good); } .missed { color: var(--bad); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 16px; }
figure { margin: 0; padding: 14px 16px 8px; }
figcaption { font-weight: 650; margin-bottom: 6px; }
figcaption small { display: block; font-weight: 400; color: var(--soft); }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--ink); font: 12.5px system-ui, "DejaVu Sans", sans-serif; }
svg text.tick, svg text.title { fill: var(--soft); }
.grid { stroke: var(--grid); } .axis, .mark { stroke: var(--soft); }
.leader { stroke: var(--soft); stroke-width: .7; } .phase { stroke: var(--soft);
  stroke-dasharray: 2 4; } .bound { stroke: var(--ink); stroke-width: 1; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.dot { stroke: var(--card); stroke-width: 1.2; }
""" + "".join(
    f".line.s-{kind} {{ stroke: var(--{colour}); {extra} }} .dot.s-{kind} {{ fill: var(--{colour}); }}\n"
    for kind, colour, extra in (
        ("pannier", "pannier", "stroke-width: 2.8;"), ("redis", "redis", ""),
        ("memcached", "memcached", ""), ("floor", "floor", ""),
        ("redis-lfu", "redis", "stroke-dasharray: 6 4;"), ("pannier-s3fifo", "s3", ""),
        ("pannier-tinylfu", "lfu", ""), ("ideal-lru", "ideal", "stroke-dasharray: 2 4;"),
        ("belady", "opt", "stroke-dasharray: 2 4;")))


def cost_charts(cpu):
    pipelines = [p for p in (1, 16, 64) if f"pipeline {p}" in cpu]
    if not pipelines:
        return []
    names = list(cpu[f"pipeline {pipelines[0]}"])

    def series(key):
        return [Series(n, [(p, cpu[f"pipeline {p}"][n][key]) for p in pipelines], dots=True)
                for n in names]

    def axis(found, title):
        values = [v for s in found for _, v in s.points]
        return plot.logarithmic(min(values), max(values), title)

    x = plot.named(pipelines, "requests in a pipeline")
    speed, cost = series("per_second"), series("cpu_us")
    return [plot.chart(speed, x, axis(speed, "operations a second; one server thread"),
                       "Throughput against pipeline"),
            plot.chart(cost, x, axis(cost, "microseconds of CPU time an operation"),
                       "Cost against pipeline")]


def latency_chart(cpu):
    found = cpu.get("open loop") or {}
    if not found:
        return []
    series = [Series(n, [(q, max(us, 1)) for q, us in r["curve"] if q < 1])
              for n, r in found.items()]
    most = min(max(q for q, _ in s.points) for s in series)
    values = [v for s in series for q, v in s.points if q <= most]
    return [plot.chart([Series(s.name, [p for p in s.points if p[0] <= most]) for s in series],
                       plot.nines(most, "share of the requests answered within"),
                       plot.logarithmic(min(values), max(values), "microseconds, logarithmic; "
                                        "20,000 requests a second, Poisson arrivals"),
                       "Latency of an open loop")]


def by_phase(points, ends):
    """Time made progress: phase i goes from i to i + 1, for every server."""
    found, begin = [], 0.0
    for i, (end, _) in enumerate(ends):
        found += [(i + (t - begin) / (end - begin), v) for t, v in points if begin <= t < end]
        begin = end
    return found


def memory_charts(memory):
    charts = []
    for what in ("new keys", "random reads"):
        watched = {n: r["watched"] for n, r in (memory.get(what) or {}).items() if r.get("watched")}
        if not watched:
            continue
        names = [f"{name} values" for _, name in next(iter(watched.values()))["ends"]]
        x = plot.Axis(0, len(names), [], "progress of each phase of the load")
        for key, title in (("rss", "VmRSS / limit"), ("live", "live bytes / limit")):
            series = [Series(n, by_phase(w[key], w["ends"])) for n, w in watched.items()]
            top = max([v for s in series for _, v in s.points] + [1.0])
            charts.append(plot.chart(series, x, plot.linear(0, top, title),
                                     f"Memory while sizes shift, {what}", names, 1.0))
    return charts


def hit_charts(hit):
    points = (hit or {}).get("Zipf") or {}
    sizes = sorted(int(m) for m in points)
    if len(sizes) < 2:
        return []
    series = [Series(n, [(m, points[str(m)][n]["hit_ratio"]) for m in sizes
                         if n in points[str(m)]], dots=True) for n in points[str(sizes[0])]]
    values = [v for s in series for _, v in s.points]
    return [plot.chart(series, plot.named(sizes, "MiB of memory"),
                       plot.linear(min(values), max(values), "hit ratio; 1 M keys, Zipf 0.99"),
                       "Hit ratio against memory")]


def grid(head, rows):
    lines = ["<div class=card><table><tr>" + "".join(f"<th>{html.escape(h)}</th>" for h in head)
             + "</tr>"]
    lines += ["<tr>" + "".join(r) + "</tr>" for r in rows]
    return "\n".join(lines) + "</table></div>"


def verdict_table(rows):
    def cell(i, text):
        kind = " class=own" if i == 1 else ""
        if i == 9 and text:
            kind = f' class={"reached" if text == "reached" else "missed"}'
        return f"<td{kind}>{html.escape(text)}</td>"

    return grid(table.HEAD, [[cell(i, c) for i, c in enumerate(table.cells(r))] for r in rows])


def hit_table(hit):
    names = []
    for memories in hit.values():
        for row in memories.values():
            names += [n for n in row if n not in names]
    if not names:
        return ""
    rows = [[f"<td>{html.escape(what)}, {m} MiB</td>"] +
            [f"<td>{row[n]['hit_ratio']:.4f}</td>" if n in row else "<td>-</td>" for n in names]
            for what, memories in hit.items() for m, row in memories.items()]
    return "<h2>Hit ratios</h2>" + grid(["", *names], rows)


def about(machine):
    parts = [machine["processor"], f"{machine['processors']} processors",
             f"{machine['memory_bytes'] / 2 ** 30:.0f} GiB", f"Linux {machine['kernel']}",
             machine["redis"], machine["memcached"], f"commit {machine['commit']}",
             machine["when"]]
    return " &middot; ".join(html.escape(p) for p in parts)


def page(results):
    data = {name: s["results"] for name, s in results["sections"].items()}
    cpu, memory, hit = (data.get(n) or {} for n in ("cpu", "memory", "hitratio"))
    charts = [c for c in [*cost_charts(cpu), *latency_chart(cpu), *memory_charts(memory),
                          *hit_charts(hit)] if c]
    tally = table.tally(results)
    parts = ["<!doctype html><html lang=en><meta charset=utf-8>",
             "<meta name=viewport content='width=device-width, initial-scale=1'>",
             f"<title>pannier: figures</title><style>{STYLE}</style><main>",
             "<h1>pannier beside its peers</h1>",
             f"<p class=sub>{about(results['machine'])}</p>", "<div class=tally>"]
    parts += [f"<div class={'missed' if k == 'missed' and v else k.split()[0]}><b>{v}</b>{k}</div>"
              for k, v in tally.items()]
    parts += ["</div>", "<div class=figures>", *charts, "</div>"]
    for title, rows in table.groups(results):
        parts += [f"<h2>{html.escape(title)}</h2>", verdict_table(rows)]
    parts += [hit_table(hit), "<p class=sub>How this is measured: doc/performance.md</p></main>"]
    return "\n".join(parts) + "\n"
