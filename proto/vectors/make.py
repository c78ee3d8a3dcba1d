#!/usr/bin/env python3
"""Makes proto/vectors/*.json from the exchanges written down here. Shares no
code with any codec of the project, so that an error in one shows.

    proto/vectors/make.py            writes the files
    proto/vectors/make.py --check    fails where one is not what this makes
"""

import json
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import binary_def  # noqa: E402

LISTS = binary_def.load(os.path.join(HERE, "..", "binary.def"))
OPS = {o.name: o for o in LISTS.ops}
OPTIONS = {o.id: o.number for o in LISTS.options}
STATUSES = {s.id: s.number for s in LISTS.statuses}


# --- msgpack, shortest forms -------------------------------------------------------


class Raw(bytes):
    """Is put into the stream as it is."""


def pack_int(n):
    if 0 <= n < 0x80:
        return struct.pack("B", n)
    if -32 <= n < 0:
        return struct.pack("b", n)
    for code, form, low, high in ((0xcc, "B", 0, 1 << 8), (0xcd, ">H", 0, 1 << 16),
                                  (0xce, ">I", 0, 1 << 32), (0xcf, ">Q", 0, 1 << 64),
                                  (0xd0, "b", -1 << 7, 0), (0xd1, ">h", -1 << 15, 0),
                                  (0xd2, ">i", -1 << 31, 0), (0xd3, ">q", -1 << 63, 0)):
        if low <= n < high:
            return bytes([code]) + struct.pack(form, n)
    raise ValueError(n)


def head(n, fix, fix_max, codes):
    """codes: for lengths of 1, 2 and 4 bytes; None: there is no such form."""
    if n < fix_max:
        return bytes([fix | n])
    for code, form, limit in zip(codes, ("B", ">H", ">I"), (1 << 8, 1 << 16, 1 << 32)):
        if code is not None and n < limit:
            return bytes([code]) + struct.pack(form, n)
    raise ValueError(n)


def pack(v):
    if isinstance(v, Raw):
        return bytes(v)
    if v is None or v is False or v is True:
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[v]
    if isinstance(v, int):
        return pack_int(v)
    if isinstance(v, bytes):
        return head(len(v), 0, 0, (0xc4, 0xc5, 0xc6)) + v
    if isinstance(v, str):
        v = v.encode()
        return head(len(v), 0xa0, 32, (0xd9, 0xda, 0xdb)) + v
    if isinstance(v, dict):
        return head(len(v), 0x80, 16, (None, 0xde, 0xdf)) + \
            b"".join(pack(k) + pack(x) for k, x in v.items())
    return head(len(v), 0x90, 16, (None, 0xdc, 0xdd)) + b"".join(map(pack, v))


def frame(v):
    body = pack(v)
    return pack_int(len(body)) + body


# --- meanings ----------------------------------------------------------------------


def shown(b):
    """Bytes, as the vectors write them in meanings."""
    if len(b) > 64 and len(set(b)) == 1:
        return {"repeat": b[:1].hex(), "times": len(b)}
    if b.isascii() and b.decode("ascii").isprintable():
        return {"text": b.decode("ascii")}
    return {"hex": b.hex()}


def meaning(v):
    if isinstance(v, bytes):
        return shown(v)
    if isinstance(v, int) and not isinstance(v, bool) and abs(v) >= 1 << 53:
        return {"int": str(v)}
    if isinstance(v, list):
        return [meaning(x) for x in v]
    return v


def stream(b):
    """Bytes on the wire: hex, with long runs of one byte set apart."""
    parts, at, plain = [], 0, b""
    while at < len(b):
        end = at
        while end < len(b) and b[end] == b[at]:
            end += 1
        if end - at > 64:
            parts += [plain.hex()] * bool(plain) + [{"repeat": b[at:at + 1].hex(), "times": end - at}]
            plain = b""
        else:
            plain += b[at:end]
        at = end
    parts += [plain.hex()] * bool(plain)
    return parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts


# What stands where, for the meanings.
ARGUMENTS = {
    "GET": ["key"], "SET": ["key", "value", "ttl_ms"], "DELETE": ["key"], "TOUCH": ["key", "ttl_ms"],
    "INCR": ["key", "delta"], "PEEK": ["key"], "GET_MANY": ["keys"], "SET_MANY": ["pairs", "ttl_ms"],
    "DELETE_MANY": ["keys"], "LEASE": ["key"], "RELEASE": ["key", "lease"], "FLUSH": [],
    "STATS": ["section"], "PING": ["payload"], "CANCEL": ["target"], "AUTH": ["password", "user"],
}
VALUE = ["value", "left_ms", "age_ms", "token"]
RESULTS = {("INCR", "stored"): ["sum"], ("PEEK", "hit"): ["length", "left_ms", "age_ms", "token"],
           ("GET_MANY", "done"): ["items"], ("SET_MANY", "done"): ["items"],
           ("DELETE_MANY", "done"): ["count"], ("STATS", "done"): ["stats"],
           ("PING", "done"): ["payload"]}


def result_names(op, status):
    if (op, status) in RESULTS:
        return RESULTS[op, status]
    if status == "error":
        return ["code", "text"]
    if status == "lease":
        return ["token", "value"]
    return VALUE if status in ("hit", "stale", "filled", "coalesced") else []


def item(op, status, *rest):
    return {"status": status,
            **{n: meaning(v) for n, v in zip(result_names(op, status), rest)}}


def request(op, id_, *args, **options):
    """A step: one request, in shortest forms, bytes as bin."""
    elements = [OPS[op].number, id_, *args]
    names = dict(zip(ARGUMENTS[op], map(meaning, args)))
    if op == "SET_MANY":
        flat = names["pairs"]
        names["pairs"] = [list(p) for p in zip(flat[::2], flat[1::2])]
    said = {"op": op, "id": id_, "args": names}
    if options:
        elements.append({OPTIONS[k]: v for k, v in options.items()})
        said["options"] = {k: meaning(v) for k, v in options.items()}
    return {"send": frame(elements), "request": said}


def reply(op, id_, status, *rest, varies=(), binds=()):
    """What the server answers; for items: tuples of their elements."""
    rest = list(rest)
    inner = "GET" if op == "GET_MANY" else "SET"
    said = {"to": op, "id": id_}
    if rest and isinstance(rest[0], list):
        said |= {"status": status, "items": [item(inner, *i) for i in rest[0]]}
        rest[0] = [[STATUSES[i[0]], *i[1:]] for i in rest[0]]
    else:
        said |= item(op, status, *rest)
    out = {"receive": frame([id_, STATUSES[status], *rest]), "reply": said}
    varies = [*varies] + ([[3]] if status == "error" else [])
    if varies:
        out["varies"] = varies
    if binds:
        out["binds"] = [*binds]
    return out


def ask(req, rep):
    return {**req, **rep}


def broken(code="PROTOCOL"):
    """The last frame of a server that gives a stream up."""
    return {"receive": frame([None, 15, code, "why"]), "varies": [[3]], "closes": True,
            "reply": {"to": None, "id": None, "status": "error", "code": code, "text": "why"}}


VECTORS = {}


def vector(file, name, about, *steps, **more):
    out = {"name": name, "about": about, **more, "steps": []}
    for s in steps:
        out["steps"].append({k: stream(v) if isinstance(v, bytes) else v for k, v in s.items()})
    names = [v["name"] for v in VECTORS.setdefault(file, [])]
    assert name not in names, name
    VECTORS[file].append(out)


# --- the preface -------------------------------------------------------------------

OFFER = {"server": "pannier 0.1.0", "id": 1, "max_frame": 8454144, "max_value": 8388608,
         "max_batch": 16384, "max_waiting": 1024, "auth": False, "features": ["auth", "grace", "lease"]}


