#!/usr/bin/env python3
"""One process takes the place of another under load: no request is lost or answered
twice, no connection refused, and everything is still there."""

import array
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import unittest

import harness
from harness import Client, ReplyError, encode

BUSY_S = 4 # of each step, on a machine that does other things as well

READ_THROUGH = """
namespaces:
  - prefix: "user:"
    origin: users
    path: /users/{{rest}}
origins:
  users:
    http:
      endpoints: ["{url}"]
    deadline: 30s
"""


class Case(harness.Case):
    def setUp(self):
        self.home = self.folder()
        self.socket = os.path.join(self.home, "handover.sock")

    def config(self, more=""):
        timeout = "" if "handover_timeout" in more else "handover_timeout: 60s\n"
        return f"threads: 2\nhandover: {self.socket}\n{timeout}{more}"

    def first(self, more="", **kinds):
        return self.daemon(self.config(more), folder=self.home, **kinds)

    def successor(self, more="", **kinds):
        """Begins to take over."""
        return self.daemon(self.config(more), folder=self.home, args=["--takeover"],
                           stopped=True, **kinds).launch()

    def hand_over(self, old, more="", **kinds):
        new = self.successor(more, **kinds)
        self.assertEqual(old.wait(), 0, new.text())
        new.wait_log("took over from process")
        return new

    def client(self, d):
        c = d.client()
        self.addCleanup(c.close)
        return c


class Worker(threading.Thread):
    """A client that never waits for long: INCRs and GETs in pipelines."""

    def __init__(self, path, number, keys):
        super().__init__(daemon=True)
        self.path, self.number, self.keys = path, number, keys
        self.counted = self.requests = self.misses = 0
        self.stop, self.trouble = threading.Event(), None

    def run(self):
        try:
            c = Client(self.path)
            batch = [("INCR", f"count:{self.number}")]
            batch += [("GET", f"key:{(self.number * 7 + i) % self.keys}") for i in range(19)]
            data = b"".join(encode(*x) for x in batch)
            while not self.stop.is_set():
                c.raw(data)
                values = [c.value() for _ in batch]
                self.counted += 1
                if values[0] != self.counted:
                    raise AssertionError(f"INCR number {self.counted} said {values[0]!r}")
                self.misses += sum(v is None for v in values)
                self.requests += len(batch)
            c.close()
        except Exception as e: # pylint: disable=broad-except
            self.trouble = e


