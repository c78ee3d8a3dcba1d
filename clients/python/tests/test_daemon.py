"""Both clients against the real daemon, which $PANNIER names."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading

import pannier
import pytest

BINARY = os.environ.get("PANNIER")
pytestmark = pytest.mark.skipif(not BINARY, reason="PANNIER does not name the daemon")
PATIENCE_S = 60 if os.environ.get("SANITIZER") else 20


class Daemon:
    def __init__(self, folder, config=""):
        self.path = os.path.join(folder, "daemon.sock")
        conf = os.path.join(folder, "pannier.yaml")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(f"listen:\n  - unix: {self.path}\n  - tcp: 127.0.0.1:0\nmemory: 64MiB\nthreads: 2\n{config}")
        self.process = subprocess.Popen([BINARY, "serve", "--config", conf], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "listening on tcp:" in line: # the last one
                self.tcp = line.rpartition("listening on ")[2].strip()
                break
        self.rest = threading.Thread(target=self.process.stderr.read)
        self.rest.start()

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(PATIENCE_S)
        self.rest.join(PATIENCE_S)
        self.process.stderr.close()


@pytest.fixture
def daemon(folder):
    made = []

    def start(config=""):
        made.append(Daemon(folder, config))
        return made[-1]

    yield start
    for d in made:
        d.stop()


@pytest.fixture
def client(daemon):
    with pannier.Client(daemon().path, timeout=PATIENCE_S) as made:
        yield made


def test_values(client):
    assert client.get("k") is None
    assert client.set("k", b"\x00v\xff", 100)
    assert client.get("k") == b"\x00v\xff"
    entry = client.get_entry("k")
    assert entry.status == "hit" and 0 < entry.left <= 100 and entry.token
    assert client.set("k", "other", if_token=entry.token)
    assert not client.set("k", "third", if_token=entry.token)
    assert not client.set("k", "x", if_absent=True) and client.set("k", "y", if_present=True)
    assert client.peek("k").length == 1 and client.peek("none") is None
    assert client.touch("k", 5) and not client.touch("none", 5)
    assert client.delete("k") and not client.delete("k")


def test_large_values(client):
    large = os.urandom(100_000)
    assert client.set("large", large) and client.get("large") == large


def test_counters(client):
    assert client.incr("n") == 1 and client.incr("n", 41) == 42
    assert client.incr("m", 5, initial=10, ttl=60) == 15
    client.set("text", "x")
    with pytest.raises(pannier.ReplyError, match="NOTINT"):
        client.incr("text")


def test_many(client):
    assert client.set_many({f"k{i}": str(i) for i in range(500)}, ttl=60) == {}
    assert client.get_many(["k1", "none", "k499"]) == {"k1": b"1", "k499": b"499"}
    assert client.delete_many(["k1", "k2", "none"]) == 2
    client.flush()
    assert client.get("k3") is None


def test_what_the_daemon_says_of_itself(client):
    assert client.ping() >= 0
    assert client.stats("server")["redis_mode"] == "standalone"


def test_a_lease(client):
    lease = client.lease("k")
    assert isinstance(lease, pannier.Lease)
    assert client.set("k", "v", lease=lease)
    assert client.lease("k").value == b"v"
    other = client.lease("other")
    assert client.release(other) and not client.release(other)


def broken():
    raise OSError("the database is away")


def test_a_stale_value_stands_in_while_the_loader_fails(client):
    assert client.get_or_load("k", lambda: "old", ttl=0.001, grace=600) == "old"
    while client.peek("k") is not None:
        pass # a millisecond
    assert client.get("k") is None
    assert client.get_or_load("k", broken, ttl=60, grace=600) == "old"
    assert client.get_or_load("k", lambda: "new", ttl=60, grace=600) == "new"
    assert client.get_or_load("k", broken, ttl=60) == "new"
    with pytest.raises(OSError, match="the database is away"):
        client.get_or_load("nothing", broken, ttl=60)


def test_tasks_too_get_the_stale_value_while_the_loader_fails(daemon):
    async def main():
        async with pannier.AsyncClient(daemon().path, timeout=PATIENCE_S) as client:
            await client.set("k", pannier.codecs.msgpack[0]("old"), ttl=0.001, grace=600)
            while await client.peek("k") is not None:
                pass
            return await client.get_or_load("k", broken, ttl=60, grace=600)

    assert asyncio.run(main()) == "old"


def test_a_password(daemon, folder):
    secret = os.path.join(folder, "secret")
    with open(secret, "w", opener=lambda p, f: os.open(p, f, 0o600), encoding="ascii") as f:
        f.write("sesame\n")
    path = daemon(f"password_file: {secret}\n").path
    with pytest.raises(pannier.ReplyError, match="NOAUTH"):
        pannier.Client(path).get("k")
    assert pannier.Client(path, password="sesame").get("k") is None


def test_tcp(daemon):
    address = daemon().tcp
    with pannier.Client(address, timeout=PATIENCE_S) as client:
        assert client.set("k", "v" * 100000)

    async def main():
        async with pannier.AsyncClient(address, timeout=PATIENCE_S) as c:
            return await c.get("k")

    assert asyncio.run(main()) == b"v" * 100000


def test_a_thousand_tasks_load_once(daemon):
    path, loads = daemon().path, []

    async def load():
        loads.append(1)
        await asyncio.sleep(0.05)  # what a backend takes
        return "v"

    async def main():
        async with pannier.AsyncClient(path, timeout=PATIENCE_S) as client:
            return await asyncio.gather(*(client.get_or_load("k", load, ttl=60) for _ in range(1000)))

    assert set(asyncio.run(main())) == {"v"} and len(loads) == 1


PROCESS = """
import os, sys, pannier
def load():
    os.write(1, b"loading\\n")
    sys.stdin.readline()
    return "v%d" % os.getpid()
