"""proxies.py - nginx and HAProxy as they come with Debian, for tests and the
brown-out: each on ports that were bound for it (127.0.0.1, port 0), with all of its
files in a folder of its own, ended by its process id.

    nginx = proxies.Nginx(case, "location / { return 200 $pid; }")
    nginx.url             "http://127.0.0.1:PORT"
    nginx.reload()        as `nginx -s reload`: returns when only new workers are left
    nginx.stop()          as `nginx -s quit`: what is under way is finished
    nginx.start()         again, on the same port

`case` is a harness.Case, or whatever has folder() and addCleanup(). What a machine
lacks skips the test, as in real.py."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import harness

OPENSSL = "openssl"
SBIN = ("/usr/sbin", "/usr/local/sbin", "/sbin") # often not in PATH


def find(program):
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), *SBIN)))


def needs(case, program, package):
    path = find(program)
    if path is None:
        case.skipTest(f"no {program} on this machine (Debian: {package})")
    return path


def bound(port=0):
    """A socket that a child process shall listen on."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    harness.wait_until(lambda: try_bind(s, port), f"port {port} to be free")
    s.listen(1024)
    s.set_inheritable(True)
    s.setblocking(False) # nginx takes it as it is, and workers race for connections
    return s


def try_bind(s, port):
    try:
        s.bind(("127.0.0.1", port))
        return True
    except OSError:
        return False


def ask(port, path="/"):
    """The body of a plain answer, or None where there is none."""
    try:
        with harness.connect(("127.0.0.1", port)) as s:
            s.sendall(b"GET %s HTTP/1.0\r\nHost: x\r\n\r\n" % path.encode())
            data = b""
            while more := s.recv(65536):
                data += more
    except OSError:
        return None
    return data.partition(b"\r\n\r\n")[2] if data.startswith(b"HTTP/1.") else None


def head(port, path):
    """Of an answer to a GET as of HTTP/1.1, in small letters."""
    with harness.connect(("127.0.0.1", port)) as s:
        s.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        data = b""
        while b"\r\n\r\n" not in data and (more := s.recv(65536)):
            data += more
    return data.partition(b"\r\n\r\n")[0].decode("latin-1").lower()


