"""CLIENT TRACKING for test_differential.py: three connections, T that tracks, W
that writes and R that T may redirect to. After each request all that came to T
and R is read; what redis-server and pannier send is the same, to the byte and in
the same order.

A step is the connection's name and its pipeline. @R stands for R's id."""

import re
import time

from differential_commands import KEYS, Source, gen_bit, gen_bitfield, gen_expire, gen_float, gen_flush, \
    gen_getex, gen_mset, gen_range, gen_set, gen_setex, gen_two_keys, num
from respclient import Client, Push, encode

MARK = b"-- mark --"
# Of a flush: Redis writes it as the client that tracks would, here it is as the one
# that gets it does.
NULL = re.compile(rb"(?<=invalidate\r\n)(\$-1|_)(?=\r\n$)")
PREFIXES = [b"", b"k", b"k1", b"n", b"a", b"x", b"\x00", b"kk", b"L"]


class ShortSource(Source):
    """A pipeline must be read in one turn: what changes in it is told together."""

    def value(self):
        return super().value()[:100]

    def time(self, seconds, absolute):
        """None of the past: a SET that is over at once changes nothing here where
        nothing was."""
        text = super().time(seconds, absolute)
        if absolute and text.strip().isdigit() and int(text) < 10**9 * (1 if seconds else 1000):
            return num((10**9 + int(time.time())) * (1 if seconds else 1000) + int(self.far(True)))
        return text


# --- steps ----------------------------------------------------------------------


def options(s, words):
    out = []
    for _ in range(s.r.choice([0, 0, 1, 1, 2, 3])):
        out += s.r.choice(words)
    return out


def gen_on(s):
    """Mostly one that is possible."""
    usual = s.r.choice([[], [], [b"OPTIN"], [b"OPTOUT"], [b"NOLOOP"], [b"BCAST"], [b"BCAST", b"NOLOOP"],
                        [b"BCAST", b"PREFIX", s.r.choice(PREFIXES)],
                        [b"BCAST", b"PREFIX", b"k", b"PREFIX", b"n"],
                        [b"prefix", b"n", b"bcast", b"PREFIX", b"k1", b"PREFIX", b"k2"]])
    if s.r.random() < 0.3:
        usual = options(s, [[b"BCAST"], [b"PREFIX", s.r.choice(PREFIXES)], [b"optin"], [b"OptOut"],
                            [b"NOLOOP"], [b"REDIRECT", s.number()], [b"REDIRECT", b"0"], [b"foo"],
                            [b"REDIRECT", b"@R"], [b"PREFIX"], [b"REDIRECT"]])
        # Redis says that a second pair overlaps, and turns it on all the same.
        if usual.count(b"PREFIX") > 2:
            usual = []
    to = [b"REDIRECT", b"@R"] if s.r.random() < 0.3 else []
    return [b"CLIENT", s.case(b"TRACKING"), s.case(b"ON")] + usual + to


def gen_control(s):
    return s.r.choice([
        lambda: gen_on(s), lambda: gen_on(s), lambda: [b"CLIENT", b"TRACKING", b"OFF"],
        lambda: [b"CLIENT", b"CACHING", s.r.choice([b"YES", b"no", b"x"])],
        lambda: [b"CLIENT", b"TRACKINGINFO"], lambda: [b"CLIENT", b"TRACKING", b"x"],
        lambda: [b"CLIENT", b"TRACKING", b"OFF", b"foo"], lambda: [b"CLIENT", b"TRACKING"],
        lambda: [b"CLIENT", b"GETREDIR", b"x"], lambda: [b"CLIENT", b"CACHING"],
        lambda: [b"HELLO", s.r.choice([b"3", b"3", b"3", b"2"])]])()


