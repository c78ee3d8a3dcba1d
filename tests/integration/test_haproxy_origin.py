#!/usr/bin/env python3
"""Debian's HAProxy as origin, by itself and before servers of the test's: what it
answers for a backend that is gone, slow or wrong, what it refuses, TLS, and its
reloads and restarts under load."""

import harness
import proxies
from test_nginx_origin import Nginx as Base

FEW = 100 if harness.SANITIZER else 300 # answers between two events under load
OK = "http-request return status 200 content-type text/plain"
BEFORE = """
backend servers
    {options}
    server one 127.0.0.1:{port} {server}
"""


class HAProxy(Base):
    def haproxy(self, frontend, **more):
        return proxies.HAProxy(self, frontend, **more)

    def before(self, port, options="", server=""):
        return self.haproxy("default_backend servers", rest=BEFORE.format(
            port=port, options=options, server=server))


class Answers(HAProxy):
    def test_one_connection_is_kept(self):
        proxy = self.haproxy(OK + ' lf-string "%cp"') # the client's port
        self.routed(proxy.url, threads=1)
        self.assertEqual(len({self.get(i) for i in range(40)}), 1)

    def test_a_proxy_that_keeps_none_costs_no_fetch(self):
        proxy = self.haproxy(OK + ' lf-string "%cp"', defaults="option httpclose")
        self.routed(proxy.url, threads=1)
        self.assertEqual(len({self.get(i) for i in range(20)}), 20)

    def test_chunks_go_through(self):
        server = self.origin()
        proxy = self.before(server.port)
        self.routed(proxy.url)
        body = bytes(range(256)) * 400
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for size in (1, 7, 4096, 70000):
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in
                              (body[i:i + size] for i in range(0, len(body), size)))
            server.on(f"/users/{size}", lambda ex, chunks=chunks: ex.raw(head + chunks + b"0\r\n\r\n"))
            self.assertEqual(self.get(size), body)

    def test_what_is_wrong_behind_it_is_its_own_error(self):
        server, gone = self.origin(), self.origin()
        gone.close()
        silent = proxies.bound()
        self.addCleanup(silent.close)
        server.on("/users/rubbish", lambda ex: (ex.raw(b"rubbish\r\n\r\n"), ex.hang_up()))
        server.on("/users/closes", lambda ex: ex.hang_up())
        self.routed(self.before(server.port).url)
        for rest in ("rubbish", "closes"):
            self.assertIn("origin users: HTTP 502", self.c.error("GET", f"user:{rest}"))
        self.routed(self.before(gone.port, "retries 0").url)
        self.assertIn("origin users: HTTP 503", self.c.error("GET", "user:1"))
        self.routed(self.before(silent.getsockname()[1], "timeout server 100ms").url)
        self.assertIn("origin users: HTTP 504", self.c.error("GET", "user:1"))

    def test_a_body_that_its_server_cuts_off_is_no_value(self):
        server = self.origin()
        self.routed(self.before(server.port).url)
        for name, head in (("length", b"Content-Length: 9"), ("chunks", b"Transfer-Encoding: chunked")):
            data = b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + (b"5\r\nhello" if name == "chunks" else b"hello")
            server.on(f"/users/{name}", lambda ex, data=data: (ex.raw(data), ex.hang_up()))
            self.assertIn("in mid-body", self.c.error("GET", f"user:{name}"))

    def test_what_it_refuses_is_told(self):
        proxy = self.haproxy("""
    http-request return status 429 hdr Retry-After 7 if { path /users/429 }
    http-request deny deny_status 403 if { path /users/403 }
    http-request reject if { path /users/rejected }
    http-request silent-drop if { path /users/dropped }
    """ + OK + " string value")
        self.routed(proxy.url, deadline="300ms")
        for rest, words in (("429", "HTTP 429"), ("403", "HTTP 403"), ("rejected", "origin users: "),
                            ("dropped", "origin users: ")):
            with self.subTest(rest=rest):
                self.assertIn(words, self.c.error("GET", f"user:{rest}"))
                self.assertEqual(self.get(f"behind {rest}"), b"value")

    def test_both_versions_of_http_go_over_tls(self):
        authority = proxies.Authority(self)
        _, _, both = authority.sign("server")
        for offered, spoken in (("http/1.1", b"HTTP/1.1"), ("h2,http/1.1", b"HTTP/2.0")):
            proxy = self.haproxy(OK + ' lf-string "%HV %cp"', bind=("", f"ssl crt {both} alpn {offered}"))
            self.routed(f"https://localhost:{proxy.ports[1]}", threads=1,
                        origin=f"tls:\n  ca_file: {authority.ca}")
            answers = {self.get(i) for i in range(20)}
            self.assertEqual(len(answers), 1, answers)
            self.assertEqual(answers.pop().split()[0], spoken)


class Changes(HAProxy):
    def test_reloads_under_load_fail_no_request(self):
        proxy = self.haproxy(OK + " string value")
        load = proxies.Load(self, self.routed(proxy.url))
        for _ in range(3):
            load.more(FEW)
            proxy.reload()
            load.more(FEW)
        self.assertEqual(load.stop().errors, [])

    def test_one_of_several_that_restarts_fails_no_request(self):
        servers = [self.haproxy(OK + f" string {name}") for name in ("one", "two", "three")]
        d = self.routed(*[s.url for s in servers], origin="ejection: {time: 100ms, time_max: 500ms}")
        load = proxies.Load(self, d)
        for proxy in servers[:2]:
            load.more(FEW)
            proxy.stop()
            load.more(FEW)
            proxy.start()
            load.more(FEW)
        self.assertEqual(load.stop().errors, [])
        self.assertEqual(load.seen(), {b"one", b"two", b"three"})

    def test_a_backend_that_is_exchanged_behind_it_fails_no_request(self):
        """As a deployment does: the proxy keeps requests until the new one is there."""
        old = self.origin()
        old.on("/all", b"value")
        proxy = self.before(old.port, "http-request set-path /all\n    retries 10\n"
                            "    retry-on all-retryable-errors")
        load = proxies.Load(self, self.routed(proxy.url))
        load.more(FEW)
        old.close()
        new = harness.Origin(old.port, {"/all": lambda ex: ex.answer(200, b"another")})
        self.addCleanup(new.close)
        harness.wait_until(lambda: b"another" in load.seen(), "the new one to be asked")
        self.assertEqual(load.stop().errors, [])


if __name__ == "__main__":
    harness.main()
