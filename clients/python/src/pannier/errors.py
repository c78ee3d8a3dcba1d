"""What can go wrong. Everything is a PannierError; an application that wants to go on
without its cache catches Unavailable, or uses get_or_load(), which does that itself."""

from __future__ import annotations


class PannierError(Exception):
    """Base of all."""


class Unavailable(PannierError):
    """The sidecar cannot be reached, does not answer in time, or closed the connection. What
    was asked for may have been done or not."""


class Timeout(Unavailable):
    """No answer within the call's time."""


class ProtocolError(Unavailable):
    """The other side does not speak this protocol. The connection was closed."""


class ReplyError(PannierError):
    """The sidecar answered with an error; the connection is fine. `code` is one of
    proto/PROTOCOL.md's ("ORIGIN", "OVERLOAD", "TOOBIG" ...), or a new one."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class UnexpectedReply(PannierError):
    """A reply that this operation cannot have; the request failed, the connection is fine."""
