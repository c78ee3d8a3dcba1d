"""proto/vectors: what the client sends, and what it understands."""

import pytest
import vectors
from pannier import wire
from pannier.errors import ProtocolError, ReplyError, UnexpectedReply
from pannier._numbers import OPS, STATUSES_OF

VECTORS = vectors.load()
CUTS_MAX = 600


def name_of(case):
    return f"{case[0]}-{case[1]['name']}"


def arguments(op, args):
    """By position, as the client passes them on."""
    args = vectors.meaning(args)
    if op == "GET_MANY" or op == "DELETE_MANY":
        return [args["keys"]]
    if op == "SET_MANY":
        flat = [part for pair in args["pairs"] for part in pair]
        return [flat] + ([args["ttl_ms"]] if "ttl_ms" in args else [])
    names = {"GET": "key", "SET": "key value ttl_ms", "DELETE": "key", "TOUCH": "key ttl_ms",
             "INCR": "key delta", "PEEK": "key", "LEASE": "key", "RELEASE": "key lease", "FLUSH": "",
             "STATS": "section", "PING": "payload", "CANCEL": "target", "AUTH": "password user"}[op]
    return [text_if(op, n, args[n]) for n in names.split() if n in args]


def text_if(op, name, value):
    return value.decode() if (op, name) == ("STATS", "section") and isinstance(value, bytes) else value


def requests(vector):
    return [s for s in vector["steps"] if "request" in s]


ENCODED = [(f, v) for f, v in VECTORS if not v.get("forms") and requests(v)]


def each_request(vector):
    for step in requests(vector):
        yield step["request"], vectors.wire_bytes(step["send"])


@pytest.mark.parametrize("case", ENCODED, ids=name_of)
def test_requests_are_these_bytes(case):
    for request, data in each_request(case[1]):
        if request["op"] not in OPS or False in request.get("options", {}).values():
            continue  # what is false may as well be left out
        made = wire.encode(request["op"], request["id"], arguments(request["op"], request["args"]),
                           vectors.meaning(request.get("options", {})))
        if data.startswith(b"\xc1"):
            data = data[-len(made):]
        assert made == data


def replies(vector):
    return [s for s in vector["steps"] if s.get("reply", {}).get("to") in STATUSES_OF and "receive" in s]


DECODED = [(f, v) for f, v in VECTORS if replies(v)]
FIELDS = {"count": "number", "sum": "number", "payload": "value", "stats": "fields"}


def same_item(item, want):
    if want["status"] == "error":
        assert isinstance(item, ReplyError)
        assert item.code == want["code"]
        return
    assert not isinstance(item, Exception), item
    for name, value in want.items():
        if name in ("to", "id"):
            continue
        have = getattr(item, FIELDS.get(name, name if name != "token" else "token"))
        if name == "items":
            assert len(have) == len(value)
            for one, wanted in zip(have, value):
                same_item(one, wanted)
        elif name == "stats":
            assert have == {k: v.decode() if isinstance(v, bytes) else v for k, v in value.items()}
        elif name == "token" and want["status"] == "lease":
            assert item.token == value
        else:
            assert have == value, name


def opened(op, request_id, n_items):
    w = wire.Wire()
    w.server = wire.Server(1, {})
    w.waiting[request_id] = (op, n_items)
    return w


@pytest.mark.parametrize("case", DECODED, ids=name_of)
def test_replies_mean_this_however_they_are_cut(case):
    for step in replies(case[1]):
        data, want = vectors.wire_bytes(step["receive"]), vectors.meaning(step["reply"])
        n_items = len(want.get("items", ()))
        step_size = max(1, len(data) // CUTS_MAX)
        for cut in range(0, len(data), step_size):
            w = opened(want["to"], want["id"], n_items)
            found = w.receive(data[:cut]) + w.receive(data[cut:])
            assert [i for i, _ in found] == [want["id"]]
            same_item(found[0][1], want)


PREFACES = [(f, v) for f, v in VECTORS if any(s.get("reply", {}).get("to") == "preface" for s in v["steps"])]


@pytest.mark.parametrize("case", PREFACES, ids=name_of)
def test_prefaces_are_understood(case):
    step = next(s for s in case[1]["steps"] if s.get("reply", {}).get("to") == "preface")
    data, want = vectors.wire_bytes(step["receive"]), vectors.meaning(step["reply"])
    for cut in range(len(data)):
        w = wire.Wire()
        if want["version"] == 0:
            with pytest.raises(ProtocolError, match="why"):
                w.receive(data[:cut])
                w.receive(data[cut:])
            continue
        w.receive(data[:cut])
        w.receive(data[cut:])
        assert w.server is not None and w.server.version == want["version"]
        for key, value in want["offer"].items():
            have = w.server.about[key]
            assert have == (value.decode() if isinstance(value, bytes) else
                            [v.decode() if isinstance(v, bytes) else v for v in value]
                            if isinstance(value, list) else value)


SURVIVED = [(f, v) for f, v in VECTORS if any("client" in s for s in v["steps"])]


@pytest.mark.parametrize("case", SURVIVED, ids=name_of)
def test_what_a_client_must_survive(case):
    vector = case[1]
    for step in vector["steps"]:
        if "client" not in step:
            continue
        data = vectors.wire_bytes(step["receive"])
        w = wire.Wire()
        if not vector.get("raw"):
            request = step["request"]
            w = opened(request["op"], request["id"],
                       wire._items_of(request["op"], arguments(request["op"], request["args"])))
        if step["client"] == "closes":
            try:
                w.receive(data)
            except ProtocolError:
                continue
            # Or it is the end of the connection that comes too soon.
            assert w.waiting or w.broken, "it should have been closed"
            continue
        (_, outcome), = w.receive(data)
        if step["client"] == "fails":
            assert isinstance(outcome, (ReplyError, UnexpectedReply))
        else:
            same_item(outcome, vectors.meaning(step["reply"]))
