#!/usr/bin/env python3
"""COMMAND: what the daemon says of its commands is what Redis 7.0 says of
them, and redis-cli makes its help and its hints of it."""

import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import termios
import unittest

import harness

# Optional, and left out: who came when, and remarks.
LEFT_OUT = {b"history", b"notes", b"doc_flags", b"deprecated_since", b"replaced_by"}
NOT_IN_7_0 = {b"client|setinfo", b"client|no-touch", b"delifeq", b"cl.throttle", b"pannier.lease", b"pannier.invalidate",
              b"pannier.origin", b"pannier.advise", b"pannier.hotkeys", b"pannier.monitor",
              b"pannier.slowlog", b"pannier.snapshot"} | {b"pannier.origin|" + name for name in (b"list", b"state", b"force", b"eject", b"restore", b"help")}
# Redis has a block around one argument here, or types and names of its own,
# which its documentation has not.
OWN_ARGUMENTS = {b"client|list", b"client|kill", b"client|no-evict", b"client|pause", b"config|get", b"incrbyfloat", b"setbit", b"bitfield",
                 b"psubscribe"}


class Typed(harness.Client):
    """Replies with their types: ("$", b"get"), ("*", [...]), ("%", [(key, value), ...])."""

    def value(self):
        line = self.line()
        kind, rest = line[:1].decode(), line[1:]
        if kind in "$*" and rest == b"-1" or kind == "_":
            return ("nil",)
        if kind == "$":
            return ("$", self.bulk(int(rest)))
        if kind in "*~":
            return (kind, [self.value() for _ in range(int(rest))])
        if kind == "%":
            return (kind, [(self.value(), self.value()) for _ in range(int(rest))])
        return (kind, rest)


def without(value, inside_argument=False):
    """Without what is left out; `since` goes from arguments alone."""
    if value[0] in "*~":
        return (value[0], [without(v, inside_argument) for v in value[1]])
    if value[0] != "%":
        return value
    pairs = [(k, without(v, inside_argument or k[1] == b"arguments")) for k, v in value[1]
             if k[1] not in LEFT_OUT and not (inside_argument and k[1] == b"since")]
    return ("%", [p for p in pairs if p[0][1] != b"subcommands"])


class Server:
    """A Redis to compare with."""

    def __init__(self, case):
        program = shutil.which("redis-server")
        if not program or "v=7.0." not in subprocess.run(
                [program, "--version"], capture_output=True, text=True, check=True).stdout:
            raise unittest.SkipTest("no redis-server 7.0")
        folder = case.folder()
        self.path = os.path.join(folder, "redis.sock")
        self.process = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", self.path, "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        case.addCleanup(self.end)
        harness.wait_until(self.listens, "redis-server")

    def listens(self):
        try:
            harness.connect(self.path).close()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def end(self):
        self.process.terminate()
        self.process.wait(harness.PATIENCE_S)


class AsRedis(harness.Case):
    def both(self, wire):
        pair = Typed(Server(self).path), Typed(self.daemon("memory: 32MiB\n").path)
        for c in pair:
            c("HELLO", wire)
            self.addCleanup(c.close)
        return pair

    def names(self, client):
        kind, names = client("COMMAND", "LIST")
        self.assertEqual(kind, "*")
        return {name for _, name in names} - NOT_IN_7_0

    def test_info_is_the_same(self):
        redis, own = self.both(3)
        for name in self.names(own):
            expected, got = [without(c("COMMAND", "INFO", name)) for c in (redis, own)]
            if b"|" not in name:
                for reply in expected, got:
                    reply[1][0][1].pop() # subcommands: Redis has more
            self.assertEqual(expected, got)

    def test_info_is_the_same_in_resp2(self):
        redis, own = self.both(2)
        for name in b"get", b"mset", b"ping", b"client|id", b"flushall", b"keys", b"nope":
            self.assertEqual(redis("COMMAND", "INFO", name), own("COMMAND", "INFO", name))

    def test_docs_are_the_same(self):
        redis, own = self.both(3)
        for name in self.names(own) - OWN_ARGUMENTS:
            self.assertEqual(*[without(c("COMMAND", "DOCS", name)) for c in (redis, own)])

    def test_docs_are_the_same_in_resp2(self):
        redis, own = self.both(2)
        for name in b"get", b"mset", b"ping", b"echo", b"client|id", b"GetDel", b"nope", b"get|id":
            self.assertEqual(redis("COMMAND", "DOCS", name), own("COMMAND", "DOCS", name))

    def test_what_is_not_there_is_answered_alike(self):
        redis, own = self.both(3)
        for args in (["INFO", "nope", "client|nope", "get|x", "|", "", "client |id"],
                     ["DOCS", "nope", "client|", "get|id"], ["LIST", "FILTERBY", "x", "y"],
                     ["LIST", "x"], ["LIST", "FILTERBY", "PATTERN", "a", "b"],
                     ["LIST", "FILTERBY", "MODULE", "x"], ["LIST", "FILTERBY", "ACLCAT", "@read"],
                     ["COUNT", "x"], ["FOO"]):
            replies = []
            for c in redis, own:
                c.send("COMMAND", *args)
                replies.append(c.value())
            self.assertEqual(*replies)