def preface(*elements):
    return b"\xc1" + frame(["pannier", *elements])


ACCEPTED = {"receive": b"\xc1" + frame(["pannier", 1, OFFER]), "varies": [[2]],
            "reply": {"to": "preface", "version": 1, "offer": OFFER}}
REFUSED = {"receive": b"\xc1" + frame(["pannier", 0, {"error": "why", "min": 1, "max": 1}]),
           "varies": [[2]], "closes": True,
           "reply": {"to": "preface", "version": 0,
                     "offer": {"error": "why", "min": 1, "max": 1}}}
PONG = ask(request("PING", 1), reply("PING", 1, "done"))


def prefaces():
    def good(name, about, sent, *steps, **more):
        vector("preface", name, about, {"send": sent, **ACCEPTED}, *(steps or [PONG]),
               raw=True, **more)

    def bad(name, about, sent):
        vector("preface", name, about, {"send": sent, **REFUSED}, raw=True, forms="other")

    good("shortest", "Name and version are enough.", preface(1), canonical=True)
    good("with_a_name", "A client says what it is and which versions it speaks.",
         preface(1, {"min": 1, "client": "libpannier-1.0"}))
    good("highest_common_version", "Of the versions 1 to 9 the server takes its highest.",
         preface(9, {"min": 1}), forms="other")
    good("unknown_keys", "Keys of the map that nobody knows are passed over.",
         preface(1, {"x-colour": "red", "x-list": [1, 2, {"a": None}]}), forms="other")
    good("empty_map", "A map with nothing in it.", preface(1, {}), forms="other")
    body = pack(["pannier", 1])
    good("long_length_1", "The length may have any form: one byte.",
         b"\xc1\xcc" + struct.pack("B", len(body)) + body, forms="other")
    good("long_length_2", "Two bytes.", b"\xc1\xcd" + struct.pack(">H", len(body)) + body,
         forms="other")
    good("long_length_4", "Four bytes.", b"\xc1\xce" + struct.pack(">I", len(body)) + body,
         forms="other")
    good("name_as_bin", "Text may come as bin.", b"\xc1" + frame([b"pannier", 1]), forms="other")
    vector("preface", "requests_at_once", "Requests may stand right behind the preface.",
           {"send": preface(1) + frame([14, 1]) + frame([14, 2, b"x"]), **ACCEPTED},
           reply("PING", 1, "done"), reply("PING", 2, "done", b"x"), raw=True)
    vector("preface", "resp_beside", "Anything but 0xC1 is RESP.",
           {"send": b"PING\r\n", "receive": b"+PONG\r\n", "plain": True}, raw=True, forms="other")

    bad("wrong_name", "Another name.", b"\xc1" + frame(["garnier", 1]))
    bad("name_is_no_text", "A number for a name.", b"\xc1" + frame([7, 1]))
    bad("no_version", "The name alone.", b"\xc1" + frame(["pannier"]))
    bad("version_0", "There is no version 0.", preface(0))
    bad("version_is_no_number", "Nil for a version.", preface(None))
    bad("version_negative", "A negative version.", preface(-1))
    bad("too_new", "A client that speaks only versions from 2 on.", preface(3, {"min": 2}))
    bad("min_above_version", "min is above the version.", preface(1, {"min": 2}))
    bad("min_is_no_number", "min is text.", preface(1, {"min": "1"}))
    bad("client_has_spaces", "A name with a space.", preface(1, {"client": "my app"}))
    bad("client_is_empty", "A name without a letter.", preface(1, {"client": ""}))
    bad("client_too_long", "A name of 65 letters.", preface(1, {"client": "c" * 65}))
    bad("client_is_no_text", "A number for a name.", preface(1, {"client": 5}))
    bad("options_are_no_map", "An array where the map stands.", preface(1, [1]))
    bad("one_too_many", "A fourth element.", preface(1, {}, 1))
    bad("too_long", "1,025 bytes are announced.", b"\xc1\xcd\x04\x01")
    bad("length_0", "A frame without a body.", b"\xc1\x00")
    bad("length_is_no_uint", "The length is a negative number.", b"\xc1\xe0")
    bad("no_array", "A map for a body.", b"\xc1" + frame({"pannier": 1}))
    bad("bytes_behind", "Something stands behind the array in its frame.",
        b"\xc1\x0b" + body + b"\x00")
    bad("promises_too_much", "An array of 16 that has two elements.",
        b"\xc1\x0c\xdc\x00\x10" + body[1:])
    bad("c1_again", "0xC1 a second time.", b"\xc1\xc1")


# --- operations --------------------------------------------------------------------

SET_K = ask(request("SET", 1, b"k", b"v"), reply("SET", 1, "stored"))
META = [b"\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7"]


def reads():
    f = "reads"
    vector(f, "get_hit", "The value that was stored.", SET_K,
           ask(request("GET", 7, b"k"), reply("GET", 7, "hit", b"v")))
    vector(f, "get_miss", "There is no such key.",
           ask(request("GET", 2, b"nothing"), reply("GET", 2, "miss")))
    vector(f, "get_empty_value", "A value of no bytes is a hit.",
           ask(request("SET", 1, b"k", b""), reply("SET", 1, "stored")),
           ask(request("GET", 2, b"k"), reply("GET", 2, "hit", b"")))
    vector(f, "get_empty_key", "A key of no bytes is a key.",
           ask(request("SET", 1, b"", b"v"), reply("SET", 1, "stored")),
           ask(request("GET", 2, b""), reply("GET", 2, "hit", b"v")))
    vector(f, "get_any_bytes", "Keys and values are any bytes.",
           ask(request("SET", 1, bytes(range(256)), bytes(range(255, -1, -1))),
               reply("SET", 1, "stored")),
           ask(request("GET", 2, bytes(range(256))),
               reply("GET", 2, "hit", bytes(range(255, -1, -1)))))
    for n in (0, 1, 127, 128, 255, 256, 65535, 65536, (1 << 32) - 1):
        vector(f, f"get_id_{n}", "Every form of an id comes back in its shortest.",
               ask(request("GET", n, b"nothing"), reply("GET", n, "miss")))
    for n in (31, 32, 120, 121, 122, 245, 246, 255, 256, 65535, 65536, 100000):
        vector(f, f"get_value_of_{n}", "Headers and the frame's length at their edges.",
               ask(request("SET", 1, b"k", b"v" * n), reply("SET", 1, "stored")),
               ask(request("GET", 2, b"k"), reply("GET", 2, "hit", b"v" * n)))
    vector(f, "get_meta", "No end, age not known, and a token.", SET_K,
           ask(request("GET", 2, b"k", meta=True),
               reply("GET", 2, "hit", b"v", None, None, *META, varies=[[5]])))
    vector(f, "get_meta_with_time_left", "What is left of a minute.",
           ask(request("SET", 1, b"k", b"v", 60000), reply("SET", 1, "stored")),
           ask(request("GET", 2, b"k", meta=True),
               reply("GET", 2, "hit", b"v", 59990, None, *META, varies=[[3], [5]])))
    vector(f, "get_meta_false", "A flag that is false is not there.", SET_K,
           ask(request("GET", 2, b"k", meta=False), reply("GET", 2, "hit", b"v")), forms="other")
    vector(f, "get_deadline", "A hit needs no time.", SET_K,
           ask(request("GET", 2, b"k", deadline_ms=50), reply("GET", 2, "hit", b"v")),
           ask(request("GET", 3, b"other", deadline_ms=0), reply("GET", 3, "miss")))
    vector(f, "peek", "Length, time left, age and token.", SET_K,
           ask(request("PEEK", 2, b"k"), reply("PEEK", 2, "hit", 1, None, None, *META, varies=[[5]])))
    vector(f, "peek_with_time_left", "What is left of a minute.",
           ask(request("SET", 1, b"k", b"value", 60000), reply("SET", 1, "stored")),
           ask(request("PEEK", 2, b"k"),
               reply("PEEK", 2, "hit", 5, 59990, None, *META, varies=[[3], [5]])))
    vector(f, "peek_miss", "There is no such key.",
           ask(request("PEEK", 2, b"nothing"), reply("PEEK", 2, "miss")))
    vector(f, "get_many", "An item for each key, in their order.", SET_K,
           ask(request("SET", 2, b"k2", b""), reply("SET", 2, "stored")),
           ask(request("GET_MANY", 3, [b"k", b"nothing", b"k2", b"k"]),
               reply("GET_MANY", 3, "done",
                     [("hit", b"v"), ("miss",), ("hit", b""), ("hit", b"v")])))
    vector(f, "get_many_of_none", "No keys, no items.",
           ask(request("GET_MANY", 3, []), reply("GET_MANY", 3, "done", [])))
    vector(f, "get_many_of_20", "More than a short array holds.", SET_K,
           ask(request("GET_MANY", 3, [b"k"] * 20), reply("GET_MANY", 3, "done", [("hit", b"v")] * 20)))
    vector(f, "get_many_meta", "Items with what a GET's reply would have.", SET_K,
           ask(request("GET_MANY", 3, [b"k", b"nothing"], meta=True, deadline_ms=1000),
               reply("GET_MANY", 3, "done", [("hit", b"v", None, None, *META), ("miss",)],
                     varies=[[2, 0, 4]])))


