"""A herd of everyday cache-aside code, over redis-py: tests/integration/test_stampede.py
starts some such processes, each with a number of threads, each with a client of
its own (single), or all with one, which has a pool of connections (shared).

    stampede.py shared|single CLIENTS FOLDER   prints `ready`, and reads a line that begins it
    -> load PID          the loader runs
    -> got MS VALUE      a client has its value, after so long
In FOLDER whoever loads first of all finds a file `slow`, if there is one: then
that load does not end. This line stands for all that can go wrong."""

import os
import sys
import threading
import time

import redis

SOCKET = os.environ["SOCKET"]
SHARED, CLIENTS, FOLDER = sys.argv[1] == "shared", int(sys.argv[2]), sys.argv[3]
LOAD_S = 0.2


def cached(r, key, load):
    """What every application has somewhere."""
    value = r.get(key)
    if value is None:
        value = load()
        r.set(key, value, ex=300)
    return value


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def load():
    try:
        os.unlink(os.path.join(FOLDER, "slow"))
        slow = True
    except FileNotFoundError:
        slow = False
    say("load", os.getpid())
    time.sleep(3600 if slow else LOAD_S)
    return b"made"


def client(r, start):
    start.wait()
    begun = time.monotonic()
    value = cached(r, "page:front", load)
    say("got", int((time.monotonic() - begun) * 1000), value.decode())


def main():
    start = threading.Event()
    clients = [redis.Redis(unix_socket_path=SOCKET) for _ in range(1 if SHARED else CLIENTS)]
    if SHARED:
        clients *= CLIENTS
    for r in clients:
        r.ping()
    threads = [threading.Thread(target=client, args=(r, start)) for r in clients]
    for t in threads:
        t.start()
    say("ready")
    sys.stdin.readline()
    start.set()
    for t in threads:
        t.join()


main()
