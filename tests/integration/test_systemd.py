#!/usr/bin/env python3
"""The units of contrib/systemd, as systemd itself reads them. Nothing of this needs
systemd to run."""

import os
import re
import shutil
import subprocess
import unittest

import harness

UNITS = os.path.join(harness.TOP, "contrib", "systemd")
SERVICES = ("pannier.service", "pannier@.service")
MOST_EXPOSED = 12 # tenths


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False,
                          timeout=harness.PATIENCE_S, env={**os.environ, "SYSTEMD_COLORS": "0"})


def settings(name):
    """All NAME=VALUE lines, in order."""
    with open(os.path.join(UNITS, name), encoding="utf-8") as f:
        return re.findall(r"^([A-Za-z]+)=(.*)$", f.read(), re.M)


@unittest.skipIf(harness.SANITIZER, "sanitizers change nothing of a unit file")
class Units(harness.Case):
    def test_a_service_is_exposed_at_most_by_1_2_of_10(self):
        for name in SERVICES:
            with self.subTest(name):
                said = run("systemd-analyze", "security", "--no-pager", "--offline=true",
                           f"--threshold={MOST_EXPOSED}", os.path.join(UNITS, name))
                self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
                self.assertRegex(said.stdout, r"Overall exposure level for pannier.*: [01]\.\d")

    def test_that_measure_can_fail(self):
        folder = self.folder()
        with open(os.path.join(UNITS, "pannier.service"), encoding="utf-8") as f:
            text = f.read().replace("NoNewPrivileges=yes\n", "")
        path = os.path.join(folder, "pannier.service")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        said = run("systemd-analyze", "security", "--no-pager", "--offline=true",
                   f"--threshold={MOST_EXPOSED}", path)
        self.assertNotEqual(said.returncode, 0, said.stdout)

    def installed(self):
        """The units with this binary, where systemd can look at them."""
        folder = self.folder()
        for name in SERVICES + ("pannier.socket",):
            shutil.copy(os.path.join(UNITS, name), folder)
        for name in SERVICES:
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as f:
                text = f.read()
            self.assertIn("ExecStart=/usr/bin/pannier serve ", text)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text.replace("/usr/bin/pannier", harness.BINARY))
        return folder

    def test_systemd_finds_nothing_wrong_in_them(self):
        folder = self.installed()
        os.rename(os.path.join(folder, "pannier@.service"),
                  os.path.join(folder, "pannier@shop.service"))
        for name in ("pannier.service", "pannier.socket", "pannier@shop.service"):
            with self.subTest(name):
                said = run("systemd-analyze", "verify", "--man=no", os.path.join(folder, name))
                ours = [line for line in said.stderr.splitlines() if folder in line or
                        "pannier" in line]
                self.assertEqual((said.returncode, ours), (0, []), said.stderr)

    def test_the_template_is_as_tight_as_the_single_one(self):
        def tight(name):
            return [s for s in settings(name) if s[0] not in
                    ("Description", "ExecStart", "RuntimeDirectory", "StateDirectory")]
        self.assertEqual(tight("pannier.service"), tight("pannier@.service"))

    def test_the_user_that_runs_it_is_made(self):
        root = self.folder()
        os.makedirs(os.path.join(root, "etc"))
        said = run("systemd-sysusers", f"--root={root}",
                   os.path.join(UNITS, "sysusers.d", "pannier.conf"))
        self.assertEqual(said.returncode, 0, said.stderr)
        with open(os.path.join(root, "etc", "passwd"), encoding="utf-8") as f:
            self.assertRegex(f.read(), r"(?m)^pannier:x:\d+:\d+:.*:/usr/sbin/nologin$")
        named = dict(settings("pannier.service"))
        self.assertEqual((named["User"], named["Group"]), ("pannier", "pannier"))

    def test_what_a_restart_cannot_mend_is_not_restarted(self):
        never = dict(settings("pannier.service"))["RestartPreventExitStatus"].split()
        folder = self.folder()
        wrong = os.path.join(folder, "wrong.yaml")
        with open(wrong, "w", encoding="utf-8") as f:
            f.write("memory: much\n")
        for args in (["--config", os.path.join(folder, "none.yaml")], ["--config", wrong],
                     ["--what"]):
            with self.subTest(args):
                code = run(harness.BINARY, "serve", *args).returncode
                self.assertIn(str(code), never)

    def test_the_unit_allows_what_the_daemon_s_own_filter_does(self):
        """But for whom a socket belongs to, which the unit's drop-in allows."""
        def calls(of):
            said = run("systemd-analyze", "syscall-filter", "--no-pager", of)
            self.assertEqual(said.returncode, 0, said.stderr)
            found = set()
            for word in re.findall(r"^ +([-@a-z_0-9]+)$", said.stdout, re.M):
                found |= calls(word) if word.startswith("@") else {word}
            return found
        filters = [v for n, v in settings("pannier.service") if n == "SystemCallFilter"]
        self.assertEqual(filters, ["@system-service", "~@privileged @resources"])
        allowed = calls("@system-service") - calls("@privileged") - calls("@resources")
        with open(os.path.join(harness.TOP, "src", "server", "seccomp.def"), encoding="utf-8") as f:
            ours = set(re.findall(r"^SYSCALL(?:_IF)?\((\w+)", f.read(), re.M))
        self.assertGreater(len(ours), 100)
        self.assertEqual(ours - allowed, {"chown", "fchown", "fchownat"})

    def test_the_socket_is_where_clients_look_first(self):
        path = dict(settings("pannier.socket"))["ListenStream"]
        with open(os.path.join(harness.TOP, "src", "cli", "target.c"), encoding="utf-8") as f:
            self.assertIn(f'"{path}"', f.read())


if __name__ == "__main__":
    harness.main()
