"""harness.py - what the integration tests share: the real binary on a socket
in a directory of its own, a RESP client, and an HTTP origin that does what a
test tells it. Python 3's standard library only.

    import harness

    class Claims(harness.Case):
        def test_a_value_comes_back(self):
            d = self.daemon()
            c = d.client()
            self.assertEqual(c("SET", "k", "v"), "OK")

    if __name__ == "__main__":
        harness.main()

Tests wait for events: for a reply, a line of the log, a request at the origin,
the end of a process. Every wait ends after PATIENCE_S and then fails; none is
a sleep. Environment: PANNIER (the binary), SANITIZER (empty, asan or tsan).
"""

import array
import contextlib
import fcntl
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("PANNIER") or os.path.join(TOP, "build", "pannier"))
SANITIZER = os.environ.get("SANITIZER", "")
PATIENCE_S = 60 if SANITIZER else 20


def wait_until(ask, what, patience_s=PATIENCE_S):
    """For what cannot be waited for otherwise: asks again and again."""
    end = time.monotonic() + patience_s
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"gave up waiting for {what}")
        select.select([], [], [], 0.002)


# --- RESP ----------------------------------------------------------------------


class ReplyError(Exception):
    """An error reply. As a value inside of other replies it is not raised."""

    def __eq__(self, other):
        return isinstance(other, ReplyError) and str(self) == str(other)

    def __hash__(self):
        return hash(str(self))


class Status(str):
    """A simple string, equal to the str of the same text."""


class Push(list):
    """An out-of-band message of RESP3."""


class Closed(Exception):
    """The other side closed the connection."""


def encode(*args):
    """A request as clients send it."""
    out = [b"*%d\r\n" % len(args)]
    for arg in args:
        if isinstance(arg, str):
            arg = arg.encode()
        elif not isinstance(arg, (bytes, bytearray, memoryview)):
            arg = str(arg).encode()
        out += [b"$%d\r\n" % len(arg), arg, b"\r\n"]
    return b"".join(out)


def connect(where, timeout=PATIENCE_S):
    """where: a path, or a pair of host and port."""
    family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(where)
    except OSError:
        sock.close()
        raise
    return sock


def unsent(sock):
    """Bytes that the other side has not read (Unix), or its kernel not acknowledged (TCP)."""
    n = array.array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, n)
    return n[0]


class Client:
    """One connection. Bulk strings come as bytes, null as None."""

    def __init__(self, where):
        self.sock = connect(where)
        self.buffer = b""
        self.at = 0

    def __call__(self, *args):
        """Sends one command and answers its reply; an error reply is raised."""
        self.send(*args)
        return self.reply()

    def send(self, *args):
        self.raw(encode(*args))

    def raw(self, data):
        self.sock.sendall(data)

    def reply(self):
        value = self.value()
        while isinstance(value, Push):
            value = self.value()
        if isinstance(value, ReplyError):
            raise value
        return value

    def pipeline(self, *commands):
        """All replies of one write; errors are among them, not raised."""
        self.raw(b"".join(encode(*c) for c in commands))
        return [self.value() for _ in commands]

    def error(self, *args):
        """The text of the error reply that must come."""
        try:
            value = self(*args)
        except ReplyError as e:
            return str(e)
        raise AssertionError(f"{args!r} was answered {value!r}, not by an error")

    def fill(self):
        data = self.sock.recv(1 << 16)
        if not data:
            raise Closed
        self.buffer = self.buffer[self.at:] + data
        self.at = 0

    def line(self):
        while True:
            end = self.buffer.find(b"\r\n", self.at)
            if end >= 0:
                line, self.at = self.buffer[self.at:end], end + 2
                return line
            self.fill()

    def take(self, n):
        while len(self.buffer) - self.at < n:
            self.fill()
        data, self.at = self.buffer[self.at:self.at + n], self.at + n
        return data

    def bulk(self, n):
        data = self.take(n + 2)
        assert data[n:] == b"\r\n", data
        return data[:n]

    def value(self):
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return Status(rest.decode())
        if kind == b"-":
            return ReplyError(rest.decode())
        if kind in b":(":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.bulk(int(rest))
        if kind == b"_":
            return None
        if kind == b"#":
            return rest == b"t"
        if kind == b",":
            return float(rest)
        if kind == b"=":
            return self.bulk(int(rest))[4:]
        if kind == b"!":
            return ReplyError(self.bulk(int(rest)).decode())
        return self.aggregate(kind, rest)

    def aggregate(self, kind, rest):
        if rest == b"-1":
            return None
        n = int(rest)
        if kind == b"%":
            return {self.value(): self.value() for _ in range(n)}
        values = [self.value() for _ in range(n)]
        if kind == b"*":
            return values
        if kind == b"~":
            return set(values)
        if kind == b">":
            return Push(values)
        raise AssertionError(f"no RESP type: {kind!r}")

    def until_closed(self):
        """All bytes that still come, until the other side closes."""
        data = [self.buffer[self.at:]]
        self.buffer, self.at = b"", 0
        with contextlib.suppress(ConnectionResetError):
            while True:
                more = self.sock.recv(1 << 16)
                if not more:
                    break
                data.append(more)
        return b"".join(data)

    def all_taken(self):
        """Waits until the daemon has read all that was sent (Unix sockets)."""
        wait_until(lambda: unsent(self.sock) == 0, "the daemon to read")

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()


