#!/usr/bin/env python3
"""The client libraries of clients/: their own tests, which run all of proto/vectors,
a scripted server, and the daemon. Each is installed as its users install it."""

import os
import re
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


if __name__ == "__main__":
    harness.main()
