"""A RESP2 and RESP3 client for tests: keeps the bytes of every reply.

Standard library only. Knows nothing of commands: what is sent is what is
given, also where it is no request at all."""

import socket


class Status(bytes):
    pass


class Error(bytes):
    pass


class Verbatim(bytes):
    pass


class Double(bytes):
    pass


class Map(list):
    """Pairs, in the order of the wire."""


class Set(list):
    pass


class Push(list):
    pass


class Closed(Exception):
    pass


def encode(argv):
    parts = [b"*%d\r\n" % len(argv)]
    parts += [b"$%d\r\n%s\r\n" % (len(a), a) for a in argv]
    return b"".join(parts)


class Client:
    def __init__(self, path, timeout=20):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.data = b""
        self.pos = 0

    def close(self):
        self.sock.close()

    def send_raw(self, data):
        self.sock.sendall(data)

    def send(self, *argv):
        self.send_raw(encode(argv))

    def call(self, *argv):
        self.send(*argv)
        return self.read()[1]

    def read(self):
        """The next reply, as its bytes and as a value."""
        start = self.pos = 0
        value = self._value()
        raw, self.data = self.data[start:self.pos], self.data[self.pos:]
        return raw, value

    def read_to_end(self):
        """All bytes until the server closes."""
        while self._more():
            pass
        raw, self.data = self.data, b""
        return raw

    def _more(self):
        try:
            chunk = self.sock.recv(1 << 20)
        except ConnectionResetError:
            chunk = b""
        self.data += chunk
        return len(chunk)

    def _line(self):
        while True:
            end = self.data.find(b"\r\n", self.pos)
            if end >= 0:
                line, self.pos = self.data[self.pos:end], end + 2
                return line
            if not self._more():
                raise Closed(self.data[self.pos:])

    def _bytes(self, n):
        while len(self.data) < self.pos + n + 2:
            if not self._more():
                raise Closed(self.data[self.pos:])
        text = self.data[self.pos:self.pos + n]
        if self.data[self.pos + n:self.pos + n + 2] != b"\r\n":
            raise ValueError("no CR LF behind %r" % text)
        self.pos += n + 2
        return text

    def _values(self, n, kind=list):
        return kind(self._value() for _ in range(n))

    def _value(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return Status(rest)
        if kind == b"-":
            return Error(rest)
        if kind == b":":
            return int(rest)
        if kind == b",":
            return Double(rest)
        if kind == b"#":
            return {b"t": True, b"f": False}[rest]
        if kind == b"_":
            return None
        n = int(rest)
        if kind == b"$":
            return None if n < 0 else self._bytes(n)
        if kind == b"=":
            return Verbatim(self._bytes(n))
        if kind == b"*":
            return None if n < 0 else self._values(n)
        if kind == b"~":
            return self._values(n, Set)
        if kind == b">":
            return self._values(n, Push)
        if kind == b"%":
            return Map((self._value(), self._value()) for _ in range(n))
        raise ValueError("no reply: %r" % line)
