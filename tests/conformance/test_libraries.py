#!/usr/bin/env python3
"""The client libraries of clients/: their own tests, which run all of proto/vectors,
a scripted server, and the daemon. Each is installed as its users install it."""

import os
import re
import select
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

import harness  # noqa: E402
import real  # noqa: E402

ENV = {**os.environ, "PANNIER": harness.BINARY, "CI": "true",
       "PANNIER_VECTORS": os.path.join(harness.TOP, "proto", "vectors")}
PROGRAM_S = 300


def sources(language):
    return os.path.join(harness.TOP, "clients", language)


class Libraries(real.Case):
    """Counts what the libraries' own test programs count."""

    def run_tests(self, argv, folder, line):
        """line: a pattern of a test's result, with groups `ok` (empty: it failed) and `name`."""
        done = subprocess.run(argv, cwd=folder, env=ENV, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              timeout=PROGRAM_S)
        found = list(re.finditer(line, done.stdout, re.M))
        for m in found:
            with self.subTest(m["name"]):
                if not m["ok"]:
                    self.fail(done.stdout[-8000:])
        if done.returncode != 0 or not found:
            self.fail(f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout[-8000:]}")

    def test_python(self):
        folder = self.installed("library-python", [sys.version], self.venv, sources("python"))
        # The same bytes mean the same in each build of the daemon.
        which = ["tests/test_daemon.py"] if harness.SANITIZER else ["tests"]
        self.run_tests(["venv/bin/python", "-m", "pytest", "-v", "-p", "no:cacheprovider", *which], folder,
                       r"^tests/(?P<name>\S+::.*?) (?:(?P<ok>PASSED)|FAILED|ERROR)")
        if not harness.SANITIZER:
            self.run_tests(["venv/bin/python", "-m", "mypy", "--no-incremental"], folder,
                           r"^(?P<ok>Success): (?P<name>no issues found)")

    def venv(self, folder):
        done = subprocess.run([sys.executable, "-m", "venv", "venv"], cwd=folder, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            self.skipTest(f"no virtual environments here (Debian: python3-venv): {done.stdout[-300:]}")
        real.fetch(["venv/bin/python", "-m", "pip", "install", "-q", "--no-input", "--retries", "3",
                    "--disable-pip-version-check", "-r", "tests/requirements.txt", "."], folder)

    def test_node(self):
        versions = [self.needs("node", "--version", package="nodejs"),
                    self.needs("npm", "--version", package="npm")]
        if int(versions[0].rpartition("v")[2].partition(".")[0]) < 18:
            self.skipTest(f"{self.id()}: {versions[0]} is too old, the library needs 18")
        folder = self.installed("library-node", versions, self.packages, sources("node"))
        which = ["test/daemon.test.js"] if harness.SANITIZER else ["test/"]
        self.run_tests(["node", "--test", "--test-reporter=tap", *which], folder,
                       r"^ *(?:(?P<ok>ok)|not ok) \d+ - (?P<name>(?!.*/).*)$")

    @staticmethod
    def packages(folder):
        real.fetch(["npm", "ci", "--no-progress", "--loglevel=error"], folder)
        real.run_tool(["npm", "run", "build"], folder)

    def test_go(self):
        if os.path.exists("/usr/local/go/bin/go"):
            os.environ["PATH"] += ":/usr/local/go/bin"
        said = self.needs("go", "version", package="golang-go")
        if tuple(map(int, re.search(r"go(\d+)\.(\d+)", said).groups())) < (1, 21):
            self.skipTest(f"{self.id()}: {said} is too old, the library needs 1.21")
        folder = self.installed("library-go", [said], self.build, sources("go"))
        # Those of single vectors are part of these.
        self.run_tests(["./library.test", "-test.v"], folder, r"^--- (?:(?P<ok>PASS)|FAIL): (?P<name>\S+)")

    @staticmethod
    def build(folder):
        flags = {"GOFLAGS": "-mod=readonly -buildvcs=false"}
        real.fetch(["go", "mod", "download", "-x"], folder, flags)
        real.run_tool(["go", "vet", "./..."], folder, flags)
        real.run_tool(["go", "test", "-c", "-o", "library.test", "."], folder, flags)


class C(harness.Case):
    """libpannier against the daemon; its unit tests are in tests/unit/clients."""

    def example(self, name, *argv, path):
        program = os.path.join(os.path.dirname(harness.BINARY), "clients", "c", "examples", name)
        child = subprocess.Popen([program, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                 env={**os.environ, "PANNIER_SOCKET": path})
        self.addCleanup(self.finish, child)
        return child

    @staticmethod
    def finish(child):
        if child.poll() is None:
            child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()

    @staticmethod
    def loading(children):
        """The one that says that it loads."""
        ready, _, _ = select.select([c.stdout for c in children], [], [], PROGRAM_S)
        found = [c for c in children if c.stdout in ready]
        assert len(found) == 1, f"{len(found)} load"
        assert found[0].stdout.readline() == "loading k\n"
        return found[0]

    def stampede(self, kill):
        daemon = self.daemon("namespaces:\n  - prefix: k\n    lease_time: 60s\n")
        children = [self.example("get_or_load", "k", f"v{i}", path=daemon.path) for i in range(4)]
        winner = self.loading(children)
        harness.wait_until(lambda: daemon.info("clients")["blocked_clients"] == "3", "three to wait")
        if kill:
            winner.kill()
            children.remove(winner)
            winner = self.loading(children)
        value = winner.args[2]
        winner.stdin.write("go\n")
        winner.stdin.flush()
        said = [(c is winner, c.stdout.read()) for c in children]
        for is_winner, text in said:
            self.assertEqual(text, f"{'filled' if is_winner else 'coalesced'} {value}\n")
        for name in "epoll", "libev":
            self.assertEqual(self.example(name, "k", path=daemon.path).stdout.read(), f"k: hit {value}\n")

    def test_each_call_does_what_it_says(self):
        program = os.path.join(os.path.dirname(harness.BINARY), "tests", "helpers", "libpannier_calls")
        folder = self.folder()
        path = os.path.join(folder, "s")
        daemon = self.daemon(f"listen:\n  - unix: {path}\n  - tcp: 127.0.0.1:0\n", path=path)
        daemon.wait_log("listening on tcp:")
        tcp = re.search(r"listening on (tcp:\S+)", daemon.text())[1]
        for address in path, tcp:
            with self.subTest(address=address.partition(":")[0]):
                done = subprocess.run([program], env={**os.environ, "PANNIER_SOCKET": address}, check=False,
                                      stdout=subprocess.PIPE, text=True, timeout=PROGRAM_S)
                self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_four_processes_load_once(self):
        self.stampede(kill=False)

    def test_who_is_killed_is_replaced(self):
        self.stampede(kill=True)

    def test_only_its_own_names_are_exported_and_libc_alone_is_needed(self):
        library = os.path.join(os.path.dirname(harness.BINARY), "libpannier.so.1.0.0")
        names = subprocess.run(["nm", "-D", "--defined-only", library], check=True, stdout=subprocess.PIPE,
                               text=True).stdout.split("\n")
        found = [line.split()[2] for line in names if line]
        self.assertIn("pannier_get_or_load@@PANNIER_1.0", found)
        self.assertEqual([n for n in found if not re.fullmatch(r"pannier_\w+@@PANNIER_1\.0|PANNIER_1\.0", n)], [])
        said = subprocess.run(["readelf", "-d", library], check=True, stdout=subprocess.PIPE, text=True).stdout
        self.assertIn("soname: [libpannier.so.1]", said)
        if not harness.SANITIZER:
            self.assertEqual(re.findall(r"NEEDED.*\[(.*)\]", said), ["libc.so.6"])


if __name__ == "__main__":
    harness.main()
