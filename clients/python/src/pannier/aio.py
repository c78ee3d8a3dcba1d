"""The client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import time
from typing import Any, Awaitable, Callable, Dict, Iterable, Mapping, Optional, Sequence, TypeVar, Union

from . import codecs
from ._common import (DEFAULT_CONNECT_TIMEOUT, DEFAULT_TIMEOUT, DEFAULT_WAIT, Backoff, Duration, Entry,
                      Key, Lease, Metrics, address_of, conditions, deadline_ms, entry_of, may_repeat,
                      milliseconds, pairs_of, raise_of, raw, status_of)
from .errors import PannierError, ReplyError, Timeout, Unavailable
from .wire import Outcome, Reply, Wire

T = TypeVar("T")
Loader = Union[Callable[[], Awaitable[T]], Callable[[], T]]


class Connection(asyncio.Protocol):
    """A socket that all tasks of one loop share. Replies find their request by its id."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.wire = Wire()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.futures: Dict[int, "asyncio.Future[Outcome]"] = {}
        self.transport: Optional[asyncio.Transport] = None
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.wire.hello())

    def data_received(self, data: bytes) -> None:
        try:
            replies = self.wire.receive(data)
        except PannierError as e:
            self.fail(e)
            return
        if self.wire.server is not None and not self.ready.done():
            self.ready.set_result(None)
        for request_id, outcome in replies:
            future = self.futures.pop(request_id, None)
            if future is not None and not future.done():
                future.set_result(outcome)
        if self.wire.broken is not None:
            self.fail(self.wire.broken)

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self.fail(Unavailable(f"the connection was closed{f': {exc}' if exc else ''}"))

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def fail(self, error: PannierError) -> None:
        """The end: all that wait have no answer."""
        if self.transport is not None:
            self.transport.abort()
        self.writable.set()
        futures, self.futures = self.futures, {}
        everything: Sequence["asyncio.Future[Any]"] = [self.ready, *futures.values()]
        for future in everything:
            if not future.done():
                future.set_exception(error)
                future.exception()  # somebody may have left already

    async def call(self, op: str, args: Sequence[Any], options: Mapping[str, Any], timeout: float) -> Outcome:
        """Cancelling it, or its timeout, cancels the request at the server as well."""
        if not self.writable.is_set():
            await asyncio.wait_for(self.writable.wait(), timeout)
        if not self.is_open or self.transport is None:
            raise Unavailable("the connection was closed")
        request_id, data = self.wire.request(op, args, options)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.futures[request_id] = future
        self.transport.write(data)
        try:
            return await asyncio.wait_for(future, timeout)
        except asyncio.TimeoutError:
            self._give_up(request_id)
            raise Timeout("no answer in time") from None
        except asyncio.CancelledError:
            self._give_up(request_id)
            raise

    def _give_up(self, request_id: int) -> None:
        """The reply still comes, and finds nobody."""
        if self.futures.pop(request_id, None) is None or not self.is_open:
            return
        _, data = self.wire.request("CANCEL", [request_id])
        if self.transport is not None:
            self.transport.write(data)


