"""What both clients share: addresses, times, back-off, what a reply means to a caller."""

from __future__ import annotations

import datetime
import os
import random
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, NoReturn, Optional, Sequence, Tuple, Union

from .errors import ReplyError, Unavailable
from .wire import Reply

Key = Union[bytes, str]
Duration = Union[int, float, datetime.timedelta]
#: Called after each request: operation, status (a name of PROTOCOL.md, "error:CODE", or
#: "unavailable"), seconds. And by get_or_load(): "load" with "ok", "error", "direct" (without the
#: sidecar) or "stale" (the loader failed, a stale value served). It must not raise or block.
Metrics = Callable[[str, str, float], None]

DEFAULT_PATH = "/run/pannier/pannier.sock"
DEFAULT_TIMEOUT = 1.0
DEFAULT_CONNECT_TIMEOUT = 0.25
#: get_or_load() waits for somebody else's load so long; the daemon's `lease_time` (3 s) ends it before.
DEFAULT_WAIT = 5.0
BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.05, 2.0
DEADLINE_MOST_MS = 3_600_000


@dataclass(frozen=True)
class Entry:
    """A value and what is known of it. `status`: hit, stale, filled or coalesced. `left` and `age`
    are seconds, None where there is no end or nobody knows; `token` stands for this very value."""

    value: bytes
    status: str
    left: Optional[float]
    age: Optional[float]
    token: Optional[bytes]


@dataclass(frozen=True)
class Lease:
    """The caller is the one to load `key`: set(..., lease=lease), or release(lease). `stale` is an
    old value to fall back on."""

    key: bytes
    token: bytes
    stale: Optional[bytes] = None


def address_of(address: Optional[str]) -> Union[str, Tuple[str, int]]:
    """A path, or host and port. Accepts a path, `unix:PATH`, `tcp:HOST:PORT`; None: $PANNIER_SOCKET,
    or where the daemon listens by default."""
    given = address or os.environ.get("PANNIER_SOCKET") or DEFAULT_PATH
    if given.startswith("unix:"):
        return given[len("unix:"):]
    if given.startswith("tcp:"):
        host, sep, port = given[len("tcp:"):].rpartition(":")
        if not sep or not port.isdigit():
            raise ValueError(f"address {given!r}: tcp:HOST:PORT is meant")
        return host.strip("[]"), int(port)
    if given.startswith("/") or given.startswith("."):
        return given
    raise ValueError(f"address {given!r}: a path, unix:PATH or tcp:HOST:PORT is meant")


def raw(data: Key) -> bytes:
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"bytes or str are meant, not {type(data).__name__}")


def milliseconds(duration: Optional[Duration], what: str) -> Optional[int]:
    """Seconds, or a timedelta; None stays None. Rounded up, so that little is not nothing."""
    if duration is None:
        return None
    seconds = duration.total_seconds() if isinstance(duration, datetime.timedelta) else duration
    ms = -int(-seconds * 1000 // 1)
    if ms < 1:
        raise ValueError(f"{what} of {seconds} s: it must be above 0 (None: no end)")
    return ms


def deadline_ms(timeout: float) -> int:
    """Told to the server, a little less than what the client waits itself, so that its answer
    comes first."""
    return max(0, min(int(timeout * 900), DEADLINE_MOST_MS))


def seconds(ms: Optional[int]) -> Optional[float]:
    return None if ms is None else ms / 1000


def entry_of(reply: Reply) -> Optional[Entry]:
    if reply.value is None:
        return None
    return Entry(reply.value, reply.status, seconds(reply.left_ms), seconds(reply.age_ms), reply.token)


def conditions(if_absent: bool, if_present: bool, if_token: Optional[bytes],
               if_value: Optional[Key], lease: Union[Lease, bytes, None]) -> Mapping[str, Any]:
    return {"if_absent": if_absent, "if_present": if_present, "if_token": if_token,
            "if_value": None if if_value is None else raw(if_value),
            "lease": lease.token if isinstance(lease, Lease) else lease}


def pairs_of(items: Mapping[Key, Key]) -> Sequence[bytes]:
    return [part for k, v in items.items() for part in (raw(k), raw(v))]


def raise_of(outcome: Union[ReplyError, Exception]) -> NoReturn:
    raise outcome


def status_of(outcome: Union[Reply, Exception]) -> str:
    if isinstance(outcome, Reply):
        return outcome.status
    if isinstance(outcome, ReplyError):
        return f"error:{outcome.code}"
    return "unavailable" if isinstance(outcome, Unavailable) else "unexpected"


class Backoff:
    """After a failure to connect nobody tries again for a while, and calls fail at once: an
    application must not wait for a sidecar that is not there."""

    def __init__(self, clock: Callable[[], float] = time.monotonic,
                 chance: Callable[[], float] = random.random) -> None:
        self._clock, self._chance = clock, chance
        self._next_s, self._until = BACKOFF_FIRST_S, 0.0

    def may_try(self) -> bool:
        return self._clock() >= self._until

    def failed(self) -> None:
        self._until = self._clock() + self._next_s * (0.5 + self._chance() / 2)
        self._next_s = min(self._next_s * 2, BACKOFF_MOST_S)

    def worked(self) -> None:
        self._next_s, self._until = BACKOFF_FIRST_S, 0.0


#: May be sent again where the connection ended without a reply (PROTOCOL.md).
AGAIN = frozenset(("GET", "GET_MANY", "PEEK", "LEASE", "STATS", "PING", "TOUCH", "RELEASE", "FLUSH",
                   "DELETE_MANY"))
AGAIN_UNCONDITIONALLY = frozenset(("SET", "SET_MANY", "DELETE"))
_CONDITIONS = ("if_absent", "if_present", "if_token", "if_value", "lease")


def may_repeat(op: str, options: Mapping[str, Any]) -> bool:
    if op in AGAIN:
        return True
    return op in AGAIN_UNCONDITIONALLY and not any(options.get(c) for c in _CONDITIONS)
