#!/usr/bin/env python3
"""pannier bench against the daemon: what it sends, what it says, how it ends;
and that ./dev bench can measure and report."""

import json
import lzma
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import harness

sys.path.insert(0, os.path.join(harness.TOP, "tests", "bench"))
sys.dont_write_bytecode = True
from lib import keys, plot, report, table  # noqa: E402

USAGE, NO_INPUT, UNAVAILABLE, PROTOCOL = 64, 66, 69, 76
RUN = os.path.join(harness.TOP, "tests", "bench", "run")


def command(server, *args):
    return [harness.BINARY, "bench", "--socket", f"unix:{server}", *map(str, args)]


def answers(path):
    """The file of a socket is there before its server listens."""
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(path) == 0


def bench(server, *args, code=0, protocol="resp"):
    """The result of a run with --json, which must end with this code."""
    argv = command(server, "--json", "--quiet", "--protocol", protocol, *args)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=200)
    if done.returncode != code:
        raise AssertionError(f"{argv} ended with {done.returncode}: {done.stderr}{done.stdout[-500:]}")
    return json.loads(done.stdout)


def failure(*args):
    """(exit code, standard error) of a run that says no more than that."""
    done = subprocess.run([harness.BINARY, "bench", *map(str, args)], capture_output=True,
                          text=True, check=False, timeout=200)
    return done.returncode, done.stderr


def pack(ids):
    return b"".join(struct.pack(">I", i) for i in ids)


class Load(harness.Case):
    def test_json_tells_every_count_and_they_agree(self):
        d = self.daemon()
        r = bench(d.path, "--requests", 5000, "--fill", "--verify", "--keyspace", 500,
                  "--pipeline", 7, "--threads", 2, "--interval", 0.05)
        self.assertEqual(r["requests"], 5000)
        self.assertEqual(r["gets"] + r["sets"], 5000)
        self.assertEqual(r["hits"], r["gets"])
        self.assertEqual((r["misses"], r["errors"], r["wrong"], r["fault"]), (0, 0, 0, None))
        self.assertGreater(r["bytes_in"], 100 * r["gets"])
        for which, count in (("all", 5000), ("get", r["gets"]), ("set", r["sets"])):
            found = r["latency_us"][which]
            self.assertEqual(found["count"], count)
            self.assertLessEqual(found["p50"], found["p99"])
            self.assertLessEqual(found["p99"], found["max"])
            shares = [q for q, _ in found["curve"]]
            self.assertEqual(shares, sorted(shares))
            self.assertEqual(found["curve"][-1], [1, found["max"]])
        self.assertEqual(sum(m["ops"] for m in r["timeline"]), 5000)
        self.assertEqual(r["options"]["pipeline"], 7)

    def test_what_it_says_is_what_the_server_counted(self):
        d = self.daemon()
        c = d.client()
        r = bench(d.path, "--requests", 3000, "--keyspace", 100)
        stats = d.info("stats")
        self.assertEqual(int(stats["keyspace_hits"]), r["hits"])
        self.assertEqual(int(stats["keyspace_misses"]), r["misses"])
        self.assertLessEqual(c("DBSIZE"), 100)

    def test_every_kind_of_keys_and_sizes_verifies(self):
        d = self.daemon()
        for args in (["--zipf", 0.99], ["--zipf", 1], ["--scan"], ["--grow", "--ratio", "2:1"],
                     ["--pollute", 0.2], ["--value-size", "loguniform:1..64KiB"],
                     ["--value-size", "uniform:0..10", "--redraw"], ["--value-size", "1MiB",
                      "--keyspace", 3, "--requests", 30], ["--cache-aside"], ["--clients", 1],
                     ["--key-size", 40, "--key-prefix", "{x}:"], ["--ttl", "1h..2h"]):
            with self.subTest(args=args):
                r = bench(d.path, "--requests", 2000, "--keyspace", 300, "--verify",
                          "--pipeline", 5, "--clients", 3, *args)
                self.assertEqual((r["wrong"], r["errors"]), (0, 0))
                c = d.client()
                c("FLUSHALL")
                c.close()

    def test_sizes_and_keys_are_those_of_tests_bench(self):
        d = self.daemon("memory: 128MiB\n")
        c = d.client()
        for spec in ("77", "uniform:3..500", "loguniform:64..16KiB"):
            bench(d.path, "--scan", "--ratio", "0:1", "--requests", 300, "--keyspace", 300,
                  "--value-size", spec, "--key-size", 24)
            sizes = keys.Sizes(spec)
            names = [keys.key_text(i, 24) for i in range(300)]
            found = c.pipeline(*(["STRLEN", n] for n in names))
            self.assertEqual(found, [sizes.of(i) for i in range(300)])
            self.assertAlmostEqual(sum(found) / 300 / sizes.mean(), 1, delta=0.3)

    def test_wrong_values_are_reported_and_fail(self):
        d = self.daemon()
        c = d.client()
        bench(d.path, "--requests", 100, "--keyspace", 10, "--fill")
        c("SET", keys.key_text(3), "not what was stored")
        r = bench(d.path, "--requests", 100, "--keyspace", 10, "--ratio", "1:0", "--verify",
                  code=PROTOCOL)
        self.assertGreater(r["wrong"], 0)
        self.assertIn("key number 3", r["fault"])

    def test_error_replies_are_reported_and_fail(self):
        d = self.daemon("max_value: 1KiB\n")
        r = bench(d.path, "--requests", 50, "--clients", 1, "--ratio", "0:1", "--value-size", 500)
        self.assertEqual(r["errors"], 0)
        # 2 KiB is too much, but the bytes of the request were announced.
        r = bench(d.path, "--requests", 1, "--clients", 1, "--ratio", "0:1", "--value-size",
                  2000, code=PROTOCOL)
        self.assertTrue(r["errors"] == 1 or r["fault"])

    def test_times_to_live_are_set(self):
        d = self.daemon()
        c = d.client()
        args = ["--scan", "--ratio", "0:1", "--requests", 20, "--keyspace", 20]
        bench(d.path, *args, "--ttl", "100s..200s")
        for i in range(20):
            self.assertGreater(c("PTTL", keys.key_text(i)), 100000 - 60000)
            self.assertLessEqual(c("PTTL", keys.key_text(i)), 200000)
        end = int(time.time() * 1000) + 500000
        bench(d.path, *args, "--expire-at", end)
        left = c("PTTL", keys.key_text(5))
        self.assertLessEqual(abs(end - int(time.time() * 1000) - left), 60000)
        self.assertGreater(left, 200000)

    def test_tcp_is_spoken_too(self):
        d = self.daemon('listen:\n  - unix: "PATH"\n  - tcp: 127.0.0.1:0\n'.replace(
            "PATH", os.path.join(self.folder(), "s")), stopped=True)
        d.path = re.search(r'unix: "(.*)"', open(d.config, encoding="utf-8").read())[1]
        d.start()
        d.wait_log(r"tcp:127\.0\.0\.1:\d+")
        port = re.search(r"tcp:127\.0\.0\.1:(\d+)", d.text())[1]
        done = subprocess.run([harness.BINARY, "bench", "-s", f"tcp:localhost:{port}", "-n", "100",
                               "--json", "-q"], capture_output=True, text=True, check=False,
                              timeout=100)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["requests"], 100)


