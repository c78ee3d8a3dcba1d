#!/usr/bin/env python3
"""Debian's nginx as origin: connections that are kept, every framing, times to live,
TLS, errors, reloads and restarts under load. And Python's own server, for HTTP/1.0."""

import subprocess
import sys

import harness
import proxies

FEW = 100 if harness.SANITIZER else 300 # answers between two events under load


class Nginx(harness.Case):
    def nginx(self, server, **more):
        return proxies.Nginx(self, server, **more)

    def routed(self, *urls, **more):
        d = self.daemon(proxies.config(*urls, **more))
        self.c = d.client()
        return d

    def get(self, rest):
        return self.c("GET", f"user:{rest}")

    def count(self, d, name):
        fields = dict(f.split("=") for f in d.info("origins")["origin_users"].split(","))
        return int(fields[name])


class Connections(Nginx):
    def ids(self, url, n):
        self.routed(url, threads=1)
        return [self.get(i) for i in range(n)]

    def test_one_connection_is_kept(self):
        nginx = self.nginx("location / { return 200 $connection; }")
        self.assertEqual(len(set(self.ids(nginx.url, 40))), 1)

    def test_a_server_that_closes_after_some_requests_costs_no_fetch(self):
        nginx = self.nginx("keepalive_requests 3; location / { return 200 $connection; }")
        self.assertEqual(len(set(self.ids(nginx.url, 30))), 10)

    def test_a_server_that_keeps_none_costs_no_fetch(self):
        nginx = self.nginx("keepalive_timeout 0; location / { return 200 $connection; }")
        self.assertEqual(len(set(self.ids(nginx.url, 20))), 20)

    def test_a_unix_socket_is_an_endpoint(self):
        path = self.folder() + "/nginx.sock"
        self.nginx(f"listen unix:{path}; location / {{ return 200 $connection; }}")
        self.assertEqual(len(set(self.ids(f"http+unix://{path}", 20))), 1)

    def test_keys_are_sent_as_they_are(self):
        nginx = self.nginx("location / { return 200 $request_uri; }")
        self.routed(nginx.url)
        self.assertEqual(self.get("a b/../c?d#é%"), b"/users/a%20b%2F..%2Fc%3Fd%23%C3%A9%25")


class Answers(Nginx):
    def test_files_come_whole_in_one_piece_and_in_chunks(self):
        nginx = self.nginx("""
            root html;
            location /users/in- { ssi on; ssi_types *; gzip on; gzip_types *; gzip_min_length 1; }
            location /users/packed { gzip on; gzip_types *; gzip_min_length 1; }""")
        body = b"".join(b"line %d\n" % i for i in range(30000))
        for name in ("plain", "packed", "in-chunks", "empty"):
            nginx.write(f"html/users/{name}", b"" if name == "empty" else body)
        head = proxies.head(nginx.port, "/users/in-chunks")
        self.assertIn("transfer-encoding: chunked", head)
        self.routed(nginx.url)
        for name in ("plain", "packed", "in-chunks"):
            self.assertEqual(self.get(name), body)
        self.assertEqual(self.get("empty"), b"")

    def test_times_to_live_are_those_of_its_headers(self):
        nginx = self.nginx("""
            location /users/minute { expires 60s; return 200 x; }
            location /users/past { expires -1; return 200 $connection_requests; }
            location /users/never { add_header Cache-Control no-store; return 200 $connection_requests; }
            location /users/unsaid { return 200 x; }""")
        d = self.routed(nginx.url, threads=1, namespace="ttl: 300s")
        self.assertEqual([self.get("minute"), self.get("unsaid")], [b"x", b"x"])
        self.assertIn(self.c("TTL", "user:minute"), range(1, 61))
        self.assertIn(self.c("TTL", "user:unsaid"), range(200, 301))
        before = self.count(d, "requests")
        for rest in ("past", "never"):
            self.assertNotEqual(self.get(rest), self.get(rest))
        self.assertEqual(self.count(d, "requests"), before + 4)

    def test_a_file_that_has_not_changed_is_not_sent_again(self):
        nginx = self.nginx("""
            root html;
            location /users/ { access_log access.log told; }""", http="log_format told '$status $body_bytes_sent';")
        body = b"x" * 100000
        nginx.write("html/users/file", body)
        self.routed(nginx.url, namespace="ttl: 300s")

        def told(n):
            """It writes a moment behind its answer."""
            def there():
                with open(nginx.path("access.log"), encoding="ascii") as f:
                    lines = f.read().splitlines()
                return lines if len(lines) >= n else None
            return harness.wait_until(there, f"{n} lines of the log")

        for n in range(1, 4):
            self.assertEqual(self.get("file"), body)
            self.assertEqual(told(n), ["200 100000"] + ["304 0"] * (n - 1))
            self.c("PANNIER.INVALIDATE", "SOFT", "user:file")
        nginx.write("html/users/file", b"another")
        self.assertEqual(self.get("file"), b"another")
        self.assertEqual(self.get("file"), b"another")
        self.assertEqual(told(4)[3:], ["200 7"])

    def test_none_is_nil_and_errors_name_the_status(self):
        silent = proxies.bound()
        self.addCleanup(silent.close)
        nginx = self.nginx(f"""
            location /users/404 {{ return 404; }}
            location /users/410 {{ return 410; }}
            location /users/429 {{ return 429; }}
            location /users/500 {{ return 500; }}
            location /users/503 {{ return 503; }}
            location /users/301 {{ return 301 /elsewhere; }}
            location /users/444 {{ return 444; }}
            location /users/502 {{ proxy_pass http://unix:/nonexistent:; }}
            location /users/504 {{ proxy_read_timeout 100ms; proxy_pass
                                  http://127.0.0.1:{silent.getsockname()[1]}; }}""")
        self.routed(nginx.url)
        self.assertEqual([self.get(404), self.get(410)], [None, None])
        for status in (429, 500, 503, 301, 502, 504):
            with self.subTest(status=status):
                self.assertIn(f"origin users: HTTP {status}", self.c.error("GET", f"user:{status}"))
        self.assertIn("closed without an answer", self.c.error("GET", "user:444"))


