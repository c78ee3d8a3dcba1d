"""Random commands for test_differential.py: arguments, then one generator for
each group of commands, then the families that sequences are drawn from."""

import hashlib
import random
import time

LONG_MAX = 2**63 - 1
LONG_MIN = -2**63

# --- arguments ------------------------------------------------------------------

KEYS = [b"k1", b"k2", b"k3", b"k4", b"n1", b"n2", b"", b"\x00\xff\r\n", b"a*b", b"L" * 300]
WORDS = [b"", b"abc", b"3.14", b" 1", b"1 ", b"+1", b"-0", b"01", b"1e3", b"0x10", b"-", b"nan",
         b"1" * 40, b"\x00", b"1\x00", b"%s%n", b"\r\n", b"foo bar"]
EDGES = [0, 1, -1, 2, -2, 10, 99, LONG_MAX, LONG_MIN, LONG_MAX - 1, LONG_MIN + 1, LONG_MAX + 1,
         LONG_MIN - 1, 2**31 - 1, -2**31, 2**32, 2**62, 10**30]
# With these a command is refused, or the time has passed. In milliseconds those
# of the second list are times after the year 10889, which are all one here.
BAD_TIMES = [0, -1, -100, LONG_MIN, LONG_MIN // 1000, LONG_MIN // 1000 - 1, LONG_MAX,
             LONG_MAX - 1, LONG_MAX + 1, 10**30]
