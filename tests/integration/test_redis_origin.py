#!/usr/bin/env python3
"""Redis as an origin, with a real redis-server: reads with the server's time to live,
passwords, Unix sockets, TLS, and a server that restarts under load."""

import os
import shutil
import subprocess
import threading
import unittest

import harness
import redis_servers

OPENSSL = shutil.which("openssl")


def make_certificates(folder):
    """A CA, and certificates of it for a server called redis.test and for a client."""
    def run(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test CA", "-days", "2")
    for name, alt in (("server", "DNS:redis.test,IP:127.0.0.1"), ("client", "DNS:client")):
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", name + ".key", "-out", name + ".csr", "-subj", f"/CN={name}")
        with open(os.path.join(folder, name + ".ext"), "w", encoding="ascii") as f:
            f.write(f"subjectAltName={alt}\n")
        run("x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", name + ".crt", "-days", "2", "-extfile", name + ".ext")


class Plain(redis_servers.Case):
    def setUp(self):
        super().setUp()
        self.server = self.redis()
        self.d = self.pannier(f'endpoints: ["{self.server.url}"]')
        self.c = self.d.client()

    def test_a_value_comes_with_the_time_that_it_has_left(self):
        self.server("SET", "u:1", "ann", "PX", 5000)
        self.assertEqual(self.c("GET", "u:1"), b"ann")
        self.assertTrue(3000 < self.c("PTTL", "u:1") <= 5000)
        self.server("SET", "u:2", "bob")
        self.assertEqual(self.c("GET", "u:2"), b"bob")
        self.assertTrue(50000 < self.c("PTTL", "u:2") <= 60000)

    def test_a_second_read_asks_nobody(self):
        self.d = self.pannier(f'endpoints: ["{self.server.url}"], tracking: false')
        self.c = self.d.client()
        self.server("SET", "u:1", "ann")
        self.assertEqual(self.c("GET", "u:1"), b"ann")
        self.server("SET", "u:1", "eve")
        self.assertEqual(self.c("GET", "u:1"), b"ann")

    def test_what_is_not_there_is_nil(self):
        self.assertIsNone(self.c("GET", "u:none"))

    def test_values_of_all_sizes_are_themselves(self):
        for n in (0, 1, 100, 16383, 16384, 70000, 1000000):
            value = os.urandom(n)
            self.server("SET", f"u:{n}", value)
            self.assertEqual(self.c("GET", f"u:{n}"), value)

    def test_a_value_over_the_cap_is_an_error_and_others_are_not_disturbed(self):
        self.server("SET", "u:big", b"x" * 2000000)
        self.server("SET", "u:1", "ann")
        self.assertIn("body over 1MiB", self.c.error("GET", "u:big"))
        self.assertEqual(self.c("GET", "u:1"), b"ann")

    def test_another_kind_of_value_is_an_error(self):
        self.server("RPUSH", "u:list", "a")
        self.assertIn("WRONGTYPE", self.c.error("GET", "u:list"))

    def test_many_at_once_share_few_connections(self):
        for i in range(300):
            self.server("SET", f"u:{i}", f"v{i}")
        replies = []
        clients = [self.d.client() for _ in range(30)]
        for n, c in enumerate(clients):
            c.raw(b"".join(harness.encode("GET", f"u:{n * 10 + i}") for i in range(10)))
        for c in clients:
            replies += [c.reply() for _ in range(10)]
        self.assertEqual(replies, [f"v{i}".encode() for i in range(300)])
        names = [line for line in self.server("CLIENT", "LIST").decode().splitlines()
                 if "name=pannier" in line]
        self.assertLessEqual(len(names), 4)

    def test_a_server_that_is_gone_is_said_and_found_again(self):
        self.server("SET", "u:1", "ann")
        self.assertEqual(self.c("GET", "u:1"), b"ann")
        self.server.kill()
        text = self.c.error("GET", "u:2")
        self.assertTrue(text.startswith("ORIGIN origin tier:"), text)
        self.assertIn(str(self.server.port), text)
        self.server.start()
        self.server("SET", "u:2", "bob")

        def found():
            try:
                return self.c("GET", "u:2") == b"bob"
            except harness.ReplyError:
                return False
        harness.wait_until(found, "the server to be found again")

    def test_a_restart_under_load_gives_right_values_or_errors_in_time(self):
        wrong, right, errors = [], [0], [0]
        stop = threading.Event()

        def load(nth):
            c = self.d.client()
            i = 0
            while not stop.is_set():
                key = f"u:{nth}-{i % 50}"
                i += 1
                try:
                    value = c("GET", key)
                except harness.ReplyError as e:
                    errors[0] += 1
                    if not str(e).startswith("ORIGIN "):
                        wrong.append(str(e))
                    continue
                if value == key.encode():
                    right[0] += 1
                elif value is not None:
                    wrong.append((key, value))
                c("DEL", key)
            c.close()

        def fill():
            c = self.server.client()
            for n in range(4):
                for i in range(50):
                    c("SET", f"u:{n}-{i}", f"u:{n}-{i}")
            c.close()

        fill()
        threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        harness.wait_until(lambda: right[0] > 20, "values")
        self.server.kill()
        harness.wait_until(lambda: errors[0] > 20, "errors")
        self.server.start()
        fill()
        before = right[0]
        harness.wait_until(lambda: right[0] > before + 20, "values again")
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])


