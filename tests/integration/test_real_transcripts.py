#!/usr/bin/env python3
"""Clients that cannot be installed here, by what they send: StackExchange.Redis
(.NET). Requests go out in the writes that it makes, and the replies hold what its
parsers read; taken from its handshake, its tracer, its locks and its transactions."""

import re

import harness
import real
from harness import ReplyError

ID = bytes(range(16))  # of the multiplexer: a GUID, in binary
TIE_BREAKER, CHANGED = "__Booksleeve_TieBreak", "__Booksleeve_MasterChanged"
NAMED = [("CLIENT", "SETNAME", "app(SE.Redis-v2.8)"), ("CLIENT", "SETINFO", "lib-name", "SE.Redis"),
         ("CLIENT", "SETINFO", "lib-ver", "2.8.41"), ("CLIENT", "ID")]
CONFIGURED = [("CONFIG", "GET", "timeout"), ("CONFIG", "GET", "replica-read-only"),
              ("CONFIG", "GET", "slave-read-only"), ("CONFIG", "GET", "databases"),
              ("SENTINEL", "MASTERS"), ("INFO", "replication"), ("INFO", "server"),
              ("CLUSTER", "NODES")]


def fields(text):
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)


class StackExchange(harness.Case):
    def setUp(self):
        self.d, self.guarded = real.guarded_daemon(self)

    def handshake(self, before=(), path=None):
        """The interactive connection, and its replies by request."""
        c = harness.Client(path or self.d.path)
        requests = [*before, *NAMED, *CONFIGURED, ("ECHO", ID), ("GET", TIE_BREAKER)]
        return c, dict(zip(requests, c.pipeline(*requests)))

    def check_handshake(self, said, pairs=lambda *words: list(words)):
        self.assertEqual([said[request] for request in NAMED[:3]], ["OK"] * 3)
        self.assertIsInstance(said[NAMED[3]], int)
        self.assertEqual(said["CONFIG", "GET", "timeout"], pairs(b"timeout", b"0"))
        self.assertEqual(said["CONFIG", "GET", "slave-read-only"], pairs(b"slave-read-only", b"yes"))
        self.assertEqual(said["CONFIG", "GET", "replica-read-only"], pairs(b"replica-read-only", b"yes"))
        self.assertEqual(said["CONFIG", "GET", "databases"], pairs(b"databases", b"1"))
        for request in (("SENTINEL", "MASTERS"), ("CLUSTER", "NODES")):
            self.assertRegex(str(said[request]), "^ERR unknown command '%s', with args beginning with: " %
                             request[0])
        replication, server = (fields(said["INFO", part]) for part in ("replication", "server"))
        self.assertEqual(replication["role"], "master")
        self.assertEqual(replication["connected_slaves"], "0")
        self.assertRegex(server["redis_version"], r"^7\.0\.\d+$")
        self.assertEqual(server["redis_mode"], "standalone")
        self.assertRegex(server["run_id"], r"^[0-9a-f]{40}$")
        self.assertEqual(said["ECHO", ID], ID)
        self.assertIsNone(said["GET", TIE_BREAKER])

    def test_it_starts(self):
        self.check_handshake(self.handshake()[1])

    def test_it_starts_with_resp3_and_a_password(self):
        hello = ("HELLO", "3", "AUTH", "default", real.PASSWORD)
        said = self.handshake([hello], self.guarded)[1]
        self.assertEqual({name: said[hello][name] for name in (b"version", b"proto", b"mode", b"role")},
                         {b"version": said[hello][b"version"], b"proto": 3, b"mode": b"standalone",
                          b"role": b"master"})
        self.check_handshake(said, lambda name, value: {name: value})

    def test_it_authenticates_first_with_resp2(self):
        said = self.handshake([("AUTH", real.PASSWORD)], self.guarded)[1]
        self.assertEqual(said["AUTH", real.PASSWORD], "OK")
        self.check_handshake(said)
        # Without: it looks for the prefix. What is no command is told so first, as by Redis.
        for request, reply in self.handshake((), self.guarded)[1].items():
            self.assertRegex(str(reply), "^ERR unknown" if request[0] in ("SENTINEL", "CLUSTER") else
                             "^NOAUTH Authentication required")

    def test_the_second_connection_subscribes_and_stays_alive(self):
        c = self.d.client()
        said = c.pipeline(NAMED[0], ("ECHO", ID), ("SUBSCRIBE", CHANGED))
        self.assertEqual(said, ["OK", ID, [b"subscribe", CHANGED.encode(), 1]])
        self.assertEqual(c("PING"), [b"pong", b""])
        # Where PING is not known to work there, this is its keep-alive.
        self.assertEqual(c("UNSUBSCRIBE", ID), [b"unsubscribe", ID, 1])
        other = self.d.client()
        self.assertEqual(other("PUBLISH", CHANGED, "*"), 1)
        self.assertEqual(c.reply(), [b"message", CHANGED.encode(), b"*"])

    def test_many_callers_share_one_connection(self):
        c = self.handshake()[0]
        said = c.pipeline(*(("SET", f"k{i}", i, "EX", 60) for i in range(500)), ("INCR", "n"),
                          *(("GET", f"k{i}") for i in range(500)), ("PING",), ("INFO", "replication"))
        self.assertEqual(said[:500], ["OK"] * 500)
        self.assertEqual(said[500:-1], [1, *(b"%d" % i for i in range(500)), "PONG"])

    def test_a_lock_is_a_watched_transaction(self):
        c, token = self.handshake()[0], b"owner-1"
        self.assertEqual(c("SET", "lock", token, "EX", 30, "NX"), "OK")
        self.assertIsNone(c("SET", "lock", "owner-2", "EX", 30, "NX"))
        self.assertEqual(c("GET", "lock"), token)  # LockQuery
        # LockExtend and LockRelease: WATCH and GET, a look at the value, then the rest.
        self.assertEqual(c.pipeline(("WATCH", "lock"), ("GET", "lock")), ["OK", token])
        self.assertEqual(c.pipeline(("MULTI",), ("PEXPIRE", "lock", 60000), ("EXEC",)),
                         ["OK", "QUEUED", [1]])
        self.assertEqual(c.pipeline(("WATCH", "lock"), ("GET", "lock")), ["OK", token])
        self.assertEqual(c.pipeline(("MULTI",), ("DEL", "lock"), ("EXEC",)), ["OK", "QUEUED", [1]])
        self.assertEqual(c.pipeline(("WATCH", "lock"), ("GET", "lock"), ("UNWATCH",)), ["OK", None, "OK"])

    def test_a_server_is_walked_and_asked(self):
        c = self.handshake()[0]
        c.pipeline(*(("SET", f"user:{i}", "x") for i in range(300)))
        cursor, seen = b"0", set()
        while True:
            cursor, keys = c("SCAN", cursor, "MATCH", "user:*", "COUNT", "250")
            seen.update(keys)
            if cursor == b"0":
                break
        self.assertEqual(len(seen), 300)
        self.assertEqual(c("DBSIZE"), 300)
        self.assertTrue(re.match(rb"id=\d+ addr=", c("CLIENT", "LIST")))
        self.assertEqual(len(c("TIME")), 2)
        self.assertEqual(c("SLOWLOG", "GET", 10), [])
        self.assertEqual(c("FLUSHDB"), "OK")
        self.assertEqual(c("QUIT"), "OK")

    def test_what_it_cannot_have_is_an_error_that_leaves_the_rest(self):
        """IDistributedCache of .NET keeps hashes."""
        c = self.handshake()[0]
        said = c.pipeline(("SET", "a", "1"), ("HMGET", "session", "absexp", "sldexp", "data"), ("GET", "a"))
        self.assertEqual((said[0], said[2]), ("OK", b"1"))
        self.assertIsInstance(said[1], ReplyError)
        self.assertEqual(str(said[1]), "ERR unknown command 'HMGET', with args beginning with: "
                         "'session' 'absexp' 'sldexp' 'data' ")


if __name__ == "__main__":
    harness.main()
