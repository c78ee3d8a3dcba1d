"""Tables and plots of the brown-out."""

import html
import os
import re

from . import plot, report, table
from .brownout_load import Counts
from .plot import Series

HEAD = ("origin", "way", "answers", "of these stale", "errors", "at the origin", "p50", "p99", "longest")
STYLE = report.STYLE + """
:root { --direct: #c8372d; --nginx: #2c8f4d; }
@media (prefers-color-scheme: dark) { :root { --direct: #f2786d; --nginx: #63c784; } }
.line.s-direct { stroke: var(--direct); } .dot.s-direct { fill: var(--direct); }
.line.s-nginx { stroke: var(--nginx); } .dot.s-nginx { fill: var(--nginx); }
"""
MARKS = ("<!-- brown-out: ./dev bench brownout --doc {page} -->", "<!-- end of brown-out -->")


# --- what was counted --------------------------------------------------------------


def summary(counts, at_origin):
    return {"answers": counts.answers, "stale": counts.stale, "errors": counts.errors, "origin": at_origin,
            "p50_ms": 1000 * counts.quantile(0.5), "p99_ms": 1000 * counts.quantile(0.99),
            "max_ms": 1000 * max(counts.latencies, default=0), "oldest_s": counts.oldest,
            "why": dict(counts.why.most_common(5))}


def total(parts):
    found = Counts()
    for c in parts:
        found.fresh += c.fresh
        found.stale += c.stale
        found.errors += c.errors
        found.latencies += c.latencies
        found.oldest = max(found.oldest, c.oldest)
        found.why += c.why
    return found


def seconds(load, reached):
    at_origin = [n for phase in reached for n in phase]
    return [summary(load.by_second[i], n) for i, n in enumerate(at_origin)]


def by_phase(load, reached, length):
    return [summary(total(load.by_second[s] for s in range(i * length, (i + 1) * length)), sum(n))
            for i, n in enumerate(reached)]


# --- tables ------------------------------------------------------------------------


def ms(value):
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.2f} ms"


def rows(results):
    for i, name in enumerate(results["names"]):
        for way, found in results["ways"].items():
            p = found["phases"][i]
            yield (name, way, f"{p['answers']:,}", f"{p['stale']:,}", f"{p['errors']:,}", f"{p['origin']:,}",
                   ms(p["p50_ms"]), ms(p["p99_ms"]), ms(p["max_ms"]))


def sums(results):
    for way, found in results["ways"].items():
        p = {k: sum(f[k] for f in found["phases"]) for k in ("answers", "stale", "errors", "origin")}
        yield ("all", way, *(f"{p[k]:,}" for k in ("answers", "stale", "errors", "origin")), "", "", "")


def text(results):
    grid = [HEAD, *rows(results), *sums(results)]
    widths = [max(len(r[i]) for r in grid) for i in range(len(HEAD))]
    return "\n".join("  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths)))
                     .rstrip() for r in grid)


def about(results):
    s = results["settings"]
    return (f"{s['rate']:,} reads a second over {s['keys']:,} keys (Zipf {s['zipf']}), phases of {s['phase']} s, "
            f"values that are good for {s['ttl']} s, a deadline of {s['patience']:g} s. The client itself was late by at most "
            + ", ".join(f"{f['client_late_ms']:.0f} ms ({way})" for way, f in results["ways"].items()))


def markdown(results):
    lines = [f"{about(results)}. {table.machine_line(results['machine']).partition(', beside')[0]}; "
             f"commit {results['machine']['commit']}.", "",
             "| " + " | ".join(HEAD) + " |", "|---|---" + "|---:" * (len(HEAD) - 2) + "|"]
    lines += ["| " + " | ".join(r) + " |" for r in [*rows(results), *sums(results)]]
    return "\n".join(lines) + "\n"


# --- plots -------------------------------------------------------------------------


PANELS = (("answers", "Answers served", "fresh or stale, a second"),
          ("errors", "Errors", "and deadlines that passed, a second"),
          ("origin", "Requests that reached the origin", "a second"),
          ("p99_ms", "99 % of the reads were answered within", "milliseconds, logarithmic"))