class Doors(redis_servers.Case):
    def secret(self, text):
        path = os.path.join(self.folder(), "secret")
        with open(path, "w", encoding="ascii") as f:
            f.write(text + "\n")
        os.chmod(path, 0o600)
        return path

    def test_a_user_with_a_password_is_let_in(self):
        s = self.redis("user app on >s3cret ~* +@all", "user default on >other ~* +@all",
                       login=("other",))
        s("SET", "u:1", "ann")
        d = self.pannier(f'endpoints: ["{s.url}"], username: app, '
                         f'password_file: {self.secret("s3cret")}')
        self.assertEqual(d.client()("GET", "u:1"), b"ann")
        d = self.pannier(f'endpoints: ["{s.url}"], password_env: TIER_PASSWORD',
                         env={"TIER_PASSWORD": "other"})
        self.assertEqual(d.client()("GET", "u:1"), b"ann")

    def test_a_wrong_password_or_none_is_a_clear_error(self):
        s = self.redis("requirepass s3cret", login=("s3cret",))
        d = self.pannier(f'endpoints: ["{s.url}"], password_file: {self.secret("wr0ng")}')
        text = d.client().error("GET", "u:1")
        self.assertIn("WRONGPASS", text)
        self.assertIn("password_file", text)
        self.assertNotIn("wr0ng", text + d.text())
        d = self.pannier(f'endpoints: ["{s.url}"]')
        self.assertIn("it wants a password", d.client().error("GET", "u:1"))

    def test_a_password_file_that_is_not_there_is_an_error_at_the_start(self):
        d = self.pannier('endpoints: ["redis://127.0.0.1:1"], password_file: /nowhere/secret',
                         stopped=True)
        d.launch()
        self.assertNotEqual(d.wait(), 0)
        d.wait_log("/nowhere/secret")

    def test_a_unix_socket_a_database_and_another_name_for_keys(self):
        path = os.path.join(self.folder(), "r.sock")
        s = self.redis(f"unixsocket {path}", port=0, where=path)
        c = s.client()
        c("SELECT", 3)
        c("SET", "app:1", "ann")
        d = self.pannier(f'endpoints: ["redis+unix://{path}"], database: 3, key: "app:{{rest}}"')
        self.assertEqual(d.client()("GET", "u:1"), b"ann")

    @unittest.skipIf(OPENSSL is None, "no openssl")
    def test_tls_with_an_own_ca(self):
        home = self.folder()
        make_certificates(home)
        s = self.redis("tls-port TLS_PORT", f"tls-cert-file {home}/server.crt",
                       f"tls-key-file {home}/server.key", f"tls-ca-cert-file {home}/ca.crt",
                       "tls-auth-clients yes")
        value = os.urandom(300000)
        s("SET", "u:1", value)
        url = f'endpoints: ["rediss://127.0.0.1:{s.tls_port}"]'
        tls = f"tls: {{ca_file: {home}/ca.crt, cert_file: {home}/client.crt, " \
              f"key_file: {home}/client.key%s}}"
        d = self.pannier(url, more="    " + tls % "")
        c = d.client()
        self.assertEqual(c("GET", "u:1"), value)
        for i in range(20):
            s("SET", f"u:n{i}", "x" * i * 1000)
        c.raw(b"".join(harness.encode("GET", f"u:n{i}") for i in range(20)))
        self.assertEqual([len(c.reply()) for i in range(20)], [i * 1000 for i in range(20)])
        d = self.pannier(url, more="    " + tls % ", server_name: redis.test")
        self.assertEqual(d.client()("GET", "u:1"), value)
        d = self.pannier(url, more="    " + tls % ", server_name: other.test")
        self.assertIn("certificate is refused", d.client().error("GET", "u:1"))
        d = self.pannier(url)
        self.assertIn("certificate is refused", d.client().error("GET", "u:1"))
        d = self.pannier(url, more=f"    tls: {{ca_file: {home}/ca.crt}}")
        self.assertIn("127.0.0.1", d.client().error("GET", "u:1"))

    @unittest.skipIf(OPENSSL is None, "no openssl")
    def test_a_cluster_over_tls(self):
        home = self.folder()
        make_certificates(home)
        s = self.redis("tls-port TLS_PORT", f"tls-cert-file {home}/server.crt",
                       f"tls-key-file {home}/server.key", f"tls-ca-cert-file {home}/ca.crt",
                       "tls-auth-clients no", "tls-cluster yes", cluster=True)
        s("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        harness.wait_until(lambda: b"cluster_state:ok" in s("CLUSTER", "INFO"), "the cluster")
        s("SET", "u:1", "ann")
        d = self.pannier(f'endpoints: ["rediss://127.0.0.1:{s.tls_port}"], mode: cluster',
                         more=f"    tls: {{ca_file: {home}/ca.crt}}")
        self.assertEqual(d.client()("GET", "u:1"), b"ann")

    def test_a_cluster_taken_for_a_server_is_told(self):
        s = self.redis(cluster=True)
        s("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        d = self.pannier(f'endpoints: ["{s.url}"], mode: cluster')
        harness.wait_until(lambda: b"cluster_state:ok" in s("CLUSTER", "INFO"), "the cluster")
        s("SET", "u:1", "ann")
        self.assertEqual(d.client()("GET", "u:1"), b"ann")
        s("CLUSTER", "DELSLOTSRANGE", 0, 16383)
        self.assertIn("CLUSTERDOWN", d.client().error("GET", "u:2"))


class Writes(redis_servers.Case):
    def test_set_and_del_go_through(self):
        s = self.redis()
        d = self.pannier(f'endpoints: ["{s.url}"]', "ttl: 60s, write: through")
        c = d.client()
        self.assertEqual(c("SET", "u:1", "ann", "PX", 50000), "OK")
        self.assertEqual(s("GET", "u:1"), b"ann")
        self.assertTrue(40000 < s("PTTL", "u:1") <= 50000)
        self.assertEqual(c("DEL", "u:1"), 1)
        self.assertIsNone(s("GET", "u:1"))


if __name__ == "__main__":
    harness.main()
