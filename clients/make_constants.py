#!/usr/bin/env python3
"""make_constants.py - the clients' tables, made from proto/binary.def.

    clients/make_constants.py            writes those of all clients that are here
    clients/make_constants.py --check    says which ones differ (tests/check-binary-doc
                                         does the same for the protocol's page)
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PROTO = os.path.join(HERE, os.pardir, "proto")
sys.path.insert(0, os.path.join(PROTO, "vectors"))

import binary_def  # noqa: E402  (it lies beside the vectors)

SAYS = "Made from proto/binary.def by clients/make_constants.py: do not edit."


def python(lists):
    rows = [f'"""{SAYS}"""', "", "from __future__ import annotations", "",
            "from typing import Final", ""]
    rows += ["OPS: Final[dict[str, int]] = {"]
    rows += [f'    "{o.name}": {o.number},' for o in lists.ops] + ["}", ""]
    rows += ["# What a reply to each of them may be.", "STATUSES_OF: Final[dict[str, frozenset[str]]] = {"]
    for o in lists.ops:
        names = ", ".join(f'"{s}"' for s in o.statuses.split())
        rows += [f'    "{o.name}": frozenset(({names},)),']
    rows += ["}", "", "OPTIONS: Final[dict[str, int]] = {"]
    rows += [f'    "{o.id}": {o.number},' for o in lists.options] + ["}", ""]
    rows += ["STATUSES: Final[dict[int, str]] = {"]
    rows += [f'    {s.number}: "{s.id}",' for s in lists.statuses] + ["}", ""]
    rows += ["ERRORS: Final[frozenset[str]] = frozenset((" +
             "\n    " + "\n    ".join(f'"{e.code}",' for e in lists.errors) + "\n))", ""]
    return "\n".join(rows)


def node(lists):
    rows = [f"// {SAYS}", "", "export const OPS = {"]
    rows += [f"  {o.name}: {o.number}," for o in lists.ops] + ["} as const;", "",
             "export type Op = keyof typeof OPS;", "", "// What a reply to each of them may be.",
             "export const STATUSES_OF: Record<Op, ReadonlySet<Status>> = {"]
    for o in lists.ops:
        names = ", ".join(f"'{s}'" for s in o.statuses.split())
        rows += [f"  {o.name}: new Set<Status>([{names}]),"]
    rows += ["};", "", "export const OPTIONS = {"]
    rows += [f"  {o.id}: {o.number}," for o in lists.options] + ["} as const;", "",
             "export type OptionName = keyof typeof OPTIONS;", ""]
    rows += ["export type Status ="]
    rows += ["  | " + "\n  | ".join(f"'{s.id}'" for s in lists.statuses) + ";", ""]
    rows += ["export const STATUSES: ReadonlyMap<number, Status> = new Map<number, Status>(["]
    rows += [f"  [{s.number}, '{s.id}']," for s in lists.statuses] + ["]);", ""]
    return "\n".join(rows)


TARGETS = {"python/src/pannier/_numbers.py": python, "node/src/numbers.ts": node}


def main():
    lists = binary_def.load(os.path.join(PROTO, "binary.def"))
    stale = []
    for target, make in TARGETS.items():
        path = os.path.join(HERE, target)
        if not os.path.isdir(os.path.dirname(path)):
            continue
        text = make(lists)
        have = open(path, encoding="utf-8").read() if os.path.exists(path) else None
        if have == text:
            continue
        stale.append(target)
        if "--check" not in sys.argv:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
    if "--check" in sys.argv and stale:
        sys.exit(f"{', '.join(stale)}: not what proto/binary.def says; run clients/make_constants.py")


if __name__ == "__main__":
    main()