BAD_SECONDS = [LONG_MAX // 1000, LONG_MAX // 1000 + 1]


def num(n):
    return b"%d" % n


class Source:
    """Random arguments, the same for the same seed."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def key(self):
        return self.r.choice(KEYS)

    def keys(self):
        return [self.key() for _ in range(self.r.choice([1, 1, 2, 3, 8]))]

    def number(self):
        return num(self.r.choice(EDGES)) if self.r.random() < 0.85 else self.r.choice(WORDS)

    def value(self):
        what = self.r.random()
        if what < 0.5:
            return num(self.r.choice(EDGES))
        if what < 0.8:
            return self.r.choice(WORDS)
        return bytes(self.r.randrange(256) for _ in range(self.r.choice([3, 50, 700, 5000, 40000])))

    def far(self, seconds):
        """From now; never twice the same, so that no comparison is a tie."""
        n = self.r.randrange(1000, 10**8)
        return num(n if seconds else n * 1000 + self.r.randrange(1000))

    def time(self, seconds, absolute):
        what = self.r.random()
        if what < 0.25:
            return num(self.r.choice(BAD_TIMES + (BAD_SECONDS if seconds else [])))
        if what < 0.35:
            return self.r.choice(WORDS)
        if not absolute:
            return self.far(seconds)
        if what < 0.45:
            return num(self.r.randrange(1, 10**9))
        at = int(time.time()) + int(self.far(True))
        return num(at if seconds else at * 1000 + self.r.randrange(1000))

    def case(self, word):
        return bytes(self.r.choice([word.lower(), word.upper(), word.title()]))


# --- commands -------------------------------------------------------------------
# Each answers an argument list. A name that starts with '@' is a small program
# that run_macro() knows.

SET_WORDS = [b"NX", b"XX", b"GET", b"KEEPTTL", b"PERSIST", b"foo", b""]


def time_option(s):
    name = s.r.choice([b"EX", b"PX", b"EXAT", b"PXAT"])
    value = s.time(name[:2] == b"EX", len(name) == 4)
    return [s.case(name), value] if s.r.random() < 0.95 else [s.case(name)]


def options(s, words):
    out = []
    for _ in range(s.r.choice([0, 0, 1, 1, 1, 2, 2, 3, 5])):
        out += time_option(s) if s.r.random() < 0.4 else [s.case(s.r.choice(words))]
    return out


def gen_set(s):
    return [b"SET", s.key(), s.value()] + options(s, SET_WORDS)


def gen_getex(s):
    return [b"GETEX", s.key()] + options(s, [b"PERSIST", b"PERSIST", b"KEEPTTL", b"foo"])


def gen_setex(s):
    seconds = s.r.random() < 0.5
    return [b"SETEX" if seconds else b"PSETEX", s.key(), s.time(seconds, False), s.value()]


def gen_mset(s):
    return [b"MSET"] + [x for k in s.keys() for x in (k, s.value())]


def gen_two_keys(s):
    if s.r.random() < 0.4:
        return [b"BITOP", s.case(s.r.choice([b"AND", b"OR", b"XOR", b"NOT", b"nor"])), s.key()] + s.keys()
    what = s.r.choice([b"RENAME", b"RENAMENX", b"COPY", b"MSETNX", b"MSETNX"])
    if what == b"MSETNX":
        return [what] + [x for k in s.keys() for x in (k, s.value())]
    if what != b"COPY":
        return [what, s.key(), s.key()]
    words = [s.r.choice([[b"REPLACE"], [b"DB", b"0"], [b"DB", s.number()], [b"DB"], [b"foo"]])
             for _ in range(s.r.choice([0, 0, 1, 2]))]
    return [what, s.key(), s.key()] + [x for w in words for x in w]


def gen_expire(s):
    if s.r.random() < 0.25:
        seconds = s.r.random() < 0.5
        return [b"EXPIREAT" if seconds else b"PEXPIREAT", s.key(), s.time(seconds, True)]
    seconds = s.r.random() < 0.5
    words = [s.case(s.r.choice([b"NX", b"XX", b"GT", b"LT"] * 5 + [b"foo", b"N\r\nX", b""]))
             for _ in range(s.r.choice([0, 0, 1, 1, 1, 2, 3]))]
    return [b"EXPIRE" if seconds else b"PEXPIRE", s.key(), s.time(seconds, False)] + words


def of_key(*names):
    return lambda s: [s.r.choice(names), s.key()]


def of_keys(*names):
    return lambda s: [s.r.choice(names)] + s.keys()


def gen_scan_edge(s):
    cursor = s.r.choice([b"0", b"", b"-1", b"+0", b"00", b" 0", b"0 ", b"x", b"-", b"+", b"12345",
                         num(2**64 - 1), num(2**64), num(-2**64), b"1.5"])
    words = [b"MATCH", b"COUNT", b"TYPE", b"foo"]
    args = [x for _ in range(s.r.choice([0, 1, 1, 2]))
            for x in (s.case(s.r.choice(words)), s.r.choice([b"*", s.number(), b"string"]))]
    return [b"SCAN", cursor] + args[:len(args) - (s.r.random() < 0.2)]


def gen_scan_all(s):
    args = []
    if s.r.random() < 0.5:
        args += [b"MATCH", pattern(s)]
    if s.r.random() < 0.5:
        args += [b"COUNT", s.r.choice([b"1", b"2", b"1000", num(LONG_MAX)])]
    if s.r.random() < 0.3:
        args += [b"TYPE", s.r.choice([b"string", b"STRING", b"hash", b"nonsense"])]
    return [b"@scan"] + args


GLOB = b"aabbc-]^[\\*?"


def pattern(s):
    if s.r.random() < 0.2:
        return s.r.choice([b"*", b"", b"k*", b"**", b"[", b"\\", b"[^", b"*[k-n]?", b"a\\*b"])
    return bytes(s.r.choice(GLOB) for _ in range(s.r.randrange(1, 9)))


def gen_glob_key(s):
    return [b"SET", bytes(s.r.choice(GLOB) for _ in range(s.r.randrange(0, 6))), b"v"]


def gen_keys(s):
    return [b"KEYS", pattern(s)]


def gen_flush(s):
    args = [s.r.choice([b"ASYNC", b"sync", b"foo", b""]) for _ in range(s.r.choice([0, 0, 1, 1, 2]))]
    return [s.r.choice([b"FLUSHALL", b"FLUSHDB"])] + args


NO_IDS = [num(n) for n in (0, -1, LONG_MAX, LONG_MIN)] + [b"", b"x", b"1.5", num(LONG_MAX + 1)]
NAMES = [b"me", b"", b"a b", b"tab\t", b"\xff", b"x" * 300, b"name=1"]


def gen_conn(s):
    return list(s.r.choice([
        [b"PING"], [b"PING", s.value()], [b"PING", b"a", b"b"], [b"ECHO", s.value()],
        [b"SELECT", s.number()], [b"SELECT", b"0"], [b"RESET"],
        [b"CLIENT", b"SETNAME", s.r.choice(NAMES)], [b"CLIENT", b"GETNAME"], [b"CLIENT", b"ID"],
        [b"CLIENT", b"INFO"], [b"CLIENT", b"LIST"], [b"CLIENT", b"LIST", b"TYPE", b"normal"],
        [b"CLIENT", b"LIST", b"TYPE", s.r.choice([b"master", b"replica", b"slave", b"pubsub", b"x"])],
        [b"CLIENT", b"LIST", b"ID"] + [s.r.choice(NO_IDS) for _ in range(s.r.choice([1, 2, 3]))], [b"CLIENT", b"LIST", b"ID"],
        [b"CLIENT", b"LIST", b"foo"], [b"CLIENT", b"nonsense", b"a"], [b"CLIENT"]]))


def gen_hello(s):
    out = [b"HELLO"]
    if s.r.random() < 0.9:
        out.append(s.r.choice([b"2", b"3", b"3", b"1", b"4", b"", b"x", num(LONG_MAX + 1)]))
        for _ in range(s.r.choice([0, 0, 1, 2])):
            out += s.r.choice([[b"SETNAME", s.r.choice(NAMES)], [b"AUTH", b"default", b"x"],
                               [b"AUTH", b"other", b"x"], [b"AUTH", b"default"], [b"foo"],
                               [b"setname"]])
    return out


CONFIG_NAMES = [b"save", b"appendonly", b"APPENDONLY", b"databases", b"timeout", b"maxclients",
                b"slave-read-only", b"replica-read-only", b"hz", b"port", b"appendonl*", b"dat?bases",
                b"[st]ave", b"nonsense", b"", b"cluster-enabled", b"latency-monitor-threshold"]
CONFIG_SETS = [(b"nonsense", b"1"), (b"databases", b"1"), (b"databases", b"16"),
               (b"save", b""), (b"appendonly", b"no"), (b"maxclients", b"9000"),
               (b"maxclients", b"10000"), (b"timeout", b"0"), (b"TIMEOUT", b"300"), (b"x y", b"z")]


def gen_config(s):
    if s.r.random() < 0.5:
        return [b"CONFIG", s.case(b"GET")] + [s.r.choice(CONFIG_NAMES) for _ in range(s.r.randrange(4))]
    out = [b"CONFIG", s.case(b"SET")]
    for _ in range(s.r.choice([0, 1, 1, 2, 3])):
        out += s.r.choice(CONFIG_SETS)
    return out[:-1] if s.r.random() < 0.1 else out


KILL_OPTIONS = [[b"ID", b"999999999"], [b"ID", b"0"], [b"ID", b"x"], [b"ID"], [b"TYPE", b"replica"],
                [b"TYPE", b"master"], [b"TYPE", b"slave"], [b"TYPE", b"nosuch"], [b"USER", b"default"],
                [b"USER", b"nosuch"], [b"USER", b""], [b"ADDR", b"1.2.3.4:5"], [b"ADDR", b""],
                [b"LADDR", b"nowhere:0"], [b"SKIPME", b"yes"], [b"SKIPME", b"YES"], [b"SKIPME", b"maybe"],
                [b"foo", b"bar"], [b"foo"], [b""]]


def gen_kill(s):
    """Of nobody: some filter always excludes all."""
    words = [w for _ in range(s.r.choice([0, 1, 1, 2, 3])) for w in s.r.choice(KILL_OPTIONS)]
    return [b"CLIENT", s.case(b"KILL")] + s.r.choice([[b"nowhere:0"], [b"ADDR", b"nowhere:0"] + words,
                                                      [b"ID", b"999999999"] + words, [b"a", b"b"] + words])


def gen_client(s):
    return s.r.choice([gen_kill, gen_kill, lambda s: list(s.r.choice([
        [b"CLIENT", b"KILL"], [b"CLIENT", b"PAUSE"], [b"CLIENT", b"PAUSE", b"0"],
        [b"CLIENT", b"PAUSE", b"0", s.case(s.r.choice([b"write", b"all", b"foo"]))],
        [b"CLIENT", b"PAUSE", s.r.choice([b"-1", b"x", b"1.5", b"", num(LONG_MAX + 1), num(LONG_MIN)])],
        [b"CLIENT", b"PAUSE", b"x", b"foo"], [b"CLIENT", b"PAUSE", b"1", b"all", b"x"],
        [b"CLIENT", b"UNPAUSE"], [b"CLIENT", b"UNPAUSE", b"x"], [b"CLIENT", b"REPLY"],
        [b"CLIENT", b"REPLY", s.case(b"on")], [b"CLIENT", b"REPLY", b"foo"], [b"CLIENT", b"REPLY", b"on", b"x"],
        [b"CLIENT", b"NO-EVICT", s.case(s.r.choice([b"on", b"off", b"foo"]))], [b"CLIENT", b"NO-EVICT"],
        [b"CLIENT", b"UNBLOCK", s.number()], [b"CLIENT", b"UNBLOCK"],
        [b"CLIENT", b"UNBLOCK", s.number(), s.case(s.r.choice([b"timeout", b"error", b"foo"]))],
        [b"CLIENT", b"UNBLOCK", b"1", b"error", b"x"], [b"CLIENT", b"INFO"], [b"RESET"],
        [b"SET", b"k", b"v"], [b"GET", b"k"]]))])(s)


def gen_slowlog(s):
    """Nothing is slow: the log is empty, and so are the events."""
    return list(s.r.choice([
        [b"SLOWLOG", b"GET"] + [s.number() for _ in range(s.r.choice([0, 1, 1, 2]))],
        [b"SLOWLOG", b"GET", s.r.choice([b"-1", b"-2", b"0", b"1.5", b""])],
        [b"SLOWLOG", b"LEN"], [b"SLOWLOG", b"RESET"], [b"SLOWLOG", b"HELP"], [b"SLOWLOG"],
        [b"SLOWLOG", b"LEN", b"x"], [b"SLOWLOG", b"RESET", b"x"], [b"slowlog", b"nosuch"],
        [b"LATENCY", b"LATEST"], [b"LATENCY", b"HISTORY", s.r.choice([b"command", b"nosuch", b""])],
        [b"LATENCY", b"RESET"] + [s.r.choice([b"command", b"fast-command", b"x"])
                                  for _ in range(s.r.choice([0, 1, 3]))],
        [b"LATENCY", b"GRAPH", s.r.choice([b"command", b"nosuch", b"a b", b"a\r\nb"])],
        [b"LATENCY", b"DOCTOR"], [b"LATENCY", b"HISTOGRAM", b"nosuch"], [b"LATENCY", b"HELP"],
        [b"LATENCY"], [b"LATENCY", b"GRAPH"], [b"LATENCY", b"HISTORY", b"a", b"b"],
        [b"LATENCY", s.r.choice([b"nosuch", b""])],
        [b"MEMORY", b"PURGE"], [b"MEMORY", b"HELP"], [b"MEMORY", s.r.choice([b"nosuch", b""])],
        [b"MEMORY", s.r.choice([b"STATS", b"DOCTOR", b"PURGE", b"MALLOC-STATS"]), b"x"],
        [b"CONFIG", b"GET", s.r.choice([b"slowlog-*", b"latency-*", b"latency-tracking"])],
        [b"CONFIG", b"SET", b"slowlog-max-len", s.r.choice([b"0", b"128", b"500"])],
        [b"CONFIG", b"SET", b"slowlog-log-slower-than", s.r.choice([b"-1", b"10000000", b"20000000"])]]))


def gen_unknown(s):
    name = s.r.choice([b"nosuch", b"", b"set ", b"cli|ent", b"client|id", b"GE\x01T", b"x" * 300,
                       b"get\r\n", b"\xffoo"])
    return [name] + [s.value() for _ in range(s.r.choice([0, 1, 2, 5, 40]))]


def gen_getkeys(s):
    words = s.r.choice([[b"get", b"k"], [b"MSET", b"a", b"1", b"b"], [b"rename", b"a", b"b"], [b"get"],
                        [b"copy", b"a", b"b", b"DB", b"0"], [b"bitop", b"and", b"d", b"a", b"b"],
                        [b"set", b"k", b"v"], [b"set", b"k", b"get", b"GET"], [b"client", b"id"],
                        [b"bitfield", b"k", b"get", b"u8", b"0"], [b"ping", b"x"], [b"foo", b"x"],
                        [b"bitfield", b"k", b"set", b"u8", b"0", b"1"], [b"get", b"a", b"b"],
                        [b"object", b"encoding", b"k"], [b"client", b"nosuch"], [b"del", b"a", b"b"]])
    return [b"COMMAND", s.r.choice([b"GETKEYS", b"GETKEYSANDFLAGS"])] + words


def gen_subcommand(s):
    return [s.r.choice([b"CLIENT", b"config", b"Command"]),
            s.r.choice([b"nosuch", b"", b"x" * 200, b"a\r\nb"])] + \
        [s.value() for _ in range(s.r.choice([0, 1, 3]))]


def gen_arity(s):
    """A command with too few or too many arguments, or just enough."""
    name = s.r.choice([b"GET", b"SET", b"SETEX", b"SETNX", b"GETSET", b"GETDEL", b"MGET", b"MSET",
                       b"STRLEN", b"APPEND", b"INCR", b"DECRBY", b"DEL", b"UNLINK", b"EXISTS", b"TYPE",
                       b"TOUCH", b"EXPIRE", b"TTL", b"PERSIST", b"DBSIZE", b"KEYS", b"SCAN", b"PING",
                       b"GETRANGE", b"SETBIT", b"BITPOS", b"LCS", b"INCRBYFLOAT", b"BITFIELD", b"ECHO", b"SELECT", b"RESET", b"CLIENT", b"CONFIG"])
    return [s.case(name)] + [s.key() for _ in range(s.r.choice([0, 0, 0, 7]))]


FLOATS = [b"1.5", b"-0.1", b"3e2", b"1e-5", b"inf", b"-inf", b"nan", b"0x1p3", b" 1", b"1e4000",
          b"1e5000", b"1e-5000", b"-1e4932", b"9" * 60]


def gen_float(s):
    by = s.r.choice(FLOATS) if s.r.random() < 0.7 else s.number()
    return s.r.choice([[b"INCRBYFLOAT", s.key(), by], [b"SET", s.key(), by]])


def position(s):
    """Near both ends of short values, and where numbers end."""
    if s.r.random() < 0.8:
        return num(s.r.choice([0, 1, 2, 3, 5, 7, 8, 9, 20, 63, 64, 1000]) * s.r.choice([1, -1]))
    return s.number()


def gen_range(s):
    if s.r.random() < 0.5:
        return [s.r.choice([b"GETRANGE", b"SUBSTR"]), s.key(), position(s), position(s)]
    # What is allowed but very long is refused here, with an error of our own.
    offset = s.r.choice([b"0", b"1", b"5", b"700", b"-1", b"x", b"", b"01", num(LONG_MAX)])
    return [b"SETRANGE", s.key(), offset, s.r.choice([b"", b"x", b"hello", b"\x00\xff"])]


def short_value(s):
    return bytes(s.r.choice(b"abcd") for _ in range(s.r.choice([0, 1, 5, 12, 40])))


def gen_lcs(s):
    if s.r.random() < 0.4:
        # Keys of their own, since long values are refused sooner here.
        return [b"MSET", b"l1", short_value(s), b"l2", short_value(s)]
    words = []
    for _ in range(s.r.choice([0, 1, 1, 2, 3])):
        words += s.r.choice([[b"LEN"], [b"idx"], [b"idx"], [b"MINMATCHLEN", position(s)],
                             [b"WITHMATCHLEN"], [b"MINMATCHLEN"], [b"foo"]])
    return [b"LCS", s.r.choice([b"l1", b"n9"]), s.r.choice([b"l2", b"l1"])] + words


def bit_offset(s):
    return s.r.choice([b"0", b"1", b"7", b"8", b"13", b"100", b"5000", b"-1", b"x", b"",
                       num(2**40), num(LONG_MAX), num(LONG_MAX + 1)])


def gen_bit(s):
    what = s.r.random()
    if what < 0.3:
        return [b"SETBIT", s.key(), bit_offset(s), s.r.choice([b"0", b"1", b"1", b"2", b"-1", b"x"])]
    if what < 0.5:
        return [b"GETBIT", s.key(), bit_offset(s)]
    args = [position(s) for _ in range(s.r.choice([0, 1, 2, 2, 2]))]
    if len(args) == 2 and s.r.random() < 0.7:
        args += [s.r.choice([b"BIT", b"bit", b"BYTE", b"Byte", b"nibble", b""])]
    if s.r.random() < 0.05:
        args += [b"more"]
    return s.r.choice([[b"BITCOUNT", s.key()], [b"BITPOS", s.key(), b"0"], [b"BITPOS", s.key(), b"1"],
                       [b"BITPOS", s.key(), s.number()]]) + args


def field_type(s):
    if s.r.random() < 0.9:
        return b"%c%d" % (s.r.choice(b"iu"), s.r.choice([1, 2, 4, 5, 8, 13, 16, 31, 32, 33, 62, 63]))
    return s.r.choice([b"i64", b"u64", b"i65", b"u0", b"i0", b"", b"x8", b"i", b"u-1", b"I8", b"i08"])


def field_offset(s):
    if s.r.random() < 0.3:
        return b"#" + s.r.choice([b"0", b"1", b"3", b"20", b"-1", b"", b"x"])
    return bit_offset(s)


def gen_bitfield(s):
    read_only = s.r.random() < 0.2
    out = [b"BITFIELD_RO" if read_only else b"BITFIELD", s.key()]
    for _ in range(s.r.choice([0, 1, 1, 2, 3, 6])):
        what = s.r.random()
        if what < 0.3 or (read_only and what < 0.9):
            out += [s.case(b"GET"), field_type(s), field_offset(s)]
        elif what < 0.45:
            out += [b"OVERFLOW", s.case(s.r.choice([b"WRAP", b"SAT", b"SAT", b"FAIL", b"x"]))]
        else:
            by = s.number() if s.r.random() < 0.6 else num(s.r.randrange(-300, 300))
            out += [s.r.choice([b"SET", b"incrby"]), field_type(s), field_offset(s), by]
    return out[:-1] if s.r.random() < 0.05 else out

CHANNELS = [b"a", b"b", b"ab", b"", b"a*", b"\x00\xff\r\n", b"L" * 300]
PATTERNS = [b"*", b"a*", b"?", b"[ab]", b"b", b"", b"\\a*"]


def gen_pubsub(s):
    def some(names, least):
        return [s.r.choice(names) for _ in range(s.r.choice([least, 1, 1, 2, 4]))]

    args = s.r.choice([
        lambda: [s.case(b"SUBSCRIBE")] + some(CHANNELS, 1), lambda: [b"PSUBSCRIBE"] + some(PATTERNS, 1),
        lambda: [b"SSUBSCRIBE"] + some(CHANNELS, 0), lambda: [b"UNSUBSCRIBE"] + some(CHANNELS, 0),
        lambda: [b"PUNSUBSCRIBE"] + some(PATTERNS, 0), lambda: [b"SUNSUBSCRIBE"] + some(CHANNELS, 0),
        lambda: [b"PUBLISH", s.r.choice(CHANNELS), s.value()],
        lambda: [b"SPUBLISH", s.r.choice(CHANNELS), s.value()],
        lambda: [b"PUBSUB", s.r.choice([b"CHANNELS", b"SHARDCHANNELS"])] + some(PATTERNS, 0),
        lambda: [b"PUBSUB", s.r.choice([b"NUMSUB", b"SHARDNUMSUB"])] + some(CHANNELS, 0),
        lambda: [b"PUBSUB", s.r.choice([b"NUMPAT", b"HELP", b"nosuch", b""])],
        lambda: [b"GET", s.key()], lambda: [b"nosuch", b"x"], lambda: [b"RESET"],
        lambda: [b"CLIENT", b"LIST", b"ID", b"0"]])()
    return [b"@listen"] + args


# --- scripts of locks: as the libraries send them, and dressed differently ----------

COMPARE = ('if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("%s") '
           'else return %d end')
SCRIPTS = [
    COMPARE.replace('"%s"', '"del", KEYS[1]').replace("%d", "0"),
    COMPARE.replace('"%s"', '"pexpire", KEYS[1], ARGV[2]').replace("%d", "0"),
    COMPARE.replace('"%s"', '"expire", KEYS[1], ARGV[2]').replace("%d", "0"),
    COMPARE.replace('"%s"', '"pttl", KEYS[1]').replace("%d", "-3"),
    'if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) end return 0',
    """
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        redis.call('del', KEYS[1])
        return 1
    """,
    """
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        local expiration = redis.call('pttl', KEYS[1])
        if not expiration then
            expiration = 0
        end
        if expiration < 0 then
            return 0
        end

        local newttl = ARGV[2]
        if ARGV[3] == "0" then
            newttl = ARGV[2] + expiration
        end
        redis.call('pexpire', KEYS[1], newttl)
        return 1
    """,
    """
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        redis.call('pexpire', KEYS[1], ARGV[2])
        return 1
    """,
    """
  -- Return 0 if an entry already exists.
  for i, key in ipairs(KEYS) do
    if redis.call("exists", key) == 1 then
      return 0
    end
  end

  -- Create an entry for each provided key.
  for i, key in ipairs(KEYS) do
    redis.call("set", key, ARGV[1], "PX", ARGV[2])
  end

  -- Return the number of entries added.
  return #KEYS
""",
    """
  -- Return 0 if an entry exists with a *different* lock value.
  for i, key in ipairs(KEYS) do
    if redis.call("get", key) ~= ARGV[1] then
      return 0
    end
  end

  -- Update the entry for each provided key.
  for i, key in ipairs(KEYS) do
    redis.call("set", key, ARGV[1], "PX", ARGV[2])
  end

  -- Return the number of entries updated.
  return #KEYS
""",
    """
  local count = 0
  for i, key in ipairs(KEYS) do
    -- Only remove entries for *this* lock value.
    if redis.call("get", key) == ARGV[1] then
      redis.pcall("del", key)
      count = count + 1
    end
  end

  -- Return the number of entries removed.
  return count
""",
    """
if redis.call("set", KEYS[1], ARGV[1], "NX", "PX", ARGV[3]) then return redis.status_reply("OK") end

local offset = tonumber(ARGV[2])
if redis.call("getrange", KEYS[1], 0, offset-1) == string.sub(ARGV[1], 1, offset) then return redis.call("set", KEYS[1], ARGV[1], "PX", ARGV[3]) end
""",
    """
	local val = redis.call("GET", KEYS[1])
	if val == ARGV[1] then
		return redis.call("DEL", KEYS[1])
	elseif val == false then
		return -1
	else
		return 0
	end
""",
    """
	if redis.call("GET", KEYS[1]) == ARGV[1] then
		return redis.call("PEXPIRE", KEYS[1], ARGV[2])
	elseif redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2], "NX") then
		return 1
	else
		return 0
	end
