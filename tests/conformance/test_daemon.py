#!/usr/bin/env python3
"""The daemon answers every exchange of proto/vectors as it stands there: whole, and
cut at every byte."""

import contextlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "integration")]

import harness  # noqa: E402
import vectors  # noqa: E402

HELLO = bytes.fromhex("c10a92a770616e6e69657201")
# A process with a sanitizer in it is larger; what is left for the cache is the same.
SMALL = "memory: %sMiB\nbuffers_limit: 16MiB\nthreads: 1\nmax_value: 8MiB\n" % (
    "40" if harness.SANITIZER else "32")
ORIGIN = """
origins:
  api:
    http:
      endpoints: ["{url}"]
    deadline: 30s
namespaces:
  - prefix: "origin:"
    origin: api
    path: "/{{rest}}"
    ttl: 60s
"""
LEASE = ORIGIN + """
  - prefix: "lease:"
    coalesce: lease
"""
GRACE = LEASE + "    grace: 1h\n"
CONFIGS = {"origin": ORIGIN, "lease": LEASE, "grace": GRACE}


class Connection:
    def __init__(self, path):
        self.sock = harness.connect(path)
        self.buffer = b""
        self.offer = None

    def hello(self):
        self.send(HELLO)
        self.offer = vectors.frame_of(self.frame())[2]

    def send(self, data, cut=False):
        """cut: byte by byte. The daemon may have seen enough before the end."""
        step = 1 if cut else max(len(data), 1)
        with contextlib.suppress(BrokenPipeError):
            for at in range(0, len(data), step):
                self.sock.sendall(data[at:at + step])

    def fill(self):
        data = self.sock.recv(1 << 16)
        if not data:
            raise harness.Closed
        self.buffer += data

    def frame(self):
        while True:
            end = vectors.frame_end(self.buffer)
            if end is not None:
                found, self.buffer = self.buffer[:end], self.buffer[end:]
                return found
            self.fill()

    def exactly(self, n):
        while len(self.buffer) < n:
            self.fill()
        found, self.buffer = self.buffer[:n], self.buffer[n:]
        return found

    def is_closed(self):
        try:
            self.fill()
        except (harness.Closed, ConnectionResetError):
            return not self.buffer
        return False

    def close(self):
        self.sock.close()


def at(value, path):
    for step in path:
        value = value[step]
    return value


def put(value, path, other):
    at(value, path[:-1])[path[-1]] = other


def same_kind(a, b):
    numbers = (int, type(None))
    return isinstance(a, type(b)) or (isinstance(a, numbers) and isinstance(b, numbers))


class Play:
    """One vector against one daemon."""

    def __init__(self, world, vector, cut):
        self.world, self.vector, self.cut = world, vector, cut
        self.connections = {}
        self.bound = {}

    def connection(self, number):
        if number not in self.connections:
            c = self.connections[number] = Connection(self.world.path)
            if not self.vector.get("raw"):
                c.hello()
        return self.connections[number]

    def meant(self, data):
        for example, actual in self.bound.items():
            assert len(example) == len(actual)
            data = data.replace(example, actual)
        return data

    def compare(self, wanted, found, step):
        if wanted == found and not step.get("varies") and not step.get("binds"):
            return
        want, have = vectors.frame_of(wanted), vectors.frame_of(found)
        if wanted[:1] == b"\xc1":
            assert found[:1] == b"\xc1", found
        for path in step.get("binds", []):
            self.bound[at(want, path)] = at(have, path)
        for path in step.get("varies", []) + step.get("binds", []):
            assert same_kind(at(have, path), at(want, path)), (want, have)
            put(want, path, at(have, path))
        assert want == have, f"wanted {want}, got {have}"

    def receive(self, c, step):
        wanted = self.meant(vectors.stream(step["receive"]))
        if step.get("plain"):
            found = c.exactly(len(wanted))
            assert wanted == found, found
        elif wanted:
            self.compare(wanted, c.frame(), step)

    def step(self, step):
        c = self.connection(step.get("connection", 1))
        if "send" in step:
            data = self.meant(vectors.stream(step["send"]))
            c.send(data, self.cut and len(data) < 300)
        if step.get("shutdown"):
            c.sock.shutdown(harness.socket.SHUT_WR)
        if step.get("close"):
            c.close()
        if step.get("release"):
            self.world.release()
        if "wait_for" in step:
            self.world.wait_for(step)
        if "receive" in step:
            self.receive(c, step)
        for _ in range(step.get("skip", 0)):
            c.frame()
        if step.get("closes"):
            assert c.is_closed(), "the connection is still open"

    def run(self):
        try:
            for number, step in enumerate(self.vector["steps"]):
                try:
                    self.step(step)
                except (AssertionError, vectors.Broken, harness.Closed, OSError) as e:
                    raise AssertionError(f"step {number}: {type(e).__name__} {e}") from e
            for c in self.connections.values():
                assert not c.buffer, f"{c.buffer!r} came, and nobody asked"
        finally:
            for c in self.connections.values():
                c.close()


