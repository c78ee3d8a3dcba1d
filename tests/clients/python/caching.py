"""Client-side caching of redis-py: what it has read stays with it, until it changes."""

import time

import redis
from redis.cache import CacheConfig

from claims import SOCKET, claim, equal


def gets(r):
    """How many GET the daemon has served."""
    return r.info("commandstats").get("cmdstat_get", {}).get("calls", 0)


def until(test):
    end = time.monotonic() + 20
    while not test():
        if time.monotonic() > end:
            raise AssertionError("gave up waiting")


def cached(r, other, key, value):
    """A first read, then as many as one likes, of which the daemon hears nothing."""
    until(lambda: r.get(key) == value)
    before = gets(other)
    equal([r.get(key) for _ in range(100)], [value] * 100)
    equal(gets(other), before)


def keeps_until_it_changes(r, other):
    other.flushall()
    other.set("k", "1")
    cached(r, other, "k", b"1")
    other.incr("k")
    cached(r, other, "k", b"2")
    other.delete("k")
    until(lambda: r.get("k") is None)
    other.set("k", "3", px=50)
    r.get("k")
    until(lambda: r.get("k") is None)  # its time is over
    other.mset({"a": 1, "b": 2})
    cached(r, other, "a", b"1")
    other.flushall()
    until(lambda: r.get("a") is None)


def forgets_with_the_connection(r, other):
    other.set("k", "1")
    cached(r, other, "k", b"1")
    equal(other.client_kill_filter(_type="normal", skipme=True), 1)
    other.set("k", "2")
    cached(r, other, "k", b"2")


def main():
    other = redis.Redis(unix_socket_path=SOCKET)
    other.config_set("redis_version", "7.4.0")  # it asks for no older one
    # Its caching connections have a host and a port, or fail: not on a Unix socket.
    r = redis.Redis(host="127.0.0.1", port=other.info("server")["tcp_port"], protocol=3,
                    cache_config=CacheConfig())
    claim("a cache of its own is true", lambda: keeps_until_it_changes(r, other))
    claim("a cache of its own ends with the connection", lambda: forgets_with_the_connection(r, other))


main()
