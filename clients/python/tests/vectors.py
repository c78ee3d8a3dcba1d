"""proto/vectors, as bytes and meanings."""

import json
import os

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
FOLDER = os.environ.get("PANNIER_VECTORS") or os.path.join(TOP, "proto", "vectors")


def wire_bytes(spec):
    """What stands on the wire: hex, or a list of hex and repetitions."""
    if isinstance(spec, str):
        return bytes.fromhex(spec)
    return b"".join(bytes.fromhex(part) if isinstance(part, str)
                    else bytes.fromhex(part["repeat"]) * part["times"] for part in spec)


def meaning(value):
    """A meaning's value as Python has it."""
    if isinstance(value, dict):
        if set(value) == {"text"}:
            return value["text"].encode()
        if set(value) == {"hex"}:
            return bytes.fromhex(value["hex"])
        if set(value) == {"repeat", "times"}:
            return bytes.fromhex(value["repeat"]) * value["times"]
        if set(value) == {"int"}:
            return int(value["int"])
        return {k: meaning(v) for k, v in value.items()}
    if isinstance(value, list):
        return [meaning(v) for v in value]
    return value


def load():
    """[(file, vector)]"""
    found = []
    for name in sorted(os.listdir(FOLDER)):
        if name.endswith(".json"):
            with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
                found += [(name[:-5], v) for v in json.load(f)["vectors"]]
    return found
