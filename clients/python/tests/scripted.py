"""A server that does what a test tells it, on a Unix socket of its own."""

import contextlib
import os
import socket
import threading

from pannier import wire

OFFER = ["pannier", 1, {"server": "scripted", "id": 1, "auth": False, "features": ["lease", "auth"]}]


class Server:
    """answer(connection, op number, id, arguments) is called for each request, on the server's
    thread; it sends what it likes."""

    def __init__(self, folder, answer, preface=None):
        self.path = os.path.join(folder, "s")
        self.answer, self.preface = answer, preface
        self.connections, self.requests = [], []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.connections.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self.threads.append(thread)
                thread.start()

    def _serve(self, sock):
        w = wire.Wire()  # its frames are those of requests as well
        with contextlib.suppress(OSError):
            first = sock.recv(1)
            if first != b"\xc1":
                return
            sock.sendall(self.preface if self.preface is not None else b"\xc1" + wire.frame(OFFER))
            seen_hello = False
            while True:
                data = sock.recv(65536)
                if not data:
                    return
                w._buffer += data
                while (body := w._take_frame(1 << 20)) is not None:
                    if not seen_hello:
                        seen_hello = True
                        continue
                    self.requests.append(body)
                    self.answer(sock, body[0], body[1], body[2:])

    def drop_all(self):
        """Closes what is connected; new connections are fine."""
        connections, self.connections = self.connections, []
        for sock in connections:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop_all()
        os.unlink(self.path)
        for thread in self.threads:
            thread.join(5)


def reply(sock, *fields):
    sock.sendall(wire.frame(list(fields)))