class Traces(harness.Case):
    def replay(self, name, data):
        d = self.daemon()
        path = os.path.join(self.folder(), name)
        with open(path, "wb") as f:
            f.write(data)
        args = ["--trace", path, "--cache-aside", "--clients", 1, "--verify"]
        return bench(d.path, *args), bench(d.path, *args)

    def test_a_trace_is_replayed_and_what_was_missed_is_set(self):
        data = pack([1, 2, 1, 3, 4294967295, 2, 1])
        for name, content in (("t.trace", data), ("t.trace.xz", lzma.compress(data))):
            with self.subTest(name=name):
                first, again = self.replay(name, content)
                self.assertEqual((first["gets"], first["sets"], first["hits"]), (7, 4, 3))
                self.assertEqual((again["gets"], again["sets"], again["hits"]), (7, 0, 7))

    def test_what_is_no_trace_is_refused(self):
        folder = self.folder()
        for name, data in (("empty", b""), ("odd", b"12345"), ("not.xz", b"no archive")):
            path = os.path.join(folder, name)
            with open(path, "wb") as f:
                f.write(data)
            code, said = failure("-s", "/nowhere", "--trace", path)
            self.assertEqual(code, NO_INPUT)
            self.assertIn(name, said)
        self.assertEqual(failure("-s", "/nowhere", "--trace", folder + "/none")[0], NO_INPUT)