class World:
    """A daemon as vectors need it."""

    def __init__(self, case, needs):
        self.case, self.origin, self.gate = case, None, None
        self.folder = case.folder()
        self.daemon = case.daemon(self.config(needs), folder=self.folder)
        self.path = self.other_socket if needs in ("password", "read_only", "no_admin") \
            else self.daemon.path

    def config(self, needs):
        if needs in CONFIGS:
            self.origin = self.case.origin()
            self.origin.on("/v", b"v")
            self.origin.on("/none", status=404)
            self.origin.on("/broken", status=500)
            return CONFIGS[needs].format(url=self.origin.url)
        if needs == "small":
            return SMALL
        if needs in ("password", "read_only", "no_admin"):
            return self.listeners(needs)
        return ""

    def listeners(self, needs):
        folder = self.folder
        self.other_socket = os.path.join(folder, "other.sock")
        extra = "    read_only: true\n"
        first = "    admin: true\n" if needs == "no_admin" else ""
        if needs == "password":
            secret = os.path.join(folder, "secret")
            with open(secret, "w", encoding="ascii") as f:
                f.write("secret\n")
            os.chmod(secret, 0o600)
            extra = f"    password_file: {secret}\n"
        elif needs == "no_admin":
            extra = ""
        return (f"listen:\n  - unix: {os.path.join(folder, 'pannier.sock')}\n{first}"
                f"  - unix: {self.other_socket}\n{extra}")

    def fresh(self):
        c = harness.Client(self.daemon.path)
        c("FLUSHALL")
        c.close()
        if self.origin is not None:
            self.gate = self.origin.hold("/held", b"held")
            self.seen = len(self.origin.requests)

    def release(self):
        self.gate.open()

    def wait_for(self, step):
        if step["wait_for"] == "origin":
            self.origin.wait_requests(self.seen + 1)
        elif step["wait_for"] == "absent":
            with contextlib.closing(harness.Client(self.daemon.path)) as c:
                harness.wait_until(lambda: c("EXISTS", step["key"]["text"]) == 0, "the key to expire")
        else:
            harness.wait_until(
                lambda: int(self.daemon.info("clients")["blocked_clients"]) >= step["count"],
                "requests to wait")


def features_of(path):
    c = Connection(path)
    c.hello()
    c.close()
    return c.offer["features"]


class Conformance(harness.Case):
    counts_subtests = True

    def play(self, needs, cut=False):
        chosen = [(f, v) for f, v in vectors.load() if v.get("needs") == needs]
        self.assertTrue(chosen)
        world = World(self, needs)
        features = features_of(world.path)
        # Of two that exclude each other one is played.
        if (needs or "").startswith("no ") and needs[3:] in features:
            return
        if needs in ("lease", "grace") and needs not in features:
            return
        for file, vector in chosen:
            with self.subTest(vector=f"{file}/{vector['name']}", cut=cut):
                world.fresh()
                Play(world, vector, cut).run()

    def test_what_any_daemon_answers(self):
        self.play(None)

    def test_what_any_daemon_answers_when_it_comes_byte_by_byte(self):
        self.play(None, cut=True)

    def test_keys_with_an_origin(self):
        self.play("origin")
        self.play("origin", cut=True)

    def test_leases(self):
        self.play("lease")
        self.play("lease", cut=True)

    def test_a_server_without_leases(self):
        self.play("no lease")

    def test_grace(self):
        self.play("grace")

    def test_a_server_without_grace(self):
        self.play("no grace")

    def test_a_listener_with_a_password(self):
        self.play("password")
        self.play("password", cut=True)

    def test_a_listener_that_only_reads(self):
        self.play("read_only")

    def test_a_listener_without_what_is_dangerous(self):
        self.play("no_admin")

    def test_values_that_do_not_fit(self):
        self.play("small")


if __name__ == "__main__":
    harness.main()
