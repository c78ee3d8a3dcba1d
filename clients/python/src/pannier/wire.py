"""The binary protocol (proto/PROTOCOL.md) without any I/O: bytes in, replies out.

One Wire belongs to one connection and one thread or task at a time."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence, Union

import msgpack

from ._numbers import OPS, OPTIONS, STATUSES, STATUSES_OF
from .errors import ProtocolError, ReplyError, UnexpectedReply

VERSION = 1
MAGIC = 0xC1
PREFACE_BYTES = 1024
MAX_FRAME = 1 << 30
PLAIN_LINE = 1024
LEVELS_MAX = 4
ID_MAX = (1 << 32) - 1
SHORT_ID_MAX = 127  # takes a byte

_LENGTHS = {0xCC: struct.Struct(">B"), 0xCD: struct.Struct(">H"), 0xCE: struct.Struct(">I")}
_VALUE = frozenset(("hit", "stale", "filled", "coalesced"))


@dataclass(frozen=True)
class Server:
    """What the server said of itself. Lengths are bytes, `max_waiting` is requests."""

    version: int
    about: Mapping[str, Any]

    @property
    def features(self) -> frozenset[str]:
        return frozenset(self.about.get("features", ()))

    @property
    def needs_auth(self) -> bool:
        return bool(self.about.get("auth", False))


@dataclass(frozen=True)
class Reply:
    """A reply that is no error. `status` is a name of PROTOCOL.md's table; what else is set
    depends on the operation and the status. Times are milliseconds; None: no end, or not known.
    `items`: of GET_MANY and SET_MANY, each a Reply or a ReplyError."""

    status: str
    value: Optional[bytes] = None
    left_ms: Optional[int] = None
    age_ms: Optional[int] = None
    token: Optional[bytes] = None
    number: Optional[int] = None
    length: Optional[int] = None
    fields: Optional[Mapping[str, Union[int, str]]] = None
    items: Optional[Sequence[Union["Reply", ReplyError]]] = None


Outcome = Union[Reply, ReplyError, UnexpectedReply]


def length_prefix(n: int) -> bytes:
    if n < 0x80:
        return bytes((n,))
    if n <= 0xFF:
        return struct.pack(">BB", 0xCC, n)
    if n <= 0xFFFF:
        return struct.pack(">BH", 0xCD, n)
    return struct.pack(">BI", 0xCE, n)


def frame(body: Any) -> bytes:
    packed: bytes = msgpack.packb(body, use_bin_type=True)
    return length_prefix(len(packed)) + packed


def encode(op: str, request_id: int, args: Sequence[Any] = (),
           options: Optional[Mapping[str, Any]] = None) -> bytes:
    """A request as one frame. Arguments and options in PROTOCOL.md's order and units; options
    that are None or False are left out."""
    body = [OPS[op], request_id, *args]
    given = {OPTIONS[k]: v for k, v in (options or {}).items() if v is not None and v is not False}
    if given:
        body.append(given)
    return frame(body)


def _is_flat(element: Any, levels: int) -> bool:
    """No more levels of arrays and maps than that."""
    if isinstance(element, list):
        return levels > 0 and all(_is_flat(e, levels - 1) for e in element)
    if isinstance(element, dict):
        return levels > 0 and all(_is_flat(e, levels - 1) for e in element.values())
    return True


def _text(raw: Any) -> str:
    if not isinstance(raw, bytes):
        raise UnexpectedReply(f"a text was expected, not {type(raw).__name__}")
    return raw.decode("utf-8", "replace")


def _bytes(raw: Any) -> bytes:
    if not isinstance(raw, bytes):
        raise UnexpectedReply(f"bytes were expected, not {type(raw).__name__}")
    return raw


def _int(raw: Any) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool):
        raise UnexpectedReply(f"an integer was expected, not {type(raw).__name__}")
    return raw


def _optional_int(raw: Any) -> Optional[int]:
    return None if raw is None else _int(raw)


def _array(raw: Any) -> Sequence[Any]:
    if not isinstance(raw, list):
        raise UnexpectedReply(f"an array was expected, not {type(raw).__name__}")
    return raw


def _with_value(status: str, rest: Sequence[Any]) -> Reply:
    value = _bytes(rest[0])
    if len(rest) < 4:
        return Reply(status, value)
    return Reply(status, value, _optional_int(rest[1]), _optional_int(rest[2]), _bytes(rest[3]))


def _field(raw: Any) -> Union[int, str]:
    return raw if isinstance(raw, int) else _text(raw)


def _done(op: str, rest: Sequence[Any]) -> Reply:
    if op == "GET_MANY":
        return Reply("done", items=[_item("GET", item) for item in _array(rest[0])])
    if op == "SET_MANY":
        return Reply("done", items=[_item("SET", item) for item in _array(rest[0])])
    if op == "DELETE_MANY":
        return Reply("done", number=_int(rest[0]))
    if op == "STATS":
        if not isinstance(rest[0], dict):
            raise UnexpectedReply("STATS is answered with a map")
        return Reply("done", fields={_text(k): _field(v) for k, v in rest[0].items()})
    if op == "PING" and rest:
        return Reply("done", value=_bytes(rest[0]))
    return Reply("done")


def _success(op: str, status: str, rest: Sequence[Any]) -> Reply:
    if op == "PEEK" and status == "hit":
        return Reply(status, None, _optional_int(rest[1]), _optional_int(rest[2]), _bytes(rest[3]),
                     length=_int(rest[0]))
    if status in _VALUE:
        return _with_value(status, rest)
    if status == "lease":
        stale = _bytes(rest[1]) if len(rest) > 1 and rest[1] is not None else None
        return Reply(status, stale, token=_bytes(rest[0]))
    if op == "INCR":
        return Reply(status, number=_int(rest[0]))
    if status == "done":
        return _done(op, rest)
    return Reply(status)


def _item(op: str, item: Any) -> Union[Reply, ReplyError]:
    fields = _array(item)
    status = STATUSES.get(_int(fields[0]) if fields else -1)
    if status is None or status not in STATUSES_OF[op]:
        raise UnexpectedReply(f"{op}: a status that it cannot have: {fields[:1]!r}")
    if status == "error":
        return ReplyError(_text(fields[1]), _text(fields[2]))
    return _success(op, status, fields[1:])


def _items_of(op: str, args: Sequence[Any]) -> int:
    return len(args[0]) // (2 if op == "SET_MANY" else 1) if op in ("GET_MANY", "SET_MANY") else 0


def decode(op: str, fields: Sequence[Any], n_items: int = 0) -> Outcome:
    """What the elements of a reply behind its id mean, for that operation."""
    try:
        outcome = _item(op, fields)
        if isinstance(outcome, Reply) and outcome.items is not None and len(outcome.items) != n_items:
            raise UnexpectedReply(f"{len(outcome.items)} items for {n_items}")
        return outcome
    except UnexpectedReply as e:
        return UnexpectedReply(f"{op}: {e}")
    except IndexError:
        return UnexpectedReply(f"{op}: the reply has only {len(fields)} elements")


@dataclass
class Wire:
    """A connection's state: the preface, and what is waited for."""

    client: str = "pannier-python-1.0"
    max_frame: int = MAX_FRAME
    server: Optional[Server] = None
    broken: Optional[ProtocolError] = None
    #: Operation by id, and how many items its reply has, if any.
    waiting: dict[int, tuple[str, int]] = field(default_factory=dict)
    _buffer: bytearray = field(default_factory=bytearray)
    _last_id: int = 0

    def hello(self) -> bytes:
        """The first bytes to send."""
        return bytes((MAGIC,)) + frame(["pannier", VERSION, {"client": self.client}])

    def request(self, op: str, args: Sequence[Any] = (),
                options: Optional[Mapping[str, Any]] = None) -> tuple[int, bytes]:
        """An id, which receive() will name, and the bytes to send."""
        most = SHORT_ID_MAX if len(self.waiting) < SHORT_ID_MAX - 27 else ID_MAX
        request_id = self._last_id
        while True:
            request_id = request_id + 1 if request_id < most else 0
            if request_id not in self.waiting:
                break
        data = encode(op, request_id, args, options)
        self._last_id = request_id
        self.waiting[request_id] = (op, _items_of(op, args))
        return request_id, data

    def receive(self, data: bytes) -> list[tuple[int, Outcome]]:
        """Replies that are whole now. ProtocolError: the stream is broken, or the server says that
        ours is; that is the end for all that wait. Replies in front of the break are answered first:
        then it is in `broken`."""
        self._buffer += data
        found: list[tuple[int, Outcome]] = []
        if self.server is None and not self._take_preface():
            return found
        try:
            while (body := self._take_frame(self.max_frame)) is not None:
                found.append(self._reply(body))
        except ProtocolError as e:
            if not found:
                raise
            self.broken = e
        return found

    def _take_preface(self) -> bool:
        buffer = self._buffer
        if not buffer:
            return False
        if buffer[0] != MAGIC:
            if buffer[0] == ord("-") and b"\n" not in buffer and len(buffer) < PLAIN_LINE:
                return False
            line = bytes(buffer[:PLAIN_LINE]).split(b"\n")[0].strip().decode("utf-8", "replace")
            raise ProtocolError(f"this is no pannier, or it refused: {line!r}")
        if len(buffer) < 2:
            return False
        del buffer[:1]
        try:
            body = self._take_frame(self.max_frame)
        except ProtocolError:
            buffer[:0] = bytes((MAGIC,))
            raise
        if body is None:
            buffer[:0] = bytes((MAGIC,))
            return False
        self.server = self._server_of(body)
        return True

    @staticmethod
    def _server_of(body: Sequence[Any]) -> Server:
        ok = len(body) >= 3 and body[0] == b"pannier" and isinstance(body[2], dict)
        if not ok or not isinstance(body[1], int) or isinstance(body[1], bool):
            raise ProtocolError("the answer to the preface is none")
        about = {}
        for key, value in body[2].items():
            name = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
            if isinstance(value, list):
                value = [v.decode("utf-8", "replace") for v in value if isinstance(v, bytes)]
            about[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if body[1] == 0:
            raise ProtocolError(f"the server refused: {about.get('error', 'it does not say why')}")
        if body[1] != VERSION:
            raise ProtocolError(f"the server chose version {body[1]}, which was not offered")
        return Server(body[1], about)

    def _take_frame(self, limit: int) -> Optional[Sequence[Any]]:
        buffer = self._buffer
        if not buffer:
            return None
        first = buffer[0]
        if first < 0x80:
            at, n = 1, first
        elif first in _LENGTHS:
            layout = _LENGTHS[first]
            at = 1 + layout.size
            if len(buffer) < at:
                return None
            n = layout.unpack_from(buffer, 1)[0]
        else:
            raise ProtocolError(f"a frame's length cannot begin with {first:#04x}")
        if n == 0 or n > limit:
            raise ProtocolError(f"a frame of {n} bytes; 1 to {limit} are possible")
        if len(buffer) < at + n:
            return None
        body = bytes(buffer[at:at + n])
        del buffer[:at + n]
        return self._unpack(body)

    @staticmethod
    def _unpack(body: bytes) -> Sequence[Any]:
        try:
            fields = msgpack.unpackb(body, raw=True, strict_map_key=False, max_str_len=len(body),
                                     max_bin_len=len(body), max_array_len=len(body),
                                     max_map_len=len(body), max_ext_len=len(body))
        except Exception as e:  # msgpack raises many kinds
            raise ProtocolError(f"a frame that is no msgpack: {e!r}") from None
        if not isinstance(fields, list) or len(fields) < 2 or not _is_flat(fields, LEVELS_MAX):
            raise ProtocolError("a frame that is no reply")
        return fields

    def _reply(self, fields: Sequence[Any]) -> tuple[int, Outcome]:
        request_id = fields[0]
        if request_id is None and fields[1] == 15:
            text = fields[3] if len(fields) > 3 and isinstance(fields[3], bytes) else b""
            raise ProtocolError(f"the server says: {text.decode('utf-8', 'replace')}")
        if not isinstance(request_id, int) or isinstance(request_id, bool):
            raise ProtocolError("a reply without an id")
        waited = self.waiting.pop(request_id, None)
        if waited is None:
            raise ProtocolError(f"a reply to request {request_id}, which nobody made")
        return request_id, decode(waited[0], fields[1:], waited[1])
