"""prometheus.py - a real Prometheus that reads daemons and evaluates the rules of contrib."""

import json
import os
import re
import subprocess
import urllib.parse
import urllib.request

import harness
import real

RULES = os.path.join(harness.TOP, "contrib", "prometheus", "pannier.rules.yaml")
LABELS = {"namespace": "shop", "pod": "web-1"} # as Kubernetes gives them to its targets
# A minute of the rules is so many seconds here: what they wait for comes in time.
SECONDS_A_MINUTE = 0.4
SCRAPE = "200ms"


def time_lapse(text):
    """Rules or queries, all of whose durations are shorter."""
    def shorter(m):
        seconds = float(m.group(2)) * {"s": 1, "m": 60, "h": 3600}[m.group(3)]
        return f"{m.group(1)}{max(1, round(seconds / 60 * SECONDS_A_MINUTE * 1000))}ms"
    return re.sub(r"(\[|for: |offset )(\d+)([smh])\b", shorter, text)


class Prometheus:
    """Reads the daemon whose admin_http is at `target`, "127.0.0.1:port"."""

    def __init__(self, folder, target):
        self.folder, self.log = folder, os.path.join(folder, "log")
        with open(RULES, encoding="utf-8") as f:
            self.write("rules.yaml", time_lapse(f.read()))
        self.write("prometheus.yaml", json.dumps({ # which is YAML as well
            "global": {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE, "scrape_timeout": SCRAPE},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "pannier",
                                "static_configs": [{"targets": [target], "labels": LABELS}]}]}))
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={folder}/prometheus.yaml",
                 f"--storage.tsdb.path={folder}/data", "--web.listen-address=127.0.0.1:0"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, cwd=folder)
        try:
            port = harness.wait_until(lambda: real.listening_port(self.process.pid), "Prometheus to listen")
        except AssertionError:
            self.close()
            raise
        self.url = f"http://127.0.0.1:{port}/api/v1/"

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as f:
            f.write(text)

    def ask(self, what, **args):
        url = self.url + what + "?" + urllib.parse.urlencode(args, doseq=True)
        try:
            with urllib.request.urlopen(url, timeout=harness.PATIENCE_S) as r:
                return json.load(r)["data"]
        except urllib.error.HTTPError as e:
            if e.code == 503: # it still starts
                return None
            raise AssertionError(f"{args}: {e.read().decode()}") from e

    def query(self, expr):
        """Labels, as a sorted tuple, -> value."""
        data = self.ask("query", query=expr)
        return {tuple(sorted(r["metric"].items())): float(r["value"][1])
                for r in (data["result"] if data else ())}

    def firing(self):
        """Names of the alerts that fire now."""
        data = self.ask("alerts") or {"alerts": []}
        return {a["labels"]["alertname"] for a in data["alerts"] if a["state"] == "firing"}

    def close(self):
        self.process.kill()
        self.process.wait()