class Knocker(threading.Thread):
    """Connects, asks once, goes; again and again."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.stop, self.trouble, self.times = path, threading.Event(), None, 0

    def run(self):
        try:
            while not self.stop.is_set():
                c = Client(self.path)
                assert c("PING") == "PONG"
                c.close()
                self.times += 1
        except Exception as e: # pylint: disable=broad-except
            self.trouble = e


class UnderLoad(Case):
    def test_five_hand_overs_lose_no_request_and_refuse_no_client(self):
        old = self.first()
        c = self.client(old)
        for i in range(1000):
            c("SET", f"key:{i}", "v" * 100)
        workers = [Worker(old.path, n, 1000) for n in range(4)] + [Knocker(old.path)]
        for w in workers:
            w.start()
        for _ in range(5):
            before = [w.requests for w in workers[:4]]
            old = self.hand_over(old)
            harness.wait_until(lambda b=before: all(
                w.requests > n or w.trouble for w, n in zip(workers, b)), "requests")
        for w in workers:
            w.stop.set()
            w.join(harness.PATIENCE_S)
            self.assertIsNone(w.trouble)
        for w in workers[:4]:
            self.assertEqual(c("GET", f"count:{w.number}"), str(w.counted).encode())
            self.assertEqual(w.misses, 0)
        self.assertGreater(workers[4].times, 0)

    def test_the_binary_protocol_goes_on_too(self):
        old = self.first()
        bench = subprocess.Popen(
            [harness.BINARY, "bench", "--socket", old.path, "--protocol", "binary", "--clients",
             "4", "--pipeline", "8", "--keyspace", "1000", "--seconds", "2", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(bench.kill)
        harness.wait_until(lambda: int(old.info()["total_commands_processed"]) > 1000, "load")
        for _ in range(3):
            old = self.hand_over(old)
        out, _ = bench.communicate(timeout=harness.PATIENCE_S)
        self.assertEqual(bench.returncode, 0, out)
        self.assertRegex(out, r'"errors": *0\b')


class Contents(Case):
    def test_everything_is_there_with_its_time_and_nothing_is_counted_twice(self):
        old = self.first("namespaces:\n  - prefix: \"user:\"\n")
        c = self.client(old)
        c("SET", "user:1", "ann", "PX", "500000")
        c("SET", "large", b"x" * 300000)
        for i in range(500):
            c("SET", f"k{i}", i)
        c("DEL", "k0")
        new = self.hand_over(old, "namespaces:\n  - prefix: \"user:\"\n")
        self.assertEqual(c("GET", "user:1"), b"ann")
        self.assertTrue(0 < c("PTTL", "user:1") <= 500000)
        self.assertEqual(c("GET", "large"), b"x" * 300000)
        self.assertEqual(c("DBSIZE"), 501)
        self.assertIsNone(c("GET", "k0"))
        c("FLUSHALL")
        self.assertEqual(c("DBSIZE"), 0)
        self.assertEqual(new.stop(), 0)

    def test_another_eviction_takes_the_clients_without_contents_and_says_so(self):
        old = self.first()
        c = self.client(old)
        c("SET", "k", "v")
        new = self.hand_over(old, "eviction: tinylfu\n")
        self.assertIsNone(c("GET", "k"))
        self.assertEqual(c("SET", "k", "v"), "OK")
        self.assertIn("without contents: eviction is another one", new.text())

    def test_with_memory_of_a_namespaces_own_the_clients_go_along_alone(self):
        quota = "namespaces:\n  - prefix: \"a:\"\n    max_memory: 8MiB\n"
        for before, after in ((quota, ""), ("", quota)):
            with self.subTest(before):
                old = self.first(before)
                c = self.client(old)
                c("SET", "a:1", "v")
                new = self.hand_over(old, after)
                self.assertIsNone(c("GET", "a:1"))
                self.assertIn("without contents: namespaces have min_memory", new.text())
                self.assertEqual(new.stop(), 0)

    def test_each_policy_goes_along(self):
        for policy in ("s3fifo", "tinylfu"):
            with self.subTest(policy):
                old = self.first(f"eviction: {policy}\n")
                c = self.client(old)
                c("SET", "k", "v")
                new = self.hand_over(old, f"eviction: {policy}\n")
                self.assertEqual(c("GET", "k"), b"v")
                self.assertEqual(new.stop(), 0)

    def test_other_namespaces_and_less_memory_are_followed(self):
        old = self.first("memory: 64MiB\n")
        c = self.client(old)
        for i in range(200):
            c("SET", f"a:{i}", "x" * 100000)
        c("SET", "b:1", "v")
        new = self.hand_over(
            old, "memory: 32MiB\nnamespaces:\n  - prefix: \"a:\"\n  - prefix: \"b:\"\n")
        self.assertEqual(c("GET", "b:1"), b"v")
        harness.wait_until(lambda: int(new.info()["used_memory"]) < 32 << 20, "less memory")
        self.assertEqual(c("GET", "b:1"), b"v")


class Clients(Case):
    def test_what_a_client_is_stays(self):
        old = self.first()
        c = self.client(old)
        c("HELLO", "3", "SETNAME", "ann")
        number = c("CLIENT", "ID")
        c("CLIENT", "SETINFO", "LIB-NAME", "lib")
        c("CLIENT", "NO-TOUCH", "on")
        self.hand_over(old)
        self.assertEqual(c("CLIENT", "ID"), number)
        info = c("CLIENT", "INFO").decode()
        for part in ("name=ann", "resp=3", "lib-name=lib"):
            self.assertIn(part, info)
        other = Client(old.path)
        self.addCleanup(other.close)
        self.assertGreater(other("CLIENT", "ID"), number)

    def test_half_a_request_and_half_a_reply_are_made_whole(self):
        old = self.first("output_limit: 64MiB\nmemory: 128MiB\nbuffers_limit: 32MiB\n")
        c, slow = self.client(old), self.client(old)
        value = os.urandom(400000)
        c("SET", "k", value)
        data = encode("SET", "whole", b"y" * 5000)
        c.raw(data[:2000])
        c.all_taken()
        slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(8):
            slow.send("GET", "k")
        slow.all_taken()
        self.hand_over(old, "output_limit: 64MiB\nmemory: 128MiB\nbuffers_limit: 32MiB\n")
        c.raw(data[2000:])
        self.assertEqual(c.reply(), "OK")
        self.assertEqual(c("STRLEN", "whole"), 5000)
        for _ in range(8):
            self.assertEqual(slow.reply(), value)

    def test_transactions_and_watches_go_on(self):
        old = self.first()
        queued, same, changed, other = (self.client(old) for _ in range(4))
        queued("MULTI")
        self.assertEqual(queued("SET", "a", "1"), "QUEUED")
        self.assertEqual(queued("INCR", "a"), "QUEUED")
        other("SET", "w", "1")
        same("WATCH", "w")
        changed("WATCH", "w2")
        other("SET", "w2", "1")
        late = self.client(old)
        late("WATCH", "w3")
        self.hand_over(old)
        self.assertEqual(queued("EXEC"), ["OK", 2])
        other("SET", "w3", "1")
        for c, want in ((same, ["PONG"]), (changed, None), (late, None)):
            c("MULTI")
            c("PING")
            self.assertEqual(c("EXEC"), want)

    def test_subscribers_hear_what_is_published_afterwards(self):
        old = self.first()
        sub, other = self.client(old), self.client(old)
        self.assertEqual(sub("SUBSCRIBE", "news"), [b"subscribe", b"news", 1])
        self.assertEqual(sub("PSUBSCRIBE", "n*"), [b"psubscribe", b"n*", 2])
        self.hand_over(old)
        self.assertEqual(other("PUBLISH", "news", "hi"), 2)
        self.assertEqual(sub.reply(), [b"message", b"news", b"hi"])
        self.assertEqual(sub.reply(), [b"pmessage", b"n*", b"news", b"hi"])

    def test_clients_that_keep_values_are_told_that_all_may_have_changed(self):
        old = self.first()
        keeps, bcast, other = self.client(old), self.client(old), self.client(old)
        keeps("HELLO", "3")
        bcast("HELLO", "3")
        keeps("CLIENT", "TRACKING", "ON")
        bcast("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "a:", "PREFIX", "b:")
        keeps("GET", "k")
        self.hand_over(old)
        self.assertEqual(keeps.value(), [b"invalidate", None])
        self.assertEqual(bcast.value(), [b"invalidate", None])
        keeps("GET", "k")
        other("SET", "k", "v")
        self.assertEqual(keeps.value(), [b"invalidate", [b"k"]])
        other("SET", "b:1", "v")
        self.assertEqual(bcast.value(), [b"invalidate", [b"b:1"]])

    def test_passwords_pauses_and_quiet_clients_stay_as_they_are(self):
        env = {"PANNIER_PASSWORD": "secret"}
        old = self.daemon(self.config(), folder=self.home, env=env, stopped=True).launch()
        old.wait_log("listening on")
        known, stranger, quiet = (self.client(old) for _ in range(3))
        for c in (known, quiet):
            self.assertEqual(c("AUTH", "secret"), "OK")
        self.assertIn("NOAUTH", stranger.error("GET", "k"))
        quiet.send("CLIENT", "REPLY", "OFF")
        quiet.send("SET", "k", "v")
        harness.wait_until(lambda: known("GET", "k") == b"v", "the quiet one")
        self.hand_over(old, env=env)
        self.assertEqual(known("GET", "k"), b"v")
        self.assertIn("NOAUTH", stranger.error("GET", "k"))
        quiet.send("SET", "k", "w")
        quiet.send("CLIENT", "REPLY", "ON")
        self.assertEqual(quiet.reply(), "OK")
        self.assertEqual(known("GET", "k"), b"w")

    def test_a_client_pause_goes_on(self):
        old = self.first()
        c, other = self.client(old), self.client(old)
        self.assertEqual(c("CLIENT", "PAUSE", "100000", "WRITE"), "OK")
        other.send("SET", "k", "v")
        other.all_taken()
        new = self.hand_over(old)
        self.assertIsNone(c("GET", "k"))
        self.assertEqual(c("CLIENT", "UNPAUSE"), "OK")
        self.assertEqual(other.reply(), "OK")
        self.assertEqual(new.stop(), 0)

    def test_a_listener_that_is_no_more_closes_its_clients_alone(self):
        extra = os.path.join(self.home, "extra")
        both = f"listen:\n  - unix: {os.path.join(self.home, 'pannier.sock')}\n  - unix: {extra}\n"
        old = self.first(both)
        stays, goes = self.client(old), Client(extra)
        self.addCleanup(goes.close)
        goes("PING")
        new = self.hand_over(old)
        self.assertEqual(goes.until_closed(), b"")
        self.assertEqual(stays("PING"), "PONG")
        self.assertFalse(os.path.exists(extra))
        new.wait_log("1 clients were on listeners that are no more")


class UnderWay(Case):
    def test_a_fetch_is_answered_first_and_nothing_new_begins(self):
        o = self.origin()
        gate = o.hold("/users/1", b"ann")
        o.on("/users/2", b"bob")
        config = READ_THROUGH.format(url=o.url) + "handover_timeout: 60s\n"
        old = self.first(config)
        waits, other = self.client(old), self.client(old)
        waits.send("GET", "user:1")
        o.wait_requests(1)
        new = self.successor(config)
        new.wait_log("listening on")
        other.send("GET", "user:2")
        gate.open()
        self.assertEqual(waits.reply(), b"ann")
        self.assertEqual(other.reply(), b"bob")
        self.assertEqual(old.wait(), 0)
        self.assertEqual(waits("GET", "user:1"), b"ann")
        self.assertEqual(o.count("/users/1"), 1)

    def test_a_fetch_that_takes_too_long_ends_the_hand_over_and_not_the_service(self):
        o = self.origin()
        gate = o.hold("/users/1", b"ann")
        config = READ_THROUGH.format(url=o.url) + "handover_timeout: 50ms\n"
        old = self.first(config)
        waits, other = self.client(old), self.client(old)
        waits.send("GET", "user:1")
        o.wait_requests(1)
        new = self.successor(config)
        self.assertEqual(new.wait(), 69)
        self.assertRegex(new.text(), r"process \d+ goes on: .*(handover_timeout|takes too long)")
        self.assertEqual(other("SET", "k", "v"), "OK")
        gate.open()
        self.assertEqual(waits.reply(), b"ann")
        self.hand_over(old, READ_THROUGH.format(url=o.url))
        self.assertEqual(other("GET", "k"), b"v")

    def test_who_waits_for_a_lease_is_let_go(self):
        config = "namespaces:\n  - prefix: \"l:\"\n    coalesce: lease\n"
        old = self.first(config)
        holds, waits, more = (self.client(old) for _ in range(3))
        self.assertIsNone(holds("GET", "l:1"))
        waits.send("GET", "l:1")
        more.send("GET", "l:1")
        waits.all_taken()
        more.all_taken()
        self.hand_over(old, config)
        self.assertIsNone(waits.reply())
        self.assertIsNone(more.reply())
        self.assertEqual(holds("SET", "l:1", "v"), "OK")
        self.assertEqual(waits("GET", "l:1"), b"v")


class Head:
    """A successor that says what a test wants."""

    HELLO, WELCOME, REFUSED, READY, STATE, CLIENTS, TAKEN, GIVEN_UP = range(1, 9)

    def __init__(self, path):
        self.sock = harness.connect(path)

    def say(self, kind, *words):
        body = b"".join(struct.pack("=Q", w) if isinstance(w, int) else
                        struct.pack("=Q", len(w)) + w for w in words)
        self.sock.sendall(struct.pack("=IHHI", 0x4f484e50, kind, 0, len(body)) + body)

    def hear(self):
        """Kind, body and descriptors, which are closed."""
        head, extra, _, _ = self.sock.recvmsg(12, socket.CMSG_SPACE(128 * 4))
        if not head:
            return None
        for _, _, data in extra:
            fds = array.array("i")
            fds.frombytes(data)
            for fd in fds:
                os.close(fd)
        _, kind, _, size = struct.unpack("=IHHI", head)
        body = b""
        while len(body) < size:
            body += self.sock.recv(size - len(body))
        return kind, body

    def hello(self, protocol=1):
        self.say(self.HELLO, protocol, 0, b"test")
        return self.hear()

    def close(self):
        self.sock.close()


class Failing(Case):
    def setUp(self):
        super().setUp()
        self.old = self.first()
        self.c = self.client(self.old)
        self.c("SET", "k", "v")

    def head(self):
        h = Head(self.socket)
        self.addCleanup(h.close)
        return h

    def goes_on(self, times=1):
        harness.wait_until(lambda: self.old.text().count("this one goes on") == times, "its word")
        self.assertEqual(self.c("GET", "k"), b"v")
        other = self.client(self.old)
        self.assertEqual(other("INCR", "n"), times)

    def tearDown(self):
        """Whatever happened: the next one succeeds."""
        self.hand_over(self.old)
        self.assertEqual(self.c("GET", "k"), b"v")

    def test_a_successor_that_dies_at_any_step_leaves_the_old_one_serving(self):
        h = self.head()
        h.say(Head.HELLO, 1, 0, b"x")
        h.close()
        self.goes_on(1)
        h = self.head()
        self.assertEqual(h.hello()[0], Head.WELCOME)
        h.close()
        self.goes_on(2)
        h = self.head()
        h.hello()
        h.say(Head.READY, 1)
        h.close()
        self.goes_on(3)
        h = self.head()
        h.hello()
        h.say(Head.READY, 1)
        self.assertEqual(h.hear()[0], Head.STATE)
        h.close()
        self.goes_on(4)

    def test_a_successor_that_stands_still_is_given_up_and_can_never_begin(self):
        self.c("CONFIG", "SET", "handover_timeout", "200ms")
        h = self.head()
        h.hello()
        h.say(Head.READY, 1)
        while h.hear()[0] != Head.CLIENTS:
            pass
        self.goes_on()
        self.assertEqual(h.hear()[0], Head.GIVEN_UP)
        with self.assertRaises(OSError):
            h.say(Head.TAKEN)
        self.c("CONFIG", "SET", "handover_timeout", "60s")

    def test_a_second_successor_is_refused(self):
        h = self.head()
        h.hello()
        second = self.successor()
        self.assertEqual(second.wait(), 69)
        self.assertIn("another one is under way", second.text())
        h.close()
        self.goes_on()

    def test_garbage_another_version_and_words_out_of_turn_are_refused_with_the_reason(self):
        h = self.head()
        h.sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        self.goes_on(1)
        self.assertIn("no message of a hand-over", self.old.text())
        h = self.head()
        self.assertEqual(h.hello(protocol=7)[0], Head.GIVEN_UP)
        self.goes_on(2)
        self.assertIn("it speaks version 7", self.old.text())
        h = self.head()
        h.say(Head.TAKEN)
        self.assertEqual(h.hear()[0], Head.GIVEN_UP)
        self.goes_on(3)
        h = self.head()
        h.say(Head.HELLO)
        self.goes_on(4)

    def test_a_successor_whose_configuration_cannot_start_harms_nobody(self):
        bad = self.successor("admin_http: tcp:127.0.0.1:1\nmemory: 1KiB\n")
        self.assertNotEqual(bad.wait(), 0)
        self.assertEqual(self.c("GET", "k"), b"v")
        taken = os.path.join(self.home, "taken")
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(s.close)
        s.bind(taken)
        s.listen(1)
        bad = self.successor(f"admin_http: unix:{taken}\n")
        self.assertNotEqual(bad.wait(), 0)
        self.goes_on(1)


class Starting(Case):
    def test_with_nobody_there_it_starts_as_ever(self):
        d = self.successor()
        d.wait_log("this is a start as any other")
        harness.wait_until(d.answers, "the daemon")
        self.assertEqual(d.stop(), 0)
        self.assertFalse(os.path.exists(self.socket))

    def test_without_a_path_it_says_what_is_missing(self):
        d = self.daemon("threads: 1\n", folder=self.home, args=["--takeover"], stopped=True)
        d.launch()
        self.assertEqual(d.wait(), 78)
        self.assertIn("the configuration has no handover: PATH", d.text())

    def test_who_is_no_pannier_is_not_believed(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(s.close)
        s.bind(self.socket)
        s.listen(1)
        d = self.successor()
        peer, _ = s.accept()
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertEqual(d.wait(), 69)
        self.assertIn("no message of a hand-over", d.text())
        peer.close()


class Around(Case):
    def test_the_manager_hears_of_the_new_process_and_metrics_go_on(self):
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.settimeout(harness.PATIENCE_S)
        path = os.path.join(self.home, "notify")
        manager.bind(path)
        admin = f"admin_http: unix:{os.path.join(self.home, 'admin')}\n"
        env = {"NOTIFY_SOCKET": path}
        old = self.first(admin, env=env)
        self.assertTrue(manager.recv(4096).startswith(b"READY=1"))
        for _ in range(2):
            new = self.hand_over(old, admin, env=env)
            told = {manager.recv(4096).split(b"\n")[0] for _ in range(2)}
            self.assertEqual(told, {b"MAINPID=%d" % new.pid, b"READY=1"})
            http = harness.connect(os.path.join(self.home, "admin"))
            http.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            self.assertIn(b"200 OK", http.recv(4096))
            http.close()
            old = new
        self.assertEqual(old.stop(), 0)
        self.assertEqual(os.listdir(self.home), [x for x in os.listdir(self.home)
                                                 if not x.endswith("sock")])

    def test_memory_is_held_once(self):
        if harness.SANITIZER:
            self.skipTest("sanitizers have memory of their own")
        old = self.first("memory: 64MiB\n")
        c = self.client(old)
        for i in range(400):
            c("SET", f"k{i}", os.urandom(100000))
        new = self.hand_over(old, "memory: 64MiB\n")
        for i in range(400):
            self.assertEqual(len(c("GET", f"k{i}")), 100000)
        self.assertLessEqual(new.status("VmHWM"), 64 << 20)


if __name__ == "__main__":
    harness.main()
