#!/usr/bin/env python3
"""What operators ask of a running daemon: slow commands and long waits, and who is
connected; what they do to clients: kill, pause, unblock."""

import re
import select
import shutil
import subprocess

import harness
from harness import Closed, encode

# Some milliseconds: 3.6 million comparisons.
HARD = ("LCS", "l1", "l2", "LEN")


def prepare(c):
    c("MSET", "l1", b"a" * 1900, "l2", b"ab" * 950)


def slow(c):
    return c("SLOWLOG", "GET", -1)


class Slowlog(harness.Case):
    def test_every_command_is_kept_where_all_are_asked_for(self):
        d = self.daemon("threads: 2\n")
        c = d.client()
        c("CONFIG", "SET", "slowlog-log-slower-than", 0)
        self.assertEqual(c("SLOWLOG", "RESET"), "OK")
        replies = c.pipeline(["SET", "k", "v"], ["GET", "k"], ["MULTI"], ["INCR", "n"], ["EXEC"])
        self.assertEqual(replies[-1], [1])
        kept = [e[3] for e in reversed(slow(c))]
        self.assertEqual(kept, [[b"SLOWLOG", b"RESET"], [b"SET", b"k", b"v"], [b"GET", b"k"], [b"MULTI"],
                                [b"INCR", b"n"]])
        for number, _at, spent, _argv, addr, name in slow(c):
            self.assertGreaterEqual(number, 0)
            self.assertGreaterEqual(spent, 0)
            self.assertEqual(addr.decode(), d.path + ":0")
            self.assertEqual(name, b"")

    def test_a_slow_command_is_kept_and_fast_ones_are_not(self):
        d = self.daemon("threads: 2\nmax_value: 32MiB\nslowlog_slower_than: 3ms\nlatency_threshold: 3ms\n")
        c, other = d.client(), d.client()
        prepare(c)
        self.assertEqual(c(*HARD), 950)
        kept = slow(other)
        self.assertIn([w.encode() for w in HARD], [e[3] for e in kept])
        self.assertIn(b"command", [e[0] for e in other("LATENCY", "LATEST")])
        self.assertIn(b"1. command", other("LATENCY", "DOCTOR"))

    def test_a_short_command_is_found_without_being_timed(self):
        """An APPEND that copies 50 MiB, after so many short ones that few are timed."""
        d = self.daemon("threads: 1\nmemory: 1GiB\nmax_value: 128MiB\nslowlog_slower_than: 1ms\n")
        c = d.client()
        c("SETRANGE", "big", 50 << 20, "x")
        c.pipeline(*[["PING"]] * 400)
        c("SLOWLOG", "RESET")
        for before, behind in (([], []), ([["GET", "k"]] * 9, [["GET", "k"]] * 11)):
            for _ in range(4):
                c.pipeline(*before, ["APPEND", "big", "y"], *behind)
            kept = [e[3] for e in slow(c)]
            self.assertEqual(len([k for k in kept if k[:3] == [b"APPEND", b"big", b"y"]]), 4, kept)
            c("SLOWLOG", "RESET")

    def test_events_of_a_loop_come_within_a_second_or_two(self):
        d = self.daemon("threads: 1\nmax_value: 32MiB\nlatency_threshold: 3ms\n")
        c = d.client()
        prepare(c)

        def stalled():
            c(*HARD)
            return c("LATENCY", "HISTORY", "loop-stall")

        self.assertGreaterEqual(harness.wait_until(stalled, "a stall")[0][1], 3)

    def test_the_longest_turn_of_the_loops_is_told_whatever_the_threshold(self):
        for threshold in ("0", "1h"):
            with self.subTest(threshold=threshold):
                d = self.daemon(f"threads: 2\nmax_value: 32MiB\nlatency_threshold: {threshold}\n")
                c = d.client()
                prepare(c)

                def told():
                    return int(d.info("stats")["loop_lag_max_us"])

                harness.wait_until(lambda: c(*HARD) is not None and told() >= 3000, "a stall")
                longest = told()
                harness.wait_until(lambda: c("CONFIG", "RESETSTAT") == "OK" and told() < longest,
                                   "it to begin anew")


