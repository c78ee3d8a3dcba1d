"""The blocking client."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import (Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, TypeVar,
                    Union)

from . import codecs
from ._common import (DEFAULT_CONNECT_TIMEOUT, DEFAULT_TIMEOUT, DEFAULT_WAIT,
                      Backoff, Duration, Entry, Key, Lease,
                      Metrics, address_of, conditions, deadline_ms, entry_of, may_repeat, milliseconds,
                      pairs_of, raise_of, raw, status_of)
from .errors import PannierError, ReplyError, Timeout, Unavailable
from .wire import Outcome, Reply, Wire

T = TypeVar("T")
RECV_BYTES = 256 * 1024


def connect(address: Any, timeout: float) -> socket.socket:
    """A socket to a path, or to the first of a host's addresses that answers."""
    if not isinstance(address, str):
        made = socket.create_connection(address, timeout)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.settimeout(timeout)
        made.connect(address)
    except BaseException:
        made.close()
        raise
    return made


class Connection:
    """One socket, one request at a time. Belongs to whoever took it from the pool."""

    def __init__(self, address: Any, timeout: float, password: Optional[bytes]) -> None:
        self.wire = Wire()
        end = time.monotonic() + timeout
        self.sock = connect(address, timeout)
        try:
            self.sock.sendall(self.wire.hello())
            while self.wire.server is None:
                self._receive(end)
            if password is not None:
                self._authenticate(password, end)
        except BaseException:
            self.sock.close()
            raise

    def _authenticate(self, password: bytes, end: float) -> None:
        outcome = self.call("AUTH", [password], {}, end)
        if not isinstance(outcome, Reply):
            raise_of(outcome)

    def _receive(self, end: float) -> List[tuple[int, Outcome]]:
        left = end - time.monotonic()
        if left <= 0:
            raise Timeout("no answer in time")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(RECV_BYTES)
        except socket.timeout:
            raise Timeout("no answer in time") from None
        if not data:
            raise Unavailable("the connection was closed")
        return self.wire.receive(data)

    def call(self, op: str, args: Sequence[Any], options: Mapping[str, Any], end: float) -> Outcome:
        request_id, data = self.wire.request(op, args, options)
        self.sock.settimeout(max(end - time.monotonic(), 0.001))
        try:
            self.sock.sendall(data)
        except socket.timeout:
            raise Timeout("the request could not be sent in time") from None
        while True:
            for found, outcome in self._receive(end):
                if found == request_id:
                    return outcome

    def close(self) -> None:
        self.sock.close()


class Pool:
    """Connections that nobody uses now, the last one used first. Thread-safe; a child after fork()
    begins with an empty one."""

    def __init__(self, make: Callable[[float], Connection], most: int) -> None:
        self._make, self._most = make, most
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: List[Connection] = []
        self._room = threading.BoundedSemaphore(self._most)
        self._backoff = Backoff()

    def take(self, end: float, fresh: bool = False) -> tuple[Connection, bool]:
        """A connection, and whether it was used before."""
        if self._pid != os.getpid():
            self._forget()
        if not self._room.acquire(timeout=max(end - time.monotonic(), 0)):
            raise Timeout(f"all {self._most} connections were busy")
        try:
            with self._lock:
                if self._idle and not fresh:
                    return self._idle.pop(), True
            return self._connect(end), False
        except BaseException:
            self._room.release()
            raise

    def _connect(self, end: float) -> Connection:
        if not self._backoff.may_try():
            raise Unavailable("the sidecar could not be reached a moment ago")
        try:
            connection = self._make(end - time.monotonic())
        except (OSError, Unavailable) as e:
            self._backoff.failed()
            raise e if isinstance(e, Unavailable) else Unavailable(f"no connection: {e}") from None
        self._backoff.worked()
        return connection

    def give(self, connection: Connection, good: bool) -> None:
        if good:
            with self._lock:
                self._idle.append(connection)
        else:
            connection.close()
        self._room.release()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


