"""Made from proto/binary.def by clients/make_constants.py: do not edit."""

from __future__ import annotations

from typing import Final

OPS: Final[dict[str, int]] = {
    "GET": 1,
    "SET": 2,
    "DELETE": 3,
    "TOUCH": 4,
    "INCR": 5,
    "PEEK": 6,
    "GET_MANY": 7,
    "SET_MANY": 8,
    "DELETE_MANY": 9,
    "LEASE": 10,
    "RELEASE": 11,
    "FLUSH": 12,
    "STATS": 13,
    "PING": 14,
    "CANCEL": 15,
    "AUTH": 16,
}

# What a reply to each of them may be.
STATUSES_OF: Final[dict[str, frozenset[str]]] = {
    "GET": frozenset(("hit", "stale", "filled", "coalesced", "negative", "miss", "error",)),
    "SET": frozenset(("stored", "refused", "error",)),
    "DELETE": frozenset(("done", "refused", "miss", "error",)),
    "TOUCH": frozenset(("done", "miss", "error",)),
    "INCR": frozenset(("stored", "error",)),
    "PEEK": frozenset(("hit", "miss", "error",)),
    "GET_MANY": frozenset(("done", "error",)),
    "SET_MANY": frozenset(("stored", "done", "error",)),
    "DELETE_MANY": frozenset(("done", "error",)),
    "LEASE": frozenset(("hit", "stale", "filled", "coalesced", "negative", "lease", "miss", "error",)),
    "RELEASE": frozenset(("done", "miss", "error",)),
    "FLUSH": frozenset(("done", "error",)),
    "STATS": frozenset(("done", "error",)),
    "PING": frozenset(("done", "error",)),
    "CANCEL": frozenset(("done", "miss", "error",)),
    "AUTH": frozenset(("done", "error",)),
}

OPTIONS: Final[dict[str, int]] = {
    "deadline_ms": 1,
    "meta": 2,
    "grace_ms": 3,
    "if_absent": 4,
    "if_present": 5,
    "if_token": 6,
    "if_value": 7,
    "lease": 8,
    "ttl_ms": 9,
    "initial": 10,
}

STATUSES: Final[dict[int, str]] = {
    0: "hit",
    1: "stale",
    2: "filled",
    3: "coalesced",
    4: "negative",
    5: "miss",
    6: "stored",
    7: "refused",
    8: "lease",
    9: "done",
    15: "error",
}

ERRORS: Final[frozenset[str]] = frozenset((
    "PROTOCOL",
    "ARGS",
    "UNKNOWN",
    "UNSUPPORTED",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "READONLY",
    "TOOBIG",
    "OOM",
    "NOTINT",
    "OVERFLOW",
    "ORIGIN",
    "TIMEOUT",
    "OVERLOAD",
    "CANCELLED",
))
