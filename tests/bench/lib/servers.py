"""The servers that are compared. Each runs in a temporary directory of its
own and dies with this script, whatever becomes of it."""

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time

from . import client

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class CannotStart(Exception):
    pass


def pinned(cpu, nice=0, files=0):
    """For preexec_fn: on this CPU, and gone when the parent is."""
    def setup():
        os.nice(nice)
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if cpu is not None:
            os.sched_setaffinity(0, cpu if isinstance(cpu, set) else {cpu})
    return setup


class Server:
    """`name` is what results are kept under. Started by `with`."""

    client = client.Resp
    protocol = "resp"
    files = 0

    def __init__(self, ctx, name, memory, threads=1, cpu=None, wrapper=(), patience=20):
        self.ctx, self.name, self.memory, self.threads = ctx, name, memory, threads
        self.cpu = ctx.server_cpu if cpu is None else cpu
        self.wrapper, self.patience = list(wrapper), patience
        self.process = None

    def argv(self):
        raise NotImplementedError

    def program(self):
        return self.argv()[0]

    @property
    def pid(self):
        return self.process.pid

    def connect(self, timeout=60):
        return self.client(self.path, timeout)

    def is_ready(self):
        try:
            with self.connect(self.patience) as c:
                return c.ready()
        except (OSError, client.ServerError):
            return False

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="pannier-bench-")
        self.path = os.path.join(self.dir, "s")
        self.log = open(os.path.join(self.dir, "log"), "w+b")
        try:
            if not shutil.which(self.program()):
                raise CannotStart(f"there is no {self.program()}")
            self.process = subprocess.Popen(
                self.wrapper + self.argv(), cwd=self.dir, stdin=subprocess.DEVNULL,
                stdout=self.log, stderr=self.log, preexec_fn=pinned(self.cpu, files=self.files))
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait_until_ready(self):
        deadline = time.monotonic() + self.patience
        while not self.is_ready():
            if self.process.poll() is not None:
                raise CannotStart(f"it ended with {self.process.returncode}: "
                                  f"{self.log_tail()}")
            if time.monotonic() > deadline:
                raise CannotStart(f"it did not answer: {self.log_tail()}")
            time.sleep(0.02)

    def log_text(self):
        self.log.flush()
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def log_tail(self):
        return " / ".join(self.log_text().strip().splitlines()[-3:])

    def end(self, patience=60):
        """Asks it to stop, and returns what it said."""
        self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return self.log_text()

    def __exit__(self, *exc):
        if self.process is not None and self.process.poll() is None:
            self.end(10)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Redis(Server):
    policy = "allkeys-lru"

    def argv(self):
        return ["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "",
                "--appendonly", "no", "--maxmemory", str(self.memory), "--maxmemory-policy",
                self.policy, "--daemonize", "no", "--io-threads", str(self.threads)]


class RedisLfu(Redis):
    policy = "allkeys-lfu"


class Memcached(Server):
    client = client.Memcache
    protocol = "memcache"

    @property
    def files(self):
        # It sets the limit to its -c, which valgrind permits only where that
        # is the hard limit less the 12 descriptors of its own.
        return 1024 + 12 if self.wrapper else 0

    def argv(self):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return ["memcached", "-s", self.path, "-m", str(self.memory >> 20), "-t",
                str(self.threads), "-c", "1024", *user]


class PannierClient(client.Resp):
    def used_bytes(self):
        return int(self.info("memory")["arena_live_bytes"])


class Pannier(Server):
    client = PannierClient
    eviction = "lru"

    def argv(self):
        return [self.ctx.pannier, "serve", "--listen", f"unix:{self.path}", "--memory",
                str(self.memory), "--threads", str(self.threads), "--eviction", self.eviction]


class PannierBinary(Pannier):
    """The load speaks the binary protocol; what is asked of it beside, RESP."""
    protocol = "binary"


class PannierS3Fifo(Pannier):
    eviction = "s3fifo"


class PannierTinyLfu(Pannier):
    eviction = "tinylfu"


class Floor(Server):
    """Reads, finds the starts of requests, writes fixed replies: what a libev
    server costs that does nothing (tests/bench/floor.c)."""

    def argv(self):
        return [self.ctx.floor, "--unix", self.path, "--reply-bytes", "100"]

    def is_ready(self):
        try:
            self.connect(self.patience).close()
            return True
        except OSError:
            return False


KINDS = {"redis": Redis, "redis-lfu": RedisLfu, "memcached": Memcached, "floor": Floor,
         "pannier": Pannier, "pannier-binary": PannierBinary, "pannier-s3fifo": PannierS3Fifo,
         "pannier-tinylfu": PannierTinyLfu}


def make(ctx, name, memory, **more):
    return KINDS[name](ctx, name, memory, **more)
