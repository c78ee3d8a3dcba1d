"""Both clients against a scripted server: what they do when things go wrong."""

import asyncio
import contextlib
import os
import socket
import threading
import time

import pannier
import pytest
import scripted
import vectors
from pannier import _common, wire
from pannier._numbers import OPS

NAMES = {number: name for name, number in OPS.items()}


class Blocking:
    """The asynchronous client, called like the other one."""

    def __init__(self, *args, **kwargs):
        self.loop = asyncio.new_event_loop()
        self.client = pannier.AsyncClient(*args, **kwargs)

    def __getattr__(self, name):
        method = getattr(self.client, name)
        return lambda *args, **kwargs: self.loop.run_until_complete(method(*args, **kwargs))

    def close(self):
        self.loop.run_until_complete(self.client.close())
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


@pytest.fixture(params=[pannier.Client, Blocking], ids=["blocking", "asyncio"])
def connect(request):
    made = []

    def start(*args, **kwargs):
        made.append(request.param(*args, **kwargs))
        return made[-1]

    yield start
    for client in made:
        client.close()


def hit(sock, op, request_id, args):
    scripted.reply(sock, request_id, 0, args[0])


def test_a_value_comes_back(serve, connect):
    assert connect(serve(hit).path).get("k") == b"k"


def test_nobody_there_fails_at_once_and_is_not_asked_again_and_again(folder, connect):
    client = connect(os.path.join(folder, "nobody"))
    with pytest.raises(pannier.Unavailable, match="no connection"):
        client.get("k")
    with pytest.raises(pannier.Unavailable, match="a moment ago"):
        client.get("k")


def test_get_or_load_loads_directly_where_nobody_is_there(folder, connect):
    noted = []
    client = connect(os.path.join(folder, "nobody"),
                     metrics=lambda op, status, seconds: noted.append((op, status)))
    assert client.get_or_load("k", lambda: {"a": 1}, ttl=5) == {"a": 1}
    assert ("load", "direct") in noted and ("LEASE", "unavailable") in noted


def test_a_server_that_is_no_pannier_is_named(serve, connect):
    client = connect(serve(hit, preface=b"-ERR max number of clients reached\r\n").path)
    with pytest.raises(pannier.ProtocolError, match="max number of clients"):
        client.get("k")


def test_a_silent_server_is_given_up_in_time(serve, connect):
    client = connect(serve(hit, preface=b"").path, connect_timeout=0.05)
    begun = time.monotonic()
    with pytest.raises(pannier.Unavailable):
        client.get("k")
    assert time.monotonic() - begun < 5


def test_a_call_without_an_answer_ends_in_time_and_the_next_one_works(serve, connect):
    def answer(sock, op, request_id, args):
        if args and args[0] == b"slow":
            return
        if NAMES[op] == "CANCEL":
            scripted.reply(sock, args[0], 15, "CANCELLED", "as you like")
            scripted.reply(sock, request_id, 9)
        else:
            hit(sock, op, request_id, args)

    client = connect(serve(answer).path)
    with pytest.raises(pannier.Timeout):
        client.get("slow", timeout=0.05)
    assert client.get("k") == b"k"


def test_errors_have_a_code_and_leave_the_connection(serve, connect):
    def answer(sock, op, request_id, args):
        if args[0] == b"bad":
            scripted.reply(sock, request_id, 15, "ORIGIN", "it is away")
        else:
            hit(sock, op, request_id, args)

    server = serve(answer)
    client = connect(server.path)
    with pytest.raises(pannier.ReplyError, match="it is away") as e:
        client.get("bad")
    assert e.value.code == "ORIGIN"
    assert client.get("k") == b"k"
    assert len(server.connections) == 1


def test_a_daemon_that_restarted_is_found_again(serve, connect):
    server = serve(hit)
    client = connect(server.path)
    assert client.get("k") == b"k"
    server.drop_all()
    assert client.get("k") == b"k"


def test_what_must_not_be_sent_twice_is_not(serve, connect):
    def answer(sock, op, request_id, args):
        if NAMES[op] == "INCR":
            sock.shutdown(socket.SHUT_RDWR)
        else:
            hit(sock, op, request_id, args)

    server = serve(answer)
    client = connect(server.path)
    assert client.get("k") == b"k"
    with pytest.raises(pannier.Unavailable):
        client.incr("n")
    assert sum(NAMES[r[0]] == "INCR" for r in server.requests) == 1


@pytest.mark.parametrize("case", [v for f, v in vectors.load() if f == "client" and not v.get("raw")
                                  and v["steps"][0].get("client") and
                                  v["steps"][0]["request"]["op"] in ("GET", "GET_MANY")],
                         ids=lambda v: v["name"])