def writes():
    f = "writes"
    get_new = ask(request("GET", 9, b"k"), reply("GET", 9, "hit", b"new"))
    get_old = ask(request("GET", 9, b"k"), reply("GET", 9, "hit", b"v"))
    get_none = ask(request("GET", 9, b"k"), reply("GET", 9, "miss"))
    peek = ask(request("PEEK", 2, b"k"),
               reply("PEEK", 2, "hit", 1, None, None, *META, varies=[[5]], binds=[[5]]))
    vector(f, "set", "Stored.", SET_K)
    vector(f, "set_with_ttl", "For ten seconds.",
           ask(request("SET", 1, b"k", b"v", 10000), reply("SET", 1, "stored")))
    vector(f, "set_without_end", "Nil for a time to live: no end.",
           ask(request("SET", 1, b"k", b"v", 60000), reply("SET", 1, "stored")),
           ask(request("SET", 3, b"k", b"v", None), reply("SET", 3, "stored")), peek)
    vector(f, "set_longest_ttl", "2^47 ms.",
           ask(request("SET", 1, b"k", b"v", 1 << 47), reply("SET", 1, "stored")), get_old)
    vector(f, "set_if_absent", "Only the first is stored.",
           ask(request("SET", 1, b"k", b"v", if_absent=True), reply("SET", 1, "stored")),
           ask(request("SET", 2, b"k", b"new", if_absent=True), reply("SET", 2, "refused")), get_old)
    vector(f, "set_if_present", "Only what is there is replaced.",
           ask(request("SET", 1, b"k", b"new", if_present=True), reply("SET", 1, "refused")), get_none,
           SET_K, ask(request("SET", 2, b"k", b"new", if_present=True), reply("SET", 2, "stored")),
           get_new)
    vector(f, "set_if_token", "The value that the token came with is replaced, another is not.",
           SET_K, peek,
           ask(request("SET", 3, b"k", b"new", if_token=META[0]), reply("SET", 3, "stored")),
           ask(request("SET", 4, b"k", b"third", if_token=META[0]), reply("SET", 4, "refused")),
           get_new)
    vector(f, "set_if_value", "Compare and set.", SET_K,
           ask(request("SET", 2, b"k", b"new", if_value=b"w"), reply("SET", 2, "refused")),
           ask(request("SET", 3, b"k", b"new", if_value=b"v"), reply("SET", 3, "stored")), get_new,
           ask(request("SET", 4, b"k2", b"new", if_value=b""), reply("SET", 4, "refused")))
    vector(f, "set_too_big", "Key and value are more than an entry may have.",
           ask(request("SET", 1, b"k", b"v" * (5 << 20)),
               reply("SET", 1, "error", "TOOBIG", "why")), PONG, needs="small")
    vector(f, "delete", "It was there, and then it was not.", SET_K,
           ask(request("DELETE", 2, b"k"), reply("DELETE", 2, "done")),
           ask(request("DELETE", 3, b"k"), reply("DELETE", 3, "miss")), get_none)
    vector(f, "delete_if_value", "Only the holder's lock.", SET_K,
           ask(request("DELETE", 2, b"k", if_value=b"w"), reply("DELETE", 2, "refused")), get_old,
           ask(request("DELETE", 3, b"k", if_value=b"v"), reply("DELETE", 3, "done")),
           ask(request("DELETE", 4, b"k", if_value=b"v"), reply("DELETE", 4, "miss")))
    vector(f, "delete_if_token", "Only what was seen.", SET_K, peek,
           ask(request("DELETE", 3, b"k", if_token=b"\0" * 8), reply("DELETE", 3, "refused")),
           ask(request("DELETE", 4, b"k", if_token=META[0]), reply("DELETE", 4, "done")), get_none)
    vector(f, "touch", "Another time to live, then none.", SET_K,
           ask(request("TOUCH", 2, b"k", 60000), reply("TOUCH", 2, "done")),
           ask(request("PEEK", 3, b"k"),
               reply("PEEK", 3, "hit", 1, 59990, None, *META, varies=[[3], [5]])),
           ask(request("TOUCH", 4, b"k"), reply("TOUCH", 4, "done")), peek)
    vector(f, "touch_nil", "Nil is as left out.", SET_K,
           ask(request("TOUCH", 2, b"k", None), reply("TOUCH", 2, "done")))
    vector(f, "touch_miss", "There is no such key.",
           ask(request("TOUCH", 2, b"k", 1000), reply("TOUCH", 2, "miss")))
    vector(f, "incr", "A counter, up and down.",
           ask(request("INCR", 1, b"n", 5), reply("INCR", 1, "stored", 5)),
           ask(request("INCR", 2, b"n", -7), reply("INCR", 2, "stored", -2)),
           ask(request("GET", 3, b"n"), reply("GET", 3, "hit", b"-2")))
    vector(f, "incr_initial", "One that is made begins elsewhere, and ends.",
           ask(request("INCR", 1, b"n", 1, initial=100, ttl_ms=60000), reply("INCR", 1, "stored", 101)),
           ask(request("INCR", 2, b"n", 1, initial=100, ttl_ms=1), reply("INCR", 2, "stored", 102)),
           ask(request("PEEK", 3, b"n"),
               reply("PEEK", 3, "hit", 3, 59990, None, *META, varies=[[3], [5]])))
    vector(f, "incr_widest", "64 bits, either way.",
           ask(request("INCR", 1, b"n", (1 << 63) - 1), reply("INCR", 1, "stored", (1 << 63) - 1)),
           ask(request("INCR", 2, b"n", 1), reply("INCR", 2, "error", "OVERFLOW", "why")),
           ask(request("INCR", 3, b"m", -(1 << 63)), reply("INCR", 3, "stored", -(1 << 63))),
           ask(request("INCR", 4, b"m", -1), reply("INCR", 4, "error", "OVERFLOW", "why")))
    vector(f, "incr_of_text", "What is no number cannot be counted up.", SET_K,
           ask(request("INCR", 2, b"k", 1), reply("INCR", 2, "error", "NOTINT", "why")), get_old)
    vector(f, "set_many", "All are stored.",
           ask(request("SET_MANY", 1, [b"a", b"1", b"b", b"2"]), reply("SET_MANY", 1, "stored")),
           ask(request("GET_MANY", 2, [b"a", b"b"]),
               reply("GET_MANY", 2, "done", [("hit", b"1"), ("hit", b"2")])))
    vector(f, "set_many_ttl", "One time to live for all.",
           ask(request("SET_MANY", 1, [b"a", b"1"], 60000), reply("SET_MANY", 1, "stored")),
           ask(request("PEEK", 2, b"a"),
               reply("PEEK", 2, "hit", 1, 59990, None, *META, varies=[[3], [5]])))
    vector(f, "set_many_of_none", "Nothing to store.",
           ask(request("SET_MANY", 1, []), reply("SET_MANY", 1, "stored")))
    vector(f, "set_many_if_absent", "Each for itself.", SET_K,
           ask(request("SET_MANY", 2, [b"k", b"new", b"k2", b"w"], if_absent=True),
               reply("SET_MANY", 2, "done", [("refused",), ("stored",)])), get_old)
    vector(f, "set_many_if_present", "Each for itself.", SET_K,
           ask(request("SET_MANY", 2, [b"k", b"new", b"k2", b"w"], None, if_present=True),
               reply("SET_MANY", 2, "done", [("stored",), ("refused",)])), get_new)
    vector(f, "set_many_too_big", "One that is too large keeps no other out.",
           ask(request("SET_MANY", 1, [b"a", b"v" * (5 << 20), b"b", b"2"]),
               reply("SET_MANY", 1, "done", [("error", "TOOBIG", "why"), ("stored",)],
                     varies=[[2, 0, 2]])), needs="small")
    vector(f, "delete_many", "How many were there.", SET_K,
           ask(request("DELETE_MANY", 2, [b"k", b"nothing", b"k"]),
               reply("DELETE_MANY", 2, "done", 1)), get_none)
    vector(f, "delete_many_of_none", "Nothing to remove.",
           ask(request("DELETE_MANY", 2, []), reply("DELETE_MANY", 2, "done", 0)))
    vector(f, "flush", "Nothing is left.", SET_K,
           ask(request("FLUSH", 2), reply("FLUSH", 2, "done")), get_none)
    vector(f, "set_grace", "It may be served for a minute after its second.",
           ask(request("SET", 1, b"k", b"v", 1000, grace_ms=60000), reply("SET", 1, "stored")),
           needs="grace")
    vector(f, "set_many_grace", "The same for many.",
           ask(request("SET_MANY", 1, [b"k", b"v"], 1000, grace_ms=60000),
               reply("SET_MANY", 1, "stored")), needs="grace")
    vector(f, "set_grace_unsupported", "A server without the feature says so.",
           ask(request("SET", 1, b"k", b"v", 1000, grace_ms=60000),
               reply("SET", 1, "error", "UNSUPPORTED", "why")), needs="no grace")


