#!/usr/bin/env python3
"""make_vectors.py - proto/vectors as a table of C, for test_libpannier_vectors.c."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, os.pardir, os.pardir, os.pardir)
sys.path.insert(0, os.path.join(TOP, "tests", "conformance"))
sys.path.insert(0, os.path.join(TOP, "proto", "vectors"))

import binary_def  # noqa: E402
import vectors  # noqa: E402

LISTS = binary_def.load(os.path.join(TOP, "proto", "binary.def"))
OPS = {o.name for o in LISTS.ops}
FLAGS = {"if_absent": "PANNIER_IF_ABSENT", "if_present": "PANNIER_IF_PRESENT", "if_token": "PANNIER_IF_TOKEN",
         "if_value": "PANNIER_IF_VALUE", "lease": "PANNIER_WITH_LEASE", "meta": "PANNIER_META",
         "deadline_ms": "PANNIER_WITH_DEADLINE"}


class Unsayable(Exception):
    """What a struct pannier_request has no way to ask for."""


def c_string(data):
    return '"' + "".join(f"\\{b:03o}" for b in data) + '"'


def parts(pieces):
    """pieces: [(bytes, times)]"""
    rows = ", ".join("{ %s, %d, %d }" % (c_string(p), len(p), n) for p, n in pieces) or '{ "", 0, 0 }'
    return "{ (const struct part[]){ %s }, %d }" % (rows, max(len(pieces), 1))


def wire(said):
    if isinstance(said, str):
        return parts([(bytes.fromhex(said), 1)])
    return parts([(bytes.fromhex(p), 1) if isinstance(p, str) else (bytes.fromhex(p["repeat"]), p["times"])
                  for p in said])


def meaning(v):
    if "text" in v:
        return parts([(v["text"].encode(), 1)])
    if "hex" in v:
        return parts([(bytes.fromhex(v["hex"]), 1)])
    return parts([(bytes.fromhex(v["repeat"]), v["times"])])


def number(v):
    if v is None:
        return "PANNIER_UNKNOWN"
    n = int(v["int"]) if isinstance(v, dict) else v
    if not -2**63 <= n < 2**63:
        raise Unsayable
    return "INT64_MIN" if n == -2**63 else f"INT64_C({n})"


def flat(values):
    for v in values:
        yield from flat(v) if isinstance(v, list) else [v]


def request(r):
    if r["op"] not in OPS:
        raise Unsayable
    args, options = r.get("args", {}), r.get("options", {})
    fields = [f".op = PANNIER_OP_{r['op']}", f".id = {r['id']}u"]
    for name, value in args.items():
        if name in ("key", "payload", "section", "password"):
            value = {"text": value} if isinstance(value, str) else value
            fields.append(f".key = {meaning(value)}")
        elif name in ("value", "lease", "user"):
            fields.append(f".value = {meaning(value)}")
        elif name in ("keys", "pairs"):
            many = [meaning(v) for v in flat(value)]
            fields.append(".many = (const struct bytes[]){ %s }" % (", ".join(many) or "{ 0 }"))
            fields.append(f".n_many = {len(many)}")
        elif name in ("ttl_ms", "delta", "target"):
            if value is None:
                raise Unsayable
            fields.append(f".{name} = {number(value)}")
        else:
            raise Unsayable
    flags = ["0"]
    for name, value in options.items():
        if value is False or (name in ("initial", "ttl_ms", "grace_ms") and value == 0):
            raise Unsayable
        if name in FLAGS:
            flags.append(FLAGS[name])
        if name in ("if_token", "if_value", "lease"):
            fields.append(f".condition = {meaning(value)}")
        elif value is not True:
            fields.append(f".{name} = {number(value)}")
    return "&(const struct asked_for){ %s }" % ", ".join(fields + [".flags = " + " | ".join(flags)])


def status(name):
    return f"PANNIER_{name.upper()}"


def reply_fields(r):
    fields = [f".status = {status(r['status'])}"] + [".has_meta = true"] * ("left_ms" in r)
    for name, value in r.items():
        if name in ("value", "payload", "token"):
            fields.append(f".{'value' if name != 'token' else name} = {meaning(value)}")
        elif name in ("left_ms", "age_ms"):
            fields.append(f".{name} = {number(value)}")
        elif name in ("length", "sum", "count"):
            fields.append(f".number = {number(value)}")
        elif name == "code":
            fields.append(f".code = {c_string(value.encode())}")
        elif name == "items":
            items = [("{ %s }" % ", ".join(reply_fields(i))) for i in value]
            fields.append(".items = (const struct meant[]){ %s }" % (", ".join(items) or "{ 0 }"))
            fields.append(f".n_items = {len(items)}")
        elif name == "stats":
            fields.append(f".n_fields = {len(value)}")
    return fields


def reply(r):
    if r["to"] not in OPS:
        raise Unsayable
    return "&(const struct meant){ %s }" % ", ".join(
        [f".to = PANNIER_OP_{r['to']}, .id = {r['id']}u"] + reply_fields(r))


def said(make, value):
    try:
        return make(value)
    except Unsayable:
        return "NULL"


def main():
    print("/* Made by make_vectors.py from proto/vectors. */")
    print("static const struct step steps[] = {")
    for file, vector in vectors.load():
        for i, step in enumerate(vector["steps"]):
            row = [f'.name = "{file}/{vector["name"]}/{i}"']
            if "send" in step:
                row.append(f".send = {wire(step['send'])}")
            if "receive" in step:
                row.append(f".receive = {wire(step['receive'])}")
            if "request" in step:
                row.append(f".asked = {said(request, step['request'])}")
            if "reply" in step:
                row.append(f".reply = {said(reply, step['reply'])}")
            if "client" in step:
                row.append(f'.client = "{step["client"]}"')
            if vector.get("forms"):
                row.append(".other_forms = true")
            if vector.get("raw"):
                row.append(".raw = true")
            print("\t{ " + ",\n\t  ".join(row) + " },")
    print("};")


if __name__ == "__main__":
    main()
