#!/usr/bin/env python3
"""The root file system of contrib/container, as a runtime sets it up: read-only, an
ordinary user with no capability, and only the directory of sockets to write to.
Made and entered without a daemon."""

import os
import re
import shlex
import stat
import subprocess
import unittest

import harness
import proxies
import test_seccomp

CONTAINER = os.path.join(harness.TOP, "contrib", "container")
USER = 65532
ENTER = """#!/bin/sh
# Enters the root with its own view of it; the process stays the same one.
exec unshare {user} --mount --propagation private sh -ec '
mount --bind {root} {root}
mount --rbind /proc {root}/proc
for dir in {dirs}; do mount --bind "${{dir%:*}}" "{root}${{dir#*:}}"; done
mount -o remount,bind,ro {root}
cd /
exec chroot {userspec} {root} /usr/bin/pannier "$@"' sh "$@"
"""


def run(*argv, **more):
    return subprocess.run(argv, capture_output=True, text=True, check=False,
                          timeout=harness.PATIENCE_S, **more)


def containerfile():
    """Its instructions: what they are, and their texts."""
    with open(os.path.join(CONTAINER, "Containerfile"), encoding="utf-8") as f:
        text = re.sub(r"(?m)^#.*\n", "", f.read()).replace("\\\n", " ")
    return [line.split(None, 1) for line in text.splitlines() if line.strip()]


