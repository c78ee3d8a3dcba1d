#!/usr/bin/env python3
"""Redis's own tools: what redis-cli and redis-benchmark do besides a prompt."""

import json
import os
import re
import shutil
import subprocess

import harness
import real


class Tools(harness.Case):
    def setUp(self):
        for tool in ("redis-cli", "redis-benchmark"):
            if shutil.which(tool) is None:
                self.skipTest(f"no {tool} on this machine (Debian: redis-tools)")
        self.d, self.guarded = real.guarded_daemon(self)

    def run_tool(self, tool, *args, stdin=b"", env=None, timeout=harness.PATIENCE_S * 3):
        done = subprocess.run([tool, "-s", self.d.path, *args], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, timeout=timeout,
                              env={**os.environ, **(env or {})})
        return done.returncode, done.stdout.decode(errors="replace")

    def cli(self, *args, **more):
        code, said = self.run_tool("redis-cli", *args, **more)
        self.assertEqual(code, 0, said)
        return said

    def fill(self, n=1000):
        c = self.d.client()
        c.pipeline(*(("SET", f"key:{i}", "v" * (i % 100 + 1)) for i in range(n)))
        return c


class Cli(Tools):
    def test_one_command_raw_formatted_csv_and_json(self):
        self.assertEqual(self.cli("SET", "k", "a\tb"), "OK\n")
        self.assertEqual(self.cli("GET", "k"), "a\tb\n")
        self.assertEqual(self.cli("--no-raw", "GET", "k"), '"a\\tb"\n')
        self.assertEqual(self.cli("--no-raw", "MGET", "k", "gone"), '1) "a\\tb"\n2) (nil)\n')
        self.assertEqual(self.cli("--csv", "MGET", "k", "gone"), '"a\\tb",NULL\n')
        self.assertEqual(json.loads(self.cli("-3", "--json", "MGET", "k", "gone")), ["a\tb", None])
        self.assertEqual(json.loads(self.cli("-3", "--json", "CONFIG", "GET", "maxclients")),
                         {"maxclients": "10000"})
        self.assertIn("\nproto 3\n", self.cli("-3", "HELLO"))
        code, said = self.run_tool("redis-cli", "-e", "INCR", "k")
        self.assertEqual((code, said.strip()), (1, "ERR value is not an integer or out of range"))

    def test_values_and_scripts_of_commands_from_standard_input(self):
        self.assertEqual(self.cli("-x", "SET", "k", stdin=b"\0\1binary"), "OK\n")
        self.assertEqual(self.d.client()("GET", "k"), b"\0\1binary")
        self.assertEqual(self.cli(stdin=b"SET a 1\nINCR a\nMULTI\nINCR a\nEXEC\nSELECT 1\nGET a\n"),
                         "OK\n2\nOK\nQUEUED\n3\nERR DB index is out of range\n\n3\n")
        self.assertEqual(self.cli("-r", "3", "INCR", "a"), "4\n5\n6\n")

    def test_a_password_by_option_and_by_environment(self):
        def at_door(*args, **more):
            return subprocess.run(["redis-cli", "-s", self.guarded, *args], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, check=False, **more).stdout
        self.assertEqual(at_door("GET", "k"), "NOAUTH Authentication required.\n\n")
        self.assertEqual(at_door("--no-auth-warning", "-a", real.PASSWORD, "SET", "k", "v"), "OK\n")
        self.assertEqual(at_door("--user", "default", "--pass", real.PASSWORD, "-3", "GET", "k"), "v\n")
        self.assertEqual(at_door("GET", "k", env={**os.environ, "REDISCLI_AUTH": real.PASSWORD}), "v\n")

    def test_pipe_loads_protocol_and_counts_replies(self):
        data = b"".join(harness.encode("SET", f"key:{i}", "v") for i in range(20000))
        self.assertIn("errors: 0, replies: 20001", self.cli("--pipe", stdin=data + b"PING\r\n"))
        code, said = self.run_tool("redis-cli", "--pipe", stdin=b"INCR key:1\r\nPING\r\n")
        self.assertEqual(code, 1)
        self.assertIn("errors: 1, replies: 2", said)
        self.assertEqual(self.d.client()("DBSIZE"), 20000)

    def test_scan_lists_all_keys(self):
        self.fill()
        said = self.cli("--scan", "--pattern", "key:*").split()
        self.assertEqual(set(said), {f"key:{i}" for i in range(1000)})
        self.assertEqual(set(self.cli("--scan").split()), set(said))

    def test_bigkeys_and_memkeys_sum_up(self):
        self.fill()
        said = self.cli("--bigkeys")
        self.assertIn("Sampled 1000 keys in the keyspace!", said)
        self.assertRegex(said, r"Biggest string found '\"key:\d*99\"' has 100 bytes")
        self.assertIn("1000 strings with 50500 bytes (100.00% of keys, avg size 50.50)", said)
        said = self.cli("--memkeys")
        # Entries are rounded up to 8 bytes, and the first of the largest is named.
        self.assertRegex(said, r"Biggest string found '\"key:\d*9\d\"' has 132 bytes")

    def test_stat_reads_its_figures(self):
        other = self.fill()
        stat = subprocess.Popen(["redis-cli", "-s", self.d.path, "-i", "0.01", "--stat"],
                                stdout=subprocess.PIPE, text=True)
        lines = [stat.stdout.readline() for _ in range(4)] # two of heading
        stat.kill()
        stat.communicate()
        rows = [re.match(r"(\d+) +\d+\.\d+[KM] +(\d+) +(\d+) +\d+ \(\+\d+\) +\d+ *$", line)
                for line in lines[2:]]
        self.assertTrue(all(rows), lines)
        self.assertEqual([row.groups() for row in rows], [("1000", "2", "0")] * 2)
        other.close()

    def test_latency_measures(self):
        said = self.cli("--raw", "--latency", "-i", "0.1", timeout=30)
        self.assertEqual(len(said.split()), 4, said)

    def test_what_only_a_redis_has_is_refused_in_words(self):
        for args in (("--rdb", os.path.join(self.d.folder, "x")), ("--replica",)):
            code, said = self.run_tool("redis-cli", *args)
            self.assertEqual(code, 1)
            self.assertIn("unknown command", said)
        self.assertEqual(self.cli("EVAL", "return 1 + 1", "0").partition(" ")[0], "ERR")


