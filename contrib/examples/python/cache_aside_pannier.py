#!/usr/bin/env python3
"""Cache-aside with pannier's own client, which needs no configuration of the daemon.

    pip install pannier                  # or ./clients/python of the source
    cache_aside_pannier.py ID...         prints each user, loading those that are missing

get_or_load() runs the loader once for all who ask, in whatever process of the pod; if that
one dies, the next takes over. Where the sidecar is away it loads directly.
"""

import sys

import pannier

TTL_S = 300
GRACE_S = 3600 # an old name is better than none while the database is broken

# At $PANNIER_SOCKET, or /run/pannier/pannier.sock. The time is for a wait for another's load.
cache = pannier.Client(timeout=5)


def load_user(user):
    """The expensive part: your database."""
    print(f"loading {user}", file=sys.stderr, flush=True)
    return f"name of {user}"


def user_name(user):
    return cache.get_or_load(f"user:{user}", lambda: load_user(user), ttl=TTL_S, grace=GRACE_S)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(user_name(argument))
