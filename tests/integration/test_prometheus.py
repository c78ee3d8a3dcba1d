#!/usr/bin/env python3
"""What contrib/ has for Prometheus and Grafana, with a real Prometheus that reads a real daemon."""

import json
import os
import re
import socket
import subprocess
import sys
import threading

import harness
import prometheus
import real

CONTRIB = os.path.join(harness.TOP, "contrib")
CONFIG = """threads: 2
memory: 64MiB
admin_http: tcp:127.0.0.1:0
namespaces:
  - prefix: "user:"
    origin: users
    path: /{rest}
    ttl: 200ms
    stale_if_error: 0s
    retry_after: 0s
  - prefix: "page:"
    coalesce: lease
origins:
  users:
    http: {endpoints: ["%s"]}
    deadline: 5s
    concurrency: {limit: 64}
    breaker: {open_time: 100ms}
invalidations:
  changes: {kind: rabbitmq, endpoints: ["127.0.0.1:%d"], exchange: changes}
"""
OUTAGE = {"PannierOriginBreakerOpen", "PannierOriginErrors", "PannierReadsFail"}


def promtool(*args):
    return subprocess.run(["promtool", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)


class Readers:
    """Reads keys of the origin until it is stopped, by one connection."""

    def __init__(self, d):
        self.client, self.over = d.client(), threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        n = 0
        while not self.over.wait(0.002):
            n += 1
            self.client.send("GET", f"user:{n % 20}")
            self.client.send("GET", f"k{n % 20}")
            for _ in range(2):
                try:
                    self.client.reply()
                except harness.ReplyError:
                    pass
                except (harness.Closed, OSError): # the daemon was killed
                    return

    def stop(self):
        self.over.set()
        self.thread.join(harness.PATIENCE_S)
        self.client.close()


class Scraped(harness.Case):
    def setUp(self):
        if harness.SANITIZER:
            self.skipTest("sanitizers: Prometheus reads the same bytes")
        if real.version_of("prometheus", "--version") is None:
            self.skipTest("no prometheus on this machine (Debian: prometheus)")
        self.api = self.users()
        nobody = socket.socket() # bound, and listens to nobody
        self.addCleanup(nobody.close)
        nobody.bind(("127.0.0.1", 0))
        self.d = self.daemon(CONFIG % (self.api.url, nobody.getsockname()[1]))
        self.d.wait_log("metrics and health on tcp:")
        target = re.search(r"metrics and health on tcp:(\S+)", self.d.text()).group(1)
        self.c = self.d.client()
        for i in range(20):
            self.c("SET", f"k{i}", "v" * 100)
        self.prom = prometheus.Prometheus(self.folder(), target)
        self.addCleanup(self.prom.close)
        readers = Readers(self.d)
        self.addCleanup(readers.stop)

    def users(self, port=0):
        """What answers for /0 to /19."""
        o = harness.Origin(port)
        for i in range(20):
            o.on(f"/{i}", b"somebody")
        self.addCleanup(o.close)
        return o

    def wait(self, expr, what):
        return harness.wait_until(lambda: self.prom.query(expr), what)

    def test_rules_fire_on_outages_and_stop_when_they_are_over(self):
        ratio = self.wait('namespace:pannier_hits:ratio_rate5m{ns="default"} > 0', "a hit ratio")
        self.assertEqual([dict(labels)["job"] for labels in ratio], ["pannier"])
        self.assertEqual(list(ratio.values()), [1])
        self.assertEqual(list(self.prom.query("up").values()), [1])
        self.assertEqual(self.prom.firing() & OUTAGE, set())
        self.api.close()
        harness.wait_until(lambda: self.prom.firing() >= OUTAGE, "the alerts to fire")
        self.assertNotIn("PannierDown", self.prom.firing())
        self.users(self.api.port)
        harness.wait_until(lambda: not self.prom.firing() & OUTAGE, "the alerts to stop")
        self.wait('namespace:pannier_hits:ratio_rate5m{ns="user"} > 0', "hits again")
        self.d.kill()
        harness.wait_until(lambda: "PannierDown" in self.prom.firing(), "the alert to fire")

    def queries(self):
        """(title of the panel, expression), and of the variables."""
        with open(os.path.join(CONTRIB, "grafana", "pannier.json"), encoding="utf-8") as f:
            board = json.load(f)
        for p in board["panels"]:
            for t in p.get("targets", ()):
                yield p["title"], t["expr"]
        for v in board["templating"]["list"]:
            if v["type"] == "query":
                series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", v["definition"]).groups()
                yield v["name"], f"count by ({label}) ({series})"

    def test_each_query_of_the_dashboard_and_of_the_autoscaler_has_an_answer(self):
        self.wait("pannier_advice_sampled_reads > 300", "advice")
        self.c("PANNIER.INVALIDATE", "user:1")
        for title, expr in self.queries():
            expr = expr.replace("$__rate_interval", "2s")
            expr = re.sub(r'"\$\w+"', '".*"', expr)
            self.assertNotIn("$", expr)
            with self.subTest(title):
                harness.wait_until(lambda expr=expr: self.prom.query(expr), f"{title}: {expr}")
        self.autoscaler()

    def autoscaler(self):
        with open(os.path.join(CONTRIB, "kubernetes", "autoscaling", "prometheus-adapter.yaml"),
                  encoding="utf-8") as f:
            text = f.read()
        series = re.findall(r"seriesQuery: '(.*)'", text)
        queries = re.findall(r"metricsQuery: '(.*)'", text)
        names = re.findall(r"as: (\w+)", text)
        self.assertEqual((len(series), len(queries)), (len(names), len(names)))
        for name, s, q in zip(names, series, queries):
            q = q.replace("<<.LabelMatchers>>", 'namespace="shop",pod=~"web-1|web-2"')
            q = prometheus.time_lapse(q.replace("<<.GroupBy>>", "pod"))
            self.wait(s, name)
            found = self.wait(q, f"{name}: {q}")
            self.assertEqual([dict(labels) for labels in found], [{"pod": "web-1"}], name)
        with open(os.path.join(CONTRIB, "kubernetes", "autoscaling", "hpa.yaml"), encoding="utf-8") as f:
            self.assertLessEqual(set(re.findall(r"name: (pannier_\w+)", f.read())), set(names))


class Files(harness.Case):
    def setUp(self):
        if harness.SANITIZER:
            self.skipTest("sanitizers: nothing of the daemon runs here")
        if real.version_of("promtool", "--version") is None:
            self.skipTest("no promtool on this machine (Debian: prometheus)")

    def test_rules_and_configuration_are_good(self):
        for args in (("check", "rules", prometheus.RULES),
                     ("check", "config", os.path.join(CONTRIB, "prometheus", "prometheus.yaml")),
                     ("test", "rules", os.path.join(harness.TOP, "tests", "prometheus", "rules.yaml"))):
            done = promtool(*args)
            self.assertEqual(done.returncode, 0, done.stdout)

    def test_pods_are_found_by_the_name_of_their_port(self):
        with open(os.path.join(CONTRIB, "kubernetes", "monitoring", "scrape.yaml"), encoding="utf-8") as f:
            text = f.read()
        path = os.path.join(self.folder(), "prometheus.yaml")
        with open(path, "w", encoding="utf-8") as f: # Debian's promtool knows nothing of Kubernetes
            f.write(text.replace("kubernetes_sd_configs: [{role: pod}]", 'static_configs: [{targets: ["a:1"]}]'))
        done = promtool("check", "config", path)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("kubernetes_sd_configs: [{role: pod}]", text)

    def test_each_alert_is_tested_and_has_a_page_to_look_at(self):
        with open(prometheus.RULES, encoding="utf-8") as f:
            rules = f.read()
        with open(os.path.join(harness.TOP, "tests", "prometheus", "rules.yaml"), encoding="utf-8") as f:
            tests = f.read()
        with open(os.path.join(harness.TOP, "doc", "alerts.md"), encoding="utf-8") as f:
            headings = {line.lstrip("# ").strip() for line in f if line.startswith("#")}
        alerts = re.findall(r"- alert: (\w+)", rules)
        self.assertEqual(len(alerts), len(set(alerts)))
        for name in alerts:
            self.assertIn(f'alertname="{name}"', tests)
            self.assertIn(f"#{name.lower()}", rules)
            self.assertIn(name, headings)

    def test_rules_use_metrics_that_there_are(self):
        with open(os.path.join(harness.TOP, "doc", "metrics.md"), encoding="utf-8") as f:
            known = set(re.findall(r"^\| `(pannier_\w+)`", f.read(), re.M))
        with open(prometheus.RULES, encoding="utf-8") as f:
            used = set(re.findall(r"(?<![\w:#])(pannier_\w+?)(?:_bucket)?(?![\w:])", f.read()))
        self.assertGreater(len(used), 30)
        self.assertEqual(used - known, set())

    def test_the_dashboard_is_what_its_script_makes(self):
        done = subprocess.run([sys.executable, "-B", os.path.join(CONTRIB, "grafana", "make_dashboard.py")],
                              stdout=subprocess.PIPE, check=True)
        with open(os.path.join(CONTRIB, "grafana", "pannier.json"), "rb") as f:
            self.assertEqual(f.read(), done.stdout)

    def test_panels_of_the_dashboard_do_not_overlap(self):
        with open(os.path.join(CONTRIB, "grafana", "pannier.json"), encoding="utf-8") as f:
            panels = json.load(f)["panels"]
        taken = set()
        for p in panels:
            g = p["gridPos"]
            cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
            self.assertFalse(cells & taken, p["title"])
            self.assertLessEqual(g["x"] + g["w"], 24)
            taken |= cells
        self.assertEqual(len({p["id"] for p in panels}), len(panels))


if __name__ == "__main__":
    harness.main()