def charts(results):
    names = results["names"]
    x = plot.Axis(0, len(names), [], "the origin")
    for key, title, unit in PANELS:
        series = []
        for way in ("direct", "nginx", "pannier"):
            found = results["ways"].get(way, {}).get("seconds", [])
            step = len(names) / max(len(found), 1)
            series.append(Series(way, [((i + 0.5) * step, max(s[key], 0.05)) for i, s in enumerate(found)]))
        values = [v for s in series for _, v in s.points] or [1]
        if key == "p99_ms":
            y = plot.logarithmic(min(values), max(values), unit)
        else:
            y = plot.linear(0, max(*values, 1), unit)
        yield plot.chart(series, x, y, title, names)


def page(results):
    body = [f"<h1>A brown-out, and who notices</h1><p class=sub>{html.escape(about(results))}</p>",
            "<div class=figures>", *charts(results), "</div><h2>In numbers</h2>",
            report.grid(HEAD, [[f"<td>{html.escape(c)}</td>" for c in r]
                               for r in [*rows(results), *sums(results)]])]
    return ("<!doctype html><html lang=en><meta charset=utf-8>"
            "<meta name=viewport content='width=device-width, initial-scale=1'>"
            f"<title>pannier: a brown-out</title><style>{STYLE}</style><main>" + "\n".join(body) + "</main>\n")


def picture(results):
    """The four panels as one SVG that needs no page around it."""
    w, h = plot.WIDTH, plot.HEIGHT + 26
    parts = []
    for i, chart in enumerate(charts(results)):
        _, title, unit = PANELS[i]
        inner = re.search(r"<svg[^>]*>(.*)</svg>", chart, re.S).group(1)
        parts.append(f'<g transform="translate({i % 2 * w},{i // 2 * h})"><text class="label" x="{plot.LEFT}" '
                     f'y="18">{html.escape(title)}: {html.escape(unit)}</text>'
                     f'<g transform="translate(0,22)">{inner}</g></g>')
    # In a picture the selectors of the page's figures stand alone.
    style = STYLE.replace("svg text", "text")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * w} {2 * h}"><style>{style}</style>'
            f'<rect width="{2 * w}" height="{2 * h}" style="fill: var(--card)"/>' + "\n".join(parts) + "</svg>\n")


def draw_png(results, path):
    """False: there is no matplotlib."""
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return False
    names, length = results["names"], results["settings"]["phase"]
    figure, axes = pyplot.subplots(2, 2, figsize=(14, 8))
    for axis, (key, title, unit) in zip(axes.flat, PANELS):
        for way, found in results["ways"].items():
            axis.plot([max(s[key], 0.05) for s in found["seconds"]], label=way)
        axis.set_title(f"{title}: {unit}", fontsize=10)
        axis.set_xticks([(i + 0.5) * length for i in range(len(names))], names)
        for i in range(1, len(names)):
            axis.axvline(i * length, color="grey", linestyle=":")
        if key == "p99_ms":
            axis.set_yscale("log")
    axes.flat[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    return True


# --- files -------------------------------------------------------------------------


def put(path, content):
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(content)
    os.replace(path + ".new", path)


def put_into(path, results):
    begin, end = MARKS[0].format(page=os.path.relpath(path)), MARKS[1]
    with open(path, encoding="utf-8") as f:
        head, found, rest = f.read().partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"bench: {path} lacks the marks {begin} and {end}")
    put(path, f"{head}{begin}\n\n{markdown(results)}\n{end}{tail}")
    put(os.path.join(os.path.dirname(path), "brownout.svg"), picture(results))


def write(folder, results, doc):
    put(os.path.join(folder, "brownout.html"), page(results))
    put(os.path.join(folder, "brownout.svg"), picture(results))
    put(os.path.join(folder, "brownout.md"), markdown(results))
    draw_png(results, os.path.join(folder, "brownout.png"))
    if doc:
        put_into(doc, results)
