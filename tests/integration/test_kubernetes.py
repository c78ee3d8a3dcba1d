#!/usr/bin/env python3
"""contrib/kubernetes: what the API takes, and what the files say, done with a real daemon.

    tests/integration/test_kubernetes.py --update     writes the files that are made from others
"""

import glob
import http.client
import json
import os
import re
import subprocess
import sys

import harness
import real

FOLDER = os.path.join(harness.TOP, "contrib", "kubernetes")
RULES = os.path.join(harness.TOP, "contrib", "prometheus", "pannier.rules.yaml")
SOURCES = os.path.join(harness.TOP, "tests", "kubernetes")
PLAIN_HEAD = """# What `kubectl kustomize contrib/kubernetes/example` prints, for those who do without:
#   kubectl apply -f contrib/kubernetes/plain.yaml
# A test keeps it so.
"""
RULE_HEAD = """# contrib/prometheus/pannier.rules.yaml, for the operator of Prometheus. A test keeps it so.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: pannier
spec:
"""
SOCKET = "/run/pannier/pannier.sock"


def read(*names):
    with open(os.path.join(FOLDER, *names), encoding="utf-8") as f:
        return f.read()


def wrapped_rules():
    with open(RULES, encoding="utf-8") as f:
        lines = f.read().splitlines()
    body = lines[lines.index("groups:"):]
    return RULE_HEAD + "".join(f"  {line}".rstrip() + "\n" for line in body)