def test_violations_of_the_server(serve, connect, case):
    step = case["steps"][0]
    data = vectors.wire_bytes(step["receive"])

    def answer(sock, op, request_id, args):
        # The vector's id is 1; so is the client's first.
        sock.sendall(data)
        if step["client"] == "closes":
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)

    client = connect(serve(answer).path)
    ask = (lambda: client.get("k")) if step["request"]["op"] == "GET" else \
        (lambda: client.get_many(["a", "b"]))
    if step["client"] == "answers":
        assert ask() == vectors.meaning(step["reply"])["value"]
    elif step["client"] == "fails":
        with pytest.raises((pannier.ReplyError, pannier.UnexpectedReply)):
            ask()
    elif case["name"] == "same_reply_twice":
        ask()  # the second is of no concern to the caller; the connection is closed
    else:
        with pytest.raises(pannier.Unavailable):
            ask()


class Leases:
    """One key, whose lease the first one gets."""

    def __init__(self, stale=None, first=(8, b"t")):
        self.stale, self.first, self.seen = stale, first, []

    def __call__(self, sock, op, request_id, args):
        name = NAMES[op]
        self.seen.append((name, *args))
        if name == "LEASE":
            scripted.reply(sock, request_id, *self.first, *([self.stale] if self.stale else []))
        elif name == "SET":
            scripted.reply(sock, request_id, 6)
        else:
            scripted.reply(sock, request_id, 9)


def test_a_lease_is_redeemed_with_its_token(serve, connect):
    leases = Leases()
    client = connect(serve(leases).path)
    assert client.get_or_load("k", lambda: "v", ttl=1.5, grace=3) == "v"
    assert leases.seen[-1] == ("SET", b"k", b"\xa1v", 1500, {3: 3000, 8: b"t"})


def test_a_failed_load_gives_the_lease_back(serve, connect):
    leases = Leases()
    client = connect(serve(leases).path)
    with pytest.raises(ZeroDivisionError):
        client.get_or_load("k", lambda: 1 / 0, ttl=1)
    assert leases.seen[-1] == ("RELEASE", b"k", b"t")


def test_a_value_that_cannot_be_encoded_gives_the_lease_back(serve, connect):
    leases = Leases()
    client = connect(serve(leases).path)
    with pytest.raises(TypeError):
        client.get_or_load("k", object, ttl=1)
    assert leases.seen[-1][0] == "RELEASE"


def test_a_stale_value_stands_in_for_a_failed_load(serve, connect):
    leases = Leases(stale=b"\xa3old")
    client = connect(serve(leases).path)
    assert client.get_or_load("k", lambda: 1 / 0, ttl=1) == "old"
    assert leases.seen[-1][0] == "RELEASE"


def test_without_a_lease_it_is_loaded_and_stored(serve, connect):
    leases = Leases(first=(5,))
    client = connect(serve(leases).path)
    assert client.get_or_load("k", lambda: 7) == 7
    assert leases.seen[-1] == ("SET", b"k", b"\x07", None)


def test_what_cannot_be_decoded_is_loaded_anew(serve, connect):
    leases = Leases(first=(0, b"\xc1"))
    client = connect(serve(leases).path)
    assert client.get_or_load("k", lambda: 7) == 7


def test_cached_functions(serve, connect):
    leases = Leases(first=(5,))
    use = connect(serve(leases).path)
    calls = []

    if isinstance(use, Blocking):
        @pannier.cached(ttl=60, client=use.client)
        async def double(n, *, plus=0):
            calls.append(n)
            return 2 * n + plus

        call = lambda *a, **k: use.loop.run_until_complete(double(*a, **k))
        forget = lambda *a: use.loop.run_until_complete(double.invalidate(*a))
    else:
        @pannier.cached(ttl=60, client=use)
        def double(n, *, plus=0):
            calls.append(n)
            return 2 * n + plus

        call, forget = double, double.invalidate
    assert call(4) == 8 and call(4, plus=1) == 9 and calls == [4, 4]
    keys = [key for name, key, *_ in leases.seen if name == "LEASE"]
    assert keys == [double.key(4), double.key(4, plus=1)] and keys[0] != keys[1]
    assert forget(4) is True and leases.seen[-1] == ("DELETE", double.key(4))
    with pytest.raises(TypeError, match="no key can be made"):
        call(object())


