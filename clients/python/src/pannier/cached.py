"""@cached: a function whose results are kept in the sidecar, loaded once for all processes."""

from __future__ import annotations

import functools
import hashlib
import inspect
import threading
from typing import Any, Callable, Optional, TypeVar, Union

import msgpack

from . import codecs
from ._common import DEFAULT_WAIT, Duration, Key
from .aio import AsyncClient
from .client import Client

F = TypeVar("F", bound=Callable[..., Any])

_lock = threading.Lock()
_default: Optional[Client] = None
_default_async: Optional[AsyncClient] = None


def default_client() -> Client:
    """The process's own, at $PANNIER_SOCKET or where the daemon listens by default."""
    global _default
    with _lock:
        if _default is None:
            _default = Client()
        return _default


def default_async_client() -> AsyncClient:
    """The same for asyncio."""
    global _default_async
    with _lock:
        if _default_async is None:
            _default_async = AsyncClient()
        return _default_async


def key_of(prefix: str, args: Any, kwargs: Any) -> bytes:
    """A key for a call: the prefix, and a digest of the arguments, which must be None, bool, int,
    float, str, bytes, or lists, tuples and dicts of these."""
    if not args and not kwargs:
        return prefix.encode()
    try:
        packed = msgpack.packb([list(args), sorted(kwargs.items())], use_bin_type=True)
    except TypeError as e:
        raise TypeError(f"{prefix}: no key can be made of its arguments ({e}); "
                        "give @cached a `key` function") from None
    return f"{prefix}:".encode() + hashlib.blake2b(packed, digest_size=16).hexdigest().encode()


def cached(ttl: Optional[Duration], grace: Optional[Duration] = None, *,
           key: Union[str, Callable[..., Key], None] = None, wait: float = DEFAULT_WAIT,
           codec: codecs.Codec = codecs.msgpack,
           client: Union[Client, AsyncClient, None] = None) -> Callable[[F], F]:
    """Decorates a function or a coroutine function.

    `ttl`, `grace`: as in Client.set(). `key`: a function of the same arguments that answers the key;
    or a prefix, instead of the function's module and name, to which a digest of the arguments is
    added (for methods give a function: `self` is no part of a key). Arguments are told apart as they
    are given: f(1) and f(x=1) are two keys.

    The wrapped function never fails because of the sidecar. It has `.key(*args)`,
    `.invalidate(*args)`, which removes one result, and `.uncached`, the function itself."""

    def decorate(function: F) -> F:
        prefix = key if isinstance(key, str) else f"{function.__module__}.{function.__qualname__}"

        def key_for(*args: Any, **kwargs: Any) -> Key:
            return key(*args, **kwargs) if callable(key) else key_of(prefix, args, kwargs)

        wrap = _wrap_async if inspect.iscoroutinefunction(function) else _wrap
        wrapper: Any = wrap(function, key_for, client, {"ttl": ttl, "grace": grace, "wait": wait,
                                                        "codec": codec})
        wrapper.key = key_for
        wrapper.uncached = function
        return wrapper  # type: ignore[no-any-return]

    return decorate


def _wrap(function: Callable[..., Any], key_for: Callable[..., Key], client: Any, how: Any) -> Any:
    if isinstance(client, AsyncClient):
        raise TypeError(f"{function.__qualname__} is no coroutine function: @cached needs a Client")

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        use = client or default_client()
        return use.get_or_load(key_for(*args, **kwargs), lambda: function(*args, **kwargs), **how)

    def invalidate(*args: Any, **kwargs: Any) -> bool:
        use = client or default_client()
        return bool(use.delete(key_for(*args, **kwargs)))

    wrapper.invalidate = invalidate  # type: ignore[attr-defined]
    return wrapper


def _wrap_async(function: Callable[..., Any], key_for: Callable[..., Key], client: Any, how: Any) -> Any:
    if isinstance(client, Client):
        raise TypeError(f"{function.__qualname__} is a coroutine function: @cached needs an AsyncClient")

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        use = client or default_async_client()
        return await use.get_or_load(key_for(*args, **kwargs), lambda: function(*args, **kwargs), **how)

    async def invalidate(*args: Any, **kwargs: Any) -> bool:
        use = client or default_async_client()
        return bool(await use.delete(key_for(*args, **kwargs)))

    wrapper.invalidate = invalidate  # type: ignore[attr-defined]
    return wrapper
