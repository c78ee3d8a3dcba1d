"""redis.asyncio: what its users do. Blocking and not, they share no socket code."""

import asyncio
import os

import redis
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from claims import SOCKET, ask, claim, equal

NEW = int(redis.__version__.split(".")[0]) >= 5  # knows RESP3
PROTOCOLS = (2, 3) if NEW else (2,)


async def everyday(r):
    await r.flushall()
    equal(await r.set("k", b"\0\r\n", ex=60), True)
    equal((await r.get("k"), await r.ttl("k")), (b"\0\r\n", 60))
    equal(await r.mset({"a": 1, "b": 2}), True)
    equal(await r.mget("a", "b", "gone"), [b"1", b"2", None])
    equal(await asyncio.gather(*(r.incr("n") for _ in range(100))) and await r.get("n"), b"100")
    large = os.urandom(1 << 20)
    equal(await r.set("large", large), True)
    equal(await r.get("large") == large, True)
    equal(sorted([key async for key in r.scan_iter()]), [b"a", b"b", b"k", b"large", b"n"])


async def pipelines(r):
    async with r.pipeline() as p:
        equal(await p.set("a", 1).incr("a").get("a").execute(), [True, 2, b"2"])
    async with r.pipeline(transaction=True) as p:
        await p.watch("a")
        await r.set("a", "changed")
        p.multi()
        p.set("a", "mine")
        try:
            await p.execute()
        except redis.WatchError:
            pass
        else:
            raise AssertionError("no WatchError")
    equal(await r.get("a"), b"changed")


async def published(r):
    async with r.pubsub() as p:
        await p.subscribe("news")
        equal((await p.get_message(timeout=10))["type"], "subscribe")
        equal(await r.publish("news", "hello"), 1)
        equal((await p.get_message(timeout=10))["data"], b"hello")


async def many(r):
    clients = [aioredis.Redis(unix_socket_path=SOCKET) for _ in range(50)]
    await r.delete("n")
    await asyncio.gather(*(c.incr("n") for c in clients for _ in range(10)))
    equal(await r.get("n"), b"500")
    for c in clients:
        await c.close()


async def restarted(r):
    equal(await r.set("k", "v"), True)
    ask("stop")
    try:
        await r.get("k")
    except redis.ConnectionError:
        pass
    else:
        raise AssertionError("no ConnectionError")
    ask("start")
    equal(await r.get("k"), None)


def run(test, **more):
    async def whole():
        r = aioredis.Redis(unix_socket_path=SOCKET, retry=Retry(NoBackoff(), 1), **more)
        try:
            await test(r)
        finally:
            await r.close()

    asyncio.run(whole())


def main():
    for version in PROTOCOLS:
        name, more = f"asyncio, RESP{version}, ", {"protocol": version} if NEW else {}
        for what, test in (("everyday commands", everyday), ("pipelines and WATCH", pipelines),
                           ("publish and subscribe", published), ("fifty connections at once", many),
                           ("it comes back when the daemon does", restarted)):
            claim(name + what, lambda test=test, more=more: run(test, **more))


main()