def connection():
    f = "connection"
    vector(f, "ping", "Without a payload, and with one.", PONG,
           ask(request("PING", 2, b"hello"), reply("PING", 2, "done", b"hello")),
           ask(request("PING", 3, b""), reply("PING", 3, "done", b"")))
    vector(f, "stats", "A map of INFO's fields.",
           {**request("STATS", 1),
            "receive": frame([1, 9, {"uptime_in_seconds": 5, "redis_mode": "standalone"}, {"Server": 2}]),
            "reply": {"to": "STATS", "id": 1, "status": "done",
                      "stats": {"uptime_in_seconds": 5, "redis_mode": "standalone"}},
            "varies": [[2], [3]]})
    vector(f, "stats_of_a_section", "One section of it.",
           {**request("STATS", 1, "clients"), "receive": frame([1, 9, {"connected_clients": 1}, {"Clients": 1}]),
            "reply": {"to": "STATS", "id": 1, "status": "done", "stats": {"connected_clients": 1}},
            "varies": [[2], [3]]})
    vector(f, "stats_unknown_section", "None such: nothing.",
           {**request("STATS", 1, "weather"), "receive": frame([1, 9, {}, {}]),
            "reply": {"to": "STATS", "id": 1, "status": "done", "stats": {}}})
    vector(f, "cancel_nothing", "No such request waits.",
           ask(request("CANCEL", 2, 1), reply("CANCEL", 2, "miss")))
    vector(f, "auth", "The right password opens the listener.",
           ask(request("GET", 1, b"k"), reply("GET", 1, "error", "NOAUTH", "why")),
           ask(request("AUTH", 2, b"wrong"), reply("AUTH", 2, "error", "WRONGPASS", "why")),
           ask(request("AUTH", 3, b"secret", b"nobody"), reply("AUTH", 3, "error", "WRONGPASS", "why")),
           ask(request("AUTH", 4, b"secret"), reply("AUTH", 4, "done")),
           ask(request("GET", 5, b"k"), reply("GET", 5, "miss")), needs="password")
    vector(f, "auth_with_user", "The only user is default.",
           ask(request("AUTH", 1, b"secret", b"default"), reply("AUTH", 1, "done")), PONG,
           needs="password")
    vector(f, "auth_frame_too_long", "Before AUTH a frame has at most 16 KiB.",
           {"send": b"\xcd\x40\x01", **broken()}, needs="password", forms="other")
    vector(f, "read_only", "A listener that only reads.",
           ask(request("SET", 1, b"k", b"v"), reply("SET", 1, "error", "READONLY", "why")),
           ask(request("GET", 2, b"k"), reply("GET", 2, "miss")), needs="read_only")
    vector(f, "no_admin", "What is dangerous is served elsewhere.",
           ask(request("FLUSH", 1), reply("FLUSH", 1, "error", "NOPERM", "why")), needs="no_admin")
    vector(f, "oom", "No memory is an answer.",
           ask(request("SET", 1, b"k", b"v"), reply("SET", 1, "error", "OOM", "why")),
           needs="client")
    first, second, third = (request("PING", n, b"x") for n in (1, 2, 3))
    vector(f, "pipeline", "Three requests in one write.",
           {"send": first["send"] + second["send"] + third["send"]},
           *(reply("PING", n, "done", b"x") for n in (1, 2, 3)))
    vector(f, "same_id_twice", "The server does not look whether ids are unique.",
           {"send": first["send"] * 2}, reply("PING", 1, "done", b"x"), reply("PING", 1, "done", b"x"))
    vector(f, "half_closed", "A client that has shut down its sending half gets its answers.",
           {"send": first["send"], "shutdown": True, **reply("PING", 1, "done", b"x"), "closes": True})
    vector(f, "ends_in_a_frame", "A whole request is answered, half of one is dropped.",
           {"send": first["send"] + second["send"][:-1], "shutdown": True,
            **reply("PING", 1, "done", b"x"), "closes": True}, forms="other")


# --- what waits --------------------------------------------------------------------