client = pannier.Client(sys.argv[1], timeout=60)
os.write(1, b"ready\\n")
sys.stdin.readline()
value = client.get_or_load("k", load, ttl=60, wait=60)
os.write(1, b"got %s\\n" % value.encode())
"""


class Process:
    """Another process that asks for the same key; it loads when it is told to."""

    def __init__(self, path, seen):
        self.popen = subprocess.Popen([sys.executable, "-c", PROCESS, path], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        assert self.popen.stdout.readline() == "ready\n"
        self.thread = threading.Thread(target=self._hear, args=(seen,))
        self.thread.start()

    def _hear(self, seen):
        for line in self.popen.stdout:
            with seen:
                seen.lines.append((self, line.strip()))
                seen.notify_all()

    def say(self):
        self.popen.stdin.write("go\n")
        self.popen.stdin.flush()

    def close(self):
        with contextlib.suppress(OSError):
            self.popen.stdin.close()
        self.popen.wait(PATIENCE_S)
        self.thread.join(PATIENCE_S)
        self.popen.stdout.close()


class Seen(threading.Condition):
    def __init__(self):
        super().__init__()
        self.lines = []

    def of(self, word):
        return [(p, text) for p, text in self.lines if text.startswith(word)]

    def wait_of(self, word, n):
        with self:
            assert self.wait_for(lambda: len(self.of(word)) >= n, PATIENCE_S), self.lines
            return self.of(word)


@pytest.mark.parametrize("killed", [False, True])
def test_four_processes_load_once_and_who_is_killed_is_replaced(daemon, killed):
    path, seen = daemon("namespaces:\n  - prefix: k\n    lease_time: 60s\n").path, Seen()
    processes = [Process(path, seen) for _ in range(4)]
    stats = pannier.Client(path, timeout=PATIENCE_S)
    try:
        for p in processes:
            p.say()
        (winner, _), = seen.wait_of("loading", 1)
        while stats.stats("clients")["blocked_clients"] < 3:
            pass
        if killed:
            winner.popen.kill()
            winner = seen.wait_of("loading", 2)[1][0]
        winner.say()
        got = seen.wait_of("got", 3 if killed else 4)
        assert {text for _, text in got} == {f"got v{winner.popen.pid}"}
        assert len(seen.of("loading")) == (2 if killed else 1)
    finally:
        for p in processes:
            p.close()
        stats.close()


def test_the_application_goes_on_while_the_daemon_restarts(daemon):
    first = daemon()
    client = pannier.Client(first.path, timeout=PATIENCE_S)
    assert client.get_or_load("k", lambda: 1, ttl=60) == 1
    first.stop(signal.SIGKILL)
    assert client.get_or_load("k", lambda: 2, ttl=60) == 2
    daemon()
    client._pool._backoff.worked()  # or wait for it
    assert client.get_or_load("k", lambda: 3, ttl=60) == 3
    assert client.get_or_load("k", lambda: 4, ttl=60) == 3
    client.close()
