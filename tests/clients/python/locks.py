"""Lock of redis-py: a lock is a script or two in Lua, which the daemon knows by
their text. With 4.3 of Debian and the newest; blocking and asyncio."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import redis
import redis.asyncio
from redis.exceptions import LockError, LockNotOwnedError

from claims import SOCKET, claim, equal, raises

NEW = int(redis.__version__.split(".")[0]) >= 5  # knows RESP3
PROTOCOLS = (2, 3) if NEW else (2,)
THREADS, ROUNDS = 8, 25
PATIENCE_S = 20

HOLDER = """
import os, sys, redis
r = redis.Redis(unix_socket_path=os.environ["SOCKET"])
assert r.lock("crash", timeout=1).acquire(blocking=False)
print("mine", flush=True)
sys.stdin.read()
"""


def connect(**more):
    return redis.Redis(unix_socket_path=SOCKET, **more)


def until(test, what):
    end = time.monotonic() + PATIENCE_S
    while not test():
        if time.monotonic() > end:
            raise AssertionError(f"gave up waiting for {what}")


def holds_and_gives_back(r):
    r.flushall()
    a, b = r.lock("l", timeout=60), r.lock("l", timeout=60)
    equal(a.acquire(), True)
    equal((a.locked(), a.owned(), b.owned()), (True, True, False))
    equal(b.acquire(blocking=False), False)
    a.release()
    equal(r.exists("l"), 0)
    equal(b.acquire(blocking=False), True)
    b.release()
    with r.lock("l"):
        equal(r.ttl("l"), -1)
    equal(r.exists("l"), 0)


def only_the_owner(r):
    r.flushall()
    a, thief = r.lock("l", timeout=60), r.lock("l", timeout=60)
    equal(a.acquire(), True)
    for what in (thief.release, lambda: thief.extend(10), thief.reacquire):
        thief.local.token = b"not the token"
        raises(LockNotOwnedError, "", what)
    equal(a.owned(), True)
    a.release()
    raises(LockError, "unlocked", a.release)
    raises(LockError, "", lambda: a.extend(1))


def times(r):
    r.flushall()
    a = r.lock("l", timeout=10)
    a.acquire()
    equal(a.extend(20), True)
    equal(29 <= r.pttl("l") / 1000 <= 30, True)
    equal(a.extend(5, replace_ttl=True), True)
    equal(4 <= r.pttl("l") / 1000 <= 5, True)
    equal(a.extend(0.5), True)
    equal(a.reacquire(), True)
    equal(9 <= r.pttl("l") / 1000 <= 10, True)
    a.release()


def lost(r):
    r.flushall()
    a = r.lock("l", timeout=0.02)
    a.acquire()
    until(lambda: r.exists("l") == 0, "the lock's time to be over")
    raises(LockNotOwnedError, "", a.reacquire)
    raises(LockNotOwnedError, "", lambda: a.extend(10))
    raises(LockNotOwnedError, "", a.release)
    a = r.lock("l", timeout=60)
    a.acquire()
    r.set("l", "somebody else's")
    raises(LockNotOwnedError, "", a.release)
    equal(r.get("l"), b"somebody else's")


def blocks(r):
    r.flushall()
    first, second = r.lock("l", timeout=60), r.lock("l", timeout=60, sleep=0.001)
    first.acquire()
    equal(second.acquire(blocking_timeout=0.01), False)
    got = []
    thread = threading.Thread(target=lambda: got.append(second.acquire()))
    thread.start()
    equal(got, [])
    first.release()
    thread.join(PATIENCE_S)
    equal(got, [True])


def excludes(r):
    r.flushall()
    inside, worst, failed = [], [0], []

    def work():
        try:
            for _ in range(ROUNDS):
                with r.lock("l", timeout=60, sleep=0.0005):
                    inside.append(1)
                    worst[0] = max(worst[0], len(inside))
                    r.set("n", int(r.get("n") or 0) + 1)  # not atomic but for the lock
                    inside.pop()
        except Exception as e:  # told by the thread that asks
            failed.append(e)
    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(failed, [])
    equal((worst[0], int(r.get("n"))), (1, THREADS * ROUNDS))


def holder_dies(r):
    r.flushall()
    holder = subprocess.Popen([sys.executable, "-B", "-c", HOLDER], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env=dict(os.environ, SOCKET=SOCKET))
    equal(holder.stdout.readline(), b"mine\n")
    equal(r.lock("crash").acquire(blocking=False), False)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    begun = time.monotonic()
    heir = r.lock("crash", timeout=60, sleep=0.005)
    equal(heir.acquire(blocking_timeout=PATIENCE_S), True)
    equal(time.monotonic() - begun < PATIENCE_S / 2, True)
    heir.release()


def after_a_flush(r):
    """The scripts are loaded once; who forgets them is told them again."""
    a = r.lock("l", timeout=60)
    a.acquire()
    r.script_flush()
    a.release()
    sha = r.script_load(a.lua_release.script)
    equal(sha, a.lua_release.sha)
    equal(r.script_exists(sha, "0" * 40), [True, False])


def refuses_other_scripts(r):
    raises(redis.ResponseError, "doc/compatibility.md", lambda: r.eval("return 1", 0))
    raises(redis.ResponseError, "pannier has no Lua", lambda: r.register_script("return 2")())


def in_a_pipeline(r):
    """Scripts in MULTI: registered ones are loaded before it."""
    r.flushall()
    r.set("l", "t")
    release = r.register_script(r.lock("l").LUA_RELEASE_SCRIPT)
    with r.pipeline(transaction=True) as p:
        p.get("l")
        release(keys=["l"], args=["t"], client=p)
        p.get("l")
        equal(p.execute(), [b"t", 1, None])


async def with_asyncio():
    r = redis.asyncio.Redis(unix_socket_path=SOCKET)
    await r.flushall()
    inside, total = [], [0]

    async def work():
        for _ in range(ROUNDS):
            async with r.lock("l", timeout=60, sleep=0.0005):
                inside.append(1)
                equal(len(inside), 1)
                total[0] += 1
                await r.set("n", int(await r.get("n") or 0) + 1)
                inside.pop()
    await asyncio.gather(*(work() for _ in range(THREADS)))
    equal((total[0], int(await r.get("n"))), (THREADS * ROUNDS, THREADS * ROUNDS))
    lock = r.lock("l", timeout=10)
    equal(await lock.acquire(), True)
    equal((await lock.extend(20), await lock.reacquire()), (True, True))
    await lock.release()
    try:
        await lock.release()
    except LockError:
        pass
    else:
        raise AssertionError("released twice")
    await (r.aclose() if hasattr(r, "aclose") else r.close())


def main():
    version = redis.__version__
    for protocol in PROTOCOLS:
        r = connect(**({"protocol": protocol} if NEW else {}))
        for what in (holds_and_gives_back, only_the_owner, times, lost, blocks, excludes, holder_dies,
                     after_a_flush, in_a_pipeline, refuses_other_scripts):
            name = what.__name__.replace("_", " ")
            claim(f"redis-py {version}, RESP{protocol}, Lock, {name}", lambda: what(r))
        r.close()
    claim(f"redis-py {version}, asyncio Lock", lambda: asyncio.run(with_asyncio()))


main()
