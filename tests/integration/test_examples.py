#!/usr/bin/env python3
"""The examples of contrib: nginx and applications, as they stand there but for the
paths and ports of this machine, against the daemon."""

# exclusive: they have time limits of their own, as examples should

import concurrent.futures
import os
import subprocess
import unittest

import harness
import proxies

CONTRIB = os.path.join(harness.TOP, "contrib")
PYTHON = "/usr/bin/python3" # which has Debian's redis and msgpack
LEASES = 'namespaces:\n  - prefix: "user:"\n    coalesce: lease\n    lease_time: 60s\n'
HERD = 6


def read(*names):
    with open(os.path.join(CONTRIB, *names), encoding="utf-8") as f:
        return f.read()


class LuaNginx(proxies.Nginx):
    """With Debian's modules for Lua."""

    def prepare(self):
        modules = "".join(f"load_module /usr/lib/nginx/modules/{name}.so;\n"
                          for name in ("ndk_http_module", "ngx_http_lua_module"))
        self.write("nginx.conf", modules + self.text)


@unittest.skipIf(harness.SANITIZER, "sanitizers find nothing in what others wrote")
class Nginx(harness.Case):
    def setUp(self):
        self.backend = self.origin()
        at = f"127.0.0.1:{self.backend.port}"
        text = read("nginx", "pannier.yaml")
        self.d = self.daemon(text[text.index("namespaces:"):].replace("127.0.0.1:8080", at))
        site = read("nginx", "users.conf")
        for was, now in (("/run/pannier/pannier.sock", self.d.path), ("127.0.0.1:8080", at)):
            self.assertIn(was, site)
            site = site.replace(was, now)
        self.nginx = LuaNginx(self, site)

    def ask(self, path):
        return proxies.ask(self.nginx.port, path)

    def test_a_page_comes_from_the_backend_once_and_then_from_the_socket(self):
        gate = self.backend.hold("/users/1", b'{"name": "ann"}')
        with concurrent.futures.ThreadPoolExecutor(HERD) as pool:
            asked = [pool.submit(self.ask, "/users/1") for _ in range(HERD)]
            self.backend.wait_requests(1)
            gate.open()
            self.assertEqual([a.result() for a in asked], [b'{"name": "ann"}'] * HERD)
        self.assertEqual(self.ask("/users/1"), b'{"name": "ann"}')
        self.assertEqual(self.backend.count("/users/1"), 1)
        self.backend.close()
        self.assertEqual(self.ask("/users/1"), b'{"name": "ann"}')

    def test_a_user_that_is_not_there_is_a_404_that_is_remembered(self):
        for _ in range(3):
            self.assertIn("404 not found", proxies.head(self.nginx.port, "/users/9"))
        self.assertEqual(self.backend.count("/users/9"), 1)

    def test_without_the_sidecar_nginx_asks_the_backend(self):
        self.backend.on("/users/2", b"bob")
        self.assertEqual(self.d.stop(), 0)
        self.assertEqual(self.ask("/users/2"), b"bob")
        self.assertEqual(self.ask("/users/2"), b"bob")
        self.assertEqual(self.backend.count("/users/2"), 2)


@unittest.skipIf(harness.SANITIZER, "sanitizers find nothing in what others wrote")
class Python(harness.Case):
    def start(self, name, d, *args):
        return subprocess.Popen(
            [PYTHON, os.path.join(CONTRIB, "examples", "python", name), *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PANNIER_SOCKET": d.path,
                 "PYTHONPATH": os.path.join(harness.TOP, "clients", "python", "src")})

    def herd(self, name, d):
        """All ask for the same user, each in a process of its own; how often it was loaded."""
        started = [self.start(name, d, "42") for _ in range(HERD)]
        loads = 0
        for process in started:
            out, err = process.communicate(timeout=harness.PATIENCE_S)
            self.assertEqual((process.returncode, out), (0, "name of 42\n"), err)
            self.assertNotIn("without the cache", err)
            loads += err.count("loading 42")
        return loads

    def test_redis_py_loads_once_for_all_processes(self):
        d = self.daemon(LEASES)
        self.assertEqual(self.herd("cache_aside_redis.py", d), 1)
        self.assertEqual(d.client()("GET", "user:42"), b"name of 42")

    def test_the_own_client_loads_once_for_all_processes(self):
        d = self.daemon()
        self.assertEqual(self.herd("cache_aside_pannier.py", d), 1)

    def test_both_go_on_without_the_daemon(self):
        d = self.daemon()
        self.assertEqual(d.stop(), 0)
        for name in ("cache_aside_redis.py", "cache_aside_pannier.py"):
            with self.subTest(name):
                out, err = self.start(name, d, "7").communicate(timeout=harness.PATIENCE_S)
                self.assertEqual(out, "name of 7\n", err)


if __name__ == "__main__":
    harness.main()