LEASES = """
threads: 2
namespaces:
  - prefix: "page:"
    coalesce: lease
    lease_time: 60s
"""

THROUGH = """
threads: 2
namespaces:
  - prefix: "user:"
    origin: users
    path: /users/{{rest}}
origins:
  users:
    http:
      endpoints: ["{url}"]
    deadline: 60s
"""


def is_silent(c):
    """Nothing is there now, and whatever else the daemon has done is done."""
    return c.at == len(c.buffer) and not select.select([c.sock], [], [], 0)[0]


def is_closed(c):
    try:
        return c.until_closed() == b""
    except Closed:
        return True


def blocked(c):
    text = c("INFO", "clients").decode()
    return int(re.search(r"blocked_clients:(\d+)", text)[1])


def line_of(asker, ident):
    text = asker("CLIENT", "LIST", "ID", ident).decode()
    return dict(f.split("=", 1) for f in text.split())


class Kill(harness.Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon("threads: 2\n")
        self.all = [self.d.client() for _ in range(4)] # two on each loop
        self.ids = [c("CLIENT", "ID") for c in self.all]

    def test_by_id_on_whatever_loop(self):
        asker = self.all[0]
        for c, ident in zip(self.all[1:], self.ids[1:]):
            self.assertEqual(asker("CLIENT", "KILL", "ID", ident), 1)
            self.assertTrue(is_closed(c))
            self.assertEqual(asker("CLIENT", "KILL", "ID", ident), 0)

    def test_who_asks_is_spared_unless_it_wants_to_go_and_then_gets_its_answer(self):
        asker = self.all[0]
        self.assertEqual(asker("CLIENT", "KILL", "ID", self.ids[0]), 0)
        self.assertEqual(asker("CLIENT", "KILL", "SKIPME", "no", "TYPE", "normal"), 4)
        for c in self.all:
            self.assertTrue(is_closed(c))

    def test_the_old_form_kills_by_address_and_who_asks_too(self):
        asker = self.all[0]
        self.assertEqual(asker.error("CLIENT", "KILL", "/nowhere:0"), "ERR No such client")
        self.assertEqual(asker("CLIENT", "KILL", self.d.path + ":0"), "OK")
        for c in self.all:
            self.assertTrue(is_closed(c))

    def test_all_filters_must_fit(self):
        asker, listener = self.all[0], self.all[1]
        listener("SUBSCRIBE", "news")
        kill = ("CLIENT", "KILL", "TYPE", "pubsub", "ADDR", self.d.path + ":0", "LADDR", self.d.path + ":0")
        self.assertEqual(asker(*kill, "ID", self.ids[2]), 0)
        self.assertEqual(asker("CLIENT", "KILL", "TYPE", "replica"), 0)
        self.assertEqual(asker(*kill, "USER", "default"), 1)
        self.assertTrue(is_closed(listener))
        self.assertEqual(self.all[2]("PING"), "PONG")

    def test_whoever_waits_for_a_killed_lease_holder_goes_on(self):
        d = self.daemon(LEASES)
        holder, waiter, asker = (d.client() for _ in range(3))
        self.assertIsNone(holder("GET", "page:1"))
        ident = holder("CLIENT", "ID")
        waiter.send("GET", "page:1")
        harness.wait_until(lambda: blocked(asker) == 1, "it to wait")
        self.assertEqual(asker("CLIENT", "KILL", "ID", ident), 1)
        self.assertIsNone(waiter.reply())

    def test_one_that_waits_can_be_killed(self):
        o = self.origin()
        gate = o.hold("/users/1", b"ann")
        d = self.daemon(THROUGH.format(url=o.url))
        waiter, asker = d.client(), d.client()
        ident = waiter("CLIENT", "ID")
        waiter.send("GET", "user:1")
        o.wait_requests(1)
        self.assertEqual(asker("CLIENT", "KILL", "ID", ident), 1)
        self.assertTrue(is_closed(waiter))
        gate.open()
        self.assertEqual(asker("GET", "user:1"), b"ann")


class Pause(harness.Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon("threads: 2\n")
        self.asker, self.one, self.two = (self.d.client() for _ in range(3))
        self.ident = self.two("CLIENT", "ID")

    def test_all_wait_until_it_is_over(self):
        self.assertEqual(self.asker("CLIENT", "PAUSE", 300), "OK")
        late = self.d.client() # came while it lasts
        for c in (self.one, self.two, late, self.asker):
            c.raw(encode("INCR", "n") + encode("PING"))
        self.assertTrue(all(map(is_silent, (self.one, self.two, late, self.asker))))
        counts = [c.reply() for c in (self.one, self.two, late, self.asker)]
        self.assertEqual(sorted(counts), [1, 2, 3, 4])
        self.assertEqual([c.reply() for c in (self.one, self.two, late)], ["PONG"] * 3)

    def test_of_writes_reads_go_on_and_writes_keep_their_order(self):
        self.assertEqual(self.asker("CLIENT", "PAUSE", 60000, "WRITE"), "OK")
        self.one.raw(encode("GET", "k") + encode("SET", "k", "v") + encode("GET", "k"))
        self.assertIsNone(self.one.reply())
        self.two.raw(encode("MULTI"))
        self.two.reply()
        self.two.raw(encode("PUBLISH", "a", "b"))
        harness.wait_until(lambda: blocked(self.asker) == 2, "two to be held")
        self.assertTrue(is_silent(self.one) and is_silent(self.two))
        self.assertEqual(line_of(self.asker, self.ident)["flags"], "xbU")
        self.assertEqual(self.asker("CLIENT", "UNPAUSE"), "OK")
        self.assertEqual([self.one.reply(), self.one.reply()], ["OK", b"v"])
        self.assertEqual(self.two.reply(), "QUEUED")
        self.assertEqual(blocked(self.asker), 0)

    def test_a_transaction_that_writes_waits_and_one_that_reads_does_not(self):
        self.one.pipeline(["MULTI"], ["INCR", "n"])
        self.two.pipeline(["MULTI"], ["GET", "n"])
        self.assertEqual(self.asker("CLIENT", "PAUSE", 60000, "WRITE"), "OK")
        self.assertEqual(self.two("EXEC"), [None])
        self.one.send("EXEC")
        harness.wait_until(lambda: blocked(self.asker) == 1, "it to be held")
        self.assertEqual(self.asker("CLIENT", "UNPAUSE"), "OK")
        self.assertEqual(self.one.reply(), [1])

    def test_it_can_become_longer_and_wider_but_not_less(self):
        self.assertEqual(self.asker("CLIENT", "PAUSE", 60000, "WRITE"), "OK")
        self.assertEqual(self.asker("CLIENT", "PAUSE", 1, "WRITE"), "OK")
        self.one.send("SET", "k", "v")
        harness.wait_until(lambda: blocked(self.asker) == 1, "it to be held")
        for _ in range(50):
            self.assertEqual(self.asker("PING"), "PONG")
        self.assertTrue(is_silent(self.one))
        self.assertEqual(self.asker("CLIENT", "UNPAUSE"), "OK")
        self.assertEqual(self.one.reply(), "OK")

    def test_one_that_is_held_may_leave(self):
        self.assertEqual(self.asker("CLIENT", "PAUSE", 60000, "WRITE"), "OK")
        self.one.send("SET", "k", "v")
        harness.wait_until(lambda: blocked(self.asker) == 1, "it to be held")
        self.one.close()
        harness.wait_until(lambda: blocked(self.asker) == 0, "it to be gone")
        self.assertEqual(self.asker("CLIENT", "UNPAUSE"), "OK")
        self.assertIsNone(self.asker("GET", "k"))

    def test_a_stop_does_not_wait_for_those_that_are_held(self):
        self.assertEqual(self.asker("CLIENT", "PAUSE", 600000), "OK")
        self.one.send("GET", "k")
        self.assertEqual(self.d.stop(), 0)


PREFACE = b"\xc1\x0a\x92\xa7pannier\x01"


def binary_get(ident, key):
    return bytes([4 + len(key), 0x93, 1, ident, 0xa0 | len(key)]) + key.encode()


class Binary(harness.Case):
    """Sessions of the other protocol are clients too."""

    def start(self, config):
        d = self.daemon(config)
        c = harness.Client(d.path)
        c.raw(PREFACE)
        self.assertEqual(c.take(1), b"\xc1")
        greeting = c.take(c.take(1)[0])
        self.ident = greeting[greeting.index(b"\xa2id") + 3]
        return d.client(), c

    def test_a_pause_holds_them(self):
        asker, c = self.start("threads: 2\n")
        asker("SET", "k", "value")
        self.assertEqual(asker("CLIENT", "PAUSE", 300), "OK")
        c.raw(binary_get(1, "k") + binary_get(2, "k"))
        asker.send("PING")
        self.assertTrue(is_silent(c))
        for ident in (1, 2):
            frame = c.take(c.take(1)[0])
            self.assertEqual((frame[1], frame[-5:]), (ident, b"value"))
        self.assertEqual(asker.reply(), "PONG")

    def test_they_can_be_killed_and_unblocked(self):
        asker, c = self.start(LEASES)
        self.assertIsNone(asker("GET", "page:1"))
        c.raw(binary_get(7, "page:1"))
        harness.wait_until(lambda: blocked(asker) == 1, "it to wait")
        self.assertEqual(asker("CLIENT", "UNBLOCK", self.ident), 1)
        frame = c.take(c.take(1)[0])
        self.assertEqual(frame[1], 7)
        self.assertIn(b"UNBLOCKED", frame)
        self.assertEqual(asker("CLIENT", "KILL", "ID", self.ident), 1)
        self.assertTrue(is_closed(c))


class Reply(harness.Case):
    def setUp(self):
        super().setUp()
        self.c = self.daemon("threads: 1\n").client()

    def replies(self, *requests):
        """All that come for these and a PING."""
        self.c.raw(b"".join(map(lambda r: encode(*r), requests + (("PING", "end"),))))
        got = []
        while got[-1:] != [b"end"]:
            got.append(self.c.value())
        return got[:-1]

    def test_off_is_silent_about_errors_too_until_on(self):
        got = self.replies(("CLIENT", "REPLY", "OFF"), ("SET", "k", "v"), ("NOSUCH",), ("GET",), ("INCR", "k"),
                           ("MULTI",), ("GET", "k"), ("EXEC",), ("CLIENT", "LIST"),
                           ("CLIENT", "REPLY", "SKIP"), ("CLIENT", "REPLY", "ON"), ("GET", "k"))
        self.assertEqual(got, ["OK", b"v"])

    def test_skip_is_silent_about_one(self):
        got = self.replies(("CLIENT", "REPLY", "SKIP"), ("SET", "k", "v"), ("GET", "k"))
        self.assertEqual(got, [b"v"])
        got = self.replies(("CLIENT", "REPLY", "SKIP"), ("CLIENT", "REPLY", "SKIP"), ("NOSUCH",), ("GET", "k"))
        self.assertEqual(got, [b"v"])
        got = self.replies(("CLIENT", "REPLY", "SKIP"), ("CLIENT", "LIST"), ("GET", "k"))
        self.assertEqual(got, [b"v"])

    def test_reset_is_heard(self):
        self.assertEqual(self.replies(("CLIENT", "REPLY", "OFF"), ("RESET",), ("PING",)), ["RESET", "PONG"])

    def test_messages_are_heard(self):
        d = self.daemon("threads: 1\n")
        c, other = d.client(), d.client()
        c("HELLO", 3)
        c.send("SUBSCRIBE", "news")
        self.assertEqual(c.value()[0], b"subscribe")
        c.send("CLIENT", "REPLY", "OFF")
        harness.wait_until(lambda: other("PUBLISH", "news", "x") == 1, "a listener")
        self.assertEqual(c.value()[-1], b"x")


class Unblock(harness.Case):
    def test_one_that_waits_for_a_lease_gets_nil_or_an_error(self):
        d = self.daemon(LEASES)
        holder, waiter, asker = (d.client() for _ in range(3))
        ident = waiter("CLIENT", "ID")
        self.assertIsNone(holder("GET", "page:1"))
        for words in ((), ("timeout",)):
            waiter.send("GET", "page:1")
            harness.wait_until(lambda: blocked(asker) == 1, "it to wait")
            self.assertEqual(asker("CLIENT", "UNBLOCK", ident, *words), 1)
            self.assertIsNone(waiter.reply())
        waiter.send("GET", "page:1")
        harness.wait_until(lambda: blocked(asker) == 1, "it to wait")
        self.assertEqual(asker("CLIENT", "UNBLOCK", ident, "ERROR"), 1)
        with self.assertRaisesRegex(harness.ReplyError, "^UNBLOCKED client unblocked via CLIENT UNBLOCK$"):
            waiter.reply()
        self.assertEqual(asker("CLIENT", "UNBLOCK", ident), 0)
        # The lease is still the holder's.
        waiter.send("GET", "page:1")
        harness.wait_until(lambda: blocked(asker) == 1, "it to wait")
        holder("SET", "page:1", "made")
        self.assertEqual(waiter.reply(), b"made")

    def test_one_that_waits_for_an_origin_too_with_all_of_its_pipeline(self):
        o = self.origin()
        gates = [o.hold("/users/%d" % n, b"ann") for n in (1, 2)]
        d = self.daemon(THROUGH.format(url=o.url))
        waiter, asker = d.client(), d.client()
        ident = waiter("CLIENT", "ID")
        waiter.raw(encode("GET", "user:1") + encode("GET", "k") + encode("MGET", "user:2", "k"))
        o.wait_requests(2)
        self.assertEqual(asker("CLIENT", "UNBLOCK", ident), 1)
        self.assertEqual([waiter.reply() for _ in range(3)], [None, None, None])
        for gate in gates:
            gate.open()
        self.assertEqual(waiter("GET", "user:1"), b"ann")

    def test_who_asks_other_loops_is_not_waiting(self):
        d = self.daemon("threads: 2\n")
        c, asker = d.client(), d.client()
        ident = c("CLIENT", "ID")
        for _ in range(50):
            c.send("CLIENT", "LIST")
            self.assertEqual(asker("CLIENT", "UNBLOCK", ident), 0)
            self.assertIn(b"id=", c.reply())


class Shelter(harness.Case):
    def test_no_evict_keeps_a_client_that_holds_most(self):
        d = self.daemon("threads: 1\nmemory: 64MiB\nbuffers_limit: 1MiB\n")
        asker, large, second = (d.client() for _ in range(3))
        self.assertEqual(large("CLIENT", "NO-EVICT", "ON"), "OK")
        self.assertEqual(line_of(asker, large("CLIENT", "ID"))["flags"], "Ue")
        large.raw(encode("SET", "large", b"l" * 480000)[:400000])
        large.all_taken()
        second.raw(encode("SET", "second", b"s" * 400000)[:300000])
        second.all_taken()
        small = []
        while len(small) < 20 and not select.select([second.sock], [], [], 0)[0]:
            small.append(d.client())
            small[-1].raw(encode("SET", "k", b"s" * 120000)[:100000])
            small[-1].all_taken()
            self.assertEqual(asker("PING"), "PONG")
        self.assertTrue(is_closed(second))
        large.raw(encode("SET", "large", b"l" * 480000)[400000:])
        self.assertEqual(large.reply(), "OK")

    def test_what_transactions_queue_counts_and_is_refused_in_time(self):
        d = self.daemon("threads: 1\nmemory: 64MiB\nbuffers_limit: 1MiB\n")
        c, other = d.client(), d.client()
        self.assertEqual(c("MULTI"), "OK")
        for _ in range(5):
            self.assertEqual(c("SET", "k", b"x" * 100000), "QUEUED")
        held = int(re.search(r"mem_clients_normal:(\d+)", other("INFO", "memory").decode())[1])
        self.assertGreater(held, 500000)
        self.assertIn("multi=5 ", other("CLIENT", "LIST").decode())
        self.assertRegex(other("CLIENT", "LIST").decode(), r" multi-mem=50\d{4} ")
        self.assertEqual(c.error("MSET", *[b"x" * 100000] * 4),
                         "OOM command not allowed: transactions have queued all that buffers_limit gives them")
        self.assertIn("EXECABORT", c.error("EXEC"))
        self.assertEqual(other("PING"), "PONG")
        held = int(re.search(r"mem_clients_normal:(\d+)", other("INFO", "memory").decode())[1])
        self.assertLess(held, 100000)
        c.pipeline(["MULTI"], ["SET", "k", b"x" * 100000])
        c.close()

        def given_back():
            text = other("INFO", "memory").decode()
            return int(re.search(r"mem_clients_normal:(\d+)", text)[1]) < 100000

        harness.wait_until(given_back, "its memory")

    def test_keys_of_many_come_in_one_reply_at_a_time(self):
        d = self.daemon("threads: 2\nmemory: 64MiB\n") # half a connection's output is 192 KiB
        c, lazy = d.client(), d.client()
        names = {b"key:%06d" % n for n in range(20000)}
        for i in range(0, 20000, 1000):
            c("MSET", *[x for n in range(i, i + 1000) for x in (b"key:%06d" % n, "v")])
        self.assertEqual(set(c("KEYS", "*")), names)
        self.assertEqual(set(c("KEYS", "key:*")), names)
        # One that does not read has it until it does.
        lazy.sock.setsockopt(1, 8, 4096)
        lazy.send("KEYS", "*")
        lazy.take(1)
        self.assertEqual(c.error("KEYS", "*"), "ERR too many keys match for one reply, use SCAN")
        lazy.close()

        def again():
            try:
                return len(c("KEYS", "*")) == 20000
            except harness.ReplyError:
                return False

        harness.wait_until(again, "the other to be gone")


class Peers(harness.Case):
    """What clients and tools ask for when they connect, and must understand."""

    def test_each_setting_that_they_ask_for_is_told(self):
        c = self.daemon("threads: 1\nmax_clients: 77\nidle_timeout: 90s\n").client()
        asked = {
            # StackExchange.Redis
            "timeout": b"90", "slave-read-only": b"yes", "replica-read-only": b"yes", "databases": b"1",
            # redis-benchmark
            "save": b"", "appendonly": b"no",
            # redis_exporter, redis-cli
            "maxclients": b"77", "maxmemory-policy": b"allkeys-lru", "slowlog-log-slower-than": b"10000",
            "slowlog-max-len": b"128", "latency-monitor-threshold": b"0", "cluster-enabled": b"no",
            "notify-keyspace-events": b"", "latency-tracking": b"yes",
        }
        for name, value in asked.items():
            self.assertEqual(c("CONFIG", "GET", name), [name.encode(), value])
        everything = dict(zip(*[iter(c("CONFIG", "GET", "*"))] * 2))
        self.assertTrue({name.encode() for name in asked} <= set(everything))
        self.assertTrue(everything[b"maxmemory"].isdigit())
        self.assertTrue(everything[b"maxmemory-clients"].isdigit())

    def test_what_the_exporter_asks_for_has_the_form_that_it_reads(self):
        c = self.daemon("threads: 1\nslowlog_slower_than: 0\n").client()
        c("SET", "k", "v")
        self.assertEqual(c("LATENCY", "LATEST"), [])
        self.assertGreaterEqual(c("SLOWLOG", "LEN"), 2)
        [[number, at, spent, argv, _addr, _name]] = c("SLOWLOG", "GET", 1)
        self.assertTrue(all(isinstance(n, int) for n in (number, at, spent)))
        self.assertEqual(argv, [b"SLOWLOG", b"LEN"])
        self.assertEqual(c("LATENCY", "HISTOGRAM", "set")[1][:3], [b"calls", 1, b"histogram_usec"])
        for line in c("INFO", "latencystats").decode().splitlines()[1:]:
            self.assertRegex(line, r"^latency_percentiles_usec_[a-z|.-]+:p50=[\d.]+,p99=[\d.]+,p99\.9=[\d.]+$")


class Uses(harness.Case):
    def hot(self, config, *before):
        c = self.daemon("threads: 2\n" + config).client()
        for words in before:
            c(*words)
        for i in range(50):
            c("SET", f"key:{i}", "v")
        for _ in range(8):
            c("GET", "key:7")
        return c

    def test_where_the_policy_counts_uses_they_are_told(self):
        c = self.hot("eviction: tinylfu\n")
        self.assertGreaterEqual(c("OBJECT", "FREQ", "key:7"), 8)
        self.assertLess(c("OBJECT", "FREQ", "key:8"), 8)
        self.assertIsNone(c("OBJECT", "FREQ", "nosuch"))
        self.assertIn("An LFU maxmemory policy is selected, idle time", c.error("OBJECT", "IDLETIME", "key:7"))
        self.assertGreaterEqual(self.hot("eviction: s3fifo\n")("OBJECT", "FREQ", "key:7"), 1)
        self.assertIn("An LFU maxmemory policy is not selected",
                      self.hot("eviction: lru\nhot_keys: 0\n").error("OBJECT", "FREQ", "key:7"))

    def test_no_touch_reads_are_not_counted(self):
        c = self.hot("eviction: tinylfu\n", ("CLIENT", "NO-TOUCH", "ON"))
        self.assertLess(c("OBJECT", "FREQ", "key:7"), 4)
        self.assertEqual(line_of(c, c("CLIENT", "ID"))["flags"], "UT")
        for _ in range(5):
            c("TOUCH", "key:7")
        self.assertGreaterEqual(c("OBJECT", "FREQ", "key:7"), 5)
        c("CLIENT", "NO-TOUCH", "OFF")
        for _ in range(5):
            c("GET", "key:8")
        self.assertGreaterEqual(c("OBJECT", "FREQ", "key:8"), 5)

    def test_redis_cli_finds_hot_keys(self):
        if shutil.which("redis-cli") is None:
            self.skipTest("no redis-cli")
        # By what is read most, and by what the policy counts.
        for policy, least in (("lru", 5), ("tinylfu", 8)):
            c = self.hot(f"eviction: {policy}\n")
            self.assertEqual(c("PING"), "PONG")
            said = subprocess.run(["redis-cli", "-s", self.daemons_path(c), "--hotkeys"],
                                  capture_output=True, text=True, timeout=60, check=True).stdout
            found = re.findall(r'^hot key found with counter: (\d+)\tkeyname: "(.*)"$', said, re.M)
            self.assertEqual(found[0][1], "key:7")
            self.assertGreaterEqual(int(found[0][0]), least)

    @staticmethod
    def daemons_path(c):
        return c.sock.getpeername()


class Publish(harness.Case):
    def test_in_a_transaction_messages_come_in_order_and_once(self):
        d = self.daemon("threads: 2\n")
        c, ears = d.client(), [d.client() for _ in range(3)]
        for e in ears:
            e("SUBSCRIBE", "news")
        got = c.pipeline(["MULTI"], ["PUBLISH", "news", "1"], ["SET", "k", "v"], ["SPUBLISH", "news", "x"],
                         ["PUBLISH", "news", "2"], ["PUBSUB", "NUMSUB", "news"], ["EXEC"],
                         ["PUBLISH", "news", "3"])
        self.assertEqual(got[-2:], [[3, "OK", 0, 3, [b"news", 3]], 3])
        for e in ears:
            self.assertEqual([e.value()[2] for _ in range(3)], [b"1", b"2", b"3"])

    def test_a_listener_that_does_not_read_is_closed_after_it(self):
        d = self.daemon("threads: 1\nmemory: 64MiB\noutput_limit: 64KiB\n")
        c, deaf = d.client(), d.client()
        deaf("SUBSCRIBE", "news")
        big = [["PUBLISH", "news", b"x" * 15000]] * 30
        got = c.pipeline(["MULTI"], ["SET", "k", "v"], *big, ["EXEC"], ["PING"])
        self.assertEqual(got[-2:], [["OK"] + [1] * 30, "PONG"])
        self.assertEqual(c("PUBLISH", "news", "x"), 0)


if __name__ == "__main__":
    harness.main()