class Benchmark(Tools):
    def test_it_runs_what_strings_have(self):
        before = self.d.info()
        code, said = self.run_tool("redis-benchmark", "-t", "ping,set,get,incr,mset", "-n", "2000",
                                   "-c", "50", "-r", "1000", "-d", "100", "--csv")
        self.assertEqual(code, 0, said)
        self.assertEqual(re.findall(r'^"(\w+)[^"]*","[\d.]+"', said, re.M),
                         ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET"], said)
        after = self.d.info()
        self.assertEqual(int(after["keyspace_hits"]) + int(after["keyspace_misses"]) -
                         int(before["keyspace_hits"]) - int(before["keyspace_misses"]), 2000)

    def test_pipelines_threads_and_resp3(self):
        for more in (("-P", "16"), ("--threads", "2"), ("-3",), ("-k", "0", "-n", "500")):
            code, said = self.run_tool("redis-benchmark", "-t", "set,get", "-n", "2000", "-q", *more)
            self.assertEqual(code, 0, said)
            self.assertRegex(said, r"SET: [\d.]+ requests per second")
            self.assertRegex(said, r"GET: [\d.]+ requests per second")
            self.assertNotIn("Error", said)

    def test_own_commands_and_placeholders(self):
        code, said = self.run_tool("redis-benchmark", "-n", "1000", "-r", "10", "-q",
                                   "SET", "user:__rand_int__", "x", "EX", "60")
        self.assertEqual(code, 0, said)
        self.assertLessEqual(self.d.client()("DBSIZE"), 10)

    def test_a_command_that_is_not_there_ends_it(self):
        code, said = self.run_tool("redis-benchmark", "-t", "lpush", "-n", "100", "-q")
        self.assertNotEqual(code, 0)
        self.assertIn("unknown command 'LPUSH'", said)


if __name__ == "__main__":
    harness.main()
