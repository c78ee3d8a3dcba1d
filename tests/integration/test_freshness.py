#!/usr/bin/env python3
"""What is served when a value's time is over, and how: through RESP and the binary
protocol, with an origin that does what each test says."""

import harness
import test_binary
from test_binary import ERROR, FILLED, GET, HIT, MISS, NEGATIVE, STALE

GET_MANY = 7
CONFIG = """
memory: 64MiB
threads: 2
namespaces:
  - prefix: "user:"
    origin: users
    path: /{rest}
    ttl: 60ms
    early_refresh: 0
%s
origins:
  users:
    http:
      endpoints: ["%s"]
      not_found_status: [403]
    deadline: 20s
"""
NO_STALE = ("stale_if_error: 0",)


class Freshness(harness.Case):
    def begin(self, *options):
        self.users = self.origin()
        lines = "".join(f"    {line}\n" for line in options)
        self.d = self.daemon(CONFIG % (lines, self.users.url))
        self.c = self.d.client()
        self.b = test_binary.Binary(self.d.path)
        self.addCleanup(self.b.close)

    def over(self, key):
        """Until the value's time is over; asking so fetches nothing."""
        harness.wait_until(lambda: self.c("EXISTS", key) == 0, f"the end of {key}")

    def get(self, key, n=1):
        """Binary, with what is known of the value: status, value, left_ms, age_ms."""
        body = b"\x94\x01" + bytes([n]) + test_binary.pack(key) + b"\x81\x02\xc3"
        self.b.raw(b"\xce" + len(body).to_bytes(4, "big") + body)
        return self.b.reply()[1:5]

    def counted(self):
        line = self.d.info("namespaces")["ns_user"]
        return {k: float(v) for k, v in (f.split("=") for f in line.split(","))}

    def test_a_stale_value_is_served_while_one_request_renews_it(self):
        self.begin("stale_while_revalidate: 1h")
        self.users.on("/1", b"old")
        self.assertEqual(self.get(b"user:1")[:2], [FILLED, b"old"])
        gate = self.users.hold("/1", b"new", headers=[("Cache-Control", "max-age=300")])
        self.addCleanup(gate.open)
        self.over("user:1")
        self.assertEqual(self.c("GET", "user:1"), b"old")
        status, value, left, age = self.get(b"user:1")
        self.assertEqual((status, value), (STALE, b"old"))
        self.assertLessEqual(left, 0)
        self.assertGreaterEqual(age, 60)
        self.users.wait_requests(2)
        self.assertEqual(self.c("MGET", "user:1", "user:1"), [b"old", b"old"])
        self.assertEqual(self.users.count(), 2)
        gate.open()
        harness.wait_until(lambda: self.c("GET", "user:1") == b"new", "the renewed value")
        self.assertEqual(self.users.count(), 2)
        status, value, left, age = self.get(b"user:1")
        self.assertEqual((status, value), (HIT, b"new"))
        self.assertTrue(200000 < left <= 300000 and 0 <= age < 100000, (left, age))
        n = self.counted()
        self.assertEqual(n["refreshes"], 1)
        self.assertGreaterEqual(n["stale_refreshing"], 4)

    def test_a_delete_during_a_renewal_has_the_last_word(self):
        self.begin("stale_while_revalidate: 1h")
        self.users.on("/1", b"old")
        self.c("GET", "user:1")
        gate = self.users.hold("/1", b"late")
        self.addCleanup(gate.open)
        self.over("user:1")
        self.assertEqual(self.c("GET", "user:1"), b"old")
        self.users.wait_requests(2)
        self.c("DEL", "user:1")
        self.users.on("/1", b"after")
        self.assertEqual(self.c("GET", "user:1"), b"after")
        gate.open()
        harness.wait_until(lambda: self.counted()["fetch_discarded"] == 1, "the late answer")
        self.assertNotEqual(self.c("GET", "user:1"), b"late")

    def test_where_the_origin_fails_the_last_value_is_served(self):
        self.begin("retry_after: 1h")
        self.users.on("/1", b"good")
        self.c("GET", "user:1")
        self.users.on("/1", b"", status=500)
        self.over("user:1")
        self.assertEqual(self.c("GET", "user:1"), b"good")
        self.assertEqual(self.get(b"user:1")[:2], [STALE, b"good"])
        self.assertEqual(self.users.count(), 2)  # and is not asked for every time
        self.users.close()
        self.assertEqual(self.c("GET", "user:1"), b"good")
        self.assertIn("ORIGIN", str(self.c.error("GET", "user:2")))
        self.assertEqual(self.counted()["stale_on_error"], 3)

    def test_the_answer_may_forbid_that(self):
        self.begin()
        self.users.on("/1", b"good", headers=[("Cache-Control", "max-age=0, must-revalidate"),
                                              ("ETag", '"1"')])
        self.c("GET", "user:1")
        self.users.on("/1", b"", status=500)
        self.assertIn("HTTP 500", str(self.c.error("GET", "user:1")))

    def test_without_stale_if_error_the_error_is_told(self):
        self.begin(*NO_STALE)
        self.users.on("/1", b"good")
        self.c("GET", "user:1")
        self.users.on("/1", b"", status=500)
        self.over("user:1")
        self.assertIn("HTTP 500", str(self.c.error("GET", "user:1")))
        self.assertEqual(self.get(b"user:1")[:2], [ERROR, "ORIGIN"])

    def test_an_origin_that_is_slow_is_waited_for_only_so_long(self):
        self.begin("stale_after: 20ms")
        self.users.on("/1", b"old")
        self.c("GET", "user:1")
        gate = self.users.hold("/1", b"new", headers=[("Cache-Control", "max-age=300")])
        self.addCleanup(gate.open)
        self.over("user:1")
        self.assertEqual(self.c("GET", "user:1"), b"old")
        self.assertEqual(self.get(b"user:1")[:2], [STALE, b"old"])
        gate.open()
        harness.wait_until(lambda: self.c("GET", "user:1") == b"new", "the new value")
        self.assertEqual(self.users.count(), 2)

    def test_what_has_not_changed_is_not_sent_again(self):
        self.begin()
        asked = []

        def answer(ex):
            asked.append(ex.headers.get("if-none-match"))
            if asked[-1] == '"1"':
                ex.raw(b"HTTP/1.1 304 X\r\nETag: \"1\"\r\nCache-Control: max-age=300\r\n\r\n")
            else:
                ex.answer(200, b"big value", [("ETag", '"1"')])
        self.users.on("/1", answer)
        self.assertEqual(self.c("GET", "user:1"), b"big value")
        self.over("user:1")
        self.assertEqual(self.get(b"user:1")[:2], [FILLED, b"big value"])
        self.assertEqual(self.get(b"user:1")[:2], [HIT, b"big value"])
        self.assertEqual(asked, [None, '"1"'])
        self.assertEqual(self.counted()["not_modified"], 1)

    def test_no_cache_is_asked_for_each_time_with_a_condition(self):
        self.begin()
        asked = []

        def answer(ex):
            asked.append(ex.headers.get("if-modified-since"))
            if asked[-1]:
                ex.raw(b"HTTP/1.1 304 X\r\nCache-Control: no-cache\r\n\r\n")
            else:
                ex.answer(200, b"v", [("Cache-Control", "no-cache"),
                                      ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")])
        self.users.on("/1", answer)
        for _ in range(3):
            self.assertEqual(self.c("GET", "user:1"), b"v")
        self.assertEqual(asked, [None] + 2 * ["Sun, 06 Nov 1994 08:49:37 GMT"])

    def test_that_there_is_none_is_remembered(self):
        self.begin()
        self.users.on("/1", b"", status=404, headers=[("Cache-Control", "max-age=300")])
        self.users.on("/2", b"", status=403, headers=[("Cache-Control", "max-age=300")])
        for key in "user:1", "user:2":
            self.assertIsNone(self.c("GET", key))
            self.assertIsNone(self.c("GET", key))
            self.assertEqual(self.get(key.encode())[:1], [NEGATIVE])
        self.assertEqual(self.users.count(), 2)
        self.assertEqual(self.c("EXISTS", "user:1"), 0)
        self.assertEqual(self.c("DBSIZE"), 2)  # they take room
        self.c("SET", "user:1", "mine")
        self.assertEqual(self.c("GET", "user:1"), b"mine")
        self.c("DEL", "user:1")
        self.assertIsNone(self.c("GET", "user:1"))
        self.assertEqual(self.users.count(), 3)
        self.assertEqual(self.counted()["negative_hits"], 4)

    def test_what_cannot_be_kept_is_not_fetched_one_after_the_other(self):
        self.begin()
        self.users.on("/1", b"a", headers=[("Vary", "*")])
        self.assertEqual(self.c("GET", "user:1"), b"a")
        gate = self.users.hold("/1", b"b", headers=[("Cache-Control", "no-store")])
        self.addCleanup(gate.open)
        clients = [self.d.client() for _ in range(5)]
        for c in clients:
            c.send("GET", "user:1")
        self.users.wait_requests(6)  # all of them, before any is answered
        gate.open()
        self.assertEqual([c.reply() for c in clients], 5 * [b"b"])
        n = self.counted()
        self.assertEqual((n["vary_refused"], n["uncacheable"], n["passed"]), (1, 2, 4))

    def test_fallbacks(self):
        for options, answer, status in (
                (["fallback: nil"], None, [MISS]),
                (["fallback: value", 'fallback_value: "{}"'], b"{}", [FILLED, b"{}"])):
            self.begin(*options)
            self.users.on("/1", b"", status=500)
            self.assertEqual(self.c("GET", "user:1"), answer)
            self.assertEqual(self.c("MGET", "user:1", "user:1"), [answer, answer])
            self.assertEqual(self.get(b"user:1")[:len(status)], status)
            self.assertGreaterEqual(self.counted()["fallbacks"], 3)

    def test_many_keys_are_fetched_side_by_side(self):
        self.begin()
        gates = [self.users.hold(f"/{i}", b"%d" % i) for i in range(5)]
        for gate in gates:
            self.addCleanup(gate.open)
        keys = [b"user:%d" % i for i in range(5)]
        self.c.send("MGET", *keys, "other")
        self.users.wait_requests(5)
        for gate in reversed(gates):
            gate.open()
        self.assertEqual(self.c.reply(), [b"0", b"1", b"2", b"3", b"4", None])

    def test_of_many_keys_one_that_fails(self):
        self.begin()
        self.users.on("/1", b"one")
        self.users.on("/2", b"", status=500)
        self.assertIn("HTTP 500", str(self.c.error("MGET", "user:1", "user:2", "user:3")))
        self.b.send(GET_MANY, 1, [b"user:1", b"user:2", b"user:3"])
        items = self.b.reply()[2]
        self.assertEqual([i[0] for i in items][1:], [ERROR, NEGATIVE])
        self.assertEqual(items[0][1], b"one")

    def test_the_binary_deadline_is_kept_by_a_stale_value(self):
        self.begin()
        self.users.on("/1", b"old")
        self.c("GET", "user:1")
        gate = self.users.hold("/1", b"new")
        self.addCleanup(gate.open)
        self.over("user:1")
        body = b"\x94\x01\x05" + test_binary.pack(b"user:1") + b"\x81\x01\x1e"  # 30 ms
        self.b.raw(b"\xce" + len(body).to_bytes(4, "big") + body)
        self.assertEqual(self.b.reply(), [5, STALE, b"old"])

    def test_a_key_near_its_end_is_renewed_before(self):
        self.users = self.origin()
        self.d = self.daemon((CONFIG % ("", self.users.url)).replace(
            "early_refresh: 0", "early_refresh: 1000").replace("ttl: 60ms", "ttl: 400ms"))
        self.c = self.d.client()

        def slow(ex):
            ex.origin.changed.acquire()
            ex.origin.changed.wait(0.05)  # what a fetch takes
            ex.origin.changed.release()
            ex.answer(200, b"v")
        self.users.on("/1", slow)
        self.c("GET", "user:1")

        def renewed():
            self.assertEqual(self.c("GET", "user:1"), b"v")
            return self.counted()["early_refreshes"] > 0
        harness.wait_until(renewed, "an early renewal")


if __name__ == "__main__":
    harness.main()
