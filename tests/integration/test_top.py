#!/usr/bin/python3
"""`pannier top`: on a terminal, as text and as JSON."""

import json
import os
import re
import signal
import subprocess
import sys
import termios
import time

import harness
from terminal import Terminal

CONFIG = """threads: 1
memory: 64MiB
origins:
  api:
    http:
      endpoints: ["http://127.0.0.1:{port}"]
    deadline: 10s
namespaces:
  - {{prefix: "user:", origin: api, path: "/{{rest}}", ttl: 100s}}
"""
EX_USAGE, EX_UNAVAILABLE = 64, 69


class Top(harness.Case):
    def start(self):
        """A daemon; 30 hits and 10 misses were read in default, 2 in user:."""
        origin = self.origin()
        origin.on("/1", b"ann")
        d = self.daemon(CONFIG.format(port=origin.port))
        client = d.client()
        self.addCleanup(client.close)
        client("SET", "k", "v")
        client.pipeline(*[("GET", "k")] * 30, *[("GET", f"none{i}") for i in range(10)])
        self.assertEqual(client("GET", "user:1"), b"ann")
        self.assertEqual(client("GET", "user:1"), b"ann")
        self.client = client
        return d

    def args(self, d, *more):
        return [harness.BINARY, "top", "--socket", d.path, "--timeout", "20s", *more]

    def terminal(self, d, *more, **env):
        t = Terminal(self.args(d, "--interval", "100ms", *more), **env)
        self.addCleanup(t.close)
        return t

    def run_top(self, d, *more, **env):
        return subprocess.run(self.args(d, *more), capture_output=True, text=True, check=False,
                              timeout=harness.PATIENCE_S, env={**os.environ, **env},
                              stdin=subprocess.DEVNULL)

    def test_it_shows_what_the_daemon_counted(self):
        d = self.start()
        t = Terminal(self.args(d, "--interval", "1h"))
        self.addCleanup(t.close)
        t.wait(r"pannier \d+\.\d+\.\d+  up \d+s  since the start  pid " + str(d.pid))
        t.wait(r"hit rate  73\.8 %")  # 31 of 42
        t.wait(r"default +\S+ +75\.0 ")
        t.wait(r"user +\S+ +50\.0 ")
        t.wait(r"of 64\.0MiB resident \(\d+\.\d %\)")
        t.wait(r"\nlatency of commands, at most: p50 \d")
        t.press("3")
        t.wait(r"\[3 origins\].*\norigin +breaker .*\napi +closed ")
        t.press("5")
        t.wait(r"\nhot key .*\n\"k\" +\S+ +\S+ +\S+ +default")
        t.press("6")
        t.wait(r"\ncommand .*\nget ")
        t.press("q")
        self.assertEqual(t.end(), 0)

    def test_rates_are_of_the_interval(self):
        d = self.start()
        t = self.terminal(d)
        t.wait(r"over \d\.\d s")
        t.wait(r"hit rate  - +0 hits/s +0 misses/s")
        end = time.monotonic() + harness.PATIENCE_S
        while not re.search(r"hit rate  100\.0 % +[1-9]", t.text()):
            self.assertLess(time.monotonic(), end, t.text())
            self.client.pipeline(*[("GET", "k")] * 50)
        t.wait(r"hit rate  - +0 hits/s")

    def test_keys_change_what_is_shown(self):
        d = self.start()
        t = self.terminal(d)
        t.wait(r"\nuser ")
        t.press("/DEF\n")
        t.wait(r"/DEF\n")
        t.wait(r"\ndefault ")
        self.assertNotIn("\nuser ", t.text())
        t.press("\x1b")
        t.wait(r"\nuser ")
        t.press("p")
        t.wait("PAUSED")
        t.press("p+")
        t.wait(r"over [\d.]+ s  pid(.|\n)*every 200ms")
        t.press("\t\t\t")
        t.wait(r"\[4 latency\]")
        t.press("?")
        t.wait(r"Keys\n +Tab, 1 to 6 ")
        t.press("x")
        t.wait(r"\[4 latency\].*\nlatency")
        t.press("\x1b[D")  # left
        t.wait(r"\[3 origins\]")

    def test_it_fits_a_small_screen_and_grows_again(self):
        d = self.start()
        t = self.terminal(d)
        t.wait(r"\nq quit  h help")
        t.resize(20, 5)
        t.wait(r"^pannier \S+  up.*\nhit rate .*\nnamespace.*\n.*\nq quit  h help  Tab$")
        t.resize(80, 24)
        t.wait(r"\nlatency.*(.|\n)*\nq quit  h help  Tab pane  s sort .*$")
        t.resize(1, 1)
        t.wait(r"^[pq]$")
        t.resize(200, 60)
        t.wait(r"inval/s")

    def ends_well(self, t):
        self.assertEqual(t.end(), 0, t.raw)
        self.assertEqual(termios.tcgetattr(t.slave), t.before)
        self.assertIn(b"\x1b[?25h", t.raw[-200:], "the cursor is shown again")

    def test_it_leaves_the_terminal_as_it_was(self):
        d = self.start()
        for how in ("q", "\x03", signal.SIGTERM, signal.SIGHUP):
            with self.subTest(how=how):
                t = self.terminal(d)
                t.wait("hit rate")
                self.assertNotEqual(termios.tcgetattr(t.slave), t.before)
                if isinstance(how, str):
                    t.press(how)
                else:
                    t.process.send_signal(how)
                self.ends_well(t)

    def test_a_daemon_that_went_away_is_waited_for(self):
        d = self.start()
        t = self.terminal(d)
        t.wait(r"\ndefault ")
        d.stop()
        t.wait(r"\nAWAY, trying again: unix:\S+: ")
        self.assertRegex(t.text(), r"\ndefault ")
        d.start()
        t.wait(r"over [\d.]+ s  pid " + str(d.pid) + r"(.|\n)*\nq quit")
        t.press("q")
        self.ends_well(t)

    def test_a_daemon_that_hangs_does_not_hang_the_keys(self):
        d = self.start()
        t = self.terminal(d)
        t.wait(r"over \d\.\d s")
        d.signal(signal.SIGSTOP)
        try:
            t.press("h")
            t.wait(r"\nKeys")
            t.press("qq")
            self.ends_well(t)
        finally:
            d.signal(signal.SIGCONT)

    def test_colours_are_for_who_wants_them(self):
        d = self.start()
        red = re.compile(rb"\x1b\[[\d;]*31")
        for env, wanted in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "vt100"}, False)):
            with self.subTest(env=env):
                t = self.terminal(d, **env)
                t.wait(r"over \d")
                d.kill()
                t.wait("AWAY")
                self.assertEqual(red.search(t.raw) is not None, wanted)
                d.start()

    def test_bars_are_ascii_where_there_is_no_unicode(self):
        d = self.start()
        for env, more, wanted in (({}, (), "\u2591"), ({"LC_ALL": "C"}, (), "#"),
                                  ({}, ("--ascii",), "#")):
            t = self.terminal(d, *more, **env)
            t.wait(r"memory .*" + wanted)

    def test_it_starts_only_where_it_can_show_something(self):
        d = self.start()
        self.assertEqual(self.run_top(d).returncode, EX_USAGE)
        t = self.terminal(d, TERM="nonesuch")
        self.assertEqual(t.end(), EX_UNAVAILABLE)
        self.assertIn("TERM=nonesuch", t.text())
        d.stop()
        t = self.terminal(d)
        self.assertEqual(t.end(), EX_UNAVAILABLE)
        self.assertIn("is pannier running?", t.text().replace("\n", "")) # it may be wrapped

    def test_once_prints_one_interval(self):
        d = self.start()
        done = self.run_top(d, "--once", "--interval", "100ms", LC_ALL="C")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"^pannier \S+  up \d+s  over \d+\.\d s  pid")
        self.assertRegex(done.stdout, r"\nhit rate  - ")
        self.assertRegex(done.stdout, r"\nuser +0 +- ")
        done = self.run_top(d, "--once", "--since-start")
        self.assertRegex(done.stdout, r"\nhit rate  73\.8 % ")
        d.stop()
        done = self.run_top(d, "--once")
        self.assertEqual((done.returncode, done.stdout), (EX_UNAVAILABLE, ""))

    def test_json_is_one_object_an_interval(self):
        d = self.start()
        done = self.run_top(d, "--once", "--since-start", "--json")
        one = json.loads(done.stdout)
        self.assertEqual((one["process_id"], one["since_start"]), (d.pid, True))
        self.assertEqual((one["hit_rate"], one["memory_limit_bytes"]), (0.7381, 64 << 20))
        spaces = {n["name"]: n for n in one["namespaces"]}
        self.assertEqual((spaces["user"]["hit_rate"], spaces["user"]["entries"]), (0.5, 1))
        self.assertEqual(one["origins"][0]["breaker"], "closed")
        self.assertEqual((one["hot_keys"][0]["key"], one["hot_keys"][0]["namespace"]),
                         ("k", "default"))
        self.assertIn("get", [c["name"] for c in one["commands"]])
        self.assertGreaterEqual(sum(b["calls"] for b in one["latency"]), 40)
        self.documented(one)

    def documented(self, value):
        """Each member is named by the documentation."""
        with open(os.path.join(harness.TOP, "doc", "operations.md"), encoding="utf-8") as f:
            text = f.read()
        text = text[text.index("### JSON of `pannier top`"):]
        if isinstance(value, dict):
            for name in value:
                self.assertIn(f"`{name.replace('_per_second', '')}", text)
        for v in value.values() if isinstance(value, dict) else value:
            if isinstance(v, (dict, list)):
                self.documented(v)

    def test_json_goes_on_while_the_daemon_is_away(self):
        d = self.start()
        p = subprocess.Popen(self.args(d, "--json", "--interval", "100ms"),
                             stdout=subprocess.PIPE, text=True)
        try:
            first, second = json.loads(p.stdout.readline()), json.loads(p.stdout.readline())
            self.assertFalse(first["since_start"] or second["restarted"])
            d.stop()
            while "error" not in (line := json.loads(p.stdout.readline())):
                pass
            self.assertEqual(line["address"], "unix:" + d.path)
            d.start()
            while "error" in (line := json.loads(p.stdout.readline())):
                pass
            self.assertEqual((line["process_id"], line["restarted"]), (d.pid, True))
            p.send_signal(signal.SIGTERM)
            p.stdout.read()
            self.assertEqual(p.wait(harness.PATIENCE_S), 0)
        finally:
            if p.poll() is None:
                p.kill()
                p.wait()
            p.stdout.close()

    def test_a_password_is_said(self):
        folder = self.folder()
        secret = os.path.join(folder, "secret")
        with open(secret, "w", encoding="utf-8") as f:
            f.write("hush\n")
        os.chmod(secret, 0o600)
        d = self.daemon(f"password_file: {secret}\n", folder=folder, stopped=True)
        d.launch()
        d.wait_log("listening on")
        once = ("--once", "--since-start")
        self.assertEqual(self.run_top(d, *once, PANNIER_PASSWORD="hush").returncode, 0)
        for password, words in (("wrong", "was refused: WRONGPASS"), ("", "wants a password")):
            done = self.run_top(d, *once, PANNIER_PASSWORD=password)
            self.assertEqual(done.returncode, EX_UNAVAILABLE)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    sys.exit(harness.main())