class Alone(harness.Case):
    def setUp(self):
        self.server = self.daemon("memory: 32MiB\n")
        self.client = self.server.client()
        self.addCleanup(self.client.close)

    def test_all_commands_are_in_every_form(self):
        top = {n for n in self.client("COMMAND", "LIST") if b"|" not in n}
        self.assertEqual(self.client("COMMAND", "COUNT"), len(top))
        self.assertEqual({row[0] for row in self.client("COMMAND")}, top)
        self.assertEqual(self.client("COMMAND", "INFO"), self.client("COMMAND"))
        self.assertEqual(set(self.client("COMMAND", "DOCS")[::2]), top)

    def test_filters_choose(self):
        def listed(*by):
            return set(self.client("COMMAND", "LIST", "FILTERBY", *by))

        self.assertEqual(listed("PATTERN", "GET*"),
                         {b"get", b"getset", b"getdel", b"getex", b"getrange", b"getbit"})
        self.assertEqual(listed("pattern", "config|*"),
                         {b"config|get", b"config|set", b"config|resetstat", b"config|rewrite",
                          b"config|help"})
        self.assertIn(b"client|id", listed("ACLCAT", "connection"))
        self.assertNotIn(b"get", listed("ACLCAT", "write"))
        self.assertEqual(listed("ACLCAT", "nope"), set())

    def test_help_is_lines(self):
        lines = self.client("COMMAND", "HELP")
        self.assertTrue(all(isinstance(line, harness.Status) for line in lines))
        self.assertIn("DOCS [<command-name> ...]", lines)


class RedisCli(harness.Case):
    """On a terminal, as somebody would type."""

    def setUp(self):
        program = shutil.which("redis-cli")
        if not program:
            self.skipTest("no redis-cli")
        self.server = self.daemon("memory: 32MiB\n")
        self.seen = b""
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "xterm"
            os.environ["HOME"] = self.server.folder
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
            os.execv(program, [program, "-s", self.server.path])
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.close, self.terminal)
        self.wait(b"> ")

    def wait(self, text):
        """Until the terminal shows it; forgets that and what was before."""
        while text not in self.seen:
            if not select.select([self.terminal], [], [], harness.PATIENCE_S)[0]:
                self.fail(f"redis-cli does not show {text!r}, but {self.seen!r}")
            self.seen += os.read(self.terminal, 65536)
        self.seen = self.seen.split(text, 1)[1]

    def type(self, text):
        """Only behind a prompt: what comes earlier is thrown away."""
        os.write(self.terminal, text)

    def test_help_has_syntax_summary_and_group(self):
        self.type(b"help SETEX\r")
        self.wait(b"key seconds value")
        self.wait(b"> ")
        self.type(b"help @connection\r")
        self.wait(b"Returns the client ID for the current connection")

    def test_hints_follow_the_words(self):
        self.type(b"set")
        self.wait(b"key value [NX|XX] [GET] [EX seconds|PX milliseconds|")
        self.type(b" k v ex 10\r")
        self.wait(b"OK")
        self.wait(b"> ")
        self.type(b"client list")
        self.wait(b"[TYPE NORMAL|MASTER|REPLICA|PUBSUB] [ID client-id [client-id ...]]")


if __name__ == "__main__":
    harness.main()