def waits():
    f = "waits"
    vector(f, "filled", "From the origin, then from the cache.",
           ask(request("GET", 1, b"origin:v"), reply("GET", 1, "filled", b"v")),
           ask(request("GET", 2, b"origin:v"), reply("GET", 2, "hit", b"v")), needs="origin")
    vector(f, "filled_meta", "What was fetched says how long it is good.",
           ask(request("GET", 1, b"origin:v", meta=True),
               reply("GET", 1, "filled", b"v", 60000, 0, *META, varies=[[3], [4], [5]])), needs="origin")
    vector(f, "negative", "The origin has none.",
           ask(request("GET", 1, b"origin:none"), reply("GET", 1, "negative")), needs="origin")
    vector(f, "origin_fails", "And there is nothing to serve instead.",
           ask(request("GET", 1, b"origin:broken"), reply("GET", 1, "error", "ORIGIN", "why")),
           needs="origin")
    vector(f, "nothing_is_fetched", "A deadline of 0 looks into the cache only.",
           ask(request("GET", 1, b"origin:v", deadline_ms=0), reply("GET", 1, "miss")),
           needs="origin")
    vector(f, "own_deadline", "The request's time is over; a hit behind it did not wait.",
           request("GET", 1, b"origin:held", deadline_ms=50),
           ask(request("PING", 2), reply("PING", 2, "done")),
           reply("GET", 1, "error", "TIMEOUT", "why"), {"release": True}, needs="origin")
    vector(f, "out_of_order", "What is ready is answered; what waits comes later.", SET_K,
           request("GET", 2, b"origin:held"),
           ask(request("GET", 3, b"k"), reply("GET", 3, "hit", b"v")),
           ask(request("SET", 4, b"k", b"new"), reply("SET", 4, "stored")),
           ask(request("GET", 5, b"k"), reply("GET", 5, "hit", b"new")),
           {"release": True}, reply("GET", 2, "filled", b"held"), needs="origin")
    vector(f, "coalesced", "Two connections, one fetch.",
           request("GET", 1, b"origin:held"), {"wait_for": "origin"},
           {**request("GET", 1, b"origin:held"), "connection": 2},
           {"wait_for": "waiters", "count": 2}, {"release": True},
           reply("GET", 1, "filled", b"held"),
           {**reply("GET", 1, "coalesced", b"held"), "connection": 2}, needs="origin")
    vector(f, "cancel", "Who waits is answered at once, and before the CANCEL.",
           request("GET", 1, b"origin:held"), request("CANCEL", 2, 1),
           reply("GET", 1, "error", "CANCELLED", "why"), reply("CANCEL", 2, "done"),
           ask(request("CANCEL", 3, 1), reply("CANCEL", 3, "miss")), {"release": True},
           needs="origin")
    vector(f, "cancel_many", "A batch waits as a whole.",
           request("GET_MANY", 1, [b"origin:held", b"origin:v"]), request("CANCEL", 2, 1),
           reply("GET_MANY", 1, "error", "CANCELLED", "why"), reply("CANCEL", 2, "done"),
           {"release": True}, needs="origin")
    vector(f, "get_many_through", "Fetches of one batch run side by side; one that fails fails alone.",
           ask(request("GET_MANY", 1, [b"origin:v", b"nothing", b"origin:none", b"origin:broken"]),
               reply("GET_MANY", 1, "done",
                     [("filled", b"v"), ("miss",), ("negative",), ("error", "ORIGIN", "why")],
                     varies=[[2, 3, 2]])), needs="origin")
    vector(f, "get_many_deadline", "What still waits then says so.",
           request("GET_MANY", 1, [b"origin:held", b"k"], deadline_ms=50),
           reply("GET_MANY", 1, "done", [("error", "TIMEOUT", "why"), ("miss",)], varies=[[2, 0, 2]]),
           {"release": True}, needs="origin")
    vector(f, "half_closed_waits", "The answer that is owed still comes.",
           {**request("GET", 1, b"origin:held"), "shutdown": True}, {"release": True},
           {**reply("GET", 1, "filled", b"held"), "closes": True}, needs="origin")
    vector(f, "broken_behind_a_wait", "What is owed comes before the connection ends.",
           request("GET", 1, b"origin:held"), {"send": b"\x00"}, {"release": True},
           reply("GET", 1, "filled", b"held"), broken(), needs="origin", forms="other")
    vector(f, "overload", "More than may wait: one is refused, and says so.",
           {"send": b"".join(request("GET", n, b"origin:held")["send"] for n in range(1025))},
           reply("GET", 1024, "error", "OVERLOAD", "why"), {"release": True},
           {"skip": 1024}, PONG, needs="origin")
    vector(f, "stale", "Its time is over, and it may still be served.",
           ask(request("GET", 2, b"k"), reply("GET", 2, "stale", b"v")), needs="client")
    vector(f, "stale_meta", "How long it has been stale.",
           ask(request("GET", 2, b"k", meta=True),
               reply("GET", 2, "stale", b"v", -1500, 11500, *META)), needs="client")


