#!/usr/bin/env python3
"""Writes of keys that belong to an HTTP origin: through, around, behind, refused."""

import re
import threading

import harness
from test_binary import Binary

CONFIG = """
threads: 2
drain_timeout: 20s
origins:
  o:
    http:
      endpoints: ["%s"]
    deadline: 20s
    write_delay: %s
    write_queue: 64KiB
namespaces:
  - {prefix: "t:", origin: o, path: "/t/{rest}", ttl: 60s, write: through}
  - {prefix: "a:", origin: o, path: "/a/{rest}", ttl: 60s, write: around}
  - {prefix: "b:", origin: o, path: "/b/{rest}", ttl: 60s, write: behind}
  - {prefix: "r:", origin: o, path: "/r/{rest}", ttl: 60s, write: refused}
"""
SET, DELETE, INCR, SET_MANY, DELETE_MANY = 2, 3, 5, 8, 9
MISS, STORED, DONE, ERROR = 5, 6, 9, 15


class Shop:
    """What is behind the origin: paths and values. Says 422 to the value "bad", and
    what `status` has for a path."""

    def __init__(self, origin, paths):
        self.data, self.log, self.status, self.gate = {}, [], {}, None
        self.lock = threading.Condition()
        for path in paths:
            origin.on(path, self.serve)

    def serve(self, ex):
        if self.gate is not None and ex.method != "GET":
            self.gate.wait()
        with self.lock:
            self.log.append((ex.method, ex.path, ex.body))
            status, body = self.act(ex)
            self.lock.notify_all()
        ex.answer(status, body)

    def act(self, ex):
        if ex.path in self.status:
            return self.status[ex.path], b""
        if ex.method == "GET":
            return (200, self.data[ex.path]) if ex.path in self.data else (404, b"")
        if ex.method == "DELETE":
            return (404 if self.data.pop(ex.path, None) is None else 204), b""
        if ex.body == b"bad":
            return 422, b""
        self.data[ex.path] = ex.body
        return 204, b""

    def has(self, path, value):
        with self.lock:
            found = self.lock.wait_for(lambda: self.data.get(path) == value, harness.PATIENCE_S)
        assert found, f"{path} is {self.data.get(path)}"