class Client:
    """A sidecar. Thread-safe: each call has a connection of its own while it lasts, up to
    `max_connections`; safe over fork(). Keys and values are bytes, str is taken as UTF-8; values come
    back as bytes. Durations are seconds or a timedelta.

    Every call but get_or_load() raises Unavailable where the sidecar is away, and ReplyError where it
    answers with an error. `timeout` (seconds) bounds a call as a whole, connecting and queueing for
    a connection included."""

    def __init__(self, address: Optional[str] = None, *, timeout: float = DEFAULT_TIMEOUT,
                 connect_timeout: float = DEFAULT_CONNECT_TIMEOUT, max_connections: int = 64,
                 password: Optional[Key] = None, metrics: Optional[Metrics] = None) -> None:
        self._address = address_of(address)
        self._timeout, self._metrics = timeout, metrics
        secret = None if password is None else raw(password)
        self._pool = Pool(lambda left: Connection(self._address, min(left, connect_timeout), secret),
                          max_connections)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes what is idle. The client may be used again."""
        self._pool.close()

    # --- calls -------------------------------------------------------------------

    def _note(self, op: str, status: str, begun: float) -> None:
        if self._metrics is not None:
            self._metrics(op, status, time.monotonic() - begun)

    @contextlib.contextmanager
    def _connection(self, end: float, fresh: bool = False) -> Iterator[tuple[Connection, bool]]:
        connection, used = self._pool.take(end, fresh)
        good = False
        try:
            yield connection, used
            good = not connection.wire.waiting and connection.wire.broken is None
        finally:
            self._pool.give(connection, good)

    def _once(self, op: str, args: Sequence[Any], options: Mapping[str, Any], end: float) -> Outcome:
        """A connection that lay idle may have lost its daemon: then another one is tried."""
        used = False
        try:
            with self._connection(end) as (connection, used):
                return connection.call(op, args, options, end)
        except (OSError, Unavailable) as e:
            if isinstance(e, Timeout) or not used or not may_repeat(op, options):
                raise e if isinstance(e, Unavailable) else Unavailable(str(e)) from None
        self._pool.close()
        try:
            with self._connection(end, fresh=True) as (connection, _):
                return connection.call(op, args, options, end)
        except OSError as e:
            raise Unavailable(str(e)) from None

    def _call(self, op: str, args: Sequence[Any] = (), options: Optional[Mapping[str, Any]] = None,
              timeout: Optional[float] = None) -> Reply:
        begun = time.monotonic()
        end = begun + (self._timeout if timeout is None else timeout)
        try:
            outcome: Union[Outcome, PannierError] = self._once(op, args, options or {}, end)
        except PannierError as e:
            self._note(op, status_of(e), begun)
            raise
        self._note(op, status_of(outcome), begun)
        if not isinstance(outcome, Reply):
            raise_of(outcome)
        return outcome

    def _deadline(self, timeout: Optional[float]) -> int:
        return deadline_ms(self._timeout if timeout is None else timeout)

    # --- operations ----------------------------------------------------------------

    def get(self, key: Key, *, timeout: Optional[float] = None) -> Optional[bytes]:
        """The value, from the cache or through it from its origin; None: there is none."""
        options = {"deadline_ms": self._deadline(timeout)}
        return self._call("GET", [raw(key)], options, timeout).value

    def get_entry(self, key: Key, *, timeout: Optional[float] = None) -> Optional[Entry]:
        """As get(), with how it came about and how long it stays good."""
        options = {"deadline_ms": self._deadline(timeout), "meta": True}
        return entry_of(self._call("GET", [raw(key)], options, timeout))

    def peek(self, key: Key) -> Optional[Reply]:
        """Length, time left and token of what is in the cache; counts as no use, fetches nothing."""
        reply = self._call("PEEK", [raw(key)])
        return reply if reply.status == "hit" else None

    def set(self, key: Key, value: Key, ttl: Optional[Duration] = None, *,
            grace: Optional[Duration] = None, if_absent: bool = False, if_present: bool = False,
            if_token: Optional[bytes] = None, if_value: Optional[Key] = None,
            lease: Union[Lease, bytes, None] = None) -> bool:
        """False: the condition did not hold, or the lease is over; nothing was changed. At most one
        condition."""
        options = {"grace_ms": milliseconds(grace, "grace"),
                   **conditions(if_absent, if_present, if_token, if_value, lease)}
        args = [raw(key), raw(value), milliseconds(ttl, "ttl")]
        return self._call("SET", args, options).status == "stored"

    def delete(self, key: Key, *, if_token: Optional[bytes] = None,
               if_value: Optional[Key] = None) -> bool:
        """True: it was there (and, with a condition, that held), and is not any more."""
        options = conditions(False, False, if_token, if_value, None)
        return self._call("DELETE", [raw(key)], options).status == "done"

    def touch(self, key: Key, ttl: Optional[Duration] = None) -> bool:
        """Another time to live, counted from now. False: it is not there."""
        return self._call("TOUCH", [raw(key), milliseconds(ttl, "ttl")]).status == "done"

    def incr(self, key: Key, delta: int = 1, *, ttl: Optional[Duration] = None,
             initial: Optional[int] = None) -> int:
        """The sum. A counter that is not there begins with `initial` (0), and gets `ttl`."""
        options = {"ttl_ms": milliseconds(ttl, "ttl"), "initial": initial}
        number = self._call("INCR", [raw(key), delta], options).number
        assert number is not None
        return number

    def get_many(self, keys: Iterable[Key], *, timeout: Optional[float] = None) -> Dict[Key, bytes]:
        """Those that are there or could be fetched; a key whose fetch failed is left out."""
        keys = list(keys)
        options = {"deadline_ms": self._deadline(timeout)}
        items = self._call("GET_MANY", [[raw(k) for k in keys]], options, timeout).items or ()
        return {k: item.value for k, item in zip(keys, items)
                if isinstance(item, Reply) and item.value is not None}

    def set_many(self, items: Mapping[Key, Key], ttl: Optional[Duration] = None, *,
                 grace: Optional[Duration] = None) -> Dict[Key, ReplyError]:
        """What could not be stored, and why; empty: all is."""
        reply = self._call("SET_MANY", [pairs_of(items), milliseconds(ttl, "ttl")],
                           {"grace_ms": milliseconds(grace, "grace")})
        return {k: item for k, item in zip(items, reply.items or ()) if isinstance(item, ReplyError)}

    def delete_many(self, keys: Iterable[Key]) -> int:
        """How many of them were there."""
        return self._call("DELETE_MANY", [[raw(k) for k in keys]]).number or 0

    def lease(self, key: Key, *, wait: Optional[float] = None) -> Union[Entry, Lease, None]:
        """An Entry: the value. A Lease: load it yourself, then set(..., lease=) or release(). None:
        neither, within `wait` seconds; load it and set() it without a lease."""
        timeout = self._timeout if wait is None else wait
        options = {"deadline_ms": deadline_ms(timeout), "meta": True}
        reply = self._call("LEASE", [raw(key)], options, timeout)
        if reply.status == "lease":
            assert reply.token is not None
            return Lease(raw(key), reply.token, reply.value)
        return entry_of(reply)

    def release(self, lease: Lease) -> bool:
        """The load failed: the next one who waits gets the lease. False: it was over already."""
        return self._call("RELEASE", [lease.key, lease.token]).status == "done"

    def flush(self) -> None:
        """Removes all keys."""
        self._call("FLUSH")

    def stats(self, section: Optional[str] = None) -> Mapping[str, Union[int, str]]:
        """The fields of INFO."""
        return self._call("STATS", [] if section is None else [section]).fields or {}

    def ping(self) -> float:
        """Seconds to the sidecar and back."""
        begun = time.monotonic()
        self._call("PING")
        return time.monotonic() - begun

    # --- one load for all --------------------------------------------------------------

    def get_or_load(self, key: Key, loader: Callable[[], T], ttl: Optional[Duration] = None, *,
                    grace: Optional[Duration] = None, wait: float = DEFAULT_WAIT,
                    codec: codecs.Codec = codecs.msgpack) -> T:
        """The value; where it is not cached, what `loader()` returns, which one caller of all runs,
        in whatever process, while the others wait up to `wait` seconds.

        Never fails because of the sidecar: where that is away, or has no lease to give, it loads
        directly. An exception of the loader reaches the caller who ran it, unless a stale value is
        at hand, which is returned then; the next one who waits loads. A value that the codec cannot
        decode is loaded anew."""
        milliseconds(ttl, "ttl"), milliseconds(grace, "grace")  # said before anything is loaded
        try:
            found = self.lease(key, wait=wait)
        except PannierError:
            return self._load(loader, "direct")
        if isinstance(found, Entry):
            try:
                return codec.decode(found.value)  # type: ignore[no-any-return]
            except Exception:  # written by another version of the application, perhaps
                found = None
        return self._load_and_store(key, loader, found, ttl, grace, codec)

    def _load(self, loader: Callable[[], T], status: str = "ok") -> T:
        begun = time.monotonic()
        try:
            value = loader()
        except BaseException:
            self._note("load", "error", begun)
            raise
        self._note("load", status, begun)
        return value

    def _load_and_store(self, key: Key, loader: Callable[[], T], lease: Optional[Lease],
                        ttl: Optional[Duration], grace: Optional[Duration], codec: codecs.Codec) -> T:
        try:
            value = self._load(loader)
            data = codec.encode(value)
        except BaseException as e:
            return self._instead(e, lease, codec)  # type: ignore[no-any-return]
        with contextlib.suppress(PannierError):  # not stored: the next one loads again
            self.set(key, data, ttl, grace=grace, lease=lease)
        return value

    def _instead(self, e: BaseException, lease: Optional[Lease], codec: codecs.Codec) -> Any:
        """The load failed: gives the lease back, and answers with the stale value, if any."""
        if lease is not None:
            with contextlib.suppress(PannierError):
                self.release(lease)
        if lease is None or lease.stale is None or not isinstance(e, Exception):
            raise e
        try:
            old = codec.decode(lease.stale)
        except Exception:
            raise e from None
        self._note("load", "stale", time.monotonic())
        return old