class Server:
    """A process with workers that listens on `ports`, the first of which speaks plain
    HTTP and answers /.ready."""

    def __init__(self, case, n_ports=1):
        self.folder = case.folder()
        self.sockets = [bound() for _ in range(n_ports)]
        self.ports = [s.getsockname()[1] for s in self.sockets]
        self.port, self.url = self.ports[0], f"http://127.0.0.1:{self.ports[0]}"
        self.process = None
        case.addCleanup(self.kill)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w" if isinstance(text, str) else "wb") as f:
            f.write(text)
        return path

    def argv(self):
        raise NotImplementedError

    def prepare(self):
        """Writes its configuration; self.sockets are there."""
        raise NotImplementedError

    def env(self):
        return dict(os.environ)

    def start(self):
        if not self.sockets:
            self.sockets = [bound(port) for port in self.ports]
        self.prepare()
        with open(self.path("out.log"), "ab") as out:
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            env=self.env(), pass_fds=[s.fileno() for s in self.sockets],
                                            cwd=self.folder)
        for s in self.sockets:
            s.close()
        self.sockets = []
        harness.wait_until(self.answers, f"{self.argv()[0]} to answer")
        return self

    def log(self):
        with open(self.path("out.log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.argv()[0]} ended with {self.process.returncode}:\n{self.log()}")
        return ask(self.port, "/.ready") == b"ready"

    def workers(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as f:
            return set(f.read().split())

    def signal_master(self, signum):
        os.kill(self.process.pid, signum)

    def reload_by(self, signum):
        before = self.workers()
        self.signal_master(signum)
        harness.wait_until(lambda: self.workers() and not self.workers() & before, "new workers alone")
        harness.wait_until(self.answers, "new workers to answer")

    def end_by(self, signum):
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signum)
        if self.process is not None:
            self.process.wait(harness.PATIENCE_S)

    def kill(self):
        """At once: what is under way is cut off."""
        try:
            self.end_by(signal.SIGTERM)
        except subprocess.TimeoutExpired:
            for pid in [*self.workers(), self.process.pid]:
                os.kill(int(pid), signal.SIGKILL)
            self.process.wait(harness.PATIENCE_S)
            raise
        for s in self.sockets:
            s.close()
        self.sockets = []


NGINX = """
daemon off;
{user}
worker_processes {workers};
worker_shutdown_timeout 20s;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
    server {{
        {listen}
        location = /.ready {{ return 200 ready; }}
        {server}
    }}
}}
"""


class Nginx(Server):
    def __init__(self, case, server, http="", listen=("",), workers=2):
        """listen: what stands behind the port, for each; "" is plain HTTP."""
        self.program = needs(case, "nginx", "nginx-light")
        super().__init__(case, len(listen))
        lines = "\n".join(f"listen 127.0.0.1:{p} {what};" for p, what in zip(self.ports, listen))
        self.text = NGINX.format(folder=self.folder, http=http, listen=lines, workers=workers,
                                 server=server, user="user root;" if os.getuid() == 0 else "")
        self.start()

    def prepare(self):
        self.write("nginx.conf", self.text)

    def argv(self):
        return [self.program, "-p", self.folder, "-c", self.path("nginx.conf"), "-e", self.path("error.log")]

    def env(self):
        # So it takes over its sockets when it replaces itself.
        return {**os.environ, "NGINX": "".join(f"{s.fileno()};" for s in self.sockets)}

    def reload(self):
        self.reload_by(signal.SIGHUP)

    def stop(self):
        self.end_by(signal.SIGQUIT)


HAPROXY = """
global
    stats socket {folder}/admin.sock level admin
    maxconn 1000
    hard-stop-after 20s
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    {defaults}
frontend main
    {bind}
    http-request return status 200 content-type text/plain string ready if {{ path /.ready }}
    {frontend}
{rest}
"""


class HAProxy(Server):
    def __init__(self, case, frontend, rest="", defaults="", bind=("",)):
        """bind: what stands behind the port, for each; "" is plain HTTP."""
        self.program = needs(case, "haproxy", "haproxy")
        super().__init__(case, len(bind))
        self.parts, self.binds = {"defaults": defaults, "frontend": frontend, "rest": rest}, bind
        self.start()

    def prepare(self):
        lines = "\n    ".join(f"bind fd@{s.fileno()} {what}" for s, what in zip(self.sockets, self.binds))
        self.write("haproxy.cfg", HAPROXY.format(folder=self.folder, bind=lines, **self.parts))

    def argv(self):
        return [self.program, "-W", "-f", self.path("haproxy.cfg"), "-p", self.path("haproxy.pid")]

    def reload(self):
        self.reload_by(signal.SIGUSR2)

    def signal_master(self, signum):
        """It answers before its master listens to signals, so it is told until it says so."""
        words = "Reloading HAProxy"
        before, told = self.log().count(words), 0

        def heard():
            nonlocal told
            if time.monotonic() > told + 0.2:
                told = time.monotonic()
                os.kill(self.process.pid, signum)
            return self.log().count(words) > before

        harness.wait_until(heard, "the master to hear")

    def stop(self):
        self.end_by(signal.SIGUSR1)


# --- certificates ------------------------------------------------------------------


class Authority:
    """A CA of our own, and what it signs: files in PEM."""

    def __init__(self, case):
        needs(case, OPENSSL, "openssl")
        self.folder = case.folder()
        self.ca, self.ca_key = self.file("ca.pem"), self.file("ca.key")
        self.run("req", "-x509", *self.new_key(self.ca_key), "-out", self.ca, "-subj", "/CN=pannier test CA",
                 "-days", "30", "-addext", "basicConstraints=critical,CA:TRUE")

    def file(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def new_key(path):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]

    @staticmethod
    def run(*args):
        done = subprocess.run([OPENSSL, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise AssertionError(f"openssl {args[0]}: {done.stdout.decode(errors='replace')}")

    def sign(self, name, names="DNS:localhost,IP:127.0.0.1"):
        """The files of a certificate, its key, and both."""
        cert, key, request = (self.file(name + end) for end in (".pem", ".key", ".csr"))
        extensions = self.file(name + ".ext")
        with open(extensions, "w", encoding="ascii") as f:
            f.write(f"subjectAltName={names}\n")
        self.run("req", *self.new_key(key), "-out", request, "-subj", f"/CN={name}")
        self.run("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial",
                 "-out", cert, "-days", "30", "-extfile", extensions)
        both = self.file(name + "-both.pem")
        with open(both, "wb") as out:
            for path in (cert, key):
                with open(path, "rb") as f:
                    out.write(f.read())
        return cert, key, both


# --- what they are asked -----------------------------------------------------------------

CONFIG = """
memory: 64MiB
threads: {threads}
namespaces:
  - prefix: "user:"
    origin: users
    path: /users/{{rest}}
    {namespace}
origins:
  users:
    http:
      endpoints: [{endpoints}]
    deadline: {deadline}
    {origin}
"""


def config(*urls, threads=2, deadline="15s", namespace="", origin=""):
    """Of a daemon with these endpoints; namespace and origin are more lines."""
    return CONFIG.format(threads=threads, deadline=deadline, endpoints=", ".join(f'"{u}"' for u in urls),
                         namespace="\n    ".join(namespace.splitlines()),
                         origin="\n    ".join(origin.splitlines()))


class Load:
    """Clients that miss without end, each time another key. With `repeat` so many
    keys come again and again."""

    def __init__(self, case, d, clients=6, prefix="user:", repeat=0):
        self.changed = threading.Condition()
        self.done, self.values, self.errors, self.ended = 0, {}, [], False
        self.repeat, self.prefix = repeat, prefix
        case.addCleanup(self.stop)
        self.threads = [threading.Thread(target=self.run, args=(d.client(), i), daemon=True)
                        for i in range(clients)]
        for t in self.threads:
            t.start()

    def run(self, c, i):
        n = 0
        while not self.ended:
            n += 1
            c.send("GET", f"{self.prefix}{i}-{n % self.repeat if self.repeat else n}")
            value = c.value()
            with self.changed:
                self.done += 1
                if isinstance(value, bytes):
                    self.values[value] = self.values.get(value, 0) + 1
                else:
                    self.errors.append(str(value))
                self.changed.notify_all()
        c.close()

    def more(self, n=200):
        """So many more answers."""
        with self.changed:
            wanted = self.done + n
            if not self.changed.wait_for(lambda: self.done >= wanted, harness.PATIENCE_S):
                raise AssertionError(f"no more answers; {self.done} so far, {self.errors[:3]}")

    def seen(self):
        with self.changed:
            return set(self.values)

    def stop(self):
        self.ended = True
        for t in self.threads:
            t.join(harness.PATIENCE_S)
        return self