class OpenLoop(harness.Case):
    def test_requests_do_not_go_before_they_are_due(self):
        d = self.daemon()
        for arrivals in ("even", "poisson"):
            r = bench(d.path, "--rate", 2000, "--requests", 400, "--arrivals", arrivals)
            self.assertEqual(r["requests"], 400)
            self.assertGreater(r["seconds"], 0.1)
            self.assertEqual(r["unsent"], 0)

    def test_waiting_for_a_connection_counts(self):
        """One connection, and a server that stands still for a while."""
        d = self.daemon()
        argv = command(d.path, "--json", "--progress", "--interval", 0.05, "--rate", 500,
                       "--seconds", 1.5, "--clients", 1)
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as p:
            p.stderr.readline()
            d.signal(signal.SIGSTOP)
            for _ in range(6): # while it stands still, six intervals go by
                p.stderr.readline()
            d.signal(signal.SIGCONT)
            out, _ = p.communicate(timeout=100)
        r = json.loads(out)
        self.assertEqual(p.returncode, 0)
        # All that were due meanwhile waited, not the one that was under way.
        late = [q for q, us in r["latency_us"]["all"]["curve"] if us > 50000]
        self.assertLess(late[0], 1 - 50 / r["requests"])


class Herds(harness.Case):
    def test_without_an_origin_those_who_get_nothing_load(self):
        d = self.daemon()
        r = bench(d.path, "--herd", 20, "--requests", 3, "--load-time", "1ms..3ms", "--verify")
        self.assertEqual((r["herds"], r["errors"], r["wrong"]), (3, 0, 0))
        self.assertEqual(r["gets"], 60)
        self.assertEqual(r["loads"], r["misses"])
        self.assertEqual(r["sets"], r["loads"])
        self.assertGreaterEqual(r["loads"], 3)

    def test_with_leases_one_of_each_herd_loads(self):
        d = self.daemon('namespaces:\n  - prefix: "key:"\n    coalesce: lease\n')
        r = bench(d.path, "--herd", 50, "--requests", 5, "--load-time", "2ms", "--verify")
        self.assertEqual((r["herds"], r["loads"], r["loads_max"]), (5, 5, 1))
        self.assertEqual((r["hits"], r["sets"], r["wrong"]), (5 * 49, 5, 0))

    def test_with_an_origin_nobody_loads_and_it_is_asked_once(self):
        origin = self.origin()
        gate = origin.hold("/000000000007", b"a value")
        d = self.daemon(f"""
namespaces:
  - prefix: "key:"
    origin: o
    path: /{{rest}}
    ttl: 60s
origins:
  o:
    http:
      endpoints: ["{origin.url}"]
    deadline: 30s
""")
        argv = command(d.path, "--json", "--quiet", "--herd", 50, "--requests", 1, "--first-key",
                       7, "--timeout", 60)
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as p:
            origin.wait_requests(1)
            gate.open()
            out, _ = p.communicate(timeout=100)
        r = json.loads(out)
        self.assertEqual((r["herds"], r["loads"], r["hits"]), (1, 0, 50))
        self.assertEqual(origin.count(), 1)


