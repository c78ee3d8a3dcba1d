"""pannier: the client library of the caching sidecar.

    import pannier

    cache = pannier.Client()
    user = cache.get_or_load(f"user:{n}", lambda: load_user(n), ttl=300)

    @pannier.cached(ttl=60, grace=600)
    def report(day): ...

get_or_load() and @cached load once for all processes that share a sidecar, and load directly
where it is away. AsyncClient is the same for asyncio."""

from . import codecs
from ._common import Entry, Lease, Metrics
from .aio import AsyncClient
from .cached import cached, default_async_client, default_client
from .client import Client
from .errors import PannierError, ProtocolError, ReplyError, Timeout, Unavailable, UnexpectedReply
from .wire import Reply

__version__ = "1.0.0"
__all__ = ["AsyncClient", "Client", "Entry", "Lease", "Metrics", "PannierError", "ProtocolError", "Reply",
           "ReplyError", "Timeout", "Unavailable", "UnexpectedReply", "cached", "codecs",
           "default_async_client", "default_client"]
