#!/usr/bin/env python3
"""What operators ask of a running daemon: slow commands and long waits."""

import harness

# Some milliseconds: 3.6 million comparisons.
HARD = ("LCS", "l1", "l2", "LEN")


def prepare(c):
    c("MSET", "l1", b"a" * 1900, "l2", b"ab" * 950)


def slow(c):
    return c("SLOWLOG", "GET", -1)


class Slowlog(harness.Case):
    def test_every_command_is_kept_where_all_are_asked_for(self):
        d = self.daemon("threads: 2\n")
        c = d.client()
        c("CONFIG", "SET", "slowlog-log-slower-than", 0)
        self.assertEqual(c("SLOWLOG", "RESET"), "OK")
        replies = c.pipeline(["SET", "k", "v"], ["GET", "k"], ["MULTI"], ["INCR", "n"], ["EXEC"])
        self.assertEqual(replies[-1], [1])
        kept = [e[3] for e in reversed(slow(c))]
        self.assertEqual(kept, [[b"SLOWLOG", b"RESET"], [b"SET", b"k", b"v"], [b"GET", b"k"], [b"MULTI"],
                                [b"INCR", b"n"]])
        for number, _at, spent, _argv, addr, name in slow(c):
            self.assertGreaterEqual(number, 0)
            self.assertGreaterEqual(spent, 0)
            self.assertEqual(addr.decode(), d.path + ":0")
            self.assertEqual(name, b"")

    def test_a_slow_command_is_kept_and_fast_ones_are_not(self):
        d = self.daemon("threads: 2\nmax_value: 32MiB\nslowlog_slower_than: 3ms\nlatency_threshold: 3ms\n")
        c, other = d.client(), d.client()
        prepare(c)
        self.assertEqual(c(*HARD), 950)
        kept = slow(other)
        self.assertIn([w.encode() for w in HARD], [e[3] for e in kept])
        self.assertIn(b"command", [e[0] for e in other("LATENCY", "LATEST")])
        self.assertIn(b"1. command", other("LATENCY", "DOCTOR"))

    def test_a_short_command_is_found_without_being_timed(self):
        """An APPEND that copies 20 MiB, after so many short ones that few are timed."""
        d = self.daemon("threads: 1\nmemory: 512MiB\nmax_value: 64MiB\nslowlog_slower_than: 1ms\n")
        c = d.client()
        c("SETRANGE", "big", 20 << 20, "x")
        c.pipeline(*[["PING"]] * 400)
        c("SLOWLOG", "RESET")
        for before, behind in (([], []), ([["GET", "k"]] * 9, [["GET", "k"]] * 11)):
            for _ in range(4):
                c.pipeline(*before, ["APPEND", "big", "y"], *behind)
            kept = [e[3] for e in slow(c)]
            self.assertEqual(len([k for k in kept if k[:3] == [b"APPEND", b"big", b"y"]]), 4, kept)
            c("SLOWLOG", "RESET")

    def test_events_of_a_loop_come_within_a_second_or_two(self):
        d = self.daemon("threads: 1\nmax_value: 32MiB\nlatency_threshold: 3ms\n")
        c = d.client()
        prepare(c)

        def stalled():
            c(*HARD)
            return c("LATENCY", "HISTORY", "loop-stall")

        self.assertGreaterEqual(harness.wait_until(stalled, "a stall")[0][1], 3)


if __name__ == "__main__":
    harness.main()