class AsyncClient:
    """A sidecar, for the tasks of one event loop, which share a connection. What Client says of keys,
    values, times and errors holds here as well; the methods are the same, as coroutines."""

    def __init__(self, address: Optional[str] = None, *, timeout: float = DEFAULT_TIMEOUT,
                 connect_timeout: float = DEFAULT_CONNECT_TIMEOUT, password: Optional[Key] = None,
                 metrics: Optional[Metrics] = None) -> None:
        self._address = address_of(address)
        self._timeout, self._connect_timeout, self._metrics = timeout, connect_timeout, metrics
        self._password = None if password is None else raw(password)
        self._backoff = Backoff()
        self._connection: Optional[Connection] = None
        self._connecting: Optional["asyncio.Task[Connection]"] = None
        self._owner: Any = None

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Requests without a reply fail. The client may be used again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.fail(Unavailable("the client was closed"))

    # --- calls -----------------------------------------------------------------------

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        if isinstance(self._address, str):
            _, connection = await loop.create_unix_connection(Connection, self._address)
        else:
            _, connection = await loop.create_connection(Connection, *self._address)
        await connection.ready
        if self._password is not None:
            outcome = await connection.call("AUTH", [self._password], {}, self._connect_timeout)
            if not isinstance(outcome, Reply):
                connection.fail(Unavailable("the password was refused"))
                raise_of(outcome)
        return connection

    async def _reach(self) -> Connection:
        if not self._backoff.may_try():
            raise Unavailable("the sidecar could not be reached a moment ago")
        try:
            connection = await asyncio.wait_for(self._open(), self._connect_timeout)
        except (OSError, asyncio.TimeoutError, Unavailable) as e:
            self._backoff.failed()
            if isinstance(e, Unavailable):
                raise
            raise Unavailable(f"no connection: {e or 'no answer in time'}") from None
        self._backoff.worked()
        self._connection = connection
        return connection

    async def _shared(self) -> Connection:
        """The connection; whoever comes first makes it, and the others wait for that."""
        owner = (os.getpid(), asyncio.get_running_loop())
        if self._owner != owner:  # forked, or another asyncio.run()
            self._owner, self._connection, self._connecting = owner, None, None
        if self._connection is not None and self._connection.is_open:
            return self._connection
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._reach())
        try:
            return await asyncio.shield(self._connecting)
        finally:
            if self._connecting is not None and self._connecting.done():
                self._connecting = None

    async def _once(self, op: str, args: Sequence[Any], options: Mapping[str, Any], timeout: float) -> Outcome:
        end = time.monotonic() + timeout
        had = self._connection
        connection = await self._shared()
        try:
            return await connection.call(op, args, options, timeout)
        except Unavailable as e:
            if isinstance(e, Timeout) or connection is not had or not may_repeat(op, options):
                raise
        connection = await self._shared()
        return await connection.call(op, args, options, max(end - time.monotonic(), 0.001))

    def _note(self, op: str, status: str, begun: float) -> None:
        if self._metrics is not None:
            self._metrics(op, status, time.monotonic() - begun)

    async def _call(self, op: str, args: Sequence[Any] = (), options: Optional[Mapping[str, Any]] = None,
                    timeout: Optional[float] = None) -> Reply:
        begun = time.monotonic()
        try:
            outcome: Outcome = await self._once(op, args, options or {},
                                                self._timeout if timeout is None else timeout)
        except PannierError as e:
            self._note(op, status_of(e), begun)
            raise
        self._note(op, status_of(outcome), begun)
        if not isinstance(outcome, Reply):
            raise_of(outcome)
        return outcome

    def _deadline(self, timeout: Optional[float]) -> int:
        return deadline_ms(self._timeout if timeout is None else timeout)

    # --- operations ----------------------------------------------------------------------

    async def get(self, key: Key, *, timeout: Optional[float] = None) -> Optional[bytes]:
        # No deadline for the server: one that is late is cancelled, and a GET without it costs less.
        return (await self._call("GET", [raw(key)], {}, timeout)).value

    async def get_entry(self, key: Key, *, timeout: Optional[float] = None) -> Optional[Entry]:
        return entry_of(await self._call("GET", [raw(key)], {"meta": True}, timeout))

    async def peek(self, key: Key) -> Optional[Reply]:
        reply = await self._call("PEEK", [raw(key)])
        return reply if reply.status == "hit" else None

    async def set(self, key: Key, value: Key, ttl: Optional[Duration] = None, *,
                  grace: Optional[Duration] = None, if_absent: bool = False, if_present: bool = False,
                  if_token: Optional[bytes] = None, if_value: Optional[Key] = None,
                  lease: Union[Lease, bytes, None] = None) -> bool:
        options = {"grace_ms": milliseconds(grace, "grace"),
                   **conditions(if_absent, if_present, if_token, if_value, lease)}
        args = [raw(key), raw(value), milliseconds(ttl, "ttl")]
        return (await self._call("SET", args, options)).status == "stored"

    async def delete(self, key: Key, *, if_token: Optional[bytes] = None,
                     if_value: Optional[Key] = None) -> bool:
        options = conditions(False, False, if_token, if_value, None)
        return (await self._call("DELETE", [raw(key)], options)).status == "done"

    async def touch(self, key: Key, ttl: Optional[Duration] = None) -> bool:
        return (await self._call("TOUCH", [raw(key), milliseconds(ttl, "ttl")])).status == "done"

    async def incr(self, key: Key, delta: int = 1, *, ttl: Optional[Duration] = None,
                   initial: Optional[int] = None) -> int:
        options = {"ttl_ms": milliseconds(ttl, "ttl"), "initial": initial}
        number = (await self._call("INCR", [raw(key), delta], options)).number
        assert number is not None
        return number

    async def get_many(self, keys: Iterable[Key], *, timeout: Optional[float] = None) -> Dict[Key, bytes]:
        keys = list(keys)
        options = {"deadline_ms": self._deadline(timeout)}
        items = (await self._call("GET_MANY", [[raw(k) for k in keys]], options, timeout)).items or ()
        return {k: item.value for k, item in zip(keys, items)
                if isinstance(item, Reply) and item.value is not None}

    async def set_many(self, items: Mapping[Key, Key], ttl: Optional[Duration] = None, *,
                       grace: Optional[Duration] = None) -> Dict[Key, ReplyError]:
        reply = await self._call("SET_MANY", [pairs_of(items), milliseconds(ttl, "ttl")],
                                 {"grace_ms": milliseconds(grace, "grace")})
        return {k: item for k, item in zip(items, reply.items or ()) if isinstance(item, ReplyError)}

    async def delete_many(self, keys: Iterable[Key]) -> int:
        return (await self._call("DELETE_MANY", [[raw(k) for k in keys]])).number or 0

    async def lease(self, key: Key, *, wait: Optional[float] = None) -> Union[Entry, Lease, None]:
        timeout = self._timeout if wait is None else wait
        options = {"deadline_ms": deadline_ms(timeout), "meta": True}
        reply = await self._call("LEASE", [raw(key)], options, timeout)
        if reply.status == "lease":
            assert reply.token is not None
            return Lease(raw(key), reply.token, reply.value)
        return entry_of(reply)

    async def release(self, lease: Lease) -> bool:
        return (await self._call("RELEASE", [lease.key, lease.token])).status == "done"

    async def flush(self) -> None:
        await self._call("FLUSH")

    async def stats(self, section: Optional[str] = None) -> Mapping[str, Union[int, str]]:
        return (await self._call("STATS", [] if section is None else [section])).fields or {}

    async def ping(self) -> float:
        begun = time.monotonic()
        await self._call("PING")
        return time.monotonic() - begun

    # --- one load for all ----------------------------------------------------------------

    async def get_or_load(self, key: Key, loader: Loader[T], ttl: Optional[Duration] = None, *,
                          grace: Optional[Duration] = None, wait: float = DEFAULT_WAIT,
                          codec: codecs.Codec = codecs.msgpack) -> T:
        """As Client.get_or_load(); `loader` may be a coroutine function or a plain one."""
        milliseconds(ttl, "ttl"), milliseconds(grace, "grace")  # said before anything is loaded
        try:
            found = await self.lease(key, wait=wait)
        except PannierError:
            return await self._load(loader, "direct")
        if isinstance(found, Entry):
            try:
                return codec.decode(found.value)  # type: ignore[no-any-return]
            except Exception:
                found = None
        try:
            value = await self._load(loader)
            data = codec.encode(value)
        except BaseException as e:
            return await self._instead(e, found, codec)  # type: ignore[no-any-return]
        with contextlib.suppress(PannierError):
            await self.set(key, data, ttl, grace=grace, lease=found)
        return value

    async def _load(self, loader: Loader[T], status: str = "ok") -> T:
        begun = time.monotonic()
        try:
            made = loader()
            value: T = await made if inspect.isawaitable(made) else made
        except BaseException:
            self._note("load", "error", begun)
            raise
        self._note("load", status, begun)
        return value

    async def _instead(self, e: BaseException, lease: Optional[Lease], codec: codecs.Codec) -> Any:
        if lease is not None:
            with contextlib.suppress(PannierError):
                await asyncio.shield(self.release(lease))
        if lease is None or lease.stale is None or not isinstance(e, Exception):
            raise e
        try:
            old = codec.decode(lease.stale)
        except Exception:
            raise e from None
        self._note("load", "stale", time.monotonic())
        return old
