"""redis_servers.py - real redis-servers for the tests of Redis as an origin: alone,
behind Sentinel, as a Cluster; each in a directory of its own, stopped by its pid.

A port that was free may be taken a moment later: who cannot bind starts anew on
another one."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import harness

HAVE_REDIS = shutil.which("redis-server") is not None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One redis-server. `options`: lines of its configuration; TLS_PORT in them is a free
    one, and then in tls_port."""

    def __init__(self, folder, options=(), port=None, sentinel=False, cluster=False, ready=True,
                 where=None, login=None):
        self.folder, self.options, self.sentinel = folder, list(options), sentinel
        self.cluster, self.fixed, self.where, self.login = cluster, port, where, login
        self.process = None
        self.home = tempfile.mkdtemp(dir=folder)
        self.config = os.path.join(self.home, "redis.conf")
        self.log_path = os.path.join(self.home, "log")
        self.start(ready)

    def write_config(self):
        self.port = self.fixed if self.fixed is not None else free_port()
        self.tls_port = free_port()
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.home}",
                 f"logfile {self.log_path}", "daemonize no"]
        if not self.sentinel:
            lines += ["save \"\"", "appendonly no", "enable-debug-command yes"]
        if self.cluster:
            lines += ["cluster-enabled yes", f"cluster-port {free_port()}",
                      "cluster-config-file nodes.conf"]
        with open(self.config, "w", encoding="utf-8") as f:
            f.write("\n".join(lines + self.options).replace("TLS_PORT", str(self.tls_port)) + "\n")

    def launch(self):
        argv = ["redis-server", self.config] + (["--sentinel"] if self.sentinel else [])
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.STDOUT)

    def start(self, ready=True):
        """Anew, also on its port, once it has had one."""
        for _ in range(10):
            if self.process is None or (self.fixed is None and not os.path.exists(self.log_path)):
                self.write_config()
            self.launch()
            if not ready or self.wait_ready():
                self.fixed = self.port
                return self
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.log_path)
        raise AssertionError("redis-server found no port")

    def wait_ready(self):
        """False: it ended, since its port is taken."""
        def ready():
            if self.process.poll() is not None:
                return "ended"
            try:
                c = self.client()
            except OSError:
                return None
            try:
                return c("PING") == "PONG" and "ready"
            except (harness.ReplyError, harness.Closed, OSError):
                return None
            finally:
                c.close()
        return harness.wait_until(ready, "redis-server") == "ready"

    def client(self):
        c = harness.Client(self.where or ("127.0.0.1", self.port))
        if self.login:
            c("AUTH", *self.login)
        return c

    def __call__(self, *args):
        """One command on a connection of its own."""
        c = self.client()
        try:
            return c(*args)
        finally:
            c.close()

    def ask(self, *args):
        """Likewise, of one that may close its connections just then: b"" instead."""
        try:
            return self(*args)
        except (OSError, harness.Closed):
            return b""

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def signal(self, signum):
        os.kill(self.process.pid, signum)

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()


class Case(harness.Case):
    """Servers that are gone when the test ends."""

    def setUp(self):
        if not HAVE_REDIS:
            self.skipTest("no redis-server")

    def redis(self, *options, **more):
        s = Server(self.folder(), options, **more)
        self.addCleanup(s.kill)
        return s

    def pannier(self, redis, namespace="ttl: 60s", origin="deadline: 2s", more="", **how):
        """A daemon whose keys u:... are those of a redis: block; without tracking, unless
        that says something of it."""
        if "tracking" not in redis:
            redis = "tracking: false, " + redis
        return self.daemon(f"""
memory: 256MiB
threads: 2
namespaces:
  - {{prefix: "u:", origin: tier, {namespace}}}
origins:
  tier:
    redis: {{{redis}}}
    {origin}
{more}
""", **how)


class Cluster:
    """Masters and as many replicas, on loopback."""

    def __init__(self, case, masters, timeout_ms):
        options = [f"cluster-node-timeout {timeout_ms}", "cluster-replica-validity-factor 0",
                   "repl-diskless-sync-delay 0", "cluster-require-full-coverage no",
                   "repl-ping-replica-period 1"]
        self.nodes = [case.redis(*options, cluster=True) for _ in range(2 * masters)]
        self.masters, self.replicas = self.nodes[:masters], self.nodes[masters:]
        self.meet()
        share = 16384 // masters
        for i, node in enumerate(self.masters):
            last = 16383 if i == masters - 1 else (i + 1) * share - 1
            node("CLUSTER", "ADDSLOTSRANGE", i * share, last)
        for master, replica in zip(self.masters, self.replicas):
            name = self.id_of(master)
            harness.wait_until(lambda r=replica, n=name: n in self.known(r), "nodes to meet")
            replica("CLUSTER", "REPLICATE", name)
        harness.wait_until(self.is_whole, "the cluster")

    def meet(self):
        first = self.nodes[0]
        bus = first("CONFIG", "GET", "cluster-port")[1]
        for i, node in enumerate(self.nodes):
            node("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            if node is not first:
                node("CLUSTER", "MEET", "127.0.0.1", first.port, bus)
        harness.wait_until(lambda: all(len(self.known(n)) == len(self.nodes)
                                       for n in self.nodes), "nodes to meet")

    def id_of(self, node):
        return node("CLUSTER", "MYID").decode()

    def known(self, node):
        return [line.split()[0] for line in node("CLUSTER", "NODES").decode().splitlines()
                if "handshake" not in line]

    def is_whole(self):
        for node in self.nodes:
            info = node("CLUSTER", "INFO").decode()
            if "cluster_state:ok" not in info or "cluster_slots_assigned:16384" not in info:
                return False
        for replica in self.replicas:
            info = replica("INFO", "replication").decode()
            if "master_link_status:up" not in info:
                return False
        # All know who replicates whom: CLUSTER SLOTS has every replica.
        return all(len(r) >= 4 for n in self.nodes for r in n("CLUSTER", "SLOTS"))

    def write(self, key, value, *more):
        """As a client of the cluster does, one redirection deep."""
        where = ("127.0.0.1", self.masters[0].port)
        end = time.monotonic() + harness.PATIENCE_S
        asking = False
        while True:
            try:
                c = harness.Client(where)
                try:
                    if asking:
                        c("ASKING")
                    return c("SET", key, value, *more)
                finally:
                    c.close()
            except harness.ReplyError as e:
                words = str(e).split()
                if words[0] in ("MOVED", "ASK"):
                    where = ("127.0.0.1", int(words[2].rpartition(":")[2]))
                    asking = words[0] == "ASK"
                elif time.monotonic() > end:
                    raise
                else:
                    asking = False
            except OSError:
                if time.monotonic() > end:
                    raise
                alive = [n for n in self.nodes if n.process.poll() is None]
                where = ("127.0.0.1", alive[int(end * 1e6) % len(alive)].port)
                end -= 1e-6
                asking = False
