"""amqp.py - as much of AMQP 0-9-1 as a test needs to publish to a broker, and to look into
its queues."""

import socket
import struct

import harness


def short_string(text):
    data = text.encode()
    return bytes([len(data)]) + data


class Amqp:
    """One connection with one channel."""

    def __init__(self, port):
        self.sock = harness.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.sock.sendall(b"AMQP\x00\x00\x09\x01")
        self.expect(10, 10)
        self.method(0, 10, 11, struct.pack(">I", 0) + short_string("PLAIN") +
                    struct.pack(">I", 12) + b"\0guest\0guest" + short_string("en_US"))
        tune = self.expect(10, 30)
        channels, frame, _ = struct.unpack(">HIH", tune[:8])
        self.method(0, 10, 31, struct.pack(">HIH", channels, frame, 0))
        self.method(0, 10, 40, short_string("/") + short_string("") + b"\0")
        self.expect(10, 41)
        self.method(1, 20, 10, short_string(""))
        self.expect(20, 11)
        self.method(1, 85, 10, b"\0")  # publisher confirms
        self.expect(85, 11)

    def close(self):
        self.sock.close()

    def frame(self, kind, channel, payload):
        self.sock.sendall(struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce")

    def method(self, channel, cls, number, args):
        self.frame(1, channel, struct.pack(">HH", cls, number) + args)

    def read(self, n):
        while len(self.buffer) < n:
            data = self.sock.recv(65536)
            if not data:
                raise harness.Closed("the broker closed")
            self.buffer += data
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def next_frame(self):
        kind, _, size = struct.unpack(">BHI", self.read(7))
        payload = self.read(size)
        assert self.read(1) == b"\xce"
        return kind, payload

    def expect(self, cls, *numbers):
        kind, payload = self.next_frame()
        while kind == 8:
            kind, payload = self.next_frame()
        got = struct.unpack(">HH", payload[:4])
        assert got[0] == cls and got[1] in numbers, (got, payload)
        return payload[4:]

    def exchange(self, name, kind="fanout", durable=True):
        self.method(1, 40, 10, struct.pack(">H", 0) + short_string(name) + short_string(kind) +
                    bytes([2 * durable]) + struct.pack(">I", 0))
        self.expect(40, 11)

    def queue(self, name, passive=False, arguments=()):
        """Answers how many messages wait in it, and how many consumers it has."""
        table = b"".join(short_string(key) + b"S" + struct.pack(">I", len(value)) + value.encode()
                         for key, value in arguments)
        self.method(1, 50, 10, struct.pack(">H", 0) + short_string(name) +
                    bytes([1 if passive else 2]) + struct.pack(">I", len(table)) + table)
        return struct.unpack(">II", self.expect(50, 11)[1 + len(name):])

    def bind(self, queue, exchange, key=""):
        self.method(1, 50, 20, struct.pack(">H", 0) + short_string(queue) +
                    short_string(exchange) + short_string(key) + b"\0" + struct.pack(">I", 0))
        self.expect(50, 21)

    def delete_queue(self, name):
        self.method(1, 50, 40, struct.pack(">H", 0) + short_string(name) + b"\0")
        self.expect(50, 41)

    def publish(self, exchange, body, key="", lasts=False):
        """Returns when the broker has it, and where it lasts, on its disk."""
        body = body if isinstance(body, bytes) else body.encode()
        self.method(1, 60, 40, struct.pack(">H", 0) + short_string(exchange) +
                    short_string(key) + b"\0")
        self.frame(2, 1, struct.pack(">HHQH", 60, 0, len(body), 0x1000) + bytes([1 + lasts]))
        for at in range(0, len(body), 100000):
            self.frame(3, 1, body[at:at + 100000])
        self.expect(60, 80)

    def get(self, queue):
        """The first message of a queue, taken off; None: there is none."""
        self.method(1, 60, 70, struct.pack(">H", 0) + short_string(queue) + b"\1")
        kind, payload = self.next_frame()
        if struct.unpack(">HH", payload[:4]) == (60, 72):
            return None
        _, head = self.next_frame()
        size = struct.unpack(">Q", head[4:12])[0]
        body = b""
        while len(body) < size:
            body += self.next_frame()[1]
        return body
