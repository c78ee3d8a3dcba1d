#!/usr/bin/env python3
"""Metrics, health and readiness over HTTP."""

import base64
import hashlib
import http.client
import json
import os
import re
import signal
import socket

import harness

CONFIG = """
admin_http: %s
threads: 2
origins:
  api:
    http:
      endpoints: ["%s"]
    deadline: 20s
namespaces:
  - {prefix: "o:", origin: api, path: "/{rest}", ttl: 60s}
"""
SAMPLE = re.compile(r'^(pannier_[a-z0-9_]+)(?:\{([^}]*)\})? (-?[0-9.e+-]+|NaN|\+Inf)$')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\\n]|\\.)*)"(?:,|$)')


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=harness.PATIENCE_S)
        self.path = path

    def connect(self):
        self.sock = harness.connect(self.path)


def parse(text):
    """{(name, labels): value}, as strict as the format."""
    families, values, family = {}, {}, None
    for line in text.splitlines():
        if line == "# EOF":
            continue
        m = re.match(r"# (HELP|TYPE|UNIT) (\S+) (.+)$", line)
        if m:
            kind, name, rest = m.groups()
            if kind == "HELP":
                assert name not in families, f"{name} twice"
                families[name] = None
                family = name
            assert name == family, line
            if kind == "TYPE":
                families[name] = rest
            continue
        m = SAMPLE.match(line)
        assert m, line
        assert m.group(1).startswith(family), line
        labels = m.group(2) or ""
        assert "".join(x.group(0) for x in LABEL.finditer(labels)) == labels, line
        assert (m.group(1), labels) not in values, line
        values[m.group(1), labels] = float(m.group(3))
    assert all(families.values())
    return values