# --- the daemon ------------------------------------------------------------------


class Daemon:
    """The binary under test. `config`: text of a configuration without
    `listen:`, which is the daemon's own socket, unless the text has one. `cgroup`: the
    directory of one that it starts in."""

    def __init__(self, folder, config="", args=(), env=None, path=None, limits=(), cgroup=None,
                 stopped=False):
        self.folder = folder
        self.path = path or os.path.join(folder, "pannier.sock")
        self.config = os.path.join(folder, "pannier.yaml")
        self.args, self.env, self.limits = list(args), env or {}, limits
        self.cgroup = cgroup
        self.process, self.log, self.stopping = None, b"", False
        self.changed = threading.Condition()
        self.write_config(config)
        if not stopped:
            self.start()

    def write_config(self, text):
        if not re.search(r"^listen:", text, re.M):
            text = f"listen:\n  - unix: {self.path}\n    mode: \"0600\"\n" + text
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(text)

    def launch(self):
        """Starts the process, and does not wait for it to be ready."""
        def set_limits():
            for what, value in self.limits:
                resource.setrlimit(what, value)
            if self.cgroup:
                with open(self.cgroup + "/cgroup.procs", "w", encoding="ascii") as f:
                    f.write("0")

        self.log, self.stopping = b"", False
        self.process = subprocess.Popen(
            [BINARY, "serve", "--config", self.config] + self.args, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **self.env},
            cwd=self.folder, preexec_fn=set_limits if self.limits or self.cgroup else None)
        self.reader = threading.Thread(target=self.read_log, args=(self.process.stderr,))
        self.reader.daemon = True
        self.reader.start()
        return self

    def start(self):
        self.launch()
        wait_until(self.answers, "the daemon to answer")
        return self

    def answers(self):
        if self.process.poll() is not None:
            self.reader.join(PATIENCE_S)
            raise AssertionError(f"the daemon exited with {self.process.returncode}:\n{self.text()}")
        try:
            c = Client(self.path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        try:
            return c("PING") == "PONG"
        except (Closed, OSError):
            return False
        finally:
            c.close()

    def read_log(self, pipe):
        while True:
            data = os.read(pipe.fileno(), 1 << 16)
            with self.changed:
                self.log += data
                self.changed.notify_all()
            if not data:
                break
        pipe.close()

    def text(self):
        return self.log.decode(errors="replace")

    def wait_log(self, pattern):
        """Until the log has a line with this."""
        with self.changed:
            if not self.changed.wait_for(lambda: re.search(pattern, self.text()), PATIENCE_S):
                raise AssertionError(f"no line like {pattern!r} in the log:\n{self.text()}")

    @property
    def pid(self):
        return self.process.pid

    def client(self):
        return Client(self.path)

    def wait(self):
        """The exit code, once it has ended."""
        code = self.process.wait(PATIENCE_S)
        self.reader.join(PATIENCE_S)
        return code

    def signal(self, signum):
        self.stopping = self.stopping or signum in (signal.SIGTERM, signal.SIGINT)
        os.kill(self.pid, signum)

    def stop(self):
        """As an init system does; answers the exit code. One that has been told already
        is left in peace: a second signal would cut it short."""
        if self.process.poll() is None and not self.stopping:
            self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        return self.wait()

    def running(self):
        return self.process.poll() is None

    def status(self, field):
        """A line of /proc/PID/status in bytes, such as VmRSS or VmHWM."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field}")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_ticks(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def info(self, section="everything"):
        """INFO as a flat dictionary of strings."""
        c = self.client()
        try:
            text = c("INFO", section).decode()
        finally:
            c.close()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


# --- an HTTP origin -----------------------------------------------------------------


class Gate:
    """Holds answers back until it is opened."""

    def __init__(self):
        self.event = threading.Event()

    def open(self):
        self.event.set()

    def wait(self):
        self.event.wait(PATIENCE_S)


class Exchange:
    """One request at the origin, as the script's functions see it."""

    def __init__(self, origin, sock, method, path, headers, body=b""):
        self.origin, self.sock = origin, sock
        self.method, self.path, self.headers, self.body = method, path, headers, body

    def answer(self, status=200, body=b"", headers=()):
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n"
        head += "".join(f"{k}: {v}\r\n" for k, v in headers)
        self.raw(head.encode() + b"\r\n" + body)

    def raw(self, data):
        self.sock.sendall(data)

    def hang_up(self):
        raise Closed


class Origin:
    """An HTTP server on 127.0.0.1 that does for each path what it is told:

        origin.on("/users/1", b"ann")                 200 with this body
        origin.on("/users/2", status=404)
        gate = origin.hold("/users/3", b"bob")         answers once gate.open()
        origin.on("/users/4", lambda ex: ex.raw(b"nonsense"))

    A path that was not mentioned is a 404. `requests` has all paths asked for,
    in order; wait_requests() waits for a number of them."""

    def __init__(self, port=0, scripts=None):
        """scripts: those of one that was here before."""
        self.listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.scripts, self.requests, self.sockets = scripts or {}, [], set()
        self.changed = threading.Condition()
        self.closing = False
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def on(self, path, what=b"", status=200, headers=()):
        if not callable(what):
            body = what

            def what(exchange):
                exchange.answer(status, body, headers)
        with self.changed:
            self.scripts[path] = what

    def hold(self, path, body=b"", status=200, headers=()):
        gate = Gate()

        def what(exchange):
            gate.wait()
            exchange.answer(status, body, headers)
        self.on(path, what)
        return gate

    def count(self, path=None):
        with self.changed:
            return len(self.requests) if path is None else self.requests.count(path)

    def wait_requests(self, n, path=None):
        def there():
            return (len(self.requests) if path is None else self.requests.count(path)) >= n
        with self.changed:
            if not self.changed.wait_for(there, PATIENCE_S):
                raise AssertionError(f"{n} requests for {path} did not come: {self.requests}")

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.sockets.add(sock)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            with sock.makefile("rb") as f:
                while self.serve_one(sock, f):
                    pass
        except (OSError, Closed, ValueError):
            pass
        finally:
            with self.changed:
                self.sockets.discard(sock)
            sock.close()

    def serve_one(self, sock, f):
        line = f.readline()
        if not line:
            return False
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers = {}
        while (line := f.readline().strip()):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = f.read(int(headers.get("content-length", 0)))
        with self.changed:
            self.requests.append(path)
            script = self.scripts.get(path)
            self.changed.notify_all()
        exchange = Exchange(self, sock, method, path, headers, body)
        if script is None:
            exchange.answer(404)
        else:
            script(exchange)
        return True

    def close(self):
        """As kill -9 would: refuses, and cuts off what is open."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.changed:
            for sock in self.sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE_S)


# --- test cases -----------------------------------------------------------------------


class Case(unittest.TestCase):
    """Gives daemons, clients and origins that are gone when the test ends."""

    def folder(self):
        path = tempfile.mkdtemp(prefix="pannier-")
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path

    def daemon(self, config="", **more):
        d = Daemon(more.pop("folder", None) or self.folder(), config, **more)
        self.addCleanup(self.end, d)
        return d

    def end(self, d):
        """It must end well, or else its log says why."""
        if d.process is None:
            return
        was_running = d.running()
        try:
            code = d.stop() if was_running else d.wait()
        except subprocess.TimeoutExpired:
            d.kill()
            self.fail(f"the daemon did not stop:\n{d.text()}")
        if was_running and code != 0:
            self.fail(f"the daemon ended with {code}:\n{d.text()}")
        if re.search(r"Sanitizer|runtime error:", d.text()):
            self.fail(d.text())

    def origin(self):
        o = Origin()
        self.addCleanup(o.close)
        return o


class Result(unittest.TextTestResult):
    """A class with counts_subtests counts each sub-test that passed, not the test."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += not getattr(test, "counts_subtests", False)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        self.passed += err is None and getattr(test, "counts_subtests", False)


def main():
    if not os.access(BINARY, os.X_OK):
        print(f"no binary at {BINARY}: build it, or set PANNIER")
        print("0 passed, 1 failed, 0 skipped")
        sys.exit(1)
    loader, module = unittest.defaultTestLoader, sys.modules["__main__"]
    names = sys.argv[1:] # Class.test_x, or none for all
    suite = loader.loadTestsFromNames(names, module) if names else \
        loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(stream=sys.stdout, resultclass=Result, verbosity=1).run(suite)
    failed = len(result.failures) + len(result.errors)
    # What a sanitizer's own memory hides is no test of that build, and runs in the plain one.
    skipped = [why for _, why in result.skipped if not why.startswith("sanitizers")]
    print("".join(f"skipped: {why}\n" for why in skipped), end="")
    print(f"{result.passed} passed, {failed} failed, {len(skipped)} skipped")
    sys.exit(0 if result.wasSuccessful() and result.passed + len(result.skipped) > 0 else 1)
