"""real.py - client libraries as they are published, against the daemon.

For each language tests/clients/LANGUAGE/ has a program that does with a library
what its users do, and a list of pinned versions. What it needs is installed
by the language's own tool into CLIENTS_DIR (build/installed) once; a change of
versions, sources or tool installs it anew. What a machine lacks is a skipped
test that says so. A registry out of reach fails in CI, and is skipped elsewhere.

The program finds the daemon's socket in $SOCKET, one that asks for $PASSWORD in
$GUARDED, and prints line by line:

    ok CLAIM                     skip CLAIM: WHY
    not ok CLAIM: REASON         ask restart|stop|start     (then reads `done`)

and exits 0. Any other line is shown when something fails."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import threading
import time

import harness

CLIENTS = os.path.join(harness.TOP, "tests", "clients")
STORE = os.path.abspath(os.environ.get("CLIENTS_DIR") or os.path.join(
    os.environ.get("BUILD_DIR") or os.path.join(harness.TOP, "build"), "installed"))
IN_CI = os.environ.get("CI") == "true"
CONFIG = "memory: 256MiB\nthreads: 2\n"
PASSWORD = "open sesame"
TRIES = 2 # besides those that the tools make themselves
INSTALL_S, PROGRAM_S = 200, 200 if harness.SANITIZER else 120
MADE = ("__pycache__", "build", "dist", "node_modules") # no sources
failed = set() # installs, for the tests that need the same


class ToolFailed(Exception):
    """A compiler, say."""


class OutOfReach(Exception):
    """A registry did not give what was asked for."""


def digest(folder, versions):
    """Of all that decides what is installed and built."""
    h = hashlib.sha256("\n".join(versions).encode())
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - set(MADE))
        for name in sorted(names):
            path = os.path.join(where, name)
            with open(path, "rb") as f:
                h.update(os.path.relpath(path, folder).encode() + b"\0" + f.read() + b"\0")
    return h.hexdigest()


def version_of(*argv):
    """What a tool says of itself, or None where it is missing."""
    if not shutil.which(argv[0]):
        return None
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return f"{shutil.which(argv[0])} {done.stdout.strip()}" if done.returncode == 0 else None


def listening_port(pid):
    """The port of 127.0.0.1 that a process has chosen, or None."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            pass
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as f:
        for line in f.readlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                return int(words[1].partition(":")[2], 16)
    return None


def run_tool(argv, folder, env=None, tries=1):
    """As often as it takes, within INSTALL_S in all; its words when none works."""
    end, said = time.monotonic() + INSTALL_S, ""
    for _ in range(tries):
        try:
            done = subprocess.run(argv, cwd=folder, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  env={**os.environ, **(env or {})}, check=False,
                                  timeout=end - time.monotonic())
        except subprocess.TimeoutExpired as e:
            said = f"{(e.stdout or b'').decode(errors='replace')}\nno end within {INSTALL_S} s"
            break
        if done.returncode == 0:
            return
        said = done.stdout.decode(errors="replace")
    raise ToolFailed(f"`{' '.join(argv)}` in {folder} failed:\n{said[-3000:]}")


def fetch(argv, folder, env=None):
    """A tool that asks a registry, which may be away for a moment."""
    try:
        run_tool(argv, folder, env, TRIES)
    except ToolFailed as e:
        raise OutOfReach(str(e)) from e


@contextlib.contextmanager
def locked(path):
    """Build trees share what is installed."""
    with open(path, "w", encoding="ascii") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def guarded_daemon(case, config=""):
    """It, and the path of its socket that asks for PASSWORD."""
    folder = case.folder()
    own, guarded, secret = (os.path.join(folder, name) for name in ("own", "guarded", "secret"))
    with open(secret, "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write(PASSWORD + "\n")
    listen = (f"listen:\n  - unix: {own}\n  - unix: {guarded}\n    password_file: {secret}\n"
              "  - tcp: 127.0.0.1:0\n")
    return case.daemon(listen + CONFIG + config, folder=folder, path=own), guarded


class Case(harness.Case):
    """Counts claims, not tests."""

    counts_subtests = True

    def needs(self, *argv, package=None):
        """A tool, whose version comes back; without it the test is skipped."""
        said = version_of(*argv)
        if said is None:
            hint = f" (Debian: {package})" if package else ""
            self.skipTest(f"{self.id().split('.', 1)[-1]}: no {argv[0]} on this machine{hint}")
        return said

    def installed(self, language, versions, install, sources=None):
        """The folder of a copy of tests/clients/LANGUAGE, or of other sources, that
        install(folder) has worked on, once for these sources and versions."""
        sources, folder = sources or os.path.join(CLIENTS, language), os.path.join(STORE, language)
        os.makedirs(STORE, exist_ok=True)
        wanted, mark = digest(sources, versions), os.path.join(folder, ".installed")
        with locked(folder + ".lock"):
            if not os.path.exists(mark) or open(mark, encoding="ascii").read() != wanted:
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(sources, folder, ignore=shutil.ignore_patterns(*MADE))
                self.install(install, folder)
                with open(mark, "w", encoding="ascii") as f:
                    f.write(wanted)
        return folder

    def install(self, install, folder):
        try:
            if install not in failed:
                install(folder)
                return
        except OutOfReach as e:
            failed.add(install)
            print(e)
        words = f"{self.id()}: what it needs could not be installed: a registry is out of reach, or refuses"
        if IN_CI:
            self.fail(words)
        self.skipTest(words)

    def converse(self, argv, config=""):
        """Runs a program against a daemon of its own; each claim is counted."""
        d, guarded = guarded_daemon(self, config)
        errors = os.path.join(d.folder, "stderr")
        env = {**os.environ, "SOCKET": d.path, "GUARDED": guarded, "PASSWORD": PASSWORD}
        with open(errors, "wb") as err:
            program = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
                                       env=env, text=True, cwd=d.folder)
        watchdog = threading.Timer(PROGRAM_S, program.kill)
        watchdog.start()
        try:
            other = self.hear(program, d)
            code = program.wait()
        finally:
            watchdog.cancel()
            program.kill()
            program.wait()
            program.stdin.close()
            program.stdout.close()
        if code != 0:
            with open(errors, encoding="utf-8", errors="replace") as f:
                self.fail(f"{argv[0]} ended with {code}\n{''.join(other)}{f.read()[-6000:]}\n{d.text()}")

    def hear(self, program, d):
        other, claims = [], 0
        for line in program.stdout:
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "ask":
                self.do(d, rest)
                with contextlib.suppress(BrokenPipeError):
                    program.stdin.write("done\n")
                    program.stdin.flush()
            elif word in ("ok", "not", "skip"):
                claims += 1
                self.count(word, rest)
            else:
                other.append(line)
        if claims == 0:
            other.append("it made no claims\n")
        return other

    def count(self, word, rest):
        claim, _, why = rest.removeprefix("ok ").partition(": ")
        with self.subTest(claim):
            if word == "skip":
                self.skipTest(f"{self.id()}: {claim}: {why}")
            if word != "ok":
                self.fail(why)

    @staticmethod
    def do(d, what):
        """The daemon on request: it was told to go in good order."""
        if what in ("stop", "restart"):
            d.stop()
        if what in ("start", "restart"):
            d.start()


main = harness.main