def test_passwords_are_sent_first(serve, connect):
    def answer(sock, op, request_id, args):
        if NAMES[op] == "AUTH" and args[0] != b"secret":
            scripted.reply(sock, request_id, 15, "WRONGPASS", "no")
        elif NAMES[op] == "AUTH":
            scripted.reply(sock, request_id, 9)
        else:
            hit(sock, op, request_id, args)

    server = serve(answer)
    assert connect(server.path, password="secret").get("k") == b"k"
    with pytest.raises(pannier.ReplyError, match="WRONGPASS"):
        connect(server.path, password="other").get("k")


def test_threads_use_connections_of_their_own(serve):
    barrier = threading.Barrier(4)

    def answer(sock, op, request_id, args):
        barrier.wait(10)  # all four are under way at once
        hit(sock, op, request_id, args)

    server = serve(answer)
    client = pannier.Client(server.path, timeout=10)
    got = []
    threads = [threading.Thread(target=lambda i=i: got.append(client.get(f"k{i}"))) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(got) == [b"k0", b"k1", b"k2", b"k3"]
    client.close()


def test_more_callers_than_connections_wait_for_their_turn(serve):
    let_go = threading.Event()

    def answer(sock, op, request_id, args):
        let_go.wait(10)
        hit(sock, op, request_id, args)

    client = pannier.Client(serve(answer).path, max_connections=1, timeout=10)
    first = threading.Thread(target=client.get, args=("k",))
    first.start()
    while not client._pool._room._value == 0:
        pass
    with pytest.raises(pannier.Timeout, match="busy"):
        client.get("k", timeout=0.01)
    let_go.set()
    first.join()
    assert client.get("k") == b"k"
    client.close()


def test_a_child_has_connections_of_its_own(serve):
    server = serve(hit)
    client = pannier.Client(server.path)
    assert client.get("k") == b"k"
    pid = os.fork()
    if pid == 0:
        os._exit(0 if client.get("k") == b"k" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert client.get("k") == b"k"
    assert len(server.connections) == 2
    client.close()


def test_tasks_share_a_connection_and_answers_find_their_request(serve, run):
    held = []

    def answer(sock, op, request_id, args):
        held.append((request_id, args[0]))
        if len(held) == 3:
            for i, key in reversed(held):
                scripted.reply(sock, i, 0, key)

    server = serve(answer)

    async def main():
        async with pannier.AsyncClient(server.path) as client:
            return await asyncio.gather(*(client.get(f"k{i}") for i in range(3)))

    assert run(main()) == [b"k0", b"k1", b"k2"]
    assert len(server.connections) == 1


def test_a_cancelled_task_cancels_its_request(serve, run):
    asked = threading.Event()
    cancelled = threading.Event()

    def answer(sock, op, request_id, args):
        if NAMES[op] == "CANCEL":
            scripted.reply(sock, args[0], 15, "CANCELLED", "as you like")
            scripted.reply(sock, request_id, 9)
            cancelled.set()
        elif args[0] == b"slow":
            asked.set()
        else:
            hit(sock, op, request_id, args)

    async def main(path):
        async with pannier.AsyncClient(path) as client:
            task = asyncio.create_task(client.get("slow"))
            await asyncio.to_thread(asked.wait, 10)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await asyncio.to_thread(cancelled.wait, 10)
            return await client.get("k")

    assert run(main(serve(answer).path)) == b"k"


def test_backoff_grows_and_is_forgotten():
    now = [0.0]
    b = _common.Backoff(clock=lambda: now[0], chance=lambda: 1.0)
    waits = []
    for _ in range(8):
        b.failed()
        begun = now[0]
        while not b.may_try():
            now[0] += 0.01
        waits.append(round(now[0] - begun, 2))
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(_common.BACKOFF_FIRST_S, abs=0.02)
    assert waits[-1] == pytest.approx(_common.BACKOFF_MOST_S, abs=0.02)
    b.worked()
    assert b.may_try()


@pytest.mark.parametrize("address", ["", "tcp:localhost", "http://x", "x"])
def test_addresses_that_are_none(address, monkeypatch):
    monkeypatch.setenv("PANNIER_SOCKET", "nothing")
    with pytest.raises(ValueError, match="is meant"):
        pannier.Client(address)


@pytest.mark.parametrize("ttl", [0, -1, -0.001])
def test_times_that_are_none(ttl, serve):
    client = pannier.Client(serve(hit).path)
    with pytest.raises(ValueError, match="above 0"):
        client.set("k", "v", ttl)


def test_ids_are_short_and_never_used_twice_at_a_time():
    w = wire.Wire()
    w.server = wire.Server(1, {})
    ids = [w.request("GET", [b"k"])[0] for _ in range(300)]
    assert len(set(ids)) == 300
    w.waiting.clear()
    assert all(w.request("PING")[0] <= 127 or w.waiting.clear() for _ in range(5))
