#!/usr/bin/env python3
"""Bad and odd input over the real socket: BAD-INPUTS.md, RESP framing."""

import time
import unittest

import harness
from harness import Closed, encode

KIB = 1024
PING = encode("PING")
QUIT = encode("QUIT")
PONG = b"+PONG\r\n"
BYE = b"+OK\r\n"

# What must be answered, byte for byte, before the connection is closed.
ERRORS = {
    "count too large": (b"*3000000000\r\n", "invalid multibulk length"),
    "count over 2^64": (b"*99999999999999999999\r\n", "invalid multibulk length"),
    "count no number": (b"*abc\r\n", "invalid multibulk length"),
    "count with a space": (b"* 1\r\n", "invalid multibulk length"),
    "bulk negative": (b"*1\r\n$-10\r\n", "invalid bulk length"),
    "bulk null": (b"*1\r\n$-1\r\n", "invalid bulk length"),
    "bulk too large": (b"*1\r\n$2000000000\r\n", "invalid bulk length"),
    "bulk over 2^64": (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
    "bulk no number": (b"*1\r\n$blabla\r\n", "invalid bulk length"),
    "second bulk no number": (b"*2\r\n$4\r\nECHO\r\n$x\r\n", "invalid bulk length"),
    "no bulk": (b"*1\r\nfoo\r\n", "expected '$', got 'f'"),
    "a count for a bulk": (b"*1\r\n*1\r\n", "expected '$', got '*'"),
    "quotes not closed": (b'set "foo bar\r\n', "unbalanced quotes in request"),
    "quotes and more": (b'set "foo"bar x\r\n', "unbalanced quotes in request"),
    "single quotes not closed": (b"get 'foo\r\n", "unbalanced quotes in request"),
    "endless inline": (b"x" * (65 * KIB), "too big inline request"),
    "endless inline behind NUL": (b"\0" + b"x" * (65 * KIB), "too big inline request"),
    "endless $ line": (b"$\0" + b"x" * (65 * KIB), "too big inline request"),
    "endless count": (b"*" + b"1" * (65 * KIB), "too big mbulk count string"),
    "endless count behind NUL": (b"*\0" + b"x" * (65 * KIB), "too big mbulk count string"),
    "endless length": (b"*1\r\n$" + b"1" * (65 * KIB), "too big bulk count string"),
}

# Odd but good: what must be answered when a QUIT follows.
GOOD = {
    "negative count": (b"*-10\r\n" + PING, PONG),
    "count 0": (b"*0\r\n" + PING, PONG),
    "count -1": (b"*-1\r\n" + PING, PONG),
    "a lone LF": (b"\n" + PING, PONG),
    "only CR LF": (b"\r\n" + PING, PONG),
    "many empty requests": (b"\r\n" * 1000 + b"*0\r\n" * 1000 + PING, PONG),
    "empty, then inline": (b"*0\r\nPING\r\n", PONG),
    "inline, then bulks, then inline": (b"PING\r\n" + PING + b"ping\r\n", PONG * 3),
    "inline with LF alone": (b"PING\nPING\n", PONG * 2),
    "spaces around": (b"   PING  \r\n", PONG),
    "quotes": (b'ECHO "a\\x41\\n b"\r\n', b"$5\r\naA\n b\r\n"),
    "single quotes": (b"ECHO 'it\\'s'\r\n", b"$4\r\nit's\r\n"),
    "an empty bulk": (encode("ECHO", ""), b"$0\r\n\r\n"),
    "CR LF in a bulk": (encode("ECHO", "a\r\n*1\r\n$4\r\nPING\r\n"),
                        b"$17\r\na\r\n*1\r\n$4\r\nPING\r\n\r\n"),
    "NUL in a bulk": (encode("ECHO", "a\0b"), b"$3\r\na\0b\r\n"),
    "a pipeline": (encode("SET", "k", "v") + encode("GET", "k") + encode("DEL", "k"),
                   b"+OK\r\n$1\r\nv\r\n:1\r\n"),
    "unknown command": (encode("NOSUCH", "a"), b"-ERR unknown command 'NOSUCH', with args "
                        b"beginning with: 'a' \r\n"),
    "CR LF in an unknown command": (encode("NO\r\nSUCH"), b"-ERR unknown command 'NO  SUCH', "
                                    b"with args beginning with: \r\n"),
    "wrong number of arguments": (encode("GET"),
                                  b"-ERR wrong number of arguments for 'get' command\r\n"),
}


def error_reply(text):
    return b"-ERR Protocol error: " + text.encode() + b"\r\n"


class Framing(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = cls()
        cls.d = cls.shared.daemon()
        cls.other = cls.d.client()

    @classmethod
    def tearDownClass(cls):
        cls.other.close()
        cls.shared.doCleanups()

    def tearDown(self):
        # Whatever happened, the others go on and nothing that was stored is lost.
        self.assertEqual(self.other("PING"), "PONG")
        self.assertTrue(self.d.running())

    def ask(self, *pieces):
        """All that is answered until the close. Each piece is read by the
        daemon before the next one is sent."""
        c = self.d.client()
        try:
            for piece in pieces[:-1]:
                c.raw(piece)
                c.all_taken()
            c.raw(pieces[-1])
            return c.until_closed()
        except BrokenPipeError:
            return c.until_closed()
        finally:
            c.close()

    def test_bad_input_gets_its_error_within_a_second_and_the_connection_is_closed(self):
        for name, (data, text) in ERRORS.items():
            with self.subTest(name):
                begun = time.monotonic()
                self.assertEqual(self.ask(data), error_reply(text))
                self.assertLess(time.monotonic() - begun, 1 if not harness.SANITIZER else 10)

    def test_requests_before_the_bad_one_are_answered_and_none_behind_it(self):
        for name, (data, text) in ERRORS.items():
            with self.subTest(name):
                got = self.ask(encode("ECHO", "first") + data + b"\r\n" + PING * 10)
                self.assertEqual(got, b"$5\r\nfirst\r\n" + error_reply(text))

    def test_odd_input_is_answered_as_redis_answers_it(self):
        for name, (data, want) in GOOD.items():
            with self.subTest(name):
                self.assertEqual(self.ask(data + QUIT), want + BYE)

    def test_input_cut_at_every_byte_is_answered_by_the_same_bytes(self):
        corpus = {n: (data + QUIT, want + BYE) for n, (data, want) in GOOD.items()}
        corpus.update({n: (data, error_reply(text)) for n, (data, text) in ERRORS.items()})
        for name, (data, want) in corpus.items():
            # Of the endless ones the ends tell all.
            cuts = list(range(1, min(len(data), 300)))
            cuts += range(max(300, 64 * KIB - 10), min(len(data), 64 * KIB + 10))
            with self.subTest(name):
                for cut in cuts:
                    self.assertEqual(self.ask(data[:cut], data[cut:]), want, f"cut at {cut}")

    def test_one_byte_at_a_time_is_answered_by_the_same_bytes(self):
        data = b"".join(data for data, _ in GOOD.values() if len(data) < 200) + QUIT
        want = b"".join(want for data, want in GOOD.values() if len(data) < 200) + BYE
        c = self.d.client()
        for i in range(len(data)):
            c.raw(data[i:i + 1])
            c.all_taken()
        self.assertEqual(c.until_closed(), want)
        c.close()

    def test_a_value_of_a_megabyte_in_crumbs_arrives_whole(self):
        value = bytes(range(256)) * 4096
        c = self.d.client()
        data = encode("SET", "crumbs", value)
        for i in range(0, len(data), 9973):
            c.raw(data[i:i + 9973])
        self.assertEqual(c.reply(), "OK")
        self.assertEqual(c("GET", "crumbs"), value)
        self.assertEqual(c("DEL", "crumbs"), 1)
        c.close()

    @unittest.skipIf(harness.SANITIZER, "sanitizers need memory of their own")
    def test_a_promise_of_many_large_arguments_costs_nothing(self):
        before = self.d.status("VmRSS")
        clients = [self.d.client() for _ in range(100)]
        for c in clients:
            c.raw(b"*1000000\r\n$16777216\r\n" + b"x" * 1000)
            c.all_taken()
        self.assertEqual(self.other("PING"), "PONG")
        self.assertLess(self.d.status("VmRSS") - before, 32 << 20)
        for c in clients:
            c.close()

    @unittest.skipIf(harness.SANITIZER, "sanitizers need memory of their own")
    def test_many_large_arguments_of_a_command_that_is_refused_are_bounded(self):
        before = self.d.status("VmRSS")
        clients = [self.d.client() for _ in range(4)]
        for c in clients:
            c.sock.settimeout(0.2)
            try:
                c.raw(b"*1001\r\n$6\r\nNOSUCH\r\n")
                for _ in range(1000):
                    c.raw(b"$1000000\r\n" + b"x" * 1000000 + b"\r\n")
            except (OSError, Closed):
                continue # refused, which is an answer too
        self.assertEqual(self.other("PING"), "PONG")
        self.assertLess(self.d.status("VmRSS") - before, 200 << 20)
        for c in clients:
            c.close()


if __name__ == "__main__":
    harness.main()
