#!/usr/bin/env python3
"""Origins as the daemon and the demo have them: what a process loads, and how the
demo ends."""

import os
import signal
import subprocess

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
    breaker: {enabled: false}
"""

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
