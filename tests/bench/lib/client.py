"""A small client: commands, and many probes at once, over a Unix socket."""

import socket


class ServerError(Exception):
    pass


class Resp:
    def __init__(self, path, timeout=60):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ServerError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ServerError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            return self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self._read() for _ in range(int(rest))]
        return rest.decode()

    @staticmethod
    def pack(*words):
        out = [b"*%d\r\n" % len(words)]
        for w in words:
            w = w if isinstance(w, bytes) else str(w).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(w), w))
        return b"".join(out)

    def call(self, *words):
        self.sock.sendall(self.pack(*words))
        return self._read()

    def info(self, section):
        text = self.call("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def exists(self, keys, batch=400):
        """Which keys are there, without counting as a use of them."""
        found = []
        for at in range(0, len(keys), batch):
            part = keys[at:at + batch]
            self.sock.sendall(b"".join(
                b"*2\r\n$6\r\nEXISTS\r\n$%d\r\n%s\r\n" % (len(k), k.encode()) for k in part))
            for _ in part:
                found.append(self.file.readline() == b":1\r\n")
        return found

    def ready(self):
        return self.call("PING") == "PONG"

    def count(self):
        return self.call("DBSIZE")

    def used_bytes(self):
        return int(self.info("memory")["used_memory"])

    def set_limit(self, limit):
        self.call("CONFIG", "SET", "maxmemory", limit)

    def flush(self):
        self.call("FLUSHALL")


class Memcache(Resp):
    def _line(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ServerError("the server closed the connection")
        return line[:-2].decode()

    def call(self, *words):
        self.sock.sendall(" ".join(map(str, words)).encode() + b"\r\n")
        return self._line()

    def stats(self):
        self.sock.sendall(b"stats\r\n")
        found = {}
        while (line := self._line()) != "END":
            _, name, value = line.split(" ", 2)
            found[name] = value
        return found

    def exists(self, keys, batch=400):
        found = []
        for at in range(0, len(keys), batch):
            part = keys[at:at + batch]
            # u: not a use of it
            self.sock.sendall(b"".join(b"mg %s s u\r\n" % k.encode() for k in part))
            found += [self.file.readline().startswith(b"HD") for _ in part]
        return found

    def ready(self):
        return self.call("version").startswith("VERSION")

    def count(self):
        return int(self.stats()["curr_items"])

    def used_bytes(self):
        return int(self.stats()["bytes"])

    def set_limit(self, limit):
        if self.call("cache_memlimit", limit >> 20) != "OK":
            raise ServerError("cache_memlimit was refused")

    def flush(self):
        self.call("flush_all")
