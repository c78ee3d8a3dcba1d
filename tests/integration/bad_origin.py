"""bad_origin.py - what an HTTP origin can do wrong, each as a script of
harness.Origin, and the places where nobody answers at all.

FAULTS has every way of going wrong once a request has come: its name, what the
origin does, what the client is told, and whether that comes at once or at the
deadline. A script gets a harness.Exchange and an Event that is set when the
test is over. The origin closes when the script returns."""

import contextlib
import select
import socket
import struct

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = OK + b"Content-Length: 4\r\n\r\n"
EVIL = WHOLE + b"evil"
MAX_BODY = 4096 # of the origin's configuration
DRIP_S = 0.02

AT_ONCE, AT_DEADLINE = "at once", "at the deadline"


class Fault:
    def __init__(self, name, play, told, when=AT_ONCE):
        self.name, self.play, self.told, self.when = name, play, told, when


def says(data):
    """Sends this and closes."""
    return lambda ex, gone: ex.raw(data)


def says_and_stays(data):
    def play(ex, gone):
        ex.raw(data)
        hang(ex, gone)
    return play


def says_and_repeats(head, more):
    """Goes on without end, at some megabytes a second: who reads has other things to do."""
    def play(ex, gone):
        ex.raw(head)
        while not gone.wait(0.0005):
            ex.raw(more)
    return play


def drips(head, slowly, body=b"x"):
    """The head, or what there is of it, at once, and then a byte now and then."""
    def play(ex, gone):
        ex.raw(head)
        for i in range(len(slowly)):
            if gone.wait(DRIP_S):
                return
            ex.raw(slowly[i:i + 1])
        while not gone.wait(DRIP_S):
            ex.raw(body)
    return play


def resets(data):
    """The connection ends by RST, as where a process is killed."""
    def play(ex, gone):
        ex.raw(data)
        reset(ex.sock)
    return play


def half_closes(data):
    """Says no more, but goes on listening."""
    def play(ex, gone):
        ex.raw(data)
        ex.sock.shutdown(socket.SHUT_WR)
        hang(ex, gone)
    return play


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def hang(ex, gone):
    """Until the other side has closed, or the test is over."""
    while not gone.is_set():
        if select.select([ex.sock], [], [], 0.05)[0] and not ex.sock.recv(4096):
            return


def head(*lines):
    return OK + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def length(value):
    return b"Content-Length: " + value


# --- answers that are wrong ----------------------------------------------------------