class Tls(Nginx):
    def setUp(self):
        self.authority = proxies.Authority(self)
        self.cert, self.key, _ = self.authority.sign("server")

    def secure(self, more="", listen="ssl"):
        return self.nginx(f"ssl_certificate {self.cert}; ssl_certificate_key {self.key}; {more}"
                          "location / { return 200 \"$server_protocol $ssl_client_verify $connection\"; }",
                          listen=("", listen))

    def url(self, nginx, host="127.0.0.1"):
        return f"https://{host}:{nginx.ports[1]}"

    def tls(self, **more):
        return "tls:\n" + "\n".join(f"  {k}: {v}" for k, v in more.items())

    def test_a_server_that_our_own_ca_signed_is_trusted_and_its_connection_kept(self):
        nginx = self.secure()
        for host in ("127.0.0.1", "localhost"):
            self.routed(self.url(nginx, host), threads=1, origin=self.tls(ca_file=self.authority.ca))
            answers = {self.get(i) for i in range(20)}
            self.assertEqual(len(answers), 1, answers)
            self.assertTrue(answers.pop().startswith(b"HTTP/1.1 NONE "))

    def test_http_2_is_spoken_where_the_server_offers_it(self):
        nginx = self.secure(listen="ssl http2")
        self.routed(self.url(nginx), threads=1, origin=self.tls(ca_file=self.authority.ca))
        answers = {self.get(i) for i in range(20)}
        self.assertEqual(len(answers), 1, answers)
        self.assertTrue(answers.pop().startswith(b"HTTP/2.0 NONE "))

    def test_nobody_else_is_trusted(self):
        nginx, other = self.secure(), proxies.Authority(self)
        self.routed(self.url(nginx))
        self.assertIn("origin users: SSL", self.c.error("GET", "user:1"))
        self.routed(self.url(nginx), origin=self.tls(ca_file=other.ca))
        self.assertIn("origin users: SSL", self.c.error("GET", "user:1"))
        self.routed(self.url(nginx), origin=self.tls(verify="false"))
        self.assertTrue(self.get(1).startswith(b"HTTP/1.1 "))

    def test_a_certificate_of_another_name_is_refused(self):
        self.cert, self.key, _ = self.authority.sign("other", "DNS:other.test")
        nginx = self.secure()
        self.routed(self.url(nginx), origin=self.tls(ca_file=self.authority.ca))
        self.assertIn("origin users: SSL", self.c.error("GET", "user:1"))

    def test_a_server_that_asks_who_we_are_is_told(self):
        nginx = self.secure(f"ssl_client_certificate {self.authority.ca}; ssl_verify_client on;")
        cert, key, both = self.authority.sign("pannier", "DNS:pannier")
        for own in ({"cert_file": cert, "key_file": key}, {"cert_file": both}):
            self.routed(self.url(nginx), origin=self.tls(ca_file=self.authority.ca, **own))
            self.assertTrue(self.get(1).startswith(b"HTTP/1.1 SUCCESS "))
        self.routed(self.url(nginx), origin=self.tls(ca_file=self.authority.ca))
        self.assertIn("HTTP 400", self.c.error("GET", "user:1"))

    def test_a_ca_file_that_was_exchanged_counts_from_the_next_reload_on(self):
        nginx, other = self.secure(), proxies.Authority(self)
        ca = self.folder() + "/ca.pem"
        with open(other.ca, "rb") as old, open(ca, "wb") as f:
            f.write(old.read())
        d = self.routed(self.url(nginx), origin=self.tls(ca_file=ca))
        self.assertIn("origin users: SSL", self.c.error("GET", "user:1"))
        with open(self.authority.ca, "rb") as new, open(ca, "wb") as f:
            f.write(new.read())
        d.signal(harness.signal.SIGHUP)
        harness.wait_until(lambda: not self.fails("user:1"), "the new certificate to count")

    def fails(self, key):
        try:
            return self.c("GET", key) is None
        except harness.ReplyError:
            return True


