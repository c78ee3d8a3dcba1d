"""cgroups.py - memory cgroups for tests: real ones of version 1, where one can be made (as
root), and directories that look like a machine's root; and a load that looks at each
reply."""

import contextlib
import os
import random
import shutil
import subprocess
import tempfile
import threading

import harness

MIB = 1 << 20
MEMINFO = "MemTotal:       16777216 kB\n"


class Root:
    """A machine with one cgroup of version 2, nested in others."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "root")
        self.put("proc/meminfo", MEMINFO)
        self.put("proc/self/cgroup", "0::/kubepods/pod1/app\n")
        self.put("sys/fs/cgroup/kubepods/memory.max", "max\n")

    def put(self, path, text):
        """As a whole, at once: the daemon may read at any time."""
        full = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full + ".new", "w", encoding="ascii") as f:
            f.write(text)
        os.rename(full + ".new", full)

    def limit(self, mib, of="pod1/app", file="memory.max"):
        self.put(f"sys/fs/cgroup/kubepods/{of}/{file}", f"{mib * MIB}\n")


# --- real ones -------------------------------------------------------------------------


def own_path():
    """Of this process, in the hierarchy of the memory controller of version 1."""
    with contextlib.suppress(OSError), open("/proc/self/cgroup", encoding="ascii") as f:
        for line in f:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if "memory" in controllers.split(","):
                return path
    return None


class Cgroup:
    """One of version 1, within that of this process if it can be seen. `mounted` is a
    directory of our own, where the controller is mounted nowhere else."""

    def __init__(self, path, mounted=None):
        self.path, self.mounted = path, mounted

    @classmethod
    def make(cls):
        """None: there is none to be had here."""
        path = own_path()
        if path is None or os.geteuid() != 0:
            return None
        name = f"pannier-test-{os.getpid()}"
        for top in "/sys/fs/cgroup/memory" + path, "/sys/fs/cgroup/memory":
            if os.path.exists(top + "/memory.limit_in_bytes"):
                with contextlib.suppress(OSError):
                    os.mkdir(f"{top}/{name}")
                    return cls(f"{top}/{name}")
        folder = tempfile.mkdtemp(prefix="pannier-cgroup-")
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(["mount", "-t", "cgroup", "-o", "memory", "none", folder], check=True,
                           stderr=subprocess.DEVNULL)
            with contextlib.suppress(OSError):
                os.mkdir(f"{folder}/{name}")
                return cls(f"{folder}/{name}", folder)
            subprocess.run(["umount", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def remove(self):
        """Its last process has ended; the kernel may need a moment more."""
        def gone():
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
            return not os.path.exists(self.path)
        harness.wait_until(gone, "the cgroup to be empty")
        if self.mounted is not None:
            subprocess.run(["umount", self.mounted], check=True)
            os.rmdir(self.mounted)

    def read(self, file):
        with open(f"{self.path}/memory.{file}", encoding="ascii") as f:
            return f.read()

    def number(self, file):
        return int(self.read(file))

    def oom_kills(self):
        """None: this kernel does not say."""
        return dict(line.split() for line in self.read("oom_control").splitlines()).get("oom_kill")

    def limit(self, mib):
        """Whether the kernel takes it: not where more is used, and cannot be reclaimed."""
        try:
            with open(f"{self.path}/memory.limit_in_bytes", "w", encoding="ascii") as f:
                f.write(str(mib * MIB))
        except OSError:
            return False
        return True


# --- load ------------------------------------------------------------------------------


class Load(threading.Thread):
    """Writes and reads until it is told to stop; each reply must be one of success. Sizes
    are spread between `least` and `most`, which may be set while it runs."""

    def __init__(self, client, seed, pause_s=0):
        super().__init__(daemon=True)
        self.client, self.rng, self.pause_s = client, random.Random(seed), pause_s
        self.filler = os.urandom(64 << 10)
        self.least, self.most = 64, 32 << 10
        self.stopped, self.wrong, self.rounds, self.bytes = threading.Event(), [], 0, 0

    def run(self):
        try:
            while not self.stopped.is_set():
                self.round()
                self.rounds += 1
                if self.pause_s:
                    self.stopped.wait(self.pause_s) # so much load, and no more
        except Exception as e: # pylint: disable=broad-except
            self.wrong.append(repr(e))

    def round(self):
        times, least = self.most / self.least, self.least
        names = [b"key:%d" % self.rng.randrange(20000) for _ in range(32)]
        sizes = [int(least * times ** self.rng.random()) for _ in names]
        self.bytes += sum(sizes)
        for reply in self.client.pipeline(*(("SET", n, n + b"=" + self.filler[:s])
                                            for n, s in zip(names, sizes))):
            if reply != "OK":
                self.wrong.append(f"a SET was answered {reply!r}")
        for n, reply in zip(names, self.client.pipeline(*(("GET", n) for n in names))):
            if reply is not None and (not isinstance(reply, bytes) or
                                      not reply.startswith(n + b"=")):
                self.wrong.append(f"GET {n} was answered {str(reply)[:80]}")

    def end(self):
        self.stopped.set()
        self.join(harness.PATIENCE_S)