def leases():
    f = "leases"
    token = b"\xb0\xb1\xb2\xb3\xb4\xb5\xb6\xb7"
    second = b"\xc0\xc1\xc2\xc3\xc4\xc5\xc6\xc7"
    mine = ask(request("LEASE", 1, b"lease:k"), reply("LEASE", 1, "lease", token, varies=[[2]], binds=[[2]]))
    get = ask(request("GET", 9, b"lease:k"), reply("GET", 9, "hit", b"v"))
    vector(f, "load", "The lease, the value, and then a hit.", mine,
           ask(request("SET", 2, b"lease:k", b"v", 60000, lease=token), reply("SET", 2, "stored")), get,
           ask(request("LEASE", 3, b"lease:k"), reply("LEASE", 3, "hit", b"v")), needs="lease")
    vector(f, "void", "A lease that a DELETE ended stores nothing.", mine,
           ask(request("DELETE", 2, b"lease:k"), reply("DELETE", 2, "miss")),
           ask(request("SET", 3, b"lease:k", b"v", lease=token), reply("SET", 3, "refused")),
           needs="lease")
    vector(f, "no_such_token", "A token that nobody was given.",
           ask(request("SET", 3, b"lease:k", b"v", lease=b"\0" * 8), reply("SET", 3, "refused")),
           needs="lease")
    vector(f, "shared_connection", "A second caller waits for the first, on the same connection too.",
           mine, request("LEASE", 2, b"lease:k"),
           ask(request("SET", 3, b"lease:k", b"v", lease=token), reply("SET", 3, "stored")),
           reply("LEASE", 2, "coalesced", b"v"), needs="lease")
    vector(f, "other_connection", "So does one of another connection.", mine,
           {**request("LEASE", 1, b"lease:k", meta=True), "connection": 2},
           {"wait_for": "waiters", "count": 1},
           ask(request("SET", 3, b"lease:k", b"v", lease=token), reply("SET", 3, "stored")),
           {**reply("LEASE", 1, "coalesced", b"v", None, None, *META, varies=[[5]]), "connection": 2},
           needs="lease")
    vector(f, "release", "Who gives up lets the next one try.", mine, request("LEASE", 2, b"lease:k"),
           ask(request("RELEASE", 3, b"lease:k", token), reply("RELEASE", 3, "done")),
           reply("LEASE", 2, "lease", second, varies=[[2]], binds=[[2]]),
           ask(request("RELEASE", 4, b"lease:k", token), reply("RELEASE", 4, "miss")),
           ask(request("RELEASE", 5, b"lease:k", second), reply("RELEASE", 5, "done")), needs="lease")
    vector(f, "holder_gone", "The next one gets it when the holder's connection ends.",
           {**mine, "connection": 2}, request("LEASE", 1, b"lease:k"), {"wait_for": "waiters", "count": 1},
           {"connection": 2, "close": True},
           reply("LEASE", 1, "lease", second, varies=[[2]]), needs="lease")
    vector(f, "does_not_wait", "A deadline of 0: not now.", mine,
           ask(request("LEASE", 2, b"lease:k", deadline_ms=0), reply("LEASE", 2, "miss")), needs="lease")
    vector(f, "waited_long_enough", "The deadline is over: load it yourself.", mine,
           ask(request("LEASE", 2, b"lease:k", deadline_ms=30), reply("LEASE", 2, "miss")), needs="lease")
    vector(f, "cancel", "A LEASE that waits can be called off.", mine, request("LEASE", 2, b"lease:k"),
           request("CANCEL", 3, 2), reply("LEASE", 2, "error", "CANCELLED", "why"),
           reply("CANCEL", 3, "done"), needs="lease")
    vector(f, "of_an_origin", "A key that an origin serves has no leases.",
           ask(request("LEASE", 1, b"origin:v"), reply("LEASE", 1, "filled", b"v")),
           ask(request("LEASE", 2, b"origin:none"), reply("LEASE", 2, "negative")),
           ask(request("LEASE", 3, b"origin:broken"), reply("LEASE", 3, "error", "ORIGIN", "why")),
           needs="lease")
    vector(f, "not_stored", "A value that cannot be stored frees all who wait for it, at once.",
           ask(request("LEASE", 1, b"k"), reply("LEASE", 1, "lease", token, varies=[[2]], binds=[[2]])),
           request("LEASE", 2, b"k"), {**request("LEASE", 1, b"k"), "connection": 2},
           {"wait_for": "waiters", "count": 2},
           ask(request("SET", 3, b"k", b"v" * (5 << 20), lease=token),
               reply("SET", 3, "error", "TOOBIG", "why", varies=[[3]])),
           reply("LEASE", 2, "miss"), {**reply("LEASE", 1, "miss"), "connection": 2},
           ask(request("RELEASE", 4, b"k", token), reply("RELEASE", 4, "miss")), needs="small")
    over = (ask(request("SET", 1, b"lease:k", b"old", 1, grace_ms=60000), reply("SET", 1, "stored")),
            {"wait_for": "absent", "key": {"text": "lease:k"}})
    vector(f, "stale_while_it_is_loaded", "A value that is over is served to all but the one who loads it anew.",
           *over, ask(request("LEASE", 2, b"lease:k"),
                      reply("LEASE", 2, "lease", token, b"old", varies=[[2]], binds=[[2]])),
           {**ask(request("GET", 1, b"lease:k", meta=True),
                  reply("GET", 1, "stale", b"old", -5, None, *META, varies=[[3], [5]])), "connection": 2},
           {**ask(request("LEASE", 2, b"lease:k"), reply("LEASE", 2, "stale", b"old")), "connection": 2},
           ask(request("LEASE", 3, b"lease:k"), reply("LEASE", 3, "stale", b"old")),
           ask(request("PEEK", 4, b"lease:k"), reply("PEEK", 4, "miss")),
           ask(request("SET", 5, b"lease:k", b"v", 60000, lease=token), reply("SET", 5, "stored")),
           {**ask(request("GET", 3, b"lease:k"), reply("GET", 3, "hit", b"v")), "connection": 2}, needs="grace")
    vector(f, "stale_to_who_gives_up", "A load that fails leaves the stale value, and the lease goes on.",
           *over, ask(request("LEASE", 2, b"lease:k"),
                      reply("LEASE", 2, "lease", token, b"old", varies=[[2]], binds=[[2]])),
           ask(request("RELEASE", 3, b"lease:k", token), reply("RELEASE", 3, "done")),
           {**ask(request("LEASE", 1, b"lease:k"), reply("LEASE", 1, "lease", second, b"old", varies=[[2]])),
            "connection": 2}, needs="grace")
    vector(f, "touched_with_grace", "Another time to live leaves the grace as it was.",
           ask(request("SET", 1, b"lease:k", b"old", 60000, grace_ms=60000), reply("SET", 1, "stored")),
           ask(request("TOUCH", 2, b"lease:k", 1), reply("TOUCH", 2, "done")),
           {"wait_for": "absent", "key": {"text": "lease:k"}},
           ask(request("LEASE", 3, b"lease:k"), reply("LEASE", 3, "lease", token, b"old", varies=[[2]])),
           needs="grace")
    vector(f, "grace_0", "None, whatever the namespace has.",
           ask(request("SET", 1, b"lease:k", b"old", 1, grace_ms=0), reply("SET", 1, "stored")),
           {"wait_for": "absent", "key": {"text": "lease:k"}},
           ask(request("LEASE", 2, b"lease:k"), reply("LEASE", 2, "lease", token, varies=[[2]])), needs="grace")
    vector(f, "lease_with_stale", "A value that is over comes with the lease, to fall back on.",
           ask(request("LEASE", 1, b"lease:k"), reply("LEASE", 1, "lease", token, b"old")),
           needs="client")
    vector(f, "stale", "Others get it while it is loaded anew.",
           ask(request("LEASE", 1, b"lease:k"), reply("LEASE", 1, "stale", b"old")), needs="client")
    vector(f, "unsupported", "A server without leases says so.",
           ask(request("LEASE", 1, b"lease:k"), reply("LEASE", 1, "error", "UNSUPPORTED", "why")),
           ask(request("RELEASE", 2, b"lease:k", token),
               reply("RELEASE", 2, "error", "UNSUPPORTED", "why")), needs="no lease")


# --- broken --------------------------------------------------------------------------


def violations():
    def bad(name, about, sent, **more):
        vector("violations", name, about, {"send": frame([14, 1]) + sent}, reply("PING", 1, "done"),
               broken(), forms="other", **more)

    bad("length_0", "A frame without a body.", b"\x00")
    for n in (0x80, 0x9f, 0xa1, 0xc0, 0xc1, 0xc3, 0xc4, 0xca, 0xcf, 0xd0, 0xdd, 0xe0, 0xff):
        bad(f"length_{n:02x}", "No length begins so.", bytes([n]))
    bad("length_max", "The longest length that can be written.", b"\xce\xff\xff\xff\xff")
    bad("length_above_max_frame", "A byte more than the server takes.", b"\xce\x20\x01\x00\x01")
    bad("no_array", "A map.", b"\x03\x82\x0e\x01")
    bad("a_number", "A number for a body.", b"\x01\x0e")
    bad("text", "Text for a body.", frame("PING"))
    bad("empty_array", "Neither op nor id.", b"\x01\x90")
    bad("no_id", "An op alone.", b"\x02\x91\x0e")
    bad("bytes_behind", "Something stands behind the array in its frame.", b"\x04\x92\x0e\x01\x00")
    bad("frame_ends_in_the_array", "An array of three with two elements.", b"\x03\x93\x0e\x01")
    for name, code in (("array32", 0xdd), ("map32", 0xdf), ("bin32", 0xc6), ("str32", 0xdb),
                       ("ext32", 0xc9)):
        body = b"\x93\x0e\x01" + bytes([code]) + b"\xff\xff\xff\xff"
        bad(f"promise_{name}", "A header that promises 4,294,967,295.", pack_int(len(body)) + body)
    bad("promise_array_at_the_top", "The frame's array itself.", b"\x05\xdd\xff\xff\xff\xff")
    bad("promise_8_gigabytes", "What makes msgpack-c's own unpacker ask for 8.6 GB.",
        b"\x05\xdd\x10\x00\x00\x00")
    for name, code in (("array16", 0xdc), ("map16", 0xde), ("bin16", 0xc5), ("str16", 0xda),
                       ("ext16", 0xc8)):
        body = b"\x93\x0e\x01" + bytes([code]) + b"\xff\xff"
        bad(f"promise_{name}", "A header that promises 65,535.", pack_int(len(body)) + body)
    bad("cut_header", "A header without its length.", b"\x04\x93\x0e\x01\xc6")
    bad("cut_uint64", "A number without its end.", b"\x06\x93\x0e\x01\xcf\x00\x00")
    bad("cut_double", "A float without its end.", b"\x05\x93\x0e\x01\xcb\x00")
    bad("cut_ext", "An ext without its bytes.", b"\x06\x93\x0e\x01\xd8\x01\x00")
    bad("c1", "The byte that msgpack never uses.", b"\x04\x93\x0e\x01\xc1")
    bad("c1_for_the_body", "The same for a body.", b"\x01\xc1")
    for depth in (5, 31, 32, 64):
        body = b"\x93\x0e\x01" + b"\x91" * (depth - 1) + b"\xc0"
        bad(f"depth_{depth}", "Arrays in arrays.", pack_int(len(body)) + body)
    body = b"\x93\x0e\x01" + b"\x81\x01" * 40 + b"\xc0"
    bad("depth_of_maps", "Maps in maps.", pack_int(len(body)) + body)
    bad("op_is_text", "Operations are numbers.", frame(["PING", 1]))
    bad("op_is_nil", "Nil for an op.", frame([None, 1]))
    bad("op_is_negative", "A negative op.", frame([-1, 1]))
    bad("op_too_large", "An op of 33 bits.", frame([1 << 32, 1]))
    bad("id_is_text", "Ids are numbers.", frame([14, "1"]))
    bad("id_is_nil", "Nil for an id.", frame([14, None]))
    bad("id_is_negative", "A negative id.", frame([14, -1]))
    bad("id_too_large", "An id of 33 bits.", frame([14, 1 << 32]))
    bad("id_is_a_float", "A float for an id.", frame([14, Raw(b"\xcb\x3f\xf0" + b"\0" * 6)]))
    bad("resp_in_the_middle", "A client that forgot what it speaks.", b"*1\r\n$4\r\nPING\r\n" * 4)