def gen_read(s):
    return s.r.choice([
        lambda: [b"GET", s.key()], lambda: [b"GET", s.key()], lambda: [b"MGET"] + s.keys(),
        lambda: [b"EXISTS"] + s.keys(), lambda: [b"STRLEN", s.key()], lambda: [b"GETRANGE", s.key(), b"0", b"1"],
        lambda: [b"TYPE", s.key()], lambda: [b"TOUCH"] + s.keys(), lambda: [b"GETBIT", s.key(), b"1"],
        lambda: [b"OBJECT", b"REFCOUNT", s.key()][:s.r.choice([2, 3])], lambda: [b"LCS", s.key(), b"nothing"],
        lambda: [b"BITFIELD_RO", s.key(), b"GET", b"u8", b"0"], lambda: [b"DBSIZE"],
        lambda: [b"GETRANGE", s.key(), b"x", b"1"], lambda: [b"NOSUCH"], lambda: [b"GET"]])()


def gen_write(s):
    return s.r.choice([
        gen_set, gen_mset, gen_expire, gen_setex, gen_getex, gen_two_keys, gen_range, gen_bit,
        gen_bitfield, gen_float, lambda s: [s.r.choice([b"DEL", b"UNLINK"])] + s.keys(),
        lambda s: [b"SET", s.key(), b"v"], lambda s: [b"SET", s.key(), b"1"],
        lambda s: [s.r.choice([b"INCR", b"DECR", b"PERSIST", b"GETDEL"]), s.key()],
        lambda s: [b"INCRBY", s.key(), s.number()], lambda s: [b"APPEND", s.key(), s.value()],
        lambda s: [s.r.choice([b"SETNX", b"GETSET"]), s.key(), s.value()],
        lambda s: [b"SET", s.key(), b"v"], lambda s: [b"INCR", s.key()],
        lambda s: gen_flush(s) if s.r.random() < 0.3 else [b"GET", s.key()]])(s)


def gen_transaction(s):
    inside = [s.r.choice([gen_read, gen_write])(s) for _ in range(s.r.choice([1, 2, 4]))]
    if s.r.random() < 0.2:
        inside.append([b"CLIENT", b"CACHING", b"YES"])
    return [[b"MULTI"]] + inside + [s.r.choice([[b"EXEC"], [b"EXEC"], [b"DISCARD"]])]


def gen_pipeline(s, who):
    what = s.r.random()
    if what < 0.2:
        return gen_transaction(s)
    makers = [gen_read, gen_write, gen_control] if who == "T" else [gen_write, gen_write, gen_read]
    out = [s.r.choice(makers)(s) for _ in range(1 if what < 0.7 else s.r.choice([2, 3, 6]))]
    # Here a prefix that is added is also told of what changed before in the same pipeline.
    return [argv for i, argv in enumerate(out) if i == 0 or argv[1:2] not in ([b"TRACKING"], [b"tracking"],
                                                                               [b"Tracking"])]


def gen_other(s):
    return [s.r.choice([[b"SUBSCRIBE", b"__redis__:invalidate"], [b"UNSUBSCRIBE"], [b"HELLO", b"3"],
                        [b"HELLO", b"2"], [b"PSUBSCRIBE", b"x"], [b"@close"]])]


def gen_steps(s):
    steps = [("R", [[b"SUBSCRIBE", b"__redis__:invalidate"]])] if s.r.random() < 0.5 else []
    steps += [("T", [gen_on(s)])]
    for _ in range(s.r.choice([5, 15, 30])):
        who = s.r.choice("TTTTWWWWWR")
        steps.append((who, gen_other(s) if who == "R" else gen_pipeline(s, who)))
    return steps


# --- running --------------------------------------------------------------------


def is_push(value):
    if isinstance(value, Push):
        return value[0] in (b"invalidate", b"tracking-redir-broken")
    return isinstance(value, list) and value[:2] == [b"message", b"__redis__:invalidate"]


