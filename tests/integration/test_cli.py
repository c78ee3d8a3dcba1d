#!/usr/bin/env python3
"""The command line: help, exit codes, errors, and the order of file,
environment and flags, with the real binary."""

import json
import os
import re
import signal
import socket
import subprocess

import harness

EX_OK, EX_USAGE, EX_NOINPUT, EX_UNAVAILABLE = 0, 64, 66, 69
EX_CANTCREAT, EX_IOERR, EX_NOPERM, EX_CONFIG = 73, 74, 77, 78

SUBCOMMANDS = ["serve", "ping", "stats", "top", "advise", "check", "bench", "completion",
               "demo"]

# Text of a file -> what `check` must say of it.
BAD_FILES = [
    ("", ": the file holds no settings; write {} if you mean the defaults"),
    ("memory: 5x\n", ':1:9: memory: "5x" is no size; write for example 256MiB'),
    ("memry: 1GiB\n", ':1:1: unknown key "memry"; did you mean "memory"?'),
    ("memory: 32MiB\nmemory: 64MiB\n", ':2:1: "memory" stands here twice, first in line 1'),
    ("memory: &a 32MiB\n", ":1:9: anchors (&name) are not taken here"),
    ("listen:\n\t- unix: x\n", ":2:1: this line is indented with a tab; write spaces"),
    ("[" * 100000, ":1:17: nested deeper than 16 levels"),
    ("\0\1\2", ":1:1: byte 0x00: this is no text file"),
    ("# " + "x" * (1 << 20), ": larger than 1MiB"),
    ("listen: [{tcp: 0.0.0.0:6379}]\n", "is not on loopback"),
    ("listen: [{unix: " + "a" * 108 + "}]\n", "at most 107 bytes"),
    ("listen: [{unix: a, owner: no-such-user}]\n", '"no-such-user" is no user on this machine'),
    ("namespaces:\n  - {prefix: a, origin: b, path: /c}\n", '"b" is not among origins:'),
    ("namespaces:\n  - {prefix: a}\n  - {prefix: a}\n", "is the prefix of namespaces[0] too"),
    ("origins: {b: {http: {endpoints: [redis://x]}}}\n", "must begin with http://"),
]


def run(*args, env=None, stdout=subprocess.PIPE):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PANNIER_")}
    return subprocess.run([harness.BINARY, *args], stdin=subprocess.DEVNULL, stdout=stdout,
                          stderr=subprocess.PIPE, text=True, check=False,
                          env={**clean, **(env or {})}, timeout=harness.PATIENCE_S)