class Ends(harness.Case):
    def test_wrong_usage_is_64_and_no_server_69(self):
        code, said = failure("--clients", "none")
        self.assertEqual(code, USAGE)
        self.assertIn("--clients", said)
        code, said = failure("--socket", "/nowhere/s")
        self.assertEqual(code, UNAVAILABLE)
        self.assertIn("/nowhere/s", said)

    def test_a_server_of_another_protocol_is_told_apart(self):
        d = self.daemon()
        code, said = failure("-s", d.path, "--protocol", "memcache", "-n", 10)
        self.assertEqual(code, PROTOCOL)
        self.assertIn("pannier bench:", said)

    def test_a_server_that_goes_away_ends_the_run(self):
        d = self.daemon()
        with subprocess.Popen(command(d.path, "--seconds", 100, "--progress", "--interval", 0.05),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            p.stderr.readline()
            d.kill()
            _, said = p.communicate(timeout=100)
        self.assertEqual(p.returncode, UNAVAILABLE)
        self.assertRegex(said, r"pannier bench: .*(closed|reset|refused|pipe)")

    def test_an_interruption_ends_it_with_figures(self):
        d = self.daemon()
        with subprocess.Popen(command(d.path, "--seconds", 100, "--progress", "--json",
                                      "--interval", 0.05),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            line = p.stderr.readline()
            p.send_signal(signal.SIGINT)
            out, _ = p.communicate(timeout=100)
        self.assertRegex(line, r"\d/s +hits .* latency us")
        self.assertEqual(p.returncode, 0)
        self.assertGreater(json.loads(out)["requests"], 0)

    def test_people_get_a_table(self):
        d = self.daemon()
        done = subprocess.run(command(d.path, "-n", 100, "-q"), capture_output=True, text=True,
                              check=True, timeout=100)
        self.assertRegex(done.stdout, r"requests +100 in")
        self.assertRegex(done.stdout, r"(?m)^GET +[\d.]+( +\d+){5}$")


@unittest.skipIf(not shutil.which("memcached"), "memcached is not installed")
class Memcached(harness.Case):
    def test_memcached_answers_in_its_own_protocol(self):
        path = os.path.join(self.folder(), "s")
        user = ["-u", "root"] if os.geteuid() == 0 else []
        with subprocess.Popen(["memcached", "-s", path, "-t", "1", *user]) as p:
            try:
                harness.wait_until(lambda: answers(path), "memcached")
                r = bench(path, "--fill", "--verify", "--requests", 2000, "--keyspace", 100,
                          "--pipeline", 5, "--ttl", "100s", protocol="memcache")
                self.assertEqual((r["hits"], r["wrong"], r["errors"]), (r["gets"], 0, 0))
            finally:
                p.terminate()


SPEED = {"cpu_us": 1.5, "per_second": 9e5, "user_share": 0.5,
         "latency": {"p99": 90}, "curve": [[0, 10], [0.5, 40], [0.99, 90], [1, 200]]}


class Report(unittest.TestCase):
    def results(self):
        cpu = {f"pipeline {p}": {"pannier": SPEED, "redis": {**SPEED, "cpu_us": 5.0},
                                 "floor": {**SPEED, "cpu_us": 1.4}} for p in (1, 16, 64)}
        cpu["open loop"] = cpu["pipeline 1"]
        return {"machine": {"processor": "<x>", "processors": 2, "memory_bytes": 2 ** 30,
                            "kernel": "6", "redis": "redis 7", "memcached": "memcached 1",
                            "commit": "c", "when": "now"},
                "sections": {"cpu": {"quick": True, "results": cpu},
                             "instr": {"quick": False, "results": {"GET, pipeline 16": {
                                 "pannier": 660.0, "redis": 3560.0}}}}}

    def test_a_row_is_reached_or_missed_by_so_much(self):
        rows = {r.label: r for _, rs in table.groups(self.results()) for r in rs}
        self.assertEqual(rows["CPU us/op, pipeline 16"].verdict(), "reached")
        self.assertEqual(rows["CPU us/op, pipeline 16"].ratio("redis"), "0.30")
        self.assertEqual(rows["instructions a GET, pipeline 16"].verdict(), "missed by 10.0 %")
        self.assertEqual(rows["instructions a GET alone"].verdict(), "not measured")
        self.assertIn("(quick run)", table.text(self.results()))
        self.assertIn("| instructions a GET, pipeline 16 | 660 | 3,560 |",
                      table.markdown(self.results()))

    def test_the_page_is_whole_and_needs_nothing_else(self):
        page = report.page(self.results())
        self.assertEqual(page.count("<svg"), page.count("</svg>"))
        self.assertEqual(page.count("<svg"), 3)
        self.assertIn("&lt;x&gt;", page)
        self.assertNotRegex(page, r"(src|href)=")
        self.assertNotIn("nan", page.lower().replace("pannier", ""))

    def test_axes_hold_all_values(self):
        for low, high in ((0, 1), (0.2, 0.9), (1, 1), (3, 12345678), (0.001, 0.002)):
            for make in (plot.linear, plot.logarithmic) if low > 0 else (plot.linear,):
                axis = make(low, high, "x")
                self.assertGreaterEqual(len(axis.ticks), 1)
                self.assertGreaterEqual(axis.share(low), 0)
                self.assertLessEqual(axis.share(high), 1)
                if high > low:
                    self.assertLess(axis.share(low), axis.share(high))


@unittest.skipIf(harness.SANITIZER, "sanitizers are no build to measure")
class DevBench(unittest.TestCase):
    def test_a_section_is_measured_and_published(self):
        with tempfile.TemporaryDirectory(prefix="pannier-") as folder:
            argv = [sys.executable, "-B", RUN, "--quick", "--servers", "pannier", "--build",
                    folder, "--pannier", harness.BINARY, "cpu"]
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("CPU us/op, pipeline 64", done.stdout)
            with open(os.path.join(folder, "bench", "results.json"), encoding="utf-8") as f:
                found = json.load(f)["sections"]["cpu"]["results"]
            self.assertGreater(found["pipeline 16"]["pannier"]["cpu_us"], 0)
            for name in ("report.html", "table.md"):
                self.assertTrue(os.path.getsize(os.path.join(folder, "bench", name)))


if __name__ == "__main__":
    harness.main()