class Admin(harness.Case):
    def begin(self, where="tcp:127.0.0.1:0"):
        self.api = self.origin()
        self.d = self.daemon(CONFIG % (where, self.api.url))
        self.d.wait_log("metrics and health on ")
        self.name = re.search(r"metrics and health on (\S+)", self.d.text()).group(1)
        return self.d.client()

    def ask(self, path, method="GET", headers=None, body=None):
        if self.name.startswith("unix:"):
            c = UnixConnection(self.name[5:])
        else:
            c = http.client.HTTPConnection(self.name[4:], timeout=harness.PATIENCE_S)
        c.request(method, path, body=body, headers=headers or {})
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r, text

    def test_metrics_tell_what_was_done(self):
        c = self.begin()
        self.api.on("/1", b"one")
        c("SET", "k", "v")
        c("GET", "k")
        c("GET", "zz:absent")
        c("GET", "o:1")
        r, text = self.ask("/metrics")
        self.assertEqual(r.getheader("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
        v = parse(text)
        self.assertEqual(v["pannier_namespace_hits_total", 'ns="default"'], 1)
        self.assertEqual(v["pannier_namespace_misses_total", 'ns="default"'], 1)
        self.assertEqual(v["pannier_namespace_filled_total", 'ns="o"'], 1)
        self.assertEqual(v["pannier_origin_requests_total", 'origin="api"'], 1)
        self.assertEqual(v["pannier_origin_latency_seconds_count", 'origin="api"'], 1)
        self.assertEqual(v["pannier_commands_total", 'command="get"'], 3)
        self.assertEqual(v["pannier_cache_entries", ""], 2)
        self.assertEqual(v["pannier_clients", ""], 1)
        self.assertEqual(v["pannier_threads", ""], 2)
        self.assertLess(0, v["pannier_memory_resident_bytes", ""])
        self.assertEqual(v["pannier_origin_breaker_state", 'origin="api"'], 0)
        self.assertEqual(v["pannier_origin_endpoints", 'origin="api"'], 1)
        # No key and no client is named.
        self.assertFalse("zz:absent" in text)

    def test_times_by_namespace_and_what_the_origin_was_spared(self):
        c = self.begin()
        gate = self.api.hold("/1", b"one")
        self.addCleanup(gate.open)
        others = [self.d.client() for _ in range(3)]
        for o in others:
            o.send("GET", "o:1")
        harness.wait_until(lambda: b"coalesced=2," in c("INFO", "namespaces"), "three that wait")
        gate.open()
        self.assertEqual([o.reply() for o in others], [b"one"] * 3)
        for _ in range(8):
            self.assertEqual(c("GET", "o:1"), b"one")
        v = parse(self.ask("/metrics")[1])
        self.assertEqual(v["pannier_namespace_fetch_seconds_count", 'ns="o"'], 1)
        self.assertEqual(v["pannier_namespace_wait_seconds_count", 'ns="o"'], 3)
        # Each of the first commands is timed.
        self.assertEqual(v["pannier_namespace_command_seconds_count", 'ns="o"'], 11)
        self.assertGreater(v["pannier_command_class_seconds_count", 'class="read"'], 10)
        took = v["pannier_namespace_fetch_seconds_sum", 'ns="o"']
        self.assertAlmostEqual(v["pannier_namespace_origin_saved_seconds_total", 'ns="o"'], 10 * took,
                               delta=0.001 * took + 1e-5)
        line = re.search(rb"^ns_o:.*$", c("INFO", "namespaces"), re.M).group(0).decode()
        self.assertEqual(int(re.search(r",origin_ms_saved=(\d+),", line).group(1)), int(10 * took * 1000))
        self.assertGreater(float(re.search(r",wait_p50_us=([0-9.]+)", line).group(1)), 0)

    def test_hot_keys_are_named_only_where_that_is_permitted(self):
        c = self.begin()
        for _ in range(9):
            c("GET", "hot")
        c("GET", "cold")
        self.assertNotIn("hot_keys", json.loads(self.ask("/stats.json")[1]))
        self.assertEqual(c("CONFIG", "SET", "admin_keys", "true"), "OK")
        harness.wait_until(lambda: "hot_keys" in json.loads(self.ask("/stats.json")[1]), "hot_keys")
        keys = json.loads(self.ask("/stats.json")[1])["hot_keys"]
        self.assertEqual([(k["key"], k["namespace"], round(k["share"], 2)) for k in keys],
                         [("hot", "default", 0.9), ("cold", "default", 0.1)])
        self.assertNotIn("cold", self.ask("/metrics")[1])

    def test_no_label_is_one_that_prometheus_gives_its_targets(self):
        self.begin()("GET", "o:1")
        labels = set(re.findall(r'[{,](\w+)="', self.ask("/metrics")[1]))
        self.assertIn("ns", labels)
        self.assertFalse(labels & {"job", "instance", "namespace", "pod", "container", "service",
                                   "endpoint", "node"})

    def test_buckets_only_grow(self):
        c = self.begin()
        for n in range(200):
            c("SET", f"k{n}", "v")
        last = {}
        for (name, labels), value in parse(self.ask("/metrics")[1]).items():
            if name.endswith("_bucket"):
                whose = re.sub(r',?le="[^"]*"', "", labels)
                self.assertGreaterEqual(value, last.get((name, whose), 0))
                last[name, whose] = value
        self.assertTrue(last)

    def test_openmetrics_to_who_asks_for_it(self):
        self.begin()
        r, text = self.ask("/metrics", headers={
            "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"})
        self.assertIn("application/openmetrics-text", r.getheader("Content-Type"))
        self.assertTrue(text.endswith("# EOF\n"))
        self.assertIn("# UNIT pannier_memory_limit_bytes bytes\n", text)
        parse(text)

    def test_json_has_the_same(self):
        c = self.begin()
        c("SET", "k", "v")
        doc = json.loads(self.ask("/stats.json")[1])
        self.assertEqual(doc["pannier_cache_entries"]["values"][0]["value"], 1)
        timed = doc["pannier_command_seconds"]["values"]
        self.assertTrue({"p50", "p99", "max"} <= set(timed[0]) if timed else True)

    def test_json_has_histograms(self):
        c = self.begin()
        for _ in range(50):
            c("SET", "k", "v")
        v = next(v for v in json.loads(self.ask("/stats.json")[1])["pannier_command_seconds"]["values"]
                 if v["command"] == "set")
        self.assertEqual(sum(n for _, _, n in v["buckets"]), v["count"])
        for (low, below, n), (following, _, _) in zip(v["buckets"], v["buckets"][1:] + [(1e9, 0, 0)]):
            self.assertTrue(n > 0 and low < below <= following and below <= max(low * 1.126, 8e-9))

    BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}

    def test_browsers_get_a_page_and_others_the_list(self):
        self.begin()
        for headers in ({}, {"Accept": "*/*"}, {"Accept": "text/plain"}):
            r, text = self.ask("/", headers=headers)
            self.assertEqual(r.getheader("Content-Type"), "text/plain; charset=utf-8")
            self.assertIn("/metrics", text)
        r, text = self.ask("/", headers=self.BROWSER)
        self.assertEqual(r.getheader("Content-Type"), "text/html; charset=utf-8")
        self.assertTrue(text.startswith("<!doctype html>\n") and text.endswith("</html>\n"))
        self.assertEqual((r.getheader("Vary"), r.getheader("X-Content-Type-Options"), r.getheader("Cache-Control")),
                         ("Accept", "nosniff", "no-cache"))
        r, head = self.ask("/", "HEAD", self.BROWSER)
        self.assertEqual((r.status, head, int(r.getheader("Content-Length"))), (200, "", len(text.encode())))

    def test_only_what_is_in_the_page_may_run(self):
        self.begin()
        r, text = self.ask("/", headers=self.BROWSER)
        policy = dict(p.strip().split(" ", 1) for p in r.getheader("Content-Security-Policy").split(";"))
        for element, directive in (("style", "style-src"), ("script", "script-src")):
            inside = re.findall(f"<{element}>(.*?)</{element}>", text, re.S)
            want = ["'sha256-" + base64.b64encode(hashlib.sha256(x.encode()).digest()).decode() + "'" for x in inside]
            self.assertEqual(policy[directive].split(), want)
            self.assertTrue(inside)
        self.assertEqual((policy["default-src"], policy["connect-src"], policy["base-uri"],
                          policy["form-action"], policy["frame-ancestors"]), ("'none'", "'self'") + ("'none'",) * 3)
        # Nothing is loaded from anywhere.
        for link in re.findall(r'(?:src|href|action)="([^"]*)"', text):
            self.assertTrue(link.startswith("data:") or re.fullmatch(r"[a-z.]+", link), link)

    def test_a_page_that_is_known_is_not_sent_again(self):
        self.begin()
        r, _ = self.ask("/", headers=self.BROWSER)
        tag = r.getheader("ETag")
        self.assertRegex(tag, '^"[0-9a-f]{32}"$')
        for known, status in ((tag, 304), ("W/" + tag + ', "b"', 304), ('"b"', 200)):
            r, text = self.ask("/", headers={**self.BROWSER, "If-None-Match": known})
            self.assertEqual((r.status, r.getheader("ETag"), text == ""), (status, tag, status == 304))

    def test_what_it_does_not_serve(self):
        self.begin()
        self.assertEqual(self.ask("/nope")[0].status, 404)
        r, _ = self.ask("/metrics", "POST", body="x" * 100000)
        self.assertEqual((r.status, r.getheader("Allow")), (405, "GET, HEAD"))
        r, text = self.ask("/healthz", "HEAD")
        self.assertEqual((r.status, text), (200, ""))
        for page in re.findall(r"^(/\S*)", self.ask("/")[1], re.M):
            self.assertEqual(self.ask(page)[0].status, 200)

    def test_health_does_not_depend_on_origins(self):
        c = self.begin()
        self.api.close()
        with self.assertRaises(harness.ReplyError):
            c("GET", "o:1")
        self.assertEqual(self.ask("/healthz")[0].status, 200)
        self.assertEqual(self.ask("/readyz")[0].status, 200)

    def test_not_ready_while_it_drains(self):
        c = self.begin()
        gate = self.api.hold("/slow", b"late")
        self.addCleanup(gate.open)
        c.send("GET", "o:slow")
        self.api.wait_requests(1)
        self.d.signal(signal.SIGTERM)
        harness.wait_until(lambda: self.ask("/readyz")[0].status == 503, "503 of /readyz")
        self.assertEqual(self.ask("/healthz")[0].status, 200)
        gate.open()
        self.assertEqual(c.reply(), b"late")
        self.assertEqual(self.d.wait(), 0)

    def test_who_says_nothing_holds_nobody_up(self):
        c = self.begin()
        host, port = self.name[4:].rsplit(":", 1)
        idle = [socket.create_connection((host, int(port))) for _ in range(100)]
        idle[0].sendall(b"GET /metrics HT")
        for s in idle:
            self.addCleanup(s.close)
        self.assertEqual(c("SET", "k", "v"), "OK")
        for s in idle[1:]:
            s.close()
        harness.wait_until(self.answers, "an answer when there is room again")

    def answers(self):
        try:
            return self.ask("/healthz")[0].status == 200
        except (OSError, http.client.HTTPException):
            return False

    def test_a_unix_socket_has_the_mode_that_it_shall_have(self):
        path = os.path.join(self.folder(), "admin.sock")
        self.begin(f"unix:{path},mode=0600")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual(self.ask("/healthz")[0].status, 200)
        self.assertEqual(self.d.stop(), 0)
        self.assertFalse(os.path.exists(path))

    def test_a_bad_address_is_told_at_the_start(self):
        for where, why in (("9464", "write tcp:127.0.0.1:9464"), ("tcp:example.com:9464", "write tcp:0.0.0.0:9464 for all of them")):
            d = self.daemon(CONFIG % (where, "http://127.0.0.1:1"), stopped=True)
            d.launch()
            self.assertNotEqual(d.wait(), 0)
            d.reader.join(harness.PATIENCE_S)
            self.assertRegex(d.text(), "admin_http.*(" + why + ")")


if __name__ == "__main__":
    harness.main()