@unittest.skipIf(harness.SANITIZER, "sanitizers' runtimes are in no image")
class Container(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.home = harness.tempfile.mkdtemp(prefix="pannier-")
        cls.root = os.path.join(cls.home, "root")
        static = os.path.join(os.environ.get("BUILD_DIR", ""), "pannier-static")
        binary = static if os.path.exists(static) else harness.BINARY
        cls.said = run(os.path.join(CONTAINER, "build-rootfs"), binary, cls.root)
        cls.outside = harness.BINARY
        harness.BINARY = os.path.join(cls.home, "enter")

    @classmethod
    def tearDownClass(cls):
        harness.BINARY = cls.outside
        harness.shutil.rmtree(cls.home)

    def setUp(self):
        self.assertEqual(self.said.returncode, 0, self.said.stderr)
        self.sockets = self.folder()
        self.enter(self.sockets)
        if os.geteuid() == 0:
            os.chown(self.sockets, USER, USER)
            os.chmod(self.home, 0o755)

    def enter(self, *folders):
        """What harness.BINARY does. Folders are where they are outside."""
        root = os.geteuid() == 0
        for path in folders:
            os.makedirs(self.root + path, exist_ok=True)
            if root:
                os.chown(path, USER, USER)
        text = ENTER.format(
            root=self.root, user="" if root else "--user --map-root-user",
            userspec=f"--userspec={USER}:{USER} --groups=" if root else "",
            dirs=" ".join([f"{p}:{p}" for p in folders] + [f"{self.sockets}:/run/pannier"]))
        with open(harness.BINARY, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(harness.BINARY, 0o755)

    def inside(self, config="", **more):
        folder = self.folder()
        self.enter(folder)
        return self.daemon(config, folder=folder, **more)

    def test_it_is_small_and_has_nothing_to_start_or_to_become_root_by(self):
        megabytes = int(re.search(r": (\d+) MiB", self.said.stdout)[1])
        self.assertLess(megabytes, 40)
        programs = []
        for folder, _, names in os.walk(self.root):
            for path in (os.path.join(folder, n) for n in names):
                mode = os.lstat(path).st_mode
                self.assertFalse(mode & (stat.S_ISUID | stat.S_ISGID), path)
                if mode & 0o111 and ".so" not in path:
                    programs.append(path[len(self.root):])
        self.assertEqual(programs, ["/usr/bin/pannier"])

    def test_it_serves_with_no_configuration_and_the_health_check_says_so(self):
        words = dict(containerfile())
        entry, command = (re.findall(r'"([^"]+)"', words[w]) for w in ("ENTRYPOINT", "CMD"))
        health = re.findall(r'"([^"]+)"', words["HEALTHCHECK"].partition("CMD")[2])
        self.assertEqual((entry, health[:1]), (["/usr/bin/pannier"], ["/usr/bin/pannier"]))
        self.assertNotEqual(run(harness.BINARY, *health[1:]).returncode, 0)
        with subprocess.Popen([harness.BINARY, *command], stderr=subprocess.PIPE) as process:
            try:
                path = os.path.join(self.sockets, "pannier.sock")
                harness.wait_until(lambda: os.path.exists(path) or process.poll(), "the socket")
                said = run(harness.BINARY, *health[1:])
                self.assertEqual(said.returncode, 0, said.stderr)
                c = harness.Client(path)
                self.assertEqual(c("SET", "k", "v"), "OK")
                c.close()
            finally:
                process.terminate()
                log = process.stderr.read().decode()
            self.assertEqual(process.wait(harness.PATIENCE_S), 0, log)
        self.assertNotIn("error", log)

    def test_a_wrong_configuration_is_told(self):
        self.assertEqual(run(harness.BINARY, "check", "--effective").returncode, 0)
        path = os.path.join(self.sockets, "wrong.yaml")
        with open(path, "w", encoding="ascii") as f:
            f.write("memory: much\n")
        said = run(harness.BINARY, "check", "/run/pannier/wrong.yaml")
        self.assertEqual(said.returncode, 78)
        self.assertIn("memory", said.stdout + said.stderr)

    def test_an_ordinary_user_on_a_read_only_root_is_enough(self):
        d = self.inside("memory: 64MiB\nadmin_http: unix:/run/pannier/admin.sock\n")
        with open(f"/proc/{d.pid}/status", encoding="ascii") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f)
        if os.geteuid() == 0:
            self.assertEqual(status["Uid"].split(), [str(USER)] * 4)
            self.assertEqual(status["Groups"].split(), [])
            self.assertEqual(int(status["CapEff"], 16), 0)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        with open(f"/proc/{d.pid}/mountinfo", encoding="utf-8") as f:
            root = [line.split()[5] for line in f if line.split()[4] == "/"]
        self.assertRegex(root[-1], r"^ro\b")
        c = d.client()
        for i in range(40): # more than there is room for
            c.pipeline(*[("SET", f"k{i}.{j}", b"v" * 20000) for j in range(100)])
        self.assertEqual(c("CONFIG", "SET", "maxmemory", "48mb"), "OK")
        self.assertLessEqual(d.status("VmRSS"), 64 << 20)
        admin = harness.connect(os.path.join(self.sockets, "admin.sock"))
        admin.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        self.assertIn(b"200 OK", admin.recv(4096))
        admin.close()
        self.assertEqual(d.stop(), 0)

    def test_a_configuration_that_is_not_there_is_named(self):
        said = run(harness.BINARY, "serve", "--config", "/etc/pannier/pannier.yaml")
        self.assertEqual(said.returncode, 66)
        self.assertIn("/etc/pannier/pannier.yaml", said.stderr)

    def test_one_that_cannot_be_written_is_told_and_stays(self):
        d = self.daemon(folder=self.sockets, stopped=True)
        with open(d.config, encoding="utf-8") as f:
            text = f.read().replace(d.path, "/run/pannier/pannier.sock")
        inside = os.path.join(self.root, "etc/pannier/fixed.yaml")
        with open(inside, "w", encoding="utf-8") as f:
            f.write(text)
        if os.geteuid() == 0: # its rights are not what stands against it
            os.chown(os.path.dirname(inside), USER, USER)
            os.chown(inside, USER, USER)
        d.args = ["--config", "/etc/pannier/fixed.yaml"]
        d.start()
        c = d.client()
        self.assertEqual(c("CONFIG", "SET", "timeout", "90"), "OK")
        self.assertIn("Read-only file system", c.error("CONFIG", "REWRITE"))
        with open(inside, encoding="utf-8") as f:
            self.assertEqual(f.read(), text)

    def test_origins_are_trusted_by_the_certificates_of_the_image(self):
        authority = proxies.Authority(self)
        cert, key, _ = authority.sign("localhost")
        o = self.origin()
        o.on("/1", b"ann")
        test_seccomp.secure(o, cert, key)
        config = test_seccomp.ORIGIN.format(url=f"https://127.0.0.1:{o.port}", more="")
        d = self.inside(config)
        self.assertRegex(d.client().error("GET", "user:1"), "certificate")
        d.stop()
        path = os.path.join(self.root, "etc/ssl/certs/ca-certificates.crt")
        with open(path, "ab") as to, open(authority.ca, "rb") as extra:
            to.write(extra.read())
        d.start()
        c = d.client()
        self.assertEqual(c("GET", "user:1"), b"ann")

    def test_the_recipe_is_of_the_same_parts(self):
        lines = containerfile()
        self.assertEqual({word for word, _ in lines}, {
            "FROM", "ARG", "RUN", "WORKDIR", "COPY", "VOLUME", "USER", "ENTRYPOINT", "CMD",
            "STOPSIGNAL", "HEALTHCHECK"})
        self.assertEqual([text for word, text in lines if word == "FROM"][-1], "scratch")
        self.assertEqual(dict(lines)["USER"], f"{USER}:{USER}")
        with open(os.path.join(self.root, "etc/passwd"), encoding="ascii") as f:
            self.assertIn(f"pannier:x:{USER}:{USER}:", f.read())
        # Debian's packages are those that `dev` builds with.
        with open(os.path.join(harness.TOP, "dev"), encoding="utf-8") as f:
            wanted = re.search(r"build_packages=\(([^)]*)\)", f.read())[1].split()
        installs = next(text for word, text in lines if word == "RUN" and "apt-get install" in text)
        self.assertEqual(set(wanted) - set(shlex.split(installs)), set())

    def test_what_is_missing_is_named_before_anything_is_made(self):
        where = os.path.join(self.folder(), "root")
        script = os.path.join(CONTAINER, "build-rootfs")
        for args, what in ((["--with", "smtp", self.outside, where], "smtp"),
                           (["/no/binary", where], "/no/binary"),
                           ([self.outside, self.sockets], "there already")):
            said = run(script, *args)
            self.assertNotEqual(said.returncode, 0)
            self.assertIn(what, said.stderr)
        self.assertFalse(os.path.exists(where))


if __name__ == "__main__":
    harness.main()
