"""binary_def.py - proto/binary.def for Python: what the check of the document
and the maker of vectors read. Clients may use it to make their constants."""

import ast
import collections
import re

Op = collections.namedtuple("Op", "id number name command least types options arguments "
                                  "statuses help")
Option = collections.namedtuple("Option", "id number kind least most help")
Status = collections.namedtuple("Status", "id number help")
Error = collections.namedtuple("Error", "id code ends help")
Lists = collections.namedtuple("Lists", "ops options statuses errors")

COMMENT = re.compile(r"/\*.*?\*/", re.S)
ROW = re.compile(r"^(BINARY_\w+)\(", re.M)
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[(),]|[^"(),\s]+')
KINDS = {"BINARY_OP": Op, "BINARY_OPTION": Option, "BINARY_STATUS": Status, "BINARY_ERROR": Error}
WORDS = {"true": True, "false": False, "BINARY_TTL_MAX": 1 << 47, "UINT32_MAX": (1 << 32) - 1,
         "INT64_MAX": (1 << 63) - 1, "INT64_MIN": -(1 << 63)}


def value_of(tokens):
    if tokens[0].startswith('"'):
        return "".join(ast.literal_eval(t) for t in tokens)
    word = tokens[0]
    return int(word) if word.isdigit() else WORDS.get(word, word)


def arguments(text):
    """Those of a row, from behind its parenthesis."""
    args, current = [], []
    for m in TOKEN.finditer(text):
        if m[0] not in (",", ")"):
            current.append(m[0])
            continue
        args.append(value_of(current))
        current = []
        if m[0] == ")":
            return args
    raise ValueError("a row without its end")


def load(path):
    with open(path, encoding="utf-8") as f:
        text = COMMENT.sub("", re.sub(r"^#.*", "", f.read(), flags=re.M))
    found = {name: [] for name in KINDS}
    for m in ROW.finditer(text):
        found[m[1]].append(KINDS[m[1]](*arguments(text[m.end():])))
    return Lists(*found.values())
