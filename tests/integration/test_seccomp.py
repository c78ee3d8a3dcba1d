#!/usr/bin/env python3
"""The filter of system calls around the running daemon. What it refuses is in
tests/unit/server/test_seccomp.c; here it must not be in the way: with `seccomp: kill`
one call that the table lacks ends the daemon. All integration tests pass so too:

    PANNIER_SECCOMP=kill tests/run --build build integration
"""

import glob
import http.client
import os
import ssl
import unittest

import harness
import proxies

ORIGIN = """
origins:
  far:
    http:
      endpoints: ["{url}"]
    {more}
namespaces:
  - prefix: "user:"
    origin: far
    path: /{{rest}}
"""


def secure(origin, cert, key):
    """From now on it speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    plain = origin.serve

    def secured(sock):
        try:
            sock = context.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        plain(sock)
    origin.serve = secured


def filtered(d):
    """What the kernel says of each thread: 2 is a filter."""
    found = set()
    for path in glob.glob(f"/proc/{d.pid}/task/*/status"):
        with open(path, encoding="ascii") as f:
            found |= {line.split()[1] for line in f if line.startswith("Seccomp:")}
    return found


@unittest.skipIf(harness.SANITIZER, "sanitizers' runtimes make calls of their own, so there is none")
class Seccomp(harness.Case):
    def test_it_is_around_every_thread_by_default(self):
        d = self.daemon("threads: 3\n")
        self.assertGreaterEqual(len(os.listdir(f"/proc/{d.pid}/task")), 3)
        self.assertEqual(filtered(d), {"2"})
        d.wait_log("seccomp: from now on")
        self.assertEqual(d.client()("CONFIG", "GET", "seccomp"), [b"seccomp", b"auto"])

    def test_it_can_be_switched_off(self):
        d = self.daemon("threads: 2\n", env={"PANNIER_SECCOMP": "false"})
        self.assertEqual(filtered(d), {"0"})

    def test_an_unknown_choice_is_told(self):
        d = self.daemon("seccomp: maybe\n", stopped=True)
        d.launch()
        self.assertEqual(d.wait(), 78)
        self.assertRegex(d.text(), "seccomp.*maybe.*auto")

    def test_libraries_that_a_reload_needs_first_are_loaded(self):
        o = self.origin()
        o.on("/1", b"ann")
        d = self.daemon("seccomp: kill\nthreads: 1\n") # with more, some loops follow later
        c = d.client()
        with open(f"/proc/{d.pid}/maps", encoding="utf-8") as f:
            self.assertNotIn("libcurl", f.read())
        # By name: the resolver has threads of its own.
        d.write_config("seccomp: kill\nthreads: 1\n" +
                       ORIGIN.format(url=f"http://localhost:{o.port}", more=""))
        d.signal(harness.signal.SIGHUP)
        d.wait_log("reload: done")
        self.assertEqual(c("GET", "user:1"), b"ann")
        self.assertEqual(filtered(d), {"2"})

    def test_an_origin_by_tls(self):
        authority = proxies.Authority(self)
        cert, key, _ = authority.sign("localhost")
        o = self.origin()
        o.on("/1", b"ann")
        secure(o, cert, key)
        d = self.daemon("seccomp: kill\n" +
                        ORIGIN.format(url=f"https://localhost:{o.port}",
                                      more=f"tls:\n      ca_file: {authority.ca}"))
        c = d.client()
        self.assertEqual(c("GET", "user:1"), b"ann")

    def test_metrics_memory_and_rewrite(self):
        folder = self.folder()
        path = os.path.join(folder, "admin.sock")
        d = self.daemon(f"seccomp: kill\nmemory: 64MiB\nadmin_http: unix:{path}\n")
        c = d.client()
        for i in range(200):
            c("SET", f"k{i}", b"v" * 100000)
        self.assertEqual(c("CONFIG", "SET", "maxmemory", "32mb"), "OK")
        self.assertEqual(c("CONFIG", "SET", "maxmemory", "96mb"), "OK")
        self.assertEqual(c("CONFIG", "REWRITE"), "OK")
        with open(d.config, encoding="utf-8") as f:
            self.assertIn("memory: 96MiB", f.read())
        for i in range(600):
            c("SET", f"k{i}", b"v" * 100000)
        conn = http.client.HTTPConnection("pannier")
        conn.sock = harness.connect(path)
        conn.request("GET", "/metrics")
        self.assertIn(b"pannier_", conn.getresponse().read())
        conn.close()
        self.assertEqual(c("MEMORY", "PURGE"), "OK")
        self.assertEqual(d.stop(), 0)


if __name__ == "__main__":
    harness.main()