PID = "location / { return 200 $pid; }"


class Changes(Nginx):
    def test_reloads_under_load_fail_no_request(self):
        nginx = self.nginx(PID)
        load = proxies.Load(self, self.routed(nginx.url))
        for _ in range(3):
            load.more(FEW)
            before = load.seen()
            nginx.reload()
            load.more(FEW)
            self.assertTrue(load.seen() - before)
        self.assertEqual(load.stop().errors, [])

    def test_one_of_several_that_restarts_fails_no_request(self):
        servers = [self.nginx(PID) for _ in range(3)]
        # One that was ejected comes back after 30 s, unless it is said otherwise.
        d = self.routed(*[s.url for s in servers], origin="ejection: {time: 100ms, time_max: 500ms}")
        load = proxies.Load(self, d)
        for nginx in servers[:2]:
            load.more(FEW)
            nginx.stop()
            load.more(FEW)
            before = load.seen()
            nginx.start()
            harness.wait_until(lambda: load.seen() - before, "it to be asked again")
        self.assertEqual(load.stop().errors, [])

    def test_one_of_several_that_dies_fails_no_request(self):
        servers = [self.nginx(PID) for _ in range(3)]
        load = proxies.Load(self, self.routed(*[s.url for s in servers]))
        load.more(FEW)
        servers[0].kill()
        load.more(2 * FEW)
        self.assertEqual(load.stop().errors, [])

    def test_the_only_one_is_asked_again_once_it_is_back(self):
        nginx = self.nginx(PID)
        self.routed(nginx.url)
        first = self.get("first")
        nginx.stop()
        self.assertIn(" refused", self.c.error("GET", "user:gone"))
        nginx.start()
        self.assertNotEqual(self.get("again"), first)


class Http10(Nginx):
    """Answers of HTTP/1.0 end with their connection."""

    def test_files_of_a_server_that_speaks_http_1_0_come_whole(self):
        folder = self.folder()
        body = b"x" * 300000
        harness.os.makedirs(folder + "/users")
        for name, data in (("big", body), ("empty", b"")):
            with open(f"{folder}/users/{name}", "wb") as f:
                f.write(data)
        server = subprocess.Popen([sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1",
                                   "--directory", folder, "0"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait, harness.PATIENCE_S)
        self.addCleanup(server.kill)
        port = int(server.stdout.readline().split(" port ")[1].split()[0])
        self.assertIn("http/1.0 200", proxies.head(port, "/users/big"))
        self.routed(f"http://127.0.0.1:{port}")
        self.assertEqual([self.get("big"), self.get("empty"), self.get("none")], [body, b"", None])


if __name__ == "__main__":
    harness.main()
