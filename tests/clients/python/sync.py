"""redis-py, blocking: what its users do. With 4.3 of Debian and the newest."""

import os
import queue
import threading

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from claims import GUARDED, PASSWORD, SOCKET, ask, claim, equal, raises

NEW = int(redis.__version__.split(".")[0]) >= 5  # knows RESP3
PROTOCOLS = (2, 3) if NEW else (2,)
BINARY = bytes(range(256)) * 4


def connect(**more):
    return redis.Redis(unix_socket_path=SOCKET, **more)


def everyday(r):
    r.flushall()
    equal(r.set("k", "v"), True)
    equal(r.get("k"), b"v")
    equal(r.get("gone"), None)
    equal(r.set("k", "w", nx=True), None)
    equal(r.set("k", "w", xx=True, ex=100), True)
    equal(r.ttl("k"), 100)
    equal(r.persist("k"), True)
    equal((r.ttl("k"), r.ttl("gone")), (-1, -2))
    equal(r.set("k", "x", get=True), b"w")
    equal(r.setex("e", 60, "1"), True)
    equal(r.psetex("e", 60000, "1"), True)
    equal(r.mset({"a": 1, "b": 2.5}), True)
    equal(r.msetnx({"a": 1, "z": 2}), False)
    equal(r.mget("a", "b", "gone"), [b"1", b"2.5", None])
    equal(r.mget(["a"]), [b"1"])
    equal((r.incr("n"), r.incr("n", 5), r.decr("n"), r.decrby("n", 2)), (1, 6, 5, 3))
    equal(r.incrbyfloat("n", 0.5), 3.5)
    equal(r.append("k", "yz"), 3)
    equal((r.strlen("k"), r.getrange("k", 0, 1), r.setrange("k", 1, "__")), (3, b"xy", 3))
    equal((r.exists("a", "b", "gone"), "a" in r, r["a"]), (2, True, b"1"))
    equal((r.getdel("a"), r.getex("b", ex=10)), (b"1", b"2.5"))
    equal(r.expire("b", 30), True)
    equal(r.pexpire("b", 3000) and 0 < r.pttl("b") <= 3000, True)
    equal((r.delete("b", "n", "gone"), r.unlink("k")), (2, 1))
    equal(r.type("e"), b"string")
    equal((r.rename("e", "f"), r.randomkey(), r.dbsize()), (True, b"f", 1))
    equal((r.setbit("bits", 7, 1), r.getbit("bits", 7), r.bitcount("bits")), (0, 1, 1))
    equal(r.copy("bits", "more"), True)


def scans(r):
    r.flushall()
    names = {b"user:%d" % i for i in range(1000)}
    r.mset({name: 1 for name in names})
    r.set("other", 1)
    equal(set(r.scan_iter("user:*", count=37)), names)
    equal(set(r.scan_iter("user:*", _type="STRING")), names)
    equal(set(r.keys("user:*")), names)


def pipelines(r):
    r.flushall()
    p = r.pipeline()  # sends MULTI and EXEC
    p.set("a", 1).incr("a").get("a").mget("a", "b").ttl("a")
    equal(p.execute(), [True, 2, b"2", [b"2", None], -1])
    p = r.pipeline(transaction=False)
    for i in range(2000):
        p.set(f"k{i}", i).get(f"k{i}")
    equal(p.execute(), [x for i in range(2000) for x in (True, b"%d" % i)])
    p.set("a", "text").incr("a").get("a")
    said = p.execute(raise_on_error=False)
    equal((said[0], str(said[1]), said[2]),
          (True, "value is not an integer or out of range", b"text"))


def transactions(r):
    r.set("n", 5)

    def double(p):
        n = int(p.get("n"))
        if n == 5:
            r.incr("n")
        p.multi()
        p.set("n", 2 * n)

    equal(r.transaction(double, "n"), [True])
    equal(r.get("n"), b"12")


def binary_and_large(r):
    equal((r.set(BINARY, BINARY), r.get(BINARY)), (True, BINARY))
    equal((r.set("", ""), r.get(""), r.delete("", BINARY)), (True, b"", 2))
    large = os.urandom(1 << 20)
    equal(r.set("large", large), True)
    equal(r.get("large") == large, True)
    equal(r.mget("large", "large") == [large, large], True)


def decodes(protocol):
    r = connect(decode_responses=True, **protocol)
    r.flushall()
    equal((r.set("grüße", "schöne"), r.get("grüße"), r.keys()), (True, "schöne", ["grüße"]))
    equal(list(r.scan_iter()), ["grüße"])
    r.close()


def published(r):
    p = r.pubsub()
    p.subscribe("news")
    p.psubscribe("n*")
    equal([p.get_message(timeout=10)["type"] for _ in range(2)], ["subscribe", "psubscribe"])
    equal(r.publish("news", b"\0hello"), 2)
    got = [p.get_message(timeout=10) for _ in range(2)]
    equal([(m["type"], m["channel"], m["data"]) for m in got],
          [("message", b"news", b"\0hello"), ("pmessage", b"news", b"\0hello")])
    equal((r.pubsub_channels(), r.pubsub_numsub("news"), r.pubsub_numpat()),
          ([b"news"], [(b"news", 1)], 1))
    p.ping("here?")
    equal(p.get_message(timeout=10)["data"], b"here?")
    p.unsubscribe()
    p.punsubscribe()
    equal([p.get_message(timeout=10)["type"] for _ in range(2)], ["unsubscribe", "punsubscribe"])
    p.close()