def refusals():
    def bad(name, about, op, *rest, code="ARGS", **more):
        number = op if isinstance(op, int) else OPS[op].number
        vector("refusals", name, about,
               {"send": frame([number, 5, *rest]), **reply(op, 5, "error", code, "why")}, PONG,
               forms="other", **more)

    bad("op_0", "There is no operation 0.", 0, code="UNKNOWN")
    bad("op_99", "There is no operation 99.", 99, b"k", code="UNKNOWN")
    bad("op_of_32_bits", "Nor one of 32 bits.", (1 << 32) - 1, code="UNKNOWN")
    for o in LISTS.ops:
        if o.least > 0:
            bad(f"{o.name.lower()}_without_arguments", "Too few arguments.", o.name)
        bad(f"{o.name.lower()}_with_too_many", "Too many arguments.", o.name,
            *[b"x"] * (len(o.types) + 1))
        bad(f"{o.name.lower()}_with_an_unknown_option", "An option that nobody has.", o.name,
            *[b"x"] * o.least, {99: True})
    for name, wrong in (("nil", None), ("int", 5), ("flag", True), ("array", [b"k"]),
                        ("float", Raw(b"\xca\0\0\0\0")), ("ext", Raw(b"\xd4\x01\x00")),
                        ("ext_empty", Raw(b"\xc7\x00\x05")), ("timestamp", Raw(b"\xd6\xff\0\0\0\0"))):
        bad(f"get_key_is_{name}", "Keys are bytes.", "GET", wrong)
        bad(f"set_value_is_{name}", "Values are bytes.", "SET", b"k", wrong)
    bad("get_key_is_a_map", "A map in the key's place.", "GET", {1: 5})
    bad("set_ttl_0", "A time to live of nothing.", "SET", b"k", b"v", 0)
    bad("set_ttl_negative", "A negative one.", "SET", b"k", b"v", -5)
    bad("set_ttl_too_long", "One of more than 2^47 ms.", "SET", b"k", b"v", (1 << 47) + 1)
    bad("set_ttl_is_a_float", "One with a fraction.", "SET", b"k", b"v",
        Raw(b"\xcb\x40\x59" + b"\0" * 6))
    bad("set_ttl_is_text", "One in words.", "SET", b"k", b"v", "10s")
    bad("touch_ttl_0", "A time to live of nothing.", "TOUCH", b"k", 0)
    bad("incr_by_text", "A delta in words.", "INCR", b"k", "1")
    bad("incr_by_too_much", "A delta of 2^63.", "INCR", b"k", 1 << 63)
    bad("get_many_of_a_key", "A key where a list of keys is wanted.", "GET_MANY", b"k")
    bad("get_many_of_numbers", "Numbers for keys.", "GET_MANY", [b"k", 5])
    bad("get_many_too_many", "16,385 keys.", "GET_MANY", [""] * 16385)
    bad("set_many_odd", "A key without its value.", "SET_MANY", [b"k", b"v", b"k2"])
    bad("set_many_of_numbers", "A number for a value.", "SET_MANY", [b"k", 5])
    bad("delete_many_of_nil", "Nil for a key.", "DELETE_MANY", [None])
    bad("release_without_token", "A token of no bytes.", "RELEASE", b"k", b"", needs="lease")
    bad("cancel_text", "An id in words.", "CANCEL", "1")
    bad("cancel_too_large", "An id of 33 bits.", "CANCEL", 1 << 32)
    bad("stats_of_a_number", "A section that is no text.", "STATS", 5)
    bad("option_of_another", "An option that this operation has not.", "GET", b"k", {4: True})
    bad("option_twice", "The same option twice.", "GET", b"k", Raw(b"\x82\x02\xc3\x02\xc3"))
    bad("option_as_text", "Options are numbers.", "GET", b"k", {"meta": True})
    bad("option_nil", "Nil for an option.", "GET", b"k", {None: True})
    bad("option_float", "A float for an option.", "GET", b"k", Raw(b"\x81\xca\0\0\0\0\xc3"))
    bad("option_ext", "An ext for an option.", "GET", b"k", Raw(b"\x81\xd4\x01\x00\xc3"))
    bad("options_too_many", "Seventeen of them.", "GET", b"k", {n: True for n in range(1, 18)})
    bad("options_in_the_middle", "They stand at the end.", "SET", b"k", {4: True}, b"v")
    bad("options_twice", "Two maps.", "SET", b"k", b"v", {4: True}, {5: True})
    bad("flag_is_a_number", "1 is not true.", "GET", b"k", {2: 1})
    bad("deadline_too_long", "More than an hour.", "GET", b"k", {1: 3600001})
    bad("deadline_is_text", "A deadline in words.", "GET", b"k", {1: "5s"})
    bad("token_is_empty", "A token of no bytes.", "SET", b"k", b"v", {6: b""})
    bad("token_too_long", "A token of 17 bytes.", "SET", b"k", b"v", {6: b"x" * 17})
    bad("conditions_that_exclude", "Absent and present.", "SET", b"k", b"v", {4: True, 5: True})
    bad("conditions_that_exclude_2", "A value and a token.", "DELETE", b"k", {6: b"x", 7: b"x"})