class Cli(harness.Case):
    def assert_fails(self, code, words, *args, env=None):
        done = run(*args, env=env)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(words, done.stderr)
        self.assertEqual(done.stdout, "")

    def file(self, text, folder=None):
        path = os.path.join(folder or self.folder(), "pannier.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path


class Usage(Cli):
    def test_help_names_every_subcommand_and_each_has_its_own(self):
        overview = run("--help")
        self.assertEqual((overview.returncode, overview.stderr), (EX_OK, ""))
        self.assertEqual(overview.stdout, run("help").stdout)
        self.assertEqual(overview.stdout, run("-h").stdout)
        self.assertEqual(re.findall(r"^  (\w+) ", overview.stdout, re.M), SUBCOMMANDS)
        for name in SUBCOMMANDS:
            done = run(name, "--help")
            self.assertEqual((done.returncode, done.stderr), (EX_OK, ""), name)
            self.assertIn(f"pannier {name}", done.stdout)
            self.assertEqual(done.stdout, run("help", name).stdout)
        for name in ("serve", "ping", "stats", "check", "bench"):
            self.assertEqual(run(name, "-h").stdout, run(name, "--help").stdout)

    def test_help_fits_a_terminal(self):
        for name in ("", "serve", "ping", "stats", "top", "check"):
            for line in run(*filter(None, ("help", name))).stdout.splitlines():
                self.assertLessEqual(len(line), 80, line)

    def test_version(self):
        for option in ("--version", "-V"):
            self.assertRegex(run(option).stdout, r"^pannier \d+\.\d+\.\d+\n$")

    def test_unknown_things_are_refused_with_the_nearest_known_one(self):
        self.assert_fails(EX_USAGE, "Usage: pannier COMMAND")
        self.assert_fails(EX_USAGE, 'unknown command "sreve"; did you mean "serve"?', "sreve")
        self.assert_fails(EX_USAGE, 'unknown command "xyzzy"\n', "help", "xyzzy")
        self.assert_fails(EX_USAGE, 'unknown option "--vresion"', "--vresion")
        self.assert_fails(EX_USAGE, "--memroy; did you mean --memory?", "serve", "--memroy=1")
        self.assert_fails(EX_USAGE, "could be --max-clients, --max-value", "serve", "--max", "1")
        self.assert_fails(EX_USAGE, "option --memory wants a value", "serve", "--memory")
        self.assert_fails(EX_USAGE, 'what is "now"?', "ping", "now")
        self.assert_fails(EX_USAGE, 'what is "b"?', "check", "a", "b")
        self.assert_fails(EX_USAGE, '--timeout: "5" is no duration', "ping", "--timeout=5")
        self.assert_fails(EX_USAGE, "--watch:", "stats", "--watch=0")

    def test_output_that_cannot_be_written_is_no_success(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = run("--help", stdout=full)
        self.assertEqual(done.returncode, EX_IOERR)
        self.assertIn("cannot write: No space left on device", done.stderr)


class Check(Cli):
    def test_every_wrong_file_is_refused_by_check_and_by_serve(self):
        for text, words in BAD_FILES:
            path = self.file(text)
            with self.subTest(text[:40]):
                self.assert_fails(EX_CONFIG, words, "check", path)
                self.assert_fails(EX_CONFIG, words, "serve", "--config", path)

    def test_check_tells_all_errors_and_their_number(self):
        done = run("check", self.file("memory: x\nthreads: y\n"))
        lines = done.stderr.splitlines()
        self.assertEqual(done.returncode, EX_CONFIG)
        self.assertEqual(len(lines), 3)
        self.assertIn(":1:9: memory:", lines[0])
        self.assertIn(":2:10: threads:", lines[1])
        self.assertEqual(lines[2], "2 errors")

    def test_files_that_cannot_be_read(self):
        folder = self.folder()
        self.assert_fails(EX_NOINPUT, "No such file", "check", folder + "/none")
        self.assert_fails(EX_NOINPUT, "a directory", "check", folder)
        self.assert_fails(EX_NOINPUT, "No such file", "serve", "-c", folder + "/none")
        self.assert_fails(EX_NOINPUT, "No such file", "check", env={"PANNIER_CONFIG": "/none"})

    def test_the_samples_of_readme_and_contrib_are_good(self):
        with open(os.path.join(harness.TOP, "README.md"), encoding="utf-8") as f:
            samples = re.findall(r"^```yaml\n(.*?)^```", f.read(), re.M | re.S)
        self.assertTrue(samples)
        for sample in samples:
            path = self.file(sample)
            self.assertEqual(run("check", path).stdout, path + ": OK\n")
        sample = os.path.join(harness.TOP, "contrib", "pannier.yaml")
        self.assertEqual(run("check", "--config", sample).stdout, sample + ": OK\n")

    def test_what_contrib_says_of_defaults_is_true(self):
        """Its commented options, switched on, change nothing."""
        sample = os.path.join(harness.TOP, "contrib", "pannier.yaml")
        with open(sample, encoding="utf-8") as f:
            text = f.read()
        options = re.sub(r"^(\s*)# ((?:[a-z_]+): \S+)( .*)?$", r"\1\2", text, flags=re.M)
        options = re.sub(r"^\s*((owner|group|password_file|allow_[ug]ids|read_only|lease_holder|"
                         r"grace):|namespaces: \[).*\n", "", options, flags=re.M)
        self.assertGreater(len(re.findall(r"^[a-z_]+: ", options, re.M)), 8)

        def values(path):
            return re.sub(r" #.*", "", run("check", path, "--effective").stdout)

        self.assertEqual(values(self.file(options)), values(sample))

    def test_effective_says_where_each_value_came_from_and_reads_again(self):
        path = self.file("memory: 32MiB\nthreads: 1\nmax_clients: 7\n")
        done = run("check", path, "--effective", "--memory=64MiB",
                   env={"PANNIER_MEMORY": "48MiB", "PANNIER_THREADS": "2"})
        lines = done.stdout.splitlines()
        self.assertIn("memory: 64MiB # flag --memory", lines)
        self.assertIn("threads: 2 # environment PANNIER_THREADS", lines)
        self.assertIn("max_clients: 7 # file:3", lines)
        self.assertIn("log_level: info # default", lines)
        again = self.file(done.stdout)
        self.assertEqual(run("check", again).returncode, EX_OK)

    def test_a_variable_that_is_nearly_an_option_is_warned_of(self):
        done = run("check", env={"PANNIER_MEMROY": "1", "PANNIER_SERVICE_HOST": "10.0.0.1"})
        self.assertEqual(done.returncode, EX_OK)
        self.assertEqual(done.stderr, "warning: the environment's PANNIER_MEMROY is no option; "
                                      "did you mean PANNIER_MEMORY?\n")


class Serve(Cli):
    def test_flags_stand_over_environment_over_file(self):
        d = self.daemon("memory: 48MiB\nthreads: 1\nmax_clients: 77\n",
                        env={"PANNIER_MEMORY": "56MiB", "PANNIER_THREADS": "2"},
                        args=["--memory", "64MiB"])
        c = d.client()
        self.assertEqual(c("CONFIG", "GET", "maxmemory")[1], b"%d" % (64 << 20))
        self.assertEqual(c("CONFIG", "GET", "threads")[1], b"2")
        self.assertEqual(c("CONFIG", "GET", "maxclients")[1], b"77")

    def test_it_says_where_it_listens(self):
        d = self.daemon(args=["--listen", "tcp:127.0.0.1:0"], stopped=True)
        d.launch()
        d.wait_log(r"listening on tcp:127\.0\.0\.1:\d+")
        port = int(re.search(r"127\.0\.0\.1:(\d+)", d.text())[1])
        self.assertNotEqual(port, 0)
        self.assertEqual(harness.Client(("127.0.0.1", port))("PING"), "PONG")
        self.assertFalse(os.path.exists(d.path), "the flag stands instead of the file's listener")

    def test_without_an_address_it_takes_a_usual_one_and_ping_finds_it(self):
        if os.access("/run/pannier", os.W_OK):
            self.skipTest("/run/pannier is there")
        folder = self.folder()
        env = {"XDG_RUNTIME_DIR": folder}
        d = self.daemon("", folder=folder, env=env, stopped=True)
        with open(d.config, "w", encoding="utf-8") as f:
            f.write("threads: 1\n")
        d.launch()
        d.wait_log("listening on unix:" + folder + "/pannier.sock")
        self.assertEqual(run("ping", env=env).returncode, EX_OK)
        self.assertEqual(run("stats", env=env).returncode, EX_OK)

    def test_a_start_that_fails_says_why(self):
        folder = self.folder()
        self.assert_fails(EX_CANTCREAT, "/none", "serve", "--listen", f"unix:{folder}/none/x.sock")
        self.assert_fails(EX_CONFIG, '--memory: "5x" is no size', "serve", "--memory", "5x")
        self.assert_fails(EX_CONFIG, "PANNIER_THREADS:", "serve", env={"PANNIER_THREADS": "x"})
        self.assert_fails(EX_CONFIG, "at most 107 bytes", "serve", "--listen", "unix:/" + 107 * "x")

    def test_a_second_daemon_leaves_the_first_alone(self):
        d = self.daemon()
        self.assert_fails(EX_UNAVAILABLE, "another process", "serve", "--listen", "unix:" + d.path)
        self.assertEqual(d.client()("PING"), "PONG")

    def test_sighup_reads_the_file_again_under_the_same_flags(self):
        d = self.daemon("max_clients: 70\nwait_limit: 5\n", args=["--wait-limit", "6"])
        c = d.client()
        d.write_config("max_clients: 80\nwait_limit: 7\n")
        d.signal(signal.SIGHUP)
        d.wait_log("reload: done")
        self.assertEqual(c("CONFIG", "GET", "max_clients")[1], b"80")
        self.assertEqual(c("CONFIG", "GET", "wait_limit")[1], b"6")

    def test_sighup_with_a_wrong_file_changes_nothing_and_tells(self):
        d = self.daemon("max_clients: 70\n")
        c = d.client()
        d.write_config("max_clients: lots\n")
        d.signal(signal.SIGHUP)
        d.wait_log('max_clients: "lots" is no whole number')
        self.assertEqual(c("CONFIG", "GET", "max_clients")[1], b"70")

    def test_sigterm_ends_it_with_0(self):
        d = self.daemon()
        self.assertEqual(d.stop(), 0)
        self.assertFalse(os.path.exists(d.path))


class Ask(Cli):
    def test_ping_tells_who_answered_and_how_fast(self):
        d = self.daemon()
        for target in (d.path, "unix:" + d.path):
            done = run("ping", "--socket", target)
            self.assertRegex(done.stdout, rf"^PONG from unix:{d.path} in \d+\.\d\d ms\n$")
            self.assertEqual((done.returncode, done.stderr), (EX_OK, ""))
        done = run("ping", env={"PANNIER_LISTEN": "unix:" + d.path})
        self.assertEqual(done.returncode, EX_OK)
        done = run("ping", "-q", "-s", d.path)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (EX_OK, "", ""))

    def test_ping_tells_what_is_amiss(self):
        folder = self.folder()
        self.assert_fails(EX_UNAVAILABLE, "no such socket; is pannier running?", "ping", "-s",
                          folder + "/none")
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(folder + "/s")
        self.assert_fails(EX_UNAVAILABLE, "nobody listens there", "ping", "-s", folder + "/s")
        listener.listen()
        self.assert_fails(EX_UNAVAILABLE, "no answer within 50 ms", "ping", "-s", folder + "/s",
                          "--timeout=50ms")
        self.assert_fails(EX_UNAVAILABLE, "no answer within 50 ms", "stats", "-s", folder + "/s",
                          "--timeout=50ms")
        done = run("ping", "-q", "-s", folder + "/none")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (EX_UNAVAILABLE, "", ""))

    def test_stats_shows_namespaces_and_origins(self):
        o = self.origin()
        o.on("/u/1", b"ann")
        d = self.daemon('namespaces:\n  - {prefix: "user:", origin: users, path: "/u/{rest}"}\n'
                        f'origins: {{users: {{http: {{endpoints: ["{o.url}"]}}}}}}\n')
        c = d.client()
        self.assertEqual(c("GET", "user:1"), b"ann")
        self.assertEqual(c("GET", "user:1"), b"ann")
        text = run("stats", "--socket", d.path).stdout
        self.assertRegex(text, r"^pannier \d+\.\d+\.\d+ at unix:")
        self.assertRegex(text, r"(?m)^memory +\S+ resident of \S+ \(\d+\.\d %\)")
        self.assertRegex(text, r"(?m)^cache +\S+ of \S+ used: \S+ entries, \S+ tables$")
        self.assertRegex(text, r"(?m)^hit rate +50\.0 %, 1 hits, 1 misses$")
        self.assertRegex(text, r"(?m)^namespace +reads +hits +misses +hit rate")
        self.assertRegex(text, r"(?m)^user +2 +1 +1 +50\.0 % ")
        self.assertRegex(text, r"(?m)^users +closed +1 +0 ")
        stats = json.loads(run("stats", "--json", "-s", d.path).stdout)
        self.assertEqual(stats["namespaces"]["user"]["hits"], 1)
        self.assertEqual(stats["namespaces"]["user"]["fetches"], 1)
        self.assertEqual(stats["origins"]["users"]["requests"], 1)
        self.assertIsInstance(stats["server"]["run_id"], str)

    def test_stats_watches_until_the_daemon_ends(self):
        d = self.daemon()
        with subprocess.Popen([harness.BINARY, "stats", "--json", "--watch=10ms", "-s", d.path],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            first, second = p.stdout.readline(), p.stdout.readline()
            d.stop()
            _, err = p.communicate(timeout=harness.PATIENCE_S)
        self.assertLess(json.loads(first)["server"]["server_time_usec"],
                        json.loads(second)["server"]["server_time_usec"])
        self.assertEqual(p.returncode, EX_UNAVAILABLE)
        self.assertRegex(err, "closed the connection|is pannier running")


if __name__ == "__main__":
    harness.main()
