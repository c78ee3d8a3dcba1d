#!/usr/bin/env python3
"""Origins as the daemon and the demo have them: what a process loads, every
bad answer of BAD-INPUTS end to end, and how the demo ends."""

import contextlib
import os
import signal
import subprocess
import threading
import time

import harness

ROUTED = """
memory: 64MiB
threads: 2
namespaces:
  - prefix: "user:"
    origin: users
    path: /users/{rest}
    ttl: 300s
origins:
  users:
    http:
      endpoints: [%s]
    deadline: %s
    max_body: 4KiB
"""
DEADLINE_MS = 1000
# After the deadline; machines that test are busy with other things, too.
GRACE_S = 5 if harness.SANITIZER else 1

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# What the origin says, then closes, and what the client is told.
BROKEN = [
    (b"", "without an answer"),
    (b"rubbish that is no HTTP at all, whatever one does\r\n", "HTTP/0.9"),
    (OK + b"Content-Length: 10\r\n\r\nhalf", "mid-body"),
    (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "conflicting lengths"),
    (OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "conflicting framing"),
    (OK + b"Content-Length: -1\r\n\r\n", "Content-Length"),
    (OK + b"Content-Length: 4097\r\n\r\n", "body over 4KiB"),
    (OK + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", "Content-Encoding"),
    (OK + b": no name\r\n\r\n", "header line"),
    (OK + b"no colon\r\n\r\n", "colon"),
    (OK + b"X: a\r\n folded\r\n\r\n", "folded"),
    (OK + b"X: " + b"a" * 70000 + b"\r\n\r\n", "headers over"),
    (OK + b"X: y\r\n" * 300 + b"\r\n", "header lines"),
    (CHUNKED + b"FFFFFFFFFFFFFFFFFF\r\nx\r\n", "chunk"),
    (CHUNKED + b"-1\r\nx\r\n", "chunk"),
    (CHUNKED + b"5\r\nhelloXX0\r\n\r\n", "chunk"),
    (CHUNKED + b"5\r\nhel", "mid-body"),
    (CHUNKED + b"1000\r\n" + b"x" * 4096 + b"\r\n1\r\nx\r\n0\r\n\r\n", "body over 4KiB"),
    (b"HTTP/1.1 503 \x1b[31mred\r\nContent-Length: 0\r\n\r\n", "HTTP 503"),
    (b"HTTP/1.1 301 x\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "HTTP 301"),
    (b"HTTP/1.1 101 x\r\nUpgrade: x\r\n\r\n", "origin users: "),
    (b"HTTP/1.1 100 x\r\n\r\n" * 300, "header lines"),
]


class Faults(harness.Case):
    def routed(self, *urls, deadline_ms=DEADLINE_MS):
        return self.daemon(ROUTED % (", ".join(f'"{u}"' for u in urls), f"{deadline_ms}ms"))

    def test_every_broken_answer_is_an_error_that_says_so(self):
        users = self.origin()
        d = self.routed(users.url, deadline_ms=20000)
        c = d.client()
        for i, (said, told) in enumerate(BROKEN):
            with self.subTest(said=said[:60]):
                users.on(f"/users/{i}", lambda r, said=said: (r.raw(said), r.hang_up()))
                error = str(c.error("GET", f"user:{i}"))
                self.assertIn("origin users: ", error)
                self.assertIn(told, error)
                self.assertTrue(error.isprintable(), error)
        users.on("/users/good", b"value")
        self.assertEqual(c("GET", "user:good"), b"value")
        self.assertEqual(c("PING"), "PONG")

    def slow(self, users, d, script):
        """The client's error, which must come by the deadline."""
        users.on("/users/slow", script)
        c, begun = d.client(), time.monotonic()
        error = str(c.error("GET", "user:slow"))
        took = time.monotonic() - begun
        self.assertIn(f"within {DEADLINE_MS} ms", error)
        self.assertLess(took, DEADLINE_MS / 1000 + GRACE_S)
        self.assertGreater(took, DEADLINE_MS / 1000 - 0.1)

    def test_whatever_never_ends_is_an_error_by_the_deadline(self):
        users = self.origin()
        d = self.routed(users.url)
        gone = threading.Event()
        self.addCleanup(gone.set)

        def drip(request):
            request.raw(OK + b"Content-Length: 4000\r\n\r\n")
            with contextlib.suppress(OSError):
                while not gone.wait(0.05):
                    request.raw(b"x")

        self.slow(users, d, lambda request: gone.wait())
        self.slow(users, d, lambda request: (request.raw(OK), gone.wait()))
        self.slow(users, d, drip)

    def test_an_endpoint_that_refuses_is_passed_over(self):
        users, gone = self.origin(), self.origin()
        gone.close()
        d = self.routed(gone.url, users.url)
        c = d.client()
        for i in range(10):
            users.on(f"/users/{i}", b"v%d" % i)
            self.assertEqual(c("GET", f"user:{i}"), b"v%d" % i)
        users.close()
        self.assertIn("(the last of 2 endpoints)", str(c.error("GET", "user:x")))
        self.assertEqual(c("GET", "user:3"), b"v3")

    def test_a_name_that_does_not_exist_is_told(self):
        d = self.routed("http://no-such-host.invalid:80", deadline_ms=20000)
        error = str(d.client().error("GET", "user:1"))
        self.assertIn("origin users: ", error)
        self.assertIn("no-such-host.invalid:80", error)


class Loaded(harness.Case):
    def libraries(self, d):
        with open(f"/proc/{d.pid}/maps", encoding="utf-8") as f:
            return {os.path.basename(line.split()[-1]).split(".so")[0] for line in f
                    if ".so" in line}

    def test_a_plain_cache_carries_no_http_and_no_tls(self):
        d = self.daemon("memory: 64MiB\n")
        loaded = self.libraries(d)
        self.assertIn("libev", loaded)
        for name in ("libcurl", "libssl", "libcrypto", "libnghttp2", "libmicrohttpd", "libgnutls"):
            self.assertNotIn(name, loaded)

    def test_an_origin_loads_libcurl_and_not_the_demos_server(self):
        users = self.origin()
        d = self.daemon(ROUTED % (f'"{users.url}"', "20s"))
        self.assertIsNone(d.client()("GET", "user:1"))
        loaded = self.libraries(d)
        self.assertIn("libcurl", loaded)
        self.assertNotIn("libmicrohttpd", loaded)


class Demo(harness.Case):
    def start(self, *args, path=None):
        self.path = path or os.path.join(self.folder(), "demo.sock")
        p = subprocess.Popen([harness.BINARY, "demo", "--socket", self.path, *args],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
        self.addCleanup(self.kill, p)
        return p

    def kill(self, p):
        p.kill()
        p.wait()
        p.stdout.close()

    def read_until(self, p, words):
        seen = ""
        for line in p.stdout:
            seen += line
            if words in line:
                return seen
        self.fail(f"the demo ended without {words!r}:\n{seen}")

    def ends_well(self, p):
        p.send_signal(signal.SIGINT)
        rest = p.stdout.read()
        self.assertEqual(p.wait(harness.PATIENCE_S), 0, rest)
        self.assertNotIn("pannier demo: ", rest)
        self.assertFalse(os.path.exists(self.path))

    def test_it_shows_one_request_for_the_herd_and_then_stays(self):
        p = self.start("--herd", "200", "--seconds", "1", "--latency", "20ms")
        seen = self.read_until(p, "Ctrl-C ends it.")
        self.assertIn("right answers      200 of 200\n", seen)
        self.assertIn("backend requests   1,", seen)
        c = harness.Client(self.path)
        self.assertTrue(c("GET", "user:42").startswith(b'{"id":"42",'))
        self.assertIsNone(c("GET", "user:missing"))
        c.close()
        self.ends_well(p)

    def test_ctrl_c_ends_it_in_the_middle_of_the_show(self):
        for words in ("1. A herd", "2. Everyday traffic", "   1 s "):
            with self.subTest(words=words):
                p = self.start("--herd", "200", "--seconds", "30")
                self.read_until(p, words)
                self.ends_well(p)

    def test_a_socket_in_use_is_left_alone(self):
        d = self.daemon()
        p = self.start(path=d.path)
        said = p.stdout.read()
        self.assertEqual(p.wait(harness.PATIENCE_S), os.EX_UNAVAILABLE)
        self.assertIn("pannier demo: ", said)
        self.assertIn(d.path, said)
        self.assertEqual(d.client()("PING"), "PONG")


if __name__ == "__main__":
    harness.main()