def forms():
    def good(name, about, sent, rep):
        vector("forms", name, about, SET_K, {"send": sent, **rep}, forms="other")

    hit = reply("GET", 7, "hit", b"v")
    good("key_as_str", "A byte shorter.", frame([1, 7, "k"]), hit)
    for code in (b"\xd9\x01", b"\xda\x00\x01", b"\xdb\x00\x00\x00\x01", b"\xc4\x01",
                 b"\xc5\x00\x01", b"\xc6\x00\x00\x00\x01"):
        good(f"key_head_{code.hex()}", "Every header of bytes.", frame([1, 7, Raw(code + b"k")]), hit)
    for code in (b"\xcc\x07", b"\xcd\x00\x07", b"\xce\0\0\0\x07", b"\xcf\0\0\0\0\0\0\0\x07",
                 b"\xd0\x07", b"\xd1\x00\x07", b"\xd2\0\0\0\x07", b"\xd3\0\0\0\0\0\0\0\x07"):
        good(f"id_{code.hex()}", "Every form of a number.", frame([1, Raw(code), b"k"]), hit)
        good(f"op_{code.hex()}", "The same for an op.",
             frame([Raw(code[:-1] + b"\x01"), 7, b"k"]), hit)
    for code in (b"\xdc\x00\x03", b"\xdd\0\0\0\x03"):
        good(f"array_{code.hex()}", "Every form of an array.",
             frame(Raw(code + b"\x01\x07\xa1k")), hit)
    body = pack([1, 7, b"k"])
    for code in (b"\xcc\x06", b"\xcd\x00\x06", b"\xce\0\0\0\x06"):
        good(f"length_{code.hex()}", "Every form of a length.", code + body, hit)
    good("options_empty", "A map with nothing in it.", frame([1, 7, b"k", {}]), hit)
    for code in (b"\xde\x00\x01", b"\xdf\0\0\0\x01"):
        good(f"options_{code.hex()}", "Every form of a map.",
             frame([1, 7, b"k", Raw(code + b"\x02\xc2")]), hit)
    good("option_wide", "An option in a wide form.",
         frame([1, 7, b"k", Raw(b"\x81\xcd\x00\x02\xc2")]), hit)
    good("false_conditions", "A flag that is false is not there.",
         frame([2, 7, b"k", b"w", {4: False, 5: False}]), reply("SET", 7, "stored"))
    vector("forms", "byte_by_byte", "A frame may come in any pieces.", SET_K,
           *({"send": bytes([b])} for b in frame([1, 7, b"k"])), hit, forms="other")


def replies():
    """What a client meets and the daemon need not be brought to."""
    def case(name, about, sent, client, req=request("GET", 1, b"k")):
        step = {**req, "receive": sent, "client": client}
        if client == "answers":
            step["reply"] = reply("GET", 1, "hit", b"v")["reply"]
        vector("client", name, about, step, needs="client")

    ok = frame([1, 0, b"v"])
    case("more_elements", "More elements than this version knows are passed over.",
         frame([1, 0, b"v", None, None, b"t", 1, [2]]), "answers")
    case("value_as_str", "Values as str are values.", frame([1, 0, "v"]), "answers")
    case("long_forms", "Every form is good.",
         b"\xce\0\0\0\x0c" + b"\xdc\x00\x03" + b"\xd1\x00\x01" + b"\xcc\x00" + b"\xc5\x00\x01v",
         "answers")
    case("unknown_error", "An error code that is new fails that request alone.",
         frame([1, 15, "NOVEL", "why"]), "fails")
    case("unknown_status", "So does a status that is new.", frame([1, 77]), "fails")
    case("status_of_another", "Or one that the operation cannot have.", frame([1, 6]), "fails")
    case("value_missing", "A hit without its value.", frame([1, 0]), "fails")
    case("value_is_a_number", "A number for a value.", frame([1, 0, 5]), "fails")
    case("error_without_text", "An error without its words.", frame([1, 15, "ARGS"]), "fails")
    case("unknown_id", "A reply that nobody waits for.", frame([2, 0, b"v"]), "closes")
    case("same_reply_twice", "The second answers nobody.", ok + ok, "closes")
    case("nil_id", "The server gives the connection up.", frame([None, 15, "PROTOCOL", "why"]),
         "closes")
    case("id_is_text", "An id that is none.", frame(["1", 0, b"v"]), "closes")
    case("length_0", "A frame without a body.", b"\x00", "closes")
    case("length_is_no_uint", "No length begins so.", b"\x93", "closes")
    case("promise", "A header that promises more than the frame has.", b"\x08\x93\x01\x00\xc6\xff\xff\xff\xff",
         "closes")
    case("promise_array", "The five bytes that make msgpack-c ask for 8.6 GB.",
         b"\x05\xdd\x10\x00\x00\x00", "closes")
    case("depth", "Arrays in arrays.", frame([1, 0, [[[[[[[[[]]]]]]]]]]), "closes")
    case("bytes_behind", "Something stands behind the array.", b"\x06\x93\x01\x00\xc4\x00\x00", "closes")
    case("no_array", "A map.", b"\x03\x82\x01\x00", "closes")
    case("c1", "The byte that msgpack never uses.", b"\x04\x93\x01\x00\xc1", "closes")
    case("ends", "The connection ends before the reply.", b"", "closes")
    case("ends_within", "It ends within a frame.", ok[:-1], "closes")
    many = request("GET_MANY", 1, [b"a", b"b"])
    case("too_few_items", "Two keys, one item.", frame([1, 9, [[5]]]), "fails", many)
    case("too_many_items", "Two keys, three items.", frame([1, 9, [[5], [5], [5]]]), "fails", many)
    vector("client", "get_too_big", "The values together are too much.",
           ask(many, reply("GET_MANY", 1, "error", "TOOBIG", "why")), needs="client")
    vector("client", "preface_refused", "The client says why it cannot.",
           {"send": preface(1), **REFUSED}, needs="client", raw=True)
    vector("client", "preface_of_redis", "A server that speaks RESP.",
           {"send": preface(1), "receive": b"-ERR max number of clients reached\r\n", "plain": True,
            "closes": True, "client": "closes"}, needs="client", raw=True)
    vector("client", "preface_higher_version", "A version that was not offered.",
           {"send": preface(1), "receive": b"\xc1" + frame(["pannier", 2, {}]), "client": "closes"},
           needs="client", raw=True)
    vector("client", "preface_unknown_keys", "Keys of the map that nobody knows are passed over.",
           {"send": preface(1), "receive": b"\xc1" + frame(["pannier", 1, {"x": [1, {"y": None}]}]),
            "reply": {"to": "preface", "version": 1, "offer": {}}}, PONG, needs="client", raw=True)
    for o in LISTS.ops:
        args = {"key": b"k", "value": b"v", "delta": 1, "keys": [b"k"], "pairs": [b"k", b"v"],
                "lease": b"t", "target": 7, "password": b"p"}
        given = [args[a] for a in ARGUMENTS[o.name][:o.least]]
        vector("client", f"{o.name.lower()}_fails", "Any operation may be answered an error.",
               ask(request(o.name, 1, *given), reply(o.name, 1, "error", "OOM", "why")),
               needs="client")


def canonical_options():
    """Each option with each operation that has it, for encoders."""
    values = {"deadline_ms": 500, "meta": True, "grace_ms": 5000, "if_absent": True, "if_present": True,
              "if_token": META[0], "if_value": b"v", "lease": META[0], "ttl_ms": 1000, "initial": 10}
    args = {"key": b"k", "value": b"v", "delta": 1, "keys": [b"k"], "pairs": [b"k", b"v"]}
    for o in LISTS.ops:
        for option in o.options.split():
            given = [args[a] for a in ARGUMENTS[o.name][:o.least]]
            vector("options", f"{o.name.lower()}_{option}", "How the option is written.",
                   ask(request(o.name, 1, *given, **{option: values[option]}),
                       reply(o.name, 1, "error", "OOM", "why")), needs="client")


def files():
    for fill in (prefaces, reads, writes, connection, waits, leases, violations, refusals, forms,
                 replies, canonical_options):
        fill()
    for name, vectors in VECTORS.items():
        yield name + ".json", json.dumps({"protocol": 1, "vectors": vectors}, indent=1) + "\n"


def main():
    rc = 0
    for name, text in files():
        path = os.path.join(HERE, name)
        if "--check" in sys.argv:
            with open(path, encoding="utf-8") as f:
                if f.read() != text:
                    print(f"proto/vectors/{name} is not what make.py makes")
                    rc = 1
        else:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
    return rc


if __name__ == "__main__":
    sys.exit(main())