CHUNKS = [
    Fault("a chunk of 2^72 bytes", says(CHUNKED + b"FFFFFFFFFFFFFFFFFF\r\nx\r\n"), "chunk"),
    Fault("a chunk of 2^63 - 1 bytes", says_and_stays(CHUNKED + b"7FFFFFFFFFFFFFFF\r\nx"),
          "body not complete within", AT_DEADLINE),
    Fault("a chunk of a negative size", says(CHUNKED + b"-1\r\nx\r\n"), "chunk"),
    Fault("a chunk without a size", says(CHUNKED + b"\r\nx\r\n"), "chunk"),
    Fault("a chunk's size that never ends", says_and_repeats(CHUNKED, b"0" * 4096), "chunk"),
    Fault("a chunk's extension that never ends", says_and_repeats(CHUNKED + b"5;", b"x" * 4096),
          "body not complete within", AT_DEADLINE),
    Fault("no CRLF after a chunk", says(CHUNKED + b"5\r\nhelloXX0\r\n\r\n"), "chunk"),
    Fault("no CRLF after a chunk, and more", says_and_stays(CHUNKED + b"5\r\nhello5\r\nworld\r\n"),
          "chunk"),
    Fault("trailers that never end", says_and_repeats(CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n" * 99),
          "header lines"),
    Fault("a trailer that never ends", says_and_repeats(CHUNKED + b"1\r\nx\r\n0\r\nX: ", b"y" * 4096),
          "chunked-encoding"),
]

HEADS = [
    Fault("no answer", says(b""), "without an answer"),
    Fault("rubbish", says(b"rubbish that is no HTTP at all, whatever one does\r\n"), "HTTP/0.9"),
    Fault("zeros", says(b"\0" * 64), "origin users: "),
    Fault("another protocol", says(b"SSH-2.0-OpenSSH_9.2\r\n"), "HTTP/0.9"),
    Fault("a status that is no number", says(b"HTTP/1.1 abc OK\r\n\r\n"), "origin users: "),
    Fault("a status of four digits", says(b"HTTP/1.1 2000 OK\r\n\r\n"), "origin users: "),
    Fault("a header without a name", says(head(b": no name")), "header line"),
    Fault("a header without a colon", says(head(b"no colon")), "colon"),
    Fault("a header that is folded", says(head(b"X: a", b" folded")), "folded"),
    Fault("a NUL in a header", says(head(b"X: a\0b")), "origin users: "),
    Fault("a header's name of 70 KB", says(head(b"a" * 70000 + b": x")), "headers over"),
    Fault("a header of 70 KB", says(head(b"X: " + b"a" * 70000)), "headers over"),
    Fault("300 header lines", says(head(*[b"X: y"] * 300)), "header lines"),
    Fault("header lines that never end", says_and_repeats(OK, b"X: y\r\n" * 99), "header lines"),
    Fault("a header line that never ends", says_and_repeats(OK + b"X: ", b"y" * 4096), "headers over"),
    Fault("1xx that never end", says_and_repeats(b"", b"HTTP/1.1 100 x\r\n\r\n" * 99), "header lines"),
    Fault("a switch of protocols", says(b"HTTP/1.1 101 x\r\nUpgrade: x\r\n\r\n"), "origin users: "),
    Fault("a malformed head, and then another answer", says(head(b": no name") + EVIL), "header line"),
]

FRAMING = [
    Fault("two lengths", says(head(length(b"5"), length(b"6")) + b"hello"), "conflicting lengths"),
    Fault("two lengths in one line", says(head(length(b"5, 6")) + b"hello"), "Content-Length"),
    Fault("a length and chunks", says(head(length(b"5"), b"Transfer-Encoding: chunked")),
          "conflicting framing"),
    Fault("a negative length", says(head(length(b"-1"))), "Content-Length"),
    Fault("a length with a sign", says(head(length(b"+5")) + b"hello"), "Content-Length"),
    Fault("a length in hexadecimal", says(head(length(b"0x5")) + b"hello"), "Content-Length"),
    Fault("a length of 2^64", says(head(length(b"18446744073709551616")) + b"hello"), "Content-Length"),
    Fault("a coding that is not chunked", says(head(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"),
          "origin users: "),
    Fault("chunked twice", says(head(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n"),
          "origin users: "),
    Fault("a packed body", says(head(b"Content-Encoding: gzip", length(b"1")) + b"x"),
          "Content-Encoding"),
]

BODIES = [
    Fault("a body over the cap, announced", says_and_stays(head(length(b"4097"))), "body over 4KiB"),
    Fault("a body over the cap, in chunks",
          says_and_stays(CHUNKED + b"1000\r\n" + b"x" * 4096 + b"\r\n1\r\nx\r\n"), "body over 4KiB"),
    Fault("a body over the cap, until the end", says(OK + b"\r\n" + b"x" * 4097), "body over 4KiB"),
    Fault("a body that never ends", says_and_repeats(OK + b"\r\n", b"x" * 4096), "body over 4KiB"),
    Fault("chunks that never end", says_and_repeats(CHUNKED, b"1\r\nx\r\n" * 999), "body over 4KiB"),
    Fault("a 503 whose body never ends",
          says_and_repeats(b"HTTP/1.1 503 x\r\n\r\n", b"x" * 4096), "HTTP 503"),
    Fault("a close in mid-body", says(head(length(b"10")) + b"half"), "mid-body"),
    Fault("a close in a chunk", says(CHUNKED + b"5\r\nhel"), "mid-body"),
    Fault("a close between chunks", says(CHUNKED + b"5\r\nhello\r\n"), "mid-body"),
    Fault("a close in the head", says(OK + b"Content-Le"), "origin users: "),
    Fault("a reset instead of an answer", resets(b""), "origin users: "),
    Fault("a reset in mid-body", resets(head(length(b"10")) + b"half"), "origin users: "),
    Fault("half-closed instead of an answer", half_closes(b""), "without an answer"),
    Fault("half-closed in mid-body", half_closes(head(length(b"10")) + b"half"), "mid-body"),
]

STATUSES = [
    Fault("503 with colours", says(b"HTTP/1.1 503 \x1b[31mred\r\nContent-Length: 0\r\n\r\n"), "HTTP 503"),
    Fault("a redirection", says(b"HTTP/1.1 301 x\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"), "HTTP 301"),
    Fault("a part", says(b"HTTP/1.1 206 x\r\nContent-Length: 1\r\n\r\nx"), "HTTP 206"),
    Fault("a 304 that nobody asked for", says(b"HTTP/1.1 304 x\r\n\r\n"), "HTTP 304"),
]

# --- answers that do not end ----------------------------------------------------------

ENDLESS = [
    Fault("silence", hang, "no answer within", AT_DEADLINE),
    Fault("silence in the head", says_and_stays(OK), "no answer within", AT_DEADLINE),
    Fault("silence behind the head", says_and_stays(head(length(b"4"))), "body not complete within",
          AT_DEADLINE),
    Fault("silence in mid-body", says_and_stays(head(length(b"4")) + b"hal"), "body not complete within",
          AT_DEADLINE),
    Fault("silence in a chunk", says_and_stays(CHUNKED + b"5\r\nhel"), "body not complete within",
          AT_DEADLINE),
    Fault("a head by bytes", drips(b"", OK + b"X: ", b"y"), "no answer within", AT_DEADLINE),
    Fault("a body by bytes", drips(head(length(b"4000")), b""), "body not complete within", AT_DEADLINE),
    Fault("chunks by bytes", drips(CHUNKED, b"FF\r\n"), "body not complete within", AT_DEADLINE),
    Fault("a 503 by bytes", drips(b"HTTP/1.1 503 x\r\nContent-Length: 4000\r\n\r\n", b""), "HTTP 503",
          AT_DEADLINE),
    Fault("1xx now and then", drips(b"HTTP/1.1 103 x\r\n\r\n", b"", b"HTTP/1.1 103 x\r\n\r\n"),
          "no answer within", AT_DEADLINE),
]

FAULTS = CHUNKS + HEADS + FRAMING + BODIES + STATUSES + ENDLESS


# --- nobody is there ------------------------------------------------------------------


@contextlib.contextmanager
def refusing():
    """The URL of a port where nobody listens: bound, so that nobody else takes it."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{s.getsockname()[1]}"


@contextlib.contextmanager
def full():
    """One that neither takes nor refuses a connection: its queue is full, and the kernel
    drops what comes, as a firewall does."""
    with contextlib.ExitStack() as stack:
        s = stack.enter_context(socket.socket())
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        for _ in range(4):
            other = stack.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(s.getsockname())
        yield f"http://127.0.0.1:{s.getsockname()[1]}"


@contextlib.contextmanager
def accepting():
    """One whose kernel takes connections and requests, and nobody reads them."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as s:
        yield f"http://127.0.0.1:{s.getsockname()[1]}"
