#!/usr/bin/env python3
"""Cache-aside with redis-py, as one has always written it.

    apt-get install python3-redis
    cache_aside_redis.py ID...           prints each user, loading those that are missing

What is different is the namespace in pannier.yaml:

    namespaces:
      - prefix: "user:"
        coalesce: lease

The first GET that misses gets None and loads; others who miss meanwhile, in any process
of the pod, wait inside of their GET until the SET has come. Not a line of this is for that.
"""

import os
import sys

import redis

SOCKET = os.environ.get("PANNIER_SOCKET", "/run/pannier/pannier.sock")
TTL_S = 300

# A sidecar answers in microseconds. What takes longer is a wait for another's load.
cache = redis.Redis(unix_socket_path=SOCKET, socket_timeout=5, socket_connect_timeout=1)


def load_user(user):
    """The expensive part: your database."""
    print(f"loading {user}", file=sys.stderr, flush=True)
    return f"name of {user}".encode()


def user_name(user):
    key = f"user:{user}"
    try:
        value = cache.get(key)
        if value is None:
            value = load_user(user)
            cache.set(key, value, ex=TTL_S)
    except redis.RedisError as e:
        # A cache must not take the application down.
        print(f"without the cache: {e}", file=sys.stderr)
        value = load_user(user)
    return value.decode()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(user_name(argument))
