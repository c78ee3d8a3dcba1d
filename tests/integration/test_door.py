#!/usr/bin/env python3
"""What a listener lets through: read_only and admin."""

import os
import unittest

import harness

READONLY = "READONLY You can't write against a read only replica."
NOPERM = "NOPERM this command is only served on an admin socket"


class Door(harness.Case):
    def start(self, options):
        """A daemon with its own socket and one more, with these options."""
        folder = self.folder()
        own, more = os.path.join(folder, "own.sock"), os.path.join(folder, "more.sock")
        lines = "".join(f"    {line}\n" for line in options)
        self.d = self.daemon(f"listen:\n  - unix: {own}\n  - unix: {more}\n{lines}", path=own)
        return self.d.client(), harness.Client(more)

    def test_a_read_only_listener_refuses_what_writes(self):
        own, other = self.start(["read_only: true"])
        self.assertEqual(own("SET", "k", "1"), "OK")
        for args in (("SET", "k", "2"), ("DEL", "k"), ("INCR", "k"), ("EXPIRE", "k", 1),
                     ("GETDEL", "k"), ("FLUSHALL",), ("MSET", "k", "2")):
            self.assertEqual(other.error(*args), READONLY)
        self.assertEqual(other("GET", "k"), b"1")
        self.assertEqual(other.error("SET", "k"), "ERR wrong number of arguments for 'set' command")
        self.assertEqual(other("PUBLISH", "c", "x"), 0)
        other("RESET")
        self.assertEqual(other.error("SET", "k", "2"), READONLY)

    def test_what_is_dangerous_is_served_on_the_admin_socket_alone(self):
        own, admin = self.start(["admin: true"])
        for args in (("CONFIG", "GET", "maxmemory"), ("CONFIG", "SET", "timeout", 0),
                     ("CONFIG", "RESETSTAT"), ("FLUSHALL",), ("FLUSHDB",)):
            self.assertEqual(own.error(*args), NOPERM)
            admin(*args)
        self.assertEqual(own("SET", "k", "1"), "OK")
        self.assertIn(b"id=", own("CLIENT", "LIST"))
        self.assertEqual(self.d.info()["errorstat_NOPERM"], "count=2")  # since RESETSTAT

    def test_without_an_admin_socket_every_listener_serves_all(self):
        own, other = self.start([])
        for c in (own, other):
            self.assertEqual(c("FLUSHALL"), "OK")


if __name__ == "__main__":
    harness.main()