def listens_in_a_thread(r):
    heard = queue.Queue()
    p = r.pubsub(ignore_subscribe_messages=True)
    p.subscribe(**{"jobs": heard.put})
    thread = p.run_in_thread(sleep_time=0.01, daemon=True)
    while r.publish("jobs", "one") == 0:
        pass
    equal(heard.get(timeout=10)["data"], b"one")
    thread.stop()
    thread.join()


def scripts(r):
    r.script_flush()
    release = r.register_script("if redis.call('get', KEYS[1]) == ARGV[1] then\n"
                                "  return redis.call('del', KEYS[1])\nelse\n  return 0\nend")
    r.set("k", "token")
    equal((release(keys=["k"], args=["other"]), release(keys=["k"], args=["token"])), (0, 1))
    p = r.pipeline()
    p.set("k", "token")
    release(keys=["k"], args=["token"], client=p)
    equal(p.execute(), [True, 1])
    raises(redis.exceptions.ResponseError, "unknown script",
           lambda: r.eval("return redis.call('get', KEYS[1]) .. '!'", 1, "k"))


def refusals(r):
    r.set("text", "x")
    raises(redis.ResponseError, "value is not an integer or out of range", lambda: r.incr("text"))
    raises(redis.ResponseError, "unknown command 'LPUSH', with args beginning with: 'l' 'x'",
           lambda: r.lpush("l", "x"))
    raises(redis.ResponseError, "wrong number of arguments for 'get' command",
           lambda: r.execute_command("GET"))
    raises(redis.ResponseError, "DB index is out of range", lambda: r.execute_command("SELECT", 1))
    equal(r.get("text"), b"x")  # the connection is as good as before


def password(more):
    for how in ({}, {"password": "x"}):
        r = redis.Redis(unix_socket_path=GUARDED, retry=Retry(NoBackoff(), 0), **how, **more)
        # The old one knows WRONGPASS as an error like others.
        raises(redis.AuthenticationError if NEW else redis.RedisError, "", r.ping)
        r.close()
    for how in ({}, {"username": "default"}):
        r = redis.Redis(unix_socket_path=GUARDED, password=PASSWORD, **how, **more)
        equal((r.ping(), r.set("k", "v"), r.get("k")), (True, True, b"v"))
        r.close()


def tells(r, name):
    equal((r.ping(), r.set("counter", 7), r.object("encoding", "counter")), (True, True, b"int"))
    info = r.info()
    equal((info["redis_version"][:2], info["loading"]), ("7.", 0))
    equal(r.info("keyspace")["db0"]["keys"], r.dbsize())
    mine = r.client_list()[-1]
    equal((mine["name"], mine["resp"] if NEW else "2"), (name, mine.get("resp", "2")))
    if NEW:
        equal((mine["lib-name"], mine["lib-ver"]), ("redis-py", redis.__version__))
    equal(r.client_getname() in (name, name.encode()) and r.client_id() > 0, True)
    equal(r.config_get("maxmemory-policy"), {"maxmemory-policy": "allkeys-lru"})
    equal((r.echo("x"), len(r.time())), (b"x", 2))
    equal("get" in r.command(), True)


def fifty_at_once():
    r = connect(max_connections=50)
    r.delete("n")
    gate, wrong = threading.Barrier(50), []

    def work(i):
        mine = connect(single_connection_client=True)
        gate.wait()
        for j in range(20):
            r.incr("n")
            mine.set(f"own:{i}", j)
            if mine.get(f"own:{i}") != b"%d" % j:
                wrong.append(i)
        mine.close()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(50)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal((r.get("n"), wrong), (b"1000", []))
    r.close()


def comes_back():
    r = connect(retry=Retry(NoBackoff(), 1))
    r.set("k", "v")
    ask("stop")
    raises(redis.ConnectionError, "", lambda: r.get("k"))
    ask("start")
    equal(r.get("k"), None)  # a cache starts empty
    equal((r.set("k", "w"), r.get("k")), (True, b"w"))
    again = connect(retry_on_error=[redis.ConnectionError])  # in its own time
    again.ping()
    ask("restart")
    equal(again.get("k"), None)
    again.close()
    r.close()


def main():
    for version in PROTOCOLS:
        name, more = f"RESP{version}, ", {"protocol": version} if NEW else {}
        r = connect(client_name="claims", **more)
        claim(name + "it says who it is and asks who we are", lambda r=r: tells(r, "claims"))
        claim(name + "everyday commands", lambda r=r: everyday(r))
        claim(name + "scan_iter gives every key", lambda r=r: scans(r))
        claim(name + "pipelines, with and without MULTI", lambda r=r: pipelines(r))
        claim(name + "WATCH, tried again", lambda r=r: transactions(r))
        claim(name + "binary and large values", lambda r=r: binary_and_large(r))
        claim(name + "decode_responses", lambda m=more: decodes(m))
        claim(name + "publish and subscribe", lambda r=r: published(r))
        claim(name + "a thread that listens", lambda r=r: listens_in_a_thread(r))
        claim(name + "scripts that are known run, others are refused", lambda r=r: scripts(r))
        claim(name + "errors are its exceptions", lambda r=r: refusals(r))
        claim(name + "a password is asked for", lambda m=more: password(m))
        r.close()
    claim("fifty connections at once", fifty_at_once)
    claim("it comes back when the daemon does", comes_back)


main()
