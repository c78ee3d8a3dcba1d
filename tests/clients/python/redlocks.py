"""Locks of other libraries on redis-py: redlock-py and pottery."""

import pottery
import redis
import redlock

from claims import SOCKET, claim, equal


def redlock_py():
    one, two = (redlock.Redlock([{"unix_socket_path": SOCKET}], retry_count=1) for _ in range(2))
    held = one.lock("resource", 10000)
    equal((held.resource, two.lock("resource", 10000)), ("resource", False))
    one.unlock(held)
    held = two.lock("resource", 10000)
    equal(held is not False, True)
    one.unlock(held._replace(key="not the token"))
    equal(one.lock("resource", 10000), False)
    two.unlock(held)


def pottery_redlock():
    r = redis.Redis(unix_socket_path=SOCKET)
    lock = pottery.Redlock(key="printer", masters={r}, auto_release_time=10)
    other = pottery.Redlock(key="printer", masters={r}, auto_release_time=10)
    with lock:
        equal((lock.locked() > 0, other.acquire(blocking=False)), (True, False))
        lock.extend()
    equal((other.acquire(blocking=False), r.exists("redlock:printer")), (True, 1))
    other.release()
    equal(r.exists("redlock:printer"), 0)


claim("redlock-py", redlock_py)
claim("Redlock of pottery", pottery_redlock)
