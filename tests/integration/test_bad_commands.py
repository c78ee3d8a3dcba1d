#!/usr/bin/env python3
"""Well-formed requests that ask for too much: BAD-INPUTS.md, Commands and Output."""

import re
import time
import unittest

import harness
from harness import Closed, ReplyError, encode

MIB = 1 << 20
LONG_MAX, LONG_MIN = 2**63 - 1, -2**63
A_SECOND = 1 if not harness.SANITIZER else 20

# Refused, and the key stays what it was: the number 5, or "text".
REFUSED = [
    ("SETRANGE", "text", LONG_MAX, "x"), ("SETRANGE", "text", 2**32 - 1, "x"),
    ("SETRANGE", "text", 2**31 - 1, "x"), ("SETRANGE", "text", -1, "x"),
    ("SETRANGE", "text", 536870912, "x"), ("SETRANGE", "none", LONG_MAX - 1, "xyz"),
    ("SETBIT", "text", LONG_MAX, 1), ("SETBIT", "text", 2**32, 1), ("SETBIT", "text", 2**35, 1),
    ("SETBIT", "text", -1, 1), ("SETBIT", "none", 2**32 - 1, 1),
    ("BITFIELD", "text", "SET", "u8", LONG_MAX, 1), ("BITFIELD", "text", "SET", "i64", "#" + str(2**61), 1),
    ("BITFIELD", "text", "SET", "u64", 0, 1), ("BITFIELD", "text", "INCRBY", "i65", 0, 1),
    ("INCRBY", "max", 1), ("INCR", "max"), ("DECRBY", "min", 1), ("DECRBY", "5", LONG_MIN),
    ("INCRBY", "5", LONG_MAX), ("INCRBY", "5", LONG_MAX + 1), ("INCR", "text"),
    ("INCRBYFLOAT", "5", "1e5000"), ("INCRBYFLOAT", "5", "nan"), ("INCRBYFLOAT", "5", "inf"),
    ("EXPIRE", "5", LONG_MAX), ("EXPIRE", "5", LONG_MIN), ("EXPIRE", "5", LONG_MAX // 1000 + 1),
    ("PEXPIRE", "5", LONG_MAX), ("EXPIREAT", "5", LONG_MAX), ("PEXPIREAT", "5", LONG_MAX + 1),
    ("EXPIRE", "5", "1.5"), ("EXPIRE", "5", ""), ("SET", "5", "x", "EX", LONG_MAX),
    ("SET", "5", "x", "PX", LONG_MAX + 1), ("SET", "5", "x", "EX", 0), ("SET", "5", "x", "PX", -1),
    ("SETEX", "5", -1, "x"), ("SETEX", "5", LONG_MAX, "x"), ("PSETEX", "5", 0, "x"),
    ("GETEX", "5", "EX", LONG_MAX), ("GETEX", "5", "PX", 0),
    ("SCAN", 0, "COUNT", 0), ("SCAN", 0, "COUNT", LONG_MIN), ("SCAN", 0, "COUNT", LONG_MAX + 1),
    ("SCAN", 2**64), ("SCAN", "-" + "9" * 30), ("MSETNX", "5", "x", "5"), ("MSET", "5"),
    ("COPY", "5", "6", "DB", LONG_MAX), ("SELECT", LONG_MAX), ("SELECT", 2**31),
    ("LCS", "big1", "big2"), ("CLIENT", "SETNAME", "x" * 5000), ("HELLO", LONG_MAX),
]

# Taken, quickly: what is answered, or None where that is not the point.
TAKEN = [
    (("GETRANGE", "text", LONG_MIN, LONG_MAX), b"text"), (("GETRANGE", "text", LONG_MAX, LONG_MIN), b""),
    (("BITCOUNT", "text", LONG_MIN, LONG_MAX), 16), (("BITPOS", "text", 1, LONG_MAX), -1),
    (("GETBIT", "text", 2**23 - 1), 0), (("SCAN", LONG_MAX, "COUNT", LONG_MAX), None),
    (("SCAN", 0, "COUNT", LONG_MAX), None), (("EXPIRE", "gone", -1), 1), (("EXISTS", "gone"), 0),
    (("PEXPIREAT", "gone2", 1), 1), (("EXISTS", "gone2"), 0), (("EXPIREAT", "gone3", -(LONG_MAX // 1000)), 1),
    (("EXISTS", "gone3"), 0), (("SET", "gone4", "x", "PXAT", 1), "OK"), (("EXISTS", "gone4"), 0),
    (("MSETNX", "twice", "1", "twice", "2"), 1), (("GET", "twice"), b"2"),
    (("APPEND", "text", ""), 4), (("SETRANGE", "text", 0, ""), 4), (("SETRANGE", "none", 9, ""), 0),
    (("KEYS", "a*" * 50 + "b"), None), (("KEYS", "*a" * 5000 + "b"), None), (("KEYS", "[" * 60000), None),
    (("KEYS", "\\" * 60000), None), (("SCAN", 0, "MATCH", "*a" * 20000 + "b", "COUNT", 1000), None),
    (("CONFIG", "GET", "*a" * 20000 + "b"), None),
    (("COMMAND", "LIST", "FILTERBY", "PATTERN", "*a" * 20000 + "b"), None),
    (("PUBSUB", "CHANNELS", "*a" * 20000 + "b"), None), (("PUBLISH", "a" * 60000, "x"), None),
]


class Commands(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = cls()
        cls.d = cls.shared.daemon("memory: 64MiB\nthreads: 1\nmax_value: 1MiB\n")
        cls.other = cls.d.client()

    @classmethod
    def tearDownClass(cls):
        cls.other.close()
        cls.shared.doCleanups()

    def setUp(self):
        self.c = self.d.client()
        self.addCleanup(self.c.close)
        self.c("FLUSHALL")
        self.c("MSET", "text", "text", "5", "5", "max", LONG_MAX, "min", LONG_MIN, "gone", "1",
               "gone2", "1", "gone3", "1", "gone4", "1", "big1", "x" * 9000, "big2", "y" * 9000)
        for i in range(200):
            self.c("SET", "a" * (200 + i), "1")

    def answered_soon(self, *args):
        begun = time.monotonic()
        value = self.c.pipeline(args)[0]
        self.assertLess(time.monotonic() - begun, A_SECOND, args)
        self.assertEqual(self.other("PING"), "PONG")
        return value

    def test_what_is_out_of_range_is_refused_and_changes_nothing(self):
        keys = ("text", "5", "max", "min", "none", "6")
        before = self.c("MGET", *keys)
        rss = self.d.status("VmRSS")
        for args in REFUSED:
            with self.subTest(args=str(args)[:80]):
                self.assertIsInstance(self.answered_soon(*args), ReplyError)
                self.assertEqual(self.c("MGET", *keys), before)
                self.assertEqual(self.c("TTL", "5"), -1)
        if not harness.SANITIZER:
            self.assertLess(self.d.status("VmRSS") - rss, 8 * MIB)

    def test_what_is_odd_and_fine_is_answered_soon(self):
        for args, want in TAKEN:
            with self.subTest(args=str(args)[:80]):
                value = self.answered_soon(*args)
                if want is not None:
                    self.assertEqual(value, want)

    def test_append_stops_at_the_largest_value_and_keeps_what_is_there(self):
        block, n = b"x" * 300000, 0
        while not isinstance(self.answered_soon("APPEND", "grows", block), ReplyError):
            n += 1
            self.assertLess(n, 100)
        self.assertEqual(self.c("STRLEN", "grows"), n * len(block))
        self.assertLessEqual(n * len(block), MIB)

    def test_a_pattern_that_many_listen_by_does_not_hold_up_a_publisher(self):
        listeners = [self.d.client() for _ in range(20)]
        for i, c in enumerate(listeners):
            c("PSUBSCRIBE", "*a" * 1000 + str(i))
            self.addCleanup(c.close)
        self.answered_soon("PUBLISH", "a" * 50000, "x")


class Errors(harness.Case):
    """What a client or an origin wrote cannot end an error's line, nor colour a
    terminal, nor forge a second reply."""

    EVIL = b"x\r\n+OK\r\n$1\r\n\x1b[31m\0\n-ERR y"

    def one_line(self, c, *args):
        """Exactly one error, of printable characters, before the next reply."""
        c.raw(encode(*args) + encode("ECHO", "the end"))
        got = b""
        while not got.endswith(b"$7\r\nthe end\r\n"):
            got += c.sock.recv(65536)
        self.assertRegex(got, rb"^-[\x20-\x7e\x80-\xff]*\r\n\$7\r\nthe end\r\n$", args)

    def test_no_argument_ends_the_line_of_its_error(self):
        d = self.daemon()
        for wire in (2, 3):
            c = d.client()
            c("HELLO", wire)
            for args in ((self.EVIL,), ("NOSUCH", self.EVIL), ("CLIENT", self.EVIL),
                         ("CONFIG", self.EVIL), ("OBJECT", self.EVIL), ("COMMAND", self.EVIL),
                         ("CONFIG", "SET", self.EVIL, "1"), ("CONFIG", "SET", "maxmemory", self.EVIL),
                         ("CONFIG", "SET", "loglevel", self.EVIL), ("HELLO", "3", self.EVIL),
                         ("AUTH", self.EVIL, self.EVIL), ("AUTH", self.EVIL),
                         ("CLIENT", "SETNAME", self.EVIL), ("SELECT", self.EVIL),
                         ("PUBSUB", self.EVIL), ("SET", self.EVIL, "1", self.EVIL),
                         ("INCRBY", "k", self.EVIL), ("EVALSHA", self.EVIL, self.EVIL),
                         ("CLIENT", "LIST", "TYPE", self.EVIL), ("COMMAND", "GETKEYS", self.EVIL, "x")):
                self.one_line(c, *args)
            c.close()
        self.assertNotIn("\x1b", d.text())

    def test_what_an_origin_says_does_not_end_the_line_of_an_error(self):
        o = self.origin()
        d = self.daemon("namespaces:\n  - prefix: \"user:\"\n    origin: users\n"
                        "    path: /{rest}\norigins:\n  users:\n    http:\n"
                        f"      endpoints: [\"{o.url}\"]\n    deadline: 10s\n")
        c = d.client()
        for i, said in enumerate((
                b"HTTP/1.1 500 \x1b[31mred\r+OK\x00\r\nContent-Length: 0\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nContent-Encoding: a\r+OK\x1b\r\nContent-Length: 1\r\n\r\nx",
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\x0b2\x1b[0m\r\n\r\nx",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x1bchunk\r\n\r\n",
                b"\x1b]0;title\x07HTTP/1.1 500\r\n\r\n")):
            o.on(f"/{i}", lambda r, said=said: (r.raw(said), r.hang_up()))
            self.one_line(c, "GET", f"user:{i}")
        self.one_line(c, "GET", b"user:\r\n+OK\r\n" + b"x" * 20000)
        self.assertFalse(re.search(r"[\x00-\x08\x0b-\x1f]", d.text()))


class Output(harness.Case):
    def fill(self, c, n):
        for i in range(0, n, 50):
            c.pipeline(*(("SET", f"kept:{k}", "v" * 1000) for k in range(i, i + 50)))

    def never_read(self, c, request, times):
        """Sends and does not read, until the socket takes no more or is closed."""
        c.sock.setblocking(False)
        try:
            for _ in range(times):
                c.sock.send(request)
        except OSError:
            pass

    @unittest.skipIf(harness.SANITIZER, "sanitizers need memory of their own")
    def test_all_clients_together_have_a_bound_and_no_entry_pays_for_them(self):
        d = self.daemon("memory: 96MiB\nbuffers_limit: 8MiB\noutput_limit: 6MiB\nthreads: 1\n")
        good = d.client()
        self.fill(good, 10000)
        self.assertEqual(good("DBSIZE"), 10000)
        good("SET", "big", b"x" * 15000) # copied, not sent from where it lies
        before = d.status("VmRSS")
        greedy = [d.client() for _ in range(60)]
        for round_ in range(5):
            for c in greedy:
                self.never_read(c, encode("GET", "big") * 50, 20)
            self.assertEqual(good("PING"), "PONG")
            self.assertLess(d.status("VmRSS") - before, 16 * MIB)
        self.assertEqual(good("DBSIZE"), 10001)
        info = d.info()
        self.assertEqual(info["evicted_keys"], "0")
        self.assertLessEqual(int(info["mem_clients_normal"]), 8 * MIB)
        for c in greedy:
            c.close()

    def test_config_get_tells_the_limits_in_redis_s_form(self):
        c = self.daemon("memory: 96MiB\noutput_limit: 8MiB\nmax_value: 1MiB\n").client()
        self.assertEqual(c("CONFIG", "GET", "client-output-buffer-limit")[1],
                         b"normal 8388608 4194304 10 slave 0 0 0 pubsub 8388608 4194304 10")
        self.assertEqual(c("CONFIG", "GET", "client-query-buffer-limit")[1], b"%d" % (MIB + 65536))

    def test_a_client_may_close_while_megabytes_are_owed_to_it(self):
        d = self.daemon("threads: 2\n")
        good = d.client()
        good("SET", "big", b"x" * 200000)
        for _ in range(20):
            c = d.client()
            c.raw(encode("GET", "big") * 10)
            c.take(1)
            c.close()
        harness.wait_until(lambda: d.info()["connected_clients"] == "2", "them to be forgotten")
        self.assertEqual(good("GET", "big"), b"x" * 200000)


if __name__ == "__main__":
    harness.main()