class Writes(harness.Case):
    def begin(self, delay="0"):
        o = self.origin()
        self.shop = Shop(o, [f"/{kind}/{n}" for kind in "tabr" for n in range(10)])
        self.origin_server = o
        self.d = self.daemon(CONFIG % (o.url, delay))
        return self.d.client()

    def refused(self, c, *command):
        with self.assertRaises(harness.ReplyError) as caught:
            c(*command)
        return str(caught.exception)

    def queue(self, c):
        return int(re.search(rb"write_queue=(\d+)", c("INFO", "origins")).group(1))

    def test_through_is_at_the_origin_before_it_is_answered(self):
        c = self.begin()
        self.assertEqual(c("SET", "t:1", "one", "EX", "50"), "OK")
        self.assertEqual(self.shop.data["/t/1"], b"one")
        self.assertEqual(c("GET", "t:1"), b"one")
        self.assertTrue(0 < c("TTL", "t:1") <= 50)
        self.assertEqual(c("MSET", "t:2", "two", "plain", "x", "t:3", "three"), "OK")
        self.assertEqual(self.shop.data["/t/3"], b"three")
        self.assertEqual(c("DEL", "t:1", "t:9", "plain"), 2)
        self.assertNotIn("/t/1", self.shop.data)
        self.assertEqual([m for m, *_ in self.shop.log], ["PUT"] * 3 + ["DELETE"] * 2)

    def test_what_the_origin_refuses_is_an_error_and_changes_nothing(self):
        c = self.begin()
        c("SET", "t:1", "one")
        self.assertEqual(self.refused(c, "SET", "t:1", "bad"), "ORIGIN origin o: HTTP 422")
        self.assertEqual(c("GET", "t:1"), b"one")
        self.assertEqual(len(self.shop.log), 2)

    def test_after_a_failure_the_next_read_asks(self):
        c = self.begin()
        c("SET", "t:1", "one")
        self.shop.status["/t/1"] = 500
        self.assertIn("HTTP 500", self.refused(c, "SET", "t:1", "two"))
        self.shop.data["/t/1"] = b"two"  # it was carried out all the same
        del self.shop.status["/t/1"]
        self.assertEqual(c("GET", "t:1"), b"two")

    def test_around_is_read_from_the_origin(self):
        c = self.begin()
        self.assertEqual(c("SET", "a:1", "one"), "OK")
        self.assertEqual(c("EXISTS", "a:1"), 0)
        self.assertEqual(c("GET", "a:1"), b"one")

    def test_others_go_on_while_a_write_waits(self):
        c, other = self.begin(), None
        self.shop.gate = harness.Gate()
        c.send("SET", "t:1", "one")
        self.origin_server.wait_requests(1)
        other = self.d.client()
        other("SET", "plain", "x")
        self.assertEqual(other("GET", "t:2"), None)
        self.shop.gate.open()
        self.assertEqual(c.reply(), "OK")

    def test_a_read_behind_its_own_write_waits_for_it(self):
        c = self.begin()
        c("SET", "t:1", "old")
        self.shop.gate = harness.Gate()
        c.send("SET", "t:1", "new")
        c.send("GET", "t:1")
        self.origin_server.wait_requests(2)
        self.shop.gate.open()
        self.assertEqual(c.reply(), "OK")
        self.assertEqual(c.reply(), b"new")

    def test_a_client_that_leaves_has_written(self):
        c = self.begin()
        self.shop.gate = harness.Gate()
        c.send("SET", "t:1", "one")
        self.origin_server.wait_requests(1)
        c.close()
        self.shop.gate.open()
        self.shop.has("/t/1", b"one")

    def test_behind_is_answered_at_once_and_written_soon(self):
        c = self.begin()
        self.shop.gate = harness.Gate()
        self.assertEqual(c("SET", "b:1", "one"), "OK")
        self.assertEqual(c("GET", "b:1"), b"one")
        self.assertEqual(self.shop.data, {})
        self.assertEqual(self.queue(c), 1)
        self.shop.gate.open()
        self.shop.has("/b/1", b"one")
        harness.wait_until(lambda: self.queue(c) == 0, "an empty queue")
        self.assertEqual(c("DEL", "b:1"), 1)
        self.shop.has("/b/1", None)

    def test_of_many_writes_behind_the_last_one_is_sent(self):
        c = self.begin("200ms")
        for n in range(100):
            c("SET", "b:1", str(n))
        self.shop.has("/b/1", b"99")
        self.assertLess(len(self.shop.log), 100)

    def test_a_broken_origin_gets_it_when_it_is_well(self):
        c = self.begin()
        self.shop.status["/b/1"] = 503
        c("SET", "b:1", "one")
        self.origin_server.wait_requests(2, "/b/1")
        self.assertEqual(c("GET", "b:1"), b"one")
        del self.shop.status["/b/1"]
        self.shop.has("/b/1", b"one")

    def test_what_the_origin_will_never_take_is_told_and_gone(self):
        c = self.begin()
        c("SET", "b:1", "bad")
        self.d.wait_log("namespace b: a write behind is lost after .* HTTP 422")
        self.assertEqual(c("GET", "b:1"), None)
        self.assertIn(b"writes_lost=1", c("INFO", "namespaces"))

    def test_a_full_queue_is_an_error(self):
        c = self.begin("20s")
        self.assertEqual(c("SET", "b:1", "x" * 40000), "OK")
        self.assertRegex(self.refused(c, "SET", "b:2", "x" * 40000), "OVERLOAD .*queue.*full")
        self.assertEqual(c("EXISTS", "b:2"), 0)
        self.assertEqual(c("SET", "b:1", "y" * 40000), "OK")

    def test_a_stop_carries_out_what_waits(self):
        c = self.begin("1m")
        c("MSET", "b:1", "one", "b:2", "two")
        self.assertEqual(self.shop.data, {})
        self.assertEqual(self.d.stop(), 0)
        self.assertEqual(self.shop.data, {"/b/1": b"one", "/b/2": b"two"})

    def test_what_cannot_be_passed_on_is_refused(self):
        c = self.begin()
        for command in (["INCR", "t:1"], ["APPEND", "t:1", "x"], ["SET", "b:1", "v", "NX"],
                        ["GETDEL", "t:1"], ["RENAME", "plain", "t:1"], ["COPY", "plain", "a:1"],
                        ["MSETNX", "plain", "v", "t:1", "v"]):
            self.assertRegex(self.refused(c, *command), "cannot be passed on to origin o")
        self.assertIn("NOPERM", self.refused(c, "SET", "r:1", "v"))
        self.assertIn("NOPERM", self.refused(c, "DEL", "plain", "r:1"))
        self.assertEqual(self.shop.log, [])
        self.assertEqual(c("GET", "r:1"), None)  # reads are as ever

    def test_a_transaction_may_write_behind_but_cannot_wait(self):
        c = self.begin()
        c("MULTI")
        c("SET", "b:1", "one")
        c("SET", "t:1", "one")
        replies = c("EXEC")
        self.assertEqual(replies[0], "OK")
        self.assertIn("cannot be written in a transaction", str(replies[1]))
        self.shop.has("/b/1", b"one")

    def test_the_binary_protocol_does_the_same(self):
        self.begin()
        b = Binary(self.d.path)
        self.addCleanup(b.close)
        self.assertEqual(b(SET, 0, b"t:1", b"one"), [0, STORED])
        self.assertEqual(self.shop.data["/t/1"], b"one")
        self.assertEqual(b(SET_MANY, 0, [b"t:2", b"two", b"b:1", b"x", b"plain", b"p"]), [0, STORED])
        self.assertEqual(self.shop.data["/t/2"], b"two")
        self.assertEqual(b(DELETE, 0, b"t:1"), [0, DONE])
        self.assertEqual(b(DELETE, 0, b"t:1"), [0, MISS])
        self.assertEqual(b(DELETE_MANY, 0, [b"t:2", b"t:3", b"plain"]), [0, DONE, 2])
        self.assertEqual(b(SET, 0, b"t:1", b"bad")[:3], [0, ERROR, "ORIGIN"])
        self.assertEqual(b(SET, 0, b"r:1", b"v")[:3], [0, ERROR, "NOPERM"])
        self.assertEqual(b(INCR, 0, b"t:1", 1)[:3], [0, ERROR, "UNSUPPORTED"])


if __name__ == "__main__":
    harness.main()
