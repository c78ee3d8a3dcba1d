#!/usr/bin/python3
"""Transactions: over the wire, between connections on different loops, and as
redis-py uses them."""

import threading
import unittest

import harness

try:
    import redis
except ImportError:
    redis = None

TRANSFERS = 300 if harness.SANITIZER else 2000


class OverTheWire(harness.Case):
    def setUp(self):
        self.d = self.daemon("threads: 2\n")
        self.a, self.b = self.d.client(), self.d.client()

    def test_nobody_sees_what_is_queued(self):
        self.a("MULTI")
        self.assertEqual(self.a("SET", "k", "v"), "QUEUED")
        self.assertIsNone(self.b("GET", "k"))
        self.assertEqual(self.a("EXEC"), ["OK"])
        self.assertEqual(self.b("GET", "k"), b"v")

    def watched(self, change):
        """What EXEC answers after somebody did `change` to the watched key."""
        self.a("SET", "k", "1", "EX", "100")
        self.a("WATCH", "k", "missing")
        if change:
            self.b(*change)
        self.a("MULTI")
        self.a("INCR", "n")
        return self.a("EXEC")

    def test_a_watched_key_that_changes_stops_exec(self):
        for change in (("SET", "k", "1"), ("DEL", "k"), ("EXPIRE", "k", "10"), ("PERSIST", "k"),
                       ("INCR", "k"), ("SET", "missing", "x"), ("FLUSHALL",), ("GETDEL", "k"),
                       ("PEXPIRE", "k", "-1")):
            with self.subTest(change=change):
                self.b("DEL", "missing")
                self.assertIsNone(self.watched(change))
        self.assertIsNone(self.a("GET", "n"))

    def test_a_watched_key_that_is_read_does_not(self):
        for change in ((), ("GET", "k"), ("SET", "k", "2", "NX"), ("DEL", "missing"), ("TTL", "k"),
                       ("SET", "other", "1")):
            with self.subTest(change=change):
                self.assertEqual(len(self.watched(change)), 1)

    def test_a_watched_key_that_expires_stops_exec(self):
        self.a("SET", "k", "1", "PX", "1")
        self.a("WATCH", "k")
        harness.wait_until(lambda: self.b("PTTL", "k") == -2, "the end of k")
        self.a("MULTI")
        self.a("PING")
        # Where it had expired before WATCH came, nothing has changed since.
        self.assertIn(self.a("EXEC"), (None, ["PONG"]))
        self.a("SET", "k", "1", "PX", "30")
        self.a("WATCH", "k")
        there = self.a("EXISTS", "k")
        harness.wait_until(lambda: self.b("PTTL", "k") == -2, "the end of k")
        self.a("MULTI")
        self.a("PING")
        # Or it ended between WATCH and the look.
        self.assertIn(self.a("EXEC"), (None,) if there else (None, ["PONG"]))

    def test_what_asks_other_loops_is_refused(self):
        for words in (("INFO",), ("CONFIG", "GET", "save"), ("CLIENT", "LIST")):
            self.a("MULTI")
            with self.assertRaises(harness.ReplyError) as refused:
                self.a(*words)
            self.assertEqual(str(refused.exception), "ERR Command not allowed inside a transaction")
            with self.assertRaises(harness.ReplyError) as aborted:
                self.a("EXEC")
            self.assertTrue(str(aborted.exception).startswith("EXECABORT "))

    def test_walks_and_flushes_work_inside(self):
        self.a("SET", "old", "1")
        self.a("MULTI")
        for words in (("FLUSHALL",), ("SET", "new", "2"), ("KEYS", "*"), ("SCAN", "0"), ("DBSIZE",)):
            self.a(*words)
        self.assertEqual(self.a("EXEC"), ["OK", "OK", [b"new"], [b"0", [b"new"]], 1])

    def test_a_client_that_leaves_takes_its_transaction_along(self):
        self.a("WATCH", "k")
        self.a("MULTI")
        self.a("SET", "k", "v")
        self.a.close()
        self.assertEqual(self.b("SET", "k", "w"), "OK")
        self.assertEqual(self.b("GET", "k"), b"w")

    def test_transactions_of_two_loops_never_interleave(self):
        self.a("MSET", "x", "1000", "y", "1000", "z", "1000")
        clients = [self.d.client() for _ in range(4)]
        wrong = []

        def trade(client, seed):
            names = ("x", "y", "z")
            for i in range(TRANSFERS):
                out, to = names[(i + seed) % 3], names[(i * seed + 1) % 3]
                replies = client.pipeline(("MULTI",), ("DECRBY", out, "3"), ("INCRBY", to, "3"),
                                          ("MGET", "z", "y", "x"), ("EXEC",),
                                          ("MGET", "x", "y", "z"))
                seen = replies[-2][2]
                if sum(map(int, seen)) != 3000:
                    wrong.append(seen)

        threads = [threading.Thread(target=trade, args=(c, i + 1)) for i, c in enumerate(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(sum(map(int, self.a("MGET", "x", "y", "z"))), 3000)


@unittest.skipIf(redis is None, "python3-redis is not installed")
class RedisPy(harness.Case):
    def setUp(self):
        self.d = self.daemon("threads: 2\n")
        self.r = redis.Redis(unix_socket_path=self.d.path)
        self.addCleanup(self.r.close)

    def test_pipelines_are_transactions(self):
        with self.r.pipeline() as p:
            p.set("a", 1).incr("a").get("a").mget("a", "b")
            self.assertEqual(p.execute(), [True, 2, b"2", [b"2", None]])

    def test_an_error_inside_is_that_commands(self):
        with self.r.pipeline() as p:
            p.set("a", "text").incr("a").get("a")
            self.assertEqual([str(x) for x in p.execute(raise_on_error=False)],
                             ["True", "value is not an integer or out of range", "b'text'"])

    def test_watch_raises_where_somebody_was_faster(self):
        with self.r.pipeline() as p:
            p.watch("a")
            self.r.set("a", "changed")
            p.multi()
            p.set("a", "mine")
            with self.assertRaises(redis.WatchError):
                p.execute()
        self.assertEqual(self.r.get("a"), b"changed")

    def test_its_transaction_helper_tries_again(self):
        self.r.set("n", 5)

        def double(p):
            n = int(p.get("n"))
            if n == 5:
                self.r.incr("n")
            p.multi()
            p.set("n", 2 * n)

        self.assertEqual(self.r.transaction(double, "n"), [True])
        self.assertEqual(self.r.get("n"), b"12")


if __name__ == "__main__":
    harness.main()