""",
    """
                if redis.call('get', KEYS[1]) == ARGV[1] then
                    local pttl = redis.call('pttl', KEYS[1])
                    return (pttl > 0) and pttl or 0
                else
                    return 0
                end
            """,
]
BLANKS = ["\n", "\r\n", "\t \n", " --[[ a\n b ]] ", " -- a 'b' \"c\n", "  ", " --[==[ ]] ]==]\n"]


def dress(s, text):
    """The same script: other white space, comments, quotes."""
    out, quoted = "", False
    if s.r.random() < 0.3:
        text = text.replace("'", '"') if s.r.random() < 0.5 else text.replace('"', "'")
    share = s.r.choice([0, 0, 0.1, 0.5])
    for line in text.splitlines(keepends=True):
        for c in line:
            quoted ^= c in "'\""
            out += c
            if c in " \t" and not quoted and "--" not in line and s.r.random() < share:
                out += s.r.choice(BLANKS)
    return out.encode()


TOKENS = [b"t1", b"t1", b"t1", b"t2", b"", b"t1x", b"1", b"\x00t\r\n"]


def script_args(s):
    def time_arg():
        what = s.r.random()
        arg = s.far(False) if what < 0.6 else s.time(False, False) if what < 0.8 else s.number()
        # None that passes while we look.
        return s.far(False) if arg.isdigit() and 0 < int(arg) < 10**6 else arg
    args = [s.r.choice(TOKENS), time_arg(), s.r.choice([b"0", b"0", b"-1", time_arg()])]
    if s.r.random() < 0.4: # redislock's: the token's length before the time
        args[1] = s.r.choice([b"-2", b"0", b"-1", b"1e1000", b"2.0", b"0x7fffffff", time_arg()])
        args[2] = time_arg()
    return args if s.r.random() < 0.85 else args[:s.r.randrange(3)]


def gen_eval(s):
    keys = s.keys() if s.r.random() < 0.4 else [s.key()]
    n = b"%d" % len(keys) if s.r.random() < 0.95 else s.number()
    text = dress(s, s.r.choice(SCRIPTS)) if s.r.random() < 0.7 else s.r.choice(SCRIPTS).encode()
    if s.r.random() < 0.3:
        sha = hashlib.sha1(s.r.choice(SCRIPTS).encode()).hexdigest()
        if s.r.random() < 0.2:
            sha = s.r.choice([sha.upper(), sha[:-1], sha[:-1] + "x", ""])
        return [s.case(b"EVALSHA" if s.r.random() < 0.8 else b"EVALSHA_RO"), sha.encode(), n] + \
            keys + script_args(s)
    return [s.case(b"EVAL" if s.r.random() < 0.85 else b"EVAL_RO"), text, n] + keys + script_args(s)


def gen_script(s):
    texts = [t.encode() for t in SCRIPTS]
    shas = [hashlib.sha1(t).hexdigest().encode() for t in texts]
    return s.r.choice([
        lambda: [b"SCRIPT", s.case(b"LOAD"), s.r.choice(texts)],
        lambda: [b"SCRIPT", b"LOAD", dress(s, s.r.choice(SCRIPTS))],
        lambda: [b"SCRIPT", s.case(b"EXISTS")] + [s.r.choice(shas + [b"", b"x"]) for _ in range(3)],
        lambda: [b"SCRIPT", b"EXISTS", s.r.choice(shas).upper()],
        lambda: [b"SCRIPT", s.case(b"FLUSH")] + s.r.choice([[], [b"sync"], [b"ASYNC"], [b"x"],
                                                            [b"SYNC", b"SYNC"]]),
        lambda: [b"SCRIPT", s.r.choice([b"KILL", b"nosuch", b"LOAD", b"EXISTS", b""])],
        lambda: [b"SCRIPT"], lambda: [b"EVAL"], lambda: [b"EVALSHA", b"x"],
        lambda: [b"COMMAND", s.r.choice([b"GETKEYS", b"GETKEYSANDFLAGS"]),
                 s.r.choice([b"EVAL", b"evalsha_ro"]), b"x",
                 s.r.choice([b"0", b"1", b"2", b"3", b"x", b""])] + s.keys()])()


def gen_token(s):
    """Mostly a lock that one of the tokens holds."""
    px = [b"PX", s.far(False)] if s.r.random() < 0.7 else []
    return [b"SET", s.key(), s.r.choice(TOKENS)] + px


STRINGS = [gen_set, gen_set, gen_set, gen_getex, gen_getex, gen_setex, gen_mset,
           of_key(b"GET", b"GETDEL", b"STRLEN"), of_keys(b"MGET"),
           lambda s: [s.r.choice([b"SETNX", b"GETSET", b"APPEND", b"APPEND"]), s.key(), s.value()],
           of_key(b"PTTL")]
PARTS = [gen_range, gen_range, gen_range, gen_float, gen_float, gen_set, gen_setex, gen_lcs, gen_lcs,
         gen_lcs, of_key(b"GET", b"PTTL")]
BITS = [gen_bit, gen_bit, gen_bit, gen_bitfield, gen_bitfield, gen_bitfield, gen_setex,
        of_key(b"GET", b"PTTL")]
COUNTERS = [of_key(b"INCR", b"DECR"), lambda s: [s.r.choice([b"INCRBY", b"DECRBY"]), s.key(), s.number()],
            lambda s: [s.r.choice([b"INCRBY", b"DECRBY"]), s.key(), s.number()],
            lambda s: [b"SET", s.key(), s.number()], of_key(b"GET", b"TTL"), gen_setex]
EXPIRES = [gen_expire, gen_expire, gen_expire, of_key(b"TTL", b"PTTL", b"PERSIST", b"EXISTS"),
           of_key(b"EXPIRETIME", b"PEXPIRETIME"),
           gen_set, lambda s: [b"SET", s.key(), b"v"]]
TWO_KEYS = [gen_two_keys, gen_two_keys, gen_two_keys, gen_setex, of_key(b"GET", b"TTL"), gen_set]
KEYWORK = [of_keys(b"DEL", b"UNLINK", b"EXISTS", b"TOUCH"), of_key(b"TYPE"), gen_flush, gen_mset,
           gen_mset, lambda s: [b"@dbsize"]]
WALKS = [gen_keys, gen_keys, gen_scan_all, gen_scan_edge, gen_glob_key, gen_glob_key, gen_glob_key,
         gen_mset]


def gen_transaction(s):
    """What begins, ends or spoils one; what is queued comes of the other generators."""
    pick = s.r.random()
    if pick < 0.3:
        return [s.case(b"MULTI")]
    if pick < 0.6:
        return [s.case(b"EXEC")]
    if pick < 0.8:
        return [s.case(b"WATCH")] + s.keys()
    return s.r.choice([[b"DISCARD"], [b"UNWATCH"], [b"EXEC", b"a"], [b"MULTI", b"a"], [b"WATCH"],
                       [b"DISCARD", b"a"], [b"UNWATCH", b"a"], [b"RESET"], [b"NOSUCH"], [b"GET"]])


CONNECTION = [gen_conn, gen_conn, gen_hello, gen_config]
ERRORS = [gen_getkeys, gen_unknown, gen_subcommand, gen_arity, gen_arity]

QUEUED = [gen_set, gen_mset, gen_flush, gen_expire, gen_getex, of_keys(b"DEL", b"MGET", b"EXISTS"),
          of_key(b"INCR", b"GET", b"PERSIST"),
          lambda s: s.r.choice([[b"PING"], [b"ECHO", s.value()], [b"SELECT", s.number()]]),
          lambda s: [b"APPEND", s.key(), s.value()],
          # Nothing whose reply depends on time: replies in EXEC are compared to the byte.
          lambda s: [s.case(b"EVAL"), dress(s, s.r.choice([SCRIPTS[0], SCRIPTS[5], SCRIPTS[10]])),
                     s.r.choice([b"1", b"1", b"2", b"0"]), s.key(), s.r.choice(TOKENS), s.value()],
          gen_token]
TRANSACTIONS = [gen_transaction, gen_transaction, lambda s: s.r.choice(QUEUED)(s),
                lambda s: s.r.choice(QUEUED)(s)]

FAMILIES = {
    "string": STRINGS,
    "part": PARTS,
    "bit": BITS,
    "two_keys": TWO_KEYS,
    "counter": COUNTERS,
    "expire": EXPIRES,
    "key": KEYWORK,
    "walk": WALKS,
    "connection": CONNECTION,
    "transaction": TRANSACTIONS,
    "error": ERRORS,
    "slowlog": [gen_slowlog],
    "client": [gen_client],
    "mixed": STRINGS + PARTS + BITS + TWO_KEYS + COUNTERS + EXPIRES + KEYWORK + WALKS + CONNECTION + ERRORS,
    "script": [gen_eval] * 6 + [gen_token] * 4 + [gen_script, of_key(b"GET", b"PTTL")],
    "pubsub": [gen_pubsub],
}
