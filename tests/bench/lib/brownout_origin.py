"""The origin of the brown-out: an HTTP server that does what it is told.

    python3 brownout_origin.py PORT MAX_AGE

Commands on standard input, each answered by a line:

    serve LATENCY_S     200 after so long; the body begins with the time it was made
    fail LATENCY_S      503
    off                 refuses connections, and has cut those that were open
    count               requests so far

PORT 0 takes any; the first line is the port. Ends with its input."""

import asyncio
import socket
import sys
import time

FILLER = b"x" * 380
FAILED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class State:
    def __init__(self, max_age):
        self.max_age, self.latency, self.failing = max_age, 0.005, False
        self.requests, self.open = 0, set()

    def answer(self):
        body = b"%.6f %s" % (time.monotonic(), FILLER)
        return (b"HTTP/1.1 200 OK\r\nCache-Control: max-age=%d\r\nContent-Length: %d\r\n\r\n%s"
                % (self.max_age, len(body), body))


class Connection(asyncio.Protocol):
    """One request after the other; what comes pipelined is answered in order."""

    def __init__(self, state):
        self.state, self.transport, self.rest = state, None, b""

    def connection_made(self, transport):
        self.transport = transport
        self.state.open.add(transport)

    def connection_lost(self, exc):
        self.state.open.discard(self.transport)

    def data_received(self, data):
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            self.rest = self.rest[end + 4:]
            self.state.requests += 1
            loop = asyncio.get_running_loop()
            loop.call_later(self.state.latency, self.send, self.state.failing)

    def send(self, failing):
        if not self.transport.is_closing():
            self.transport.write(FAILED if failing else self.state.answer())


async def obey(state, listen):
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    server = await listen(0)
    port = server.sockets[0].getsockname()[1]
    print(port, flush=True)
    while words := (await reader.readline()).split():
        if words[0] in (b"serve", b"fail"):
            state.failing, state.latency = words[0] == b"fail", float(words[1])
            if server is None:
                server = await listen(port)
        elif words[0] == b"off":
            server.close()
            server = None
            for transport in list(state.open):
                transport.abort()
        print(state.requests, flush=True)


async def main():
    state = State(int(sys.argv[2]))
    loop = asyncio.get_running_loop()

    async def listen(port):
        s = socket.create_server(("127.0.0.1", port or int(sys.argv[1])), backlog=4096)
        return await loop.create_server(lambda: Connection(state), sock=s, backlog=4096)

    await obey(state, listen)


if __name__ == "__main__":
    asyncio.run(main())