class Kubernetes(real.Case):
    counts_subtests = False

    def setUp(self):
        if harness.SANITIZER:
            self.skipTest("sanitizers: nearly nothing of the daemon runs here")

    def kustomize(self, folder):
        if os.path.exists("/usr/local/go/bin/go"):
            os.environ["PATH"] += ":/usr/local/go/bin"
        said = self.needs("go", "version", package="golang-go")
        program = self.installed("kustomize", [said], self.build, os.path.join(SOURCES, "kustomize"))
        done = subprocess.run([os.path.join(program, "kustomize"), folder], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    @staticmethod
    def build(folder):
        real.fetch(["go", "mod", "download", "-x"], folder, {"GOFLAGS": "-mod=readonly"})
        real.run_tool(["go", "build", "-o", "kustomize", "."], folder,
                      {"GOFLAGS": "-mod=readonly -buildvcs=false", "CGO_ENABLED": "0"})

    @staticmethod
    def packages(folder):
        real.fetch(["npm", "ci", "--no-progress", "--loglevel=error"], folder)

    def node(self, *args, text):
        versions = [self.needs("node", "--version", package="nodejs"),
                    self.needs("npm", "--version", package="npm")]
        folder = self.installed("schemas", versions, self.packages, os.path.join(SOURCES, "schemas"))
        return subprocess.run(["node", *args], cwd=folder, input=text, capture_output=True, text=True, check=False)

    def objects(self, text):
        """The objects of a YAML stream; Python has no YAML of its own."""
        done = self.node("-e", "console.log(JSON.stringify(require('js-yaml').loadAll("
                               "require('fs').readFileSync(0, 'utf8'))))", text=text)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def made(self):
        return {"plain.yaml": PLAIN_HEAD + self.kustomize(os.path.join(FOLDER, "example")),
                "monitoring/prometheusrule.yaml": wrapped_rules()}

    def test_the_api_takes_every_file(self):
        for path in sorted(glob.glob(os.path.join(FOLDER, "**", "*.yaml"), recursive=True)):
            with open(path, encoding="utf-8") as f:
                text = f.read()
            if not re.search(r"^kind: (?!Kustomization|Component)", text, re.M) or path.endswith("patch.yaml"):
                continue # of kustomize, the adapter, pannier or Prometheus
            done = self.node("validate.js", text=text)
            self.assertEqual(done.returncode, 0, f"{path}: {done.stdout}{done.stderr}")
            self.assertRegex(done.stdout, r"^ok \w+/")

    def test_what_the_api_would_refuse_is_found(self):
        for good, bad, why in (("failureThreshold: 30", "failureThreshold: many", "must be integer"),
                               ("restartPolicy: Always", "restartPolcy: Always", "/restartPolcy: the API has no"),
                               ("kind: Service", "kind: Sevrice", "Cannot find")):
            text = read("plain.yaml")
            self.assertIn(good, text)
            done = self.node("validate.js", text=text.replace(good, bad, 1))
            self.assertEqual(done.returncode, 1)
            self.assertIn(why, done.stdout)

    def test_made_files_are_as_they_are_made(self):
        for name, text in self.made().items():
            self.assertEqual(read(name), text, f"{name} is old: {__file__} --update")

    def test_kustomizations_can_be_built(self):
        self.assertEqual(self.kustomize(os.path.join(FOLDER, "monitoring")).count("\nkind: "), 2)

    def sidecar(self):
        """The pod's template, its sidecar, and the configuration that is mounted there."""
        found = self.objects(read("plain.yaml"))
        pod = next(o for o in found if o["kind"] == "Deployment")["spec"]["template"]["spec"]
        text = next(o for o in found if o["kind"] == "ConfigMap")["data"]["pannier.yaml"]
        return pod, pod["initContainers"][0], text

    def test_the_sidecar_starts_first_and_is_never_what_the_node_takes_back(self):
        pod, sidecar, _ = self.sidecar()
        self.assertEqual(sidecar["restartPolicy"], "Always")
        self.assertEqual(sidecar["resources"]["requests"], sidecar["resources"]["limits"])
        security = sidecar["securityContext"]
        self.assertTrue(security["runAsNonRoot"] and security["readOnlyRootFilesystem"])
        self.assertEqual(security["capabilities"], {"drop": ["ALL"]})
        volumes = {v["name"]: v for v in pod["volumes"]}
        mounts = {m["name"] for c in pod["containers"] + [sidecar] for m in c["volumeMounts"]}
        self.assertLessEqual(mounts, set(volumes))
        self.assertIn("emptyDir", volumes["pannier-socket"])
        self.assertEqual(pod["securityContext"]["fsGroup"], security["runAsGroup"])

    def test_its_configuration_and_its_probes_do_what_they_shall(self):
        _, sidecar, text = self.sidecar()
        folder = self.folder()
        own = os.path.join(folder, "pannier.sock")
        self.assertIn(SOCKET, text)
        self.assertEqual(sidecar["args"][:2], ["serve", "--config"])
        port = next(p for p in sidecar["ports"] if p["name"] == sidecar["readinessProbe"]["httpGet"]["port"])
        self.assertIn(f"tcp:0.0.0.0:{port['containerPort']}\n", text)
        config = text.replace(SOCKET, own).replace(f"0.0.0.0:{port['containerPort']}", "127.0.0.1:0")
        mounted = os.path.join(folder, "mounted.yaml")
        with open(mounted, "w", encoding="utf-8") as f:
            f.write(text)
        checked = subprocess.run([harness.BINARY, "check", mounted], capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        d = self.daemon(config, folder=folder, path=own)
        for probe in ("startupProbe", "livenessProbe"):
            name, *args = sidecar[probe]["exec"]["command"]
            self.assertEqual(name, "/usr/bin/pannier") # where the image has it
            args = [a.replace(SOCKET, own) for a in args]
            self.assertEqual(subprocess.run([harness.BINARY, *args], check=False).returncode, 0)
        d.wait_log("metrics and health on tcp:")
        admin = http.client.HTTPConnection(re.search(r"health on tcp:(\S+)", d.text()).group(1),
                                           timeout=harness.PATIENCE_S)
        admin.request("GET", sidecar["readinessProbe"]["httpGet"]["path"])
        self.assertEqual(admin.getresponse().status, 200)
        admin.close()


def update():
    case = Kubernetes()
    for name, text in case.made().items():
        with open(os.path.join(FOLDER, name), "w", encoding="utf-8") as f:
            f.write(text)


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        update()
    else:
        harness.main()
