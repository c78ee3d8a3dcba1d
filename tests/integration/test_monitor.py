#!/usr/bin/env python3
"""MONITOR and PANNIER.MONITOR: what others ask for, in Redis's words, and at nobody's cost
but the monitor's."""

import re
import shutil
import subprocess
import unittest

import harness

LINE = re.compile(r'^(\d+\.\d{6}) \[0 ([^\]]+)\] (.*)$', re.S)
NAMESPACES = """namespaces:
  - prefix: "a:"
  - prefix: "b:"
"""


class Monitor(harness.Case):
    def begin(self, more=""):
        self.d = self.daemon("threads: 3\n" + more)
        self.c = self.d.client()

    def watch(self, *args):
        m = self.d.client()
        self.assertEqual(m(*(args or ("MONITOR",))), "OK")
        return m

    def lines(self, m, n):
        """The commands of the next n lines."""
        found = [LINE.match(m.reply()) for _ in range(n)]
        self.assertTrue(all(found))
        return [f.group(3) for f in found]

    def until(self, m, last='"PING" "end"'):
        """All that comes before that, which is sent now."""
        self.c("PING", "end")
        got = []
        while True:
            got += self.lines(m, 1)
            if got[-1] == last:
                return got[:-1]

    def test_commands_of_all_clients_come_in_redis_form(self):
        self.begin()
        m = self.watch()
        others = [self.d.client() for _ in range(4)]  # of all loops
        for i, o in enumerate(others):
            o("SET", f"k{i}", b"a\"b\\c\n\r\t\a\b\x00\xff")
        self.assertEqual(sorted(self.lines(m, 4)),
                         [fr'"SET" "k{i}" "a\"b\\c\n\r\t\a\b\x00\xff"' for i in range(4)])
        self.c("GET", "k1")
        line = LINE.match(m.reply())
        self.assertEqual((line.group(2), line.group(3)), (f"unix:{self.d.path}", '"GET" "k1"'))
        self.assertIn(b"flags=O", self.c("CLIENT", "LIST"))

    def test_what_redis_leaves_out_is_left_out(self):
        self.begin()
        m = self.watch()
        self.c("CONFIG", "GET", "maxmemory")
        self.c("CLIENT", "LIST")
        self.c.error("NOSUCH", "x")
        self.c.error("GET")
        self.c("CLIENT", "GETNAME")
        self.assertEqual(self.until(m), ['"CLIENT" "GETNAME"'])

    def test_passwords_are_not_shown(self):
        self.begin()
        m = self.watch()
        self.c("AUTH", "default", "secret")
        self.c("HELLO", "3", "AUTH", "default", "secret", "SETNAME", "me")
        self.assertEqual(self.until(m), ['"AUTH" "(redacted)" "(redacted)"',
                                         '"HELLO" "3" "AUTH" "(redacted)" "(redacted)" "SETNAME" "me"'])

    def test_transactions_and_scripts_come_as_they_run(self):
        self.begin()
        m = self.watch()
        self.c.pipeline(["MULTI"], ["SET", "k", "1"], ["INCR", "k"], ["EXEC"])
        self.assertEqual(self.until(m), ['"MULTI"', '"SET" "k" "1"', '"INCR" "k"', '"EXEC"'])
        self.assertEqual(self.c("MULTI"), "OK")
        self.assertIn("not allowed inside a transaction", self.c.error("MONITOR"))
        self.c("DISCARD")
        self.assertEqual(self.until(m), ['"MULTI"', '"DISCARD"'])
        script = ('if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) '
                  'else return 0 end')
        self.c("SET", "lock", "me")
        self.assertEqual(self.c("EVAL", script, 1, "lock", "me"), 1)
        got = self.until(m)
        self.assertTrue(got[1].startswith('"EVAL" '), got)
        self.assertEqual(got[0], '"SET" "lock" "me"')

    def test_only_some_are_shown_where_that_is_asked_for(self):
        self.begin(NAMESPACES)
        by_pattern = self.watch("PANNIER.MONITOR", "MATCH", "*x*")
        by_name = self.watch("PANNIER.MONITOR", "NAMESPACE", "a", "SAMPLE", 1)
        some = self.watch("PANNIER.MONITOR", "SAMPLE", 10)
        everything = self.watch()
        for i in range(500):
            self.c("GET", f"a:{i}")
        self.c("GET", "b:x")
        self.c("GET", "a:x")
        self.c("GET", "a:end")
        self.assertEqual(self.lines(by_pattern, 2), ['"GET" "b:x"', '"GET" "a:x"'])
        self.assertEqual(self.lines(by_name, 502)[-2:], ['"GET" "a:x"', '"GET" "a:end"'])
        self.assertEqual(len(self.until(everything)), 503)
        # One in ten of 500: 50, give or take seven times the deviation.
        some.send("ECHO", "done")
        n = 0
        while some.value() != b"done":
            n += 1
        self.assertTrue(5 <= n <= 100, n)

    def test_what_is_wrong_is_named(self):
        self.begin()
        self.assertIn("SAMPLE is a number from 1", self.c.error("PANNIER.MONITOR", "SAMPLE", 0))
        self.assertIn("there is no namespace", self.c.error("PANNIER.MONITOR", "NAMESPACE", "x"))
        self.assertEqual(self.c.error("PANNIER.MONITOR", "SAMPLE"), "ERR syntax error")
        self.assertEqual(self.c.error("PANNIER.MONITOR", "WHY", 1), "ERR syntax error")

    def test_reset_and_leaving_end_it(self):
        self.begin()
        m, gone = self.watch(), self.watch()
        gone.close()
        self.assertEqual(m("RESET"), "RESET")
        harness.wait_until(lambda: b"flags=O" not in self.c("CLIENT", "LIST"), "no monitor")
        self.c("SET", "k", "v")
        self.assertEqual(m("GET", "k"), b"v")  # and no line

    def test_a_monitor_that_does_not_read_is_closed_and_slows_nobody(self):
        self.begin("output_limit: 64KiB\n")
        m = self.watch()
        value = b"x" * 16384
        for _ in range(600):
            self.assertEqual(self.c("SET", "k", value), "OK")
        harness.wait_until(lambda: int(self.d.info()["output_limit_closes"]) >= 1, "it is closed")
        with self.assertRaises((harness.Closed, OSError)):
            for _ in range(1000):
                m.reply()

    def test_long_arguments_are_cut(self):
        self.begin("memory: 512MiB\nbuffers_limit: 96MiB\n")
        m = self.watch()
        self.c("SET", "k", b"x" * 300000)
        self.c("MSET", *[x for i in range(8) for x in (f"k{i}", b"y" * 250000)])
        one, many = self.lines(m, 2)
        self.assertTrue(one.endswith('x"... (37856 more bytes)'), one[-60:])
        self.assertRegex(many[-40:], r'y" "\.\.\. \(\d+ more arguments\)"$')

    def test_tenants_may_not_watch(self):
        folder = self.folder()
        own, more = f"{folder}/own.sock", f"{folder}/more.sock"
        self.daemon(f"listen:\n  - unix: {own}\n  - unix: {more}\n    namespaces: [a]\n{NAMESPACES}", path=own)
        tenant = harness.Client(more)
        for name in ("monitor", "pannier.monitor"):
            self.assertEqual(tenant.error(name), f"NOPERM this user has no permissions to run the '{name}' command")
        tenant.close()

    def test_binary_requests_are_shown_too(self):
        self.begin()
        m = self.watch()
        done = subprocess.run([harness.BINARY, "bench", "--socket", self.d.path, "--protocol", "binary",
                               "--clients", "1", "--keyspace", "1", "--ratio", "0:1", "--requests", "3"],
                              capture_output=True, text=True, check=False, timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        got = [line for line in self.until(m) if line.startswith('"set"')]
        self.assertEqual(len(got), 3)
        self.assertEqual(len(set(got)), 1)

    def test_redis_cli_shows_them(self):
        if shutil.which("redis-cli") is None:
            self.skipTest("no redis-cli")
        self.begin()
        cli = subprocess.Popen(["redis-cli", "-s", self.d.path, "monitor"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(cli.stdout.close)
        self.addCleanup(cli.wait)
        self.addCleanup(cli.kill)
        self.assertEqual(cli.stdout.readline(), "OK\n")
        self.c("SET", "k", "v")
        self.assertRegex(cli.stdout.readline(), r'^\d+\.\d{6} \[0 unix:/.*\] "SET" "k" "v"\n$')


if __name__ == "__main__":
    harness.main()
