"""Line charts as inline SVG. Colours are classes, so that the page's style
sheet has one set for light and one for dark."""

import html
import math

WIDTH, HEIGHT = 620, 330
LEFT, RIGHT, TOP, BOTTOM = 52, 140, 16, 44
LABEL_GAP = 15


class Axis:
    """ticks: [(value, text)]; scale maps a value to a position."""

    def __init__(self, low, high, ticks, title, scale=float):
        self.title, self.scale = title, scale
        self.low, self.high = scale(low), scale(high)
        self.ticks = [(v, t) for v, t in ticks if self.low - 1e-9 <= scale(v) <= self.high + 1e-9]

    def share(self, value):
        span = self.high - self.low or 1
        return (min(max(self.scale(value), self.low), self.high) - self.low) / span


def short(value):
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"


def linear(low, high, title, steps=5, text=short):
    raw = (high - low) / steps or 1
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = [round(i * step, 10) for i in range(first, last + 1)]
    return Axis(ticks[0], ticks[-1], [(t, text(t)) for t in ticks], title)


def logarithmic(low, high, title, text=short):
    low, high = max(low, 1e-9), max(high, low * 1.01, 1e-9)
    bottom, top = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = [m * 10 ** p for p in range(bottom, top + 1) for m in (1, 2, 5)]
    under = max((t for t in steps if t <= low), default=steps[0])
    over = min((t for t in steps if t >= high), default=steps[-1])
    ticks = steps[::3] if math.log10(over / under) > 2.5 else steps
    return Axis(under, over, [(t, text(float(f"{t:g}"))) for t in ticks], title, math.log10)


def named(values, title, text=short, scale=math.log2):
    """An axis with a tick at each of the values."""
    return Axis(values[0], values[-1], [(v, text(v)) for v in values], title, scale)


def nines(most, title):
    """Shares of requests, as far apart as their rests to 1."""
    ticks = [(0, "0"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"),
             (0.9999, "99.99 %"), (0.99999, "99.999 %")]
    scale = lambda q: -math.log10(max(1 - q, 1 - most, 1e-9))
    return Axis(0, most, [(v, t) for v, t in ticks if v <= most], title, scale)


class Series:
    def __init__(self, name, points, kind=None, dots=False, unit=""):
        self.name, self.points, self.kind = name, points, kind or name
        self.dots, self.unit = dots, unit


def css(kind):
    return "s-" + kind.lower().replace(" ", "-")


def spread(places):
    """Moves labels apart that would lie on each other."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, i in zip(order, order[1:]):
        moved[i] = max(moved[i], moved[before] + LABEL_GAP)
    over = max(moved, default=0) - (HEIGHT - BOTTOM)
    for i in range(len(moved)):
        moved[i] -= max(over, 0)
    return moved


def x_of(axis, value):
    return LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT)


def y_of(axis, value):
    return HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM)


def frame(x, y):
    for value, text in y.ticks:
        at = y_of(y, value)
        yield (f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
               f'<text class="tick" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    for value, text in x.ticks:
        at = x_of(x, value)
        yield (f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{HEIGHT - BOTTOM}" '
               f'y2="{HEIGHT - BOTTOM + 5}"/><text class="tick" x="{at:.1f}" '
               f'y="{HEIGHT - BOTTOM + 19}" text-anchor="middle">{html.escape(text)}</text>')
    yield (f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" '
           f'y2="{HEIGHT - BOTTOM}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield (f'<text class="title" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">'
           f'{html.escape(x.title)}</text>')


def lines(series, x, y):
    for s in series:
        places = [(x_of(x, a), y_of(y, b)) for a, b in s.points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        yield f'<polyline class="line {css(s.kind)}" points="{path}"/>'
        if not s.dots:
            continue
        for (a, b), (at, value) in zip(places, s.points):
            yield (f'<circle class="dot {css(s.kind)}" cx="{a:.1f}" cy="{b:.1f}" r="4"><title>'
                   f'{html.escape(s.name)}, {short(at)}: {value:,.4g}{s.unit}</title></circle>')


def labels(series, x, y):
    ends = [(x_of(x, s.points[-1][0]), y_of(y, s.points[-1][1])) for s in series]
    for s, end, at in zip(series, ends, spread([e[1] for e in ends])):
        where = WIDTH - RIGHT + 26
        yield (f'<line class="leader" x1="{end[0] + 5:.1f}" y1="{end[1]:.1f}" x2="{where - 16}" '
               f'y2="{at:.1f}"/><circle class="dot {css(s.kind)}" cx="{where - 10}" cy="{at:.1f}" '
               f'r="4"/><text class="label" x="{where}" y="{at + 4:.1f}">'
               f'{html.escape(s.name)}</text>')


def phases(names, x):
    """Phase i goes from i to i + 1 on the axis."""
    for i, name in enumerate(names):
        end, middle = x_of(x, i + 1), x_of(x, i + 0.5)
        if i + 1 < len(names):
            yield (f'<line class="phase" x1="{end:.1f}" x2="{end:.1f}" y1="{TOP}" '
                   f'y2="{HEIGHT - BOTTOM}"/>')
        yield (f'<text class="tick" x="{middle:.1f}" y="{HEIGHT - BOTTOM + 19}" '
               f'text-anchor="middle">{html.escape(name)}</text>')


def bound(value, y):
    if value is None:
        return
    at = y_of(y, value)
    yield f'<line class="bound" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'


def chart(series, x, y, title, parts=(), limit=None):
    """A figure; "" where there is nothing to show. parts: names of phases;
    limit: a value that is drawn as a line."""
    series = [s for s in series if s.points]
    if not series:
        return ""
    body = "\n".join([*frame(x, y), *phases(parts, x), *bound(limit, y), *lines(series, x, y),
                      *labels(series, x, y)])
    return (f'<figure><figcaption>{html.escape(title)}<small>{html.escape(y.title)}</small>'
            f'</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{html.escape(title)}">{body}</svg></figure>')