class Three:
    """The connections to one server, for one sequence."""

    def __init__(self, path, proto):
        self.path = path
        self.conns = {name: Client(path) for name in "TWR"}
        self.conns["T"].call(b"FLUSHALL")
        self.conns["T"].call(b"HELLO", num(proto))
        self.r_id = self.conns["R"].call(b"CLIENT", b"ID")

    def close(self):
        for conn in self.conns.values():
            conn.close()

    def replaced(self, argv):
        return [num(self.r_id) if a == b"@R" else a for a in argv]

    def until_mark(self, name):
        """What comes up to the reply of a PING: messages and replies, as they came."""
        out, conn = [], self.conns[name]
        conn.send(b"PING", MARK)
        while True:
            raw, value = conn.read()
            if value in (MARK, [b"pong", MARK]):
                return out
            raw = raw.replace(b":%d\r\n" % self.r_id, b":@R\r\n")
            out.append((NULL.sub(b"null", raw), is_push(value)))

    def new_target(self):
        """R leaves, and another with another id takes its place."""
        self.conns["R"].close()
        while b"id=%d " % self.r_id in self.conns["W"].call(b"CLIENT", b"LIST"):
            pass
        self.conns["R"] = Client(self.path)
        # Its predecessor's id is still asked for, and is nobody's.

    def step(self, name, pipeline):
        if pipeline == [[b"@close"]]:
            self.new_target()
            pipeline = []
        self.conns[name].send_raw(b"".join(encode(self.replaced(a)) for a in pipeline))
        # A message may be behind one PING, on its way through two loops; not behind two.
        order = [name] + [n for n in "TR" if n != name] + ["T", "R", "T", "R"]
        got = {}
        for n in order:
            got.setdefault(n, []).extend(self.until_mark(n))
        return got


def comparable(got, pipeline):
    """A client's own messages and replies in their order; those of RENAME in none,
    since Redis tells the source first, which here is the last to go."""
    loose = any(argv[:1] in ([b"RENAME"], [b"RENAMENX"]) for argv in pipeline)
    out = []
    for name, items in sorted(got.items()):
        pushes = [raw for raw, push in items if push]
        out.append((name, sorted(pushes) if loose else pushes))
        out.append((name, "replies", len(items) - len(pushes)))
        if not loose:
            out.append((name, [push for _, push in items]))
    return out


def run_steps(path, steps, proto):
    three = Three(path, proto)
    try:
        return [comparable(three.step(name, pipeline), pipeline) for name, pipeline in steps]
    finally:
        three.close()


def first_difference(paths, steps, proto):
    """The index of the step with both answers, or None."""
    answers = [run_steps(path, steps, proto) for path in paths]
    for i, (a, b) in enumerate(zip(*answers)):
        if a != b:
            return i, a, b
    return None


def shrink(paths, steps, proto):
    i = len(steps) - 1
    while i >= 0:
        less = steps[:i] + steps[i + 1:]
        if first_difference(paths, less, proto):
            steps = less
        else:
            whole = [b"MULTI"] in steps[i][1]  # or what comes behind it would be queued
            for k in [] if whole else range(len(steps[i][1]) - 1, -1, -1):
                name, pipeline = steps[i]
                fewer = steps[:i] + [(name, pipeline[:k] + pipeline[k + 1:])] + steps[i + 1:]
                if len(pipeline) > 1 and first_difference(paths, fewer, proto):
                    steps = fewer
        i -= 1
    return steps


def run_tracking(paths, seed, count):
    """None, or what differs."""
    source = ShortSource("tracking %d" % seed)
    for n in range(count):
        steps, proto = gen_steps(source), 3 if n % 4 else 2
        found = first_difference(paths, steps, proto)
        if not found:
            continue
        steps = shrink(paths, steps[:found[0] + 1], proto)
        found = first_difference(paths, steps, proto) or found
        lines = ["    %s: %s" % (name, " | ".join(" ".join(repr(a)[1:200] for a in argv) for argv in pipeline))
                 for name, pipeline in steps]
        return "RESP%d\n%s\n  redis:   %r\n  pannier: %r" % (proto, "\n".join(lines), *found[1:])
    return None


assert KEYS
