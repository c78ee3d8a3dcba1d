"""vectors.py - the test vectors of the binary protocol (proto/vectors/README.md)
for whoever plays them: reads the files, the bytes in them, and frames."""

import glob
import json
import os
import struct

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(TOP, "proto", "vectors")


def load():
    """(file's name without .json, vector), in the order of files."""
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.json"))):
        with open(path, encoding="utf-8") as f:
            for vector in json.load(f)["vectors"]:
                yield os.path.basename(path)[:-len(".json")], vector


def stream(said):
    """Bytes on the wire."""
    if isinstance(said, str):
        return bytes.fromhex(said)
    return b"".join(bytes.fromhex(p) if isinstance(p, str) else bytes.fromhex(p["repeat"]) * p["times"]
                    for p in said)


# --- frames ------------------------------------------------------------------------


class Broken(Exception):
    """What was to be read is no frame."""


NUMBERS = {0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b", 0xd1: ">h", 0xd2: ">i",
           0xd3: ">q", 0xca: ">f", 0xcb: ">d"}
LENGTHS = {0xc4: ("bin", ">B"), 0xc5: ("bin", ">H"), 0xc6: ("bin", ">I"), 0xd9: ("str", ">B"),
           0xda: ("str", ">H"), 0xdb: ("str", ">I"), 0xdc: ("array", ">H"), 0xdd: ("array", ">I"),
           0xde: ("map", ">H"), 0xdf: ("map", ">I")}
PLAIN = {0xc0: None, 0xc2: False, 0xc3: True}


class Reader:
    """msgpack, one object after the other."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, n):
        if len(self.data) - self.at < n:
            raise Broken("it ends too early")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def of(self, kind, n):
        if kind == "bin":
            return bytes(self.take(n))
        if kind == "str":
            return bytes(self.take(n)).decode()
        if kind == "array":
            return [self.object() for _ in range(n)]
        return {self.object(): self.object() for _ in range(n)}

    def object(self):
        first = self.take(1)[0]
        if first < 0x80:
            return first
        if first >= 0xe0:
            return first - 0x100
        for low, mask, kind in ((0x80, 0x0f, "map"), (0x90, 0x0f, "array"), (0xa0, 0x1f, "str")):
            if low <= first <= low | mask:
                return self.of(kind, first & mask)
        if first in PLAIN:
            return PLAIN[first]
        if first in NUMBERS:
            return self.number(NUMBERS[first])
        if first in LENGTHS:
            kind, form = LENGTHS[first]
            return self.of(kind, self.number(form))
        raise Broken(f"no object begins with {first:02x}")


def frame_end(data):
    """Where the first frame ends (behind a 0xC1, if there is one); None: it is not
    all here."""
    reader = Reader(data, 1 if data[:1] == b"\xc1" else 0)
    try:
        length = reader.object()
    except Broken:
        return None
    if not isinstance(length, int) or length <= 0:
        raise Broken(f"{length!r} is no length of a frame")
    end = reader.at + length
    return end if len(data) >= end else None


def frame_of(data):
    """What a whole frame holds."""
    reader = Reader(data, 1 if data[:1] == b"\xc1" else 0)
    reader.object()
    found = reader.object()
    if reader.at != len(data):
        raise Broken("bytes stand behind the array")
    return found
