"""The client of the brown-out: an open loop of so many reads a second, Zipf over a
keyspace, by RESP or by HTTP, each with a deadline. A read waits for no other: there
is always a connection for it. A value says when it was made, and so whether it is
stale."""

import asyncio
import bisect
import collections
import itertools
import random
import time

TICK_S = 0.001
OPEN_MAX = 6000


class Counts:
    """Of a stretch of time."""

    def __init__(self):
        self.fresh = self.stale = self.errors = 0
        self.latencies = []   # of answers and errors alike, in seconds
        self.oldest = 0.0     # beyond the time to live
        self.why = collections.Counter()

    def add(self, seconds, late_s, error):
        self.latencies.append(seconds)
        if error is not None:
            self.errors += 1
            self.why[error] += 1
        elif late_s > 0:
            self.stale += 1
            self.oldest = max(self.oldest, late_s)
        else:
            self.fresh += 1

    @property
    def answers(self):
        return self.fresh + self.stale

    def quantile(self, q):
        if not self.latencies:
            return 0.0
        return sorted(self.latencies)[min(int(q * len(self.latencies)), len(self.latencies) - 1)]


class Connection(asyncio.Protocol):
    """One read at a time."""

    def __init__(self, load):
        self.load, self.transport, self.data, self.read = load, None, b"", None

    def connection_made(self, transport):
        self.transport = transport
        if self.read is not None:
            transport.write(self.request(self.read.key))
        else:
            self.load.free(self)

    def begin(self, read):
        self.read = read
        if self.transport is not None:
            self.transport.write(self.request(read.key))

    def data_received(self, data):
        self.data += data
        if self.read is None: # nothing was asked
            self.transport.abort()
            return
        answer = self.answer()
        if answer is not None:
            read, self.read, self.data = self.read, None, b""
            self.load.end(read, *answer)
            self.load.free(self)

    def connection_lost(self, exc):
        self.load.gone(self)
        if self.read is not None:
            read, self.read = self.read, None
            self.load.end(read, None, "connection closed")

    def give_up(self):
        self.read = None
        if self.transport is not None:
            self.transport.abort()

    def request(self, key):
        raise NotImplementedError

    def answer(self):
        """(value, error) once it is whole."""
        raise NotImplementedError


class Resp(Connection):
    def request(self, key):
        name = b"item:%d" % key
        return b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(name), name)

    def answer(self):
        head, found, rest = self.data.partition(b"\r\n")
        if not found:
            return None
        if head == b"$-1":
            return None, "nil"
        if head[:1] == b"-":
            return None, head[1:].decode(errors="replace")
        if head[:1] != b"$":
            return None, "no string"
        n = int(head[1:])
        return (rest[:n], None) if len(rest) >= n + 2 else None


class Http(Connection):
    def request(self, key):
        return b"GET /items/%d HTTP/1.1\r\nHost: origin\r\n\r\n" % key

    def answer(self):
        head, found, rest = self.data.partition(b"\r\n\r\n")
        if not found:
            return None
        lines = head.split(b"\r\n")
        n = next((int(line[15:]) for line in lines if line[:15].lower() == b"content-length:"), None)
        if n is None:
            return None, "no length"
        if len(rest) < n:
            return None
        status = lines[0].split()[1]
        return (rest[:n], None) if status == b"200" else (None, f"HTTP {status.decode()}")


class Read:
    __slots__ = ("key", "begun", "deadline", "ended")

    def __init__(self, key, now, patience_s):
        self.key, self.begun, self.deadline = key, now, now + patience_s
        self.ended = False


class Zipf:
    def __init__(self, n, exponent, seed):
        self.sums = list(itertools.accumulate(1 / (i + 1) ** exponent for i in range(n)))
        self.random = random.Random(seed)
        self.names = list(range(n))
        self.random.shuffle(self.names)

    def draw(self):
        return self.names[bisect.bisect_left(self.sums, self.random.random() * self.sums[-1])]


class Load:
    """`connect` makes a connection: connect(protocol_factory)."""

    def __init__(self, kind, connect, rate, patience_s, ttl_s, zipf):
        self.kind, self.connect, self.rate = kind, connect, rate
        self.patience_s, self.ttl_s, self.zipf = patience_s, ttl_s, zipf
        self.idle, self.connections, self.waiting = [], set(), collections.deque()
        self.reads = collections.deque() # in the order of their deadlines
        self.by_second, self.begun, self.late_s = collections.defaultdict(Counts), 0.0, 0.0 # begun: of counting
        self.opening = set()

    # --- connections

    def free(self, connection):
        while self.waiting:
            read = self.waiting.popleft()
            if not read.ended:
                connection.begin(read)
                return
        self.idle.append(connection)

    def gone(self, connection):
        self.connections.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)

    def begin(self, read):
        if self.idle:
            self.idle.pop().begin(read)
        elif len(self.connections) < OPEN_MAX:
            task = asyncio.ensure_future(self.open(read))
            self.opening.add(task)
            task.add_done_callback(self.opening.discard)
        else:
            self.waiting.append(read)

    async def open(self, read):
        connection = self.kind(self)
        connection.begin(read)
        self.connections.add(connection)
        try:
            await self.connect(lambda: connection)
        except OSError as e:
            self.connections.discard(connection)
            connection.read = None
            self.end(read, None, e.__class__.__name__)

    # --- reads

    def end(self, read, value, error):
        if read.ended:
            return
        read.ended = True
        now = time.monotonic()
        late_s = 0.0
        if error is None:
            late_s = now - float(value.split(b" ", 1)[0]) - self.ttl_s
        if read.begun >= self.begun:
            second = int(read.begun - self.begun)
            self.by_second[second].add(now - read.begun, late_s, error)

    def expire(self, now):
        while self.reads and (self.reads[0].ended or self.reads[0].deadline <= now):
            read = self.reads.popleft()
            if not read.ended:
                # Its connection is used again when the answer has come after all.
                self.end(read, None, "deadline")

    def count_from(self, now):
        """What was read before is forgotten, however it ends."""
        self.begun, self.late_s = now, 0.0
        self.by_second.clear()

    async def run(self, seconds):
        start = time.monotonic()
        sent = 0
        while (now := time.monotonic()) < start + seconds:
            due = int((now - start) * self.rate)
            self.late_s = max(self.late_s, now - start - sent / self.rate)
            while sent < due:
                sent += 1
                read = Read(self.zipf.draw(), now, self.patience_s)
                self.reads.append(read)
                self.begin(read)
            self.expire(now)
            await asyncio.sleep(TICK_S)

    async def finish(self):
        """What is still under way gets its time."""
        while self.reads:
            self.expire(time.monotonic())
            await asyncio.sleep(TICK_S)
        for connection in list(self.connections):
            connection.give_up()
        await asyncio.sleep(0)
