"""Keys and sizes as `pannier bench` makes them (src/cli/bench_gen.c has the
same in C; tests/integration/test_bench.py compares the two)."""

import math
import re

MASK = (1 << 64) - 1
UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
MIB = 1 << 20


def mix(x):
    x = ((x ^ (x >> 30)) * 0xbf58476d1ce4e5b9) & MASK
    x = ((x ^ (x >> 27)) * 0x94d049bb133111eb) & MASK
    return x ^ (x >> 31)


def parse_bytes(text):
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]*)", text).groups()
    return int(number) * UNITS[unit]


class Sizes:
    """--value-size: 100, uniform:a..b, loguniform:a..b"""

    def __init__(self, spec):
        kind, _, rest = spec.rpartition(":")
        low, _, high = rest.partition("..")
        self.kind, self.low = kind or "fixed", parse_bytes(low)
        self.high = parse_bytes(high) if high else self.low

    def of(self, key_id):
        draw = mix((key_id + 1) & MASK)
        if self.kind == "uniform":
            return self.low + (draw * (self.high - self.low + 1) >> 64)
        if self.kind == "loguniform":
            unit = (draw >> 11) * 2.0 ** -53
            return min(self.high, int(self.low * math.pow((self.high + 1) / self.low, unit)))
        return self.low

    def mean(self):
        if self.kind == "loguniform":
            return (self.high - self.low) / math.log(self.high / self.low)
        return (self.low + self.high) / 2


def key_text(key_id, size=16, prefix="key:"):
    return f"{prefix}{key_id:0{size - len(prefix)}d}"
