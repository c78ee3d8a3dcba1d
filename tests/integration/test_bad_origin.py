#!/usr/bin/env python3
"""Origins of HTTP that are slow, broken, hostile or gone, every line of BAD-INPUTS.md
end to end: each answer comes by its deadline and 50 ms, no loop stalls for more than
10 ms by its own measure, and other clients get their hits meanwhile.

A machine that is busy with others may be late for once. So the times are looked at in up
to TRIES rounds, of which one must keep them: what is wrong with the code is so each time.
PANNIER_TEST_SLACK_MS is added to both bounds."""

import contextlib
import os
import select
import threading
import time

import bad_origin
import harness
from bad_origin import AT_DEADLINE, AT_ONCE, FAULTS, MAX_BODY

SLACK_MS = int(os.environ.get("PANNIER_TEST_SLACK_MS") or (1000 if harness.SANITIZER else 0))
TRIES = 10
DEADLINE_MS = 120
LATE_MS = 50 + SLACK_MS
LAG_US = (10 + SLACK_MS) * 1000
LOOPS = 2

CONFIG = """
memory: 64MiB
threads: {loops}
namespaces:
  - prefix: "user:"
    origin: users
    path: /users/{{rest}}
  - prefix: "soon:"
    origin: soon
    path: /soon/{{rest}}
    retry_after: 0
origins:
  users:
    http:
      endpoints: [{endpoints}]
    deadline: 20s
    max_body: {body}
    {guard}
  soon:
    http:
      endpoints: [{endpoints}]
    deadline: {deadline}ms
    max_body: {body}
    {guard}
"""


# A breaker would keep the bad answers away; Guarded has it, and test_guard.py.
NO_GUARD = "breaker: {enabled: false}\n    retry: {enabled: false}"


class Round:
    """What one answer was, and how long it and the loops took."""

    def __init__(self, told, took_ms, lag_us):
        self.told, self.took_ms, self.lag_us = told, took_ms, lag_us

    def __repr__(self):
        return f"{self.told!r} after {self.took_ms:.1f} ms, a loop busy for {self.lag_us} us"


class Bad(harness.Case):
    counts_subtests = True
    guard = NO_GUARD

    def start(self, *urls, **more):
        self.d = self.daemon(CONFIG.format(loops=LOOPS, endpoints=", ".join(f'"{u}"' for u in urls),
                                           body=MAX_BODY, deadline=DEADLINE_MS, guard=self.guard), **more)
        self.c, self.n = self.d.client(), 0
        self.c("SET", "plain", "value")
        self.others = [self.d.client() for _ in range(2 * LOOPS)] # on every loop
        return self.d

    def key(self, prefix):
        self.n += 1
        return f"{prefix}:{self.n}"

    def soon(self):
        return self.key("soon")

    def ask(self, key):
        """The error's text, or the value; others get their hits until it comes."""
        self.c.send("GET", key)
        end = time.monotonic() + harness.PATIENCE_S
        while True:
            for other in self.others:
                self.assertEqual(other("GET", "plain"), b"value")
            if select.select([self.c.sock], [], [], 0)[0]:
                break
            self.assertLess(time.monotonic(), end, "no answer")
        value = self.c.value()
        return str(value) if isinstance(value, harness.ReplyError) else value

    def round(self, key):
        self.c("CONFIG", "RESETSTAT")
        begun = time.monotonic()
        told = self.ask(key)
        took_ms = (time.monotonic() - begun) * 1000
        return Round(told, took_ms, int(self.d.info("stats")["loop_lag_max_us"]))

    def calm_us(self, r):
        """Twice what this machine does to a loop that has only hits to serve."""
        if r.lag_us <= LAG_US:
            return 0
        self.c("CONFIG", "RESETSTAT")
        end = time.monotonic() + r.took_ms / 1000
        while time.monotonic() < end:
            for other in self.others:
                self.assertEqual(other("GET", "plain"), b"value")
        return 2 * int(self.d.info("stats")["loop_lag_max_us"])

    def in_time(self, key, check, at_deadline):
        """Rounds until one keeps all times; key() gives a key to ask for, check() looks
        at what each told."""
        rounds = []
        for _ in range(TRIES):
            r = self.round(key())
            check(r.told)
            if at_deadline:
                self.assertGreater(r.took_ms, DEADLINE_MS - 5)
            rounds.append(r)
            if r.took_ms <= DEADLINE_MS + LATE_MS and r.lag_us <= max(LAG_US, self.calm_us(r)):
                return
        self.fail(f"never in time: {rounds}")

    def is_error(self, told, words):
        self.assertIsInstance(told, str)
        self.assertIn(words, told)
        self.assertTrue(told.isprintable(), told)


class Answers(Bad):
    def setUp(self):
        self.gone = threading.Event()
        self.addCleanup(self.gone.set)
        self.users = self.origin()
        self.start(self.users.url)

    def will(self, path, play):
        """What the origin does when it is asked for this."""
        self.users.on(path, lambda ex: (play(ex, self.gone), ex.hang_up()))

    def test_what_is_wrong_is_told(self):
        for fault in FAULTS:
            if fault.when == AT_ONCE:
                with self.subTest(fault.name):
                    key = self.key("user")
                    self.will("/users/" + key[5:], fault.play)
                    told = self.ask(key)
                    self.is_error(told, "origin users: ")
                    self.is_error(told, fault.told)
        self.goes_on()

    def test_the_answer_comes_in_time_and_no_loop_stalls(self):
        before = self.d.status("VmHWM")
        for fault in FAULTS:
            with self.subTest(fault.name):
                for n in range(self.n + 1, self.n + 1 + TRIES):
                    self.will(f"/soon/{n}", fault.play)
                late = fault.when == AT_DEADLINE
                self.in_time(self.soon, lambda told: self.is_error(
                    told, fault.told if late else "origin soon: "), late)
        self.goes_on()
        if not harness.SANITIZER:
            self.assertLess(self.d.status("VmHWM") - before, 24 << 20)

    def goes_on(self):
        self.users.on("/users/good", b"value")
        self.users.on("/soon/good", b"value")
        self.assertEqual(self.ask("user:good"), b"value")
        self.assertEqual(self.c("PING"), "PONG")


class Stale(Bad):
    """Where there was a value once, it is served instead of every error."""

    def setUp(self):
        self.gone = threading.Event()
        self.addCleanup(self.gone.set)
        self.users = self.origin()
        self.start(self.users.url)

    def stale(self, key):
        """It has a value, whose time is over."""
        self.users.on(f"/soon/{key[5:]}", b"old")
        harness.wait_until(lambda: self.ask(key) == b"old", "a value") # it may be too late
        self.assertEqual(self.c("PANNIER.INVALIDATE", "SOFT", key), 1)
        return key

    def is_old(self, told):
        self.assertEqual(told, b"old")

    def test_the_old_value_comes_in_time_and_no_loop_stalls(self):
        for fault in FAULTS:
            def prepare(fault=fault):
                key = self.stale(self.key("soon"))
                self.users.on(f"/soon/{key[5:]}", lambda ex: (fault.play(ex, self.gone), ex.hang_up()))
                return key

            with self.subTest(fault.name):
                self.in_time(prepare, self.is_old, fault.when == AT_DEADLINE)
        self.assertGreater(int(self.ns()["stale_on_error"]), 0)

    def test_what_the_origin_says_then_takes_its_place(self):
        key = self.stale("soon:back")
        self.users.on("/soon/back", status=503)
        self.is_old(self.ask(key))
        self.users.on("/soon/back", b"new")
        harness.wait_until(lambda: self.ask(key) == b"new", "the new value")

    def test_a_404_is_an_answer_and_no_error(self):
        key = self.stale("soon:none")
        self.users.on("/soon/none", status=404)
        self.assertIsNone(self.ask(key))

    def test_it_stands_in_while_nobody_listens(self):
        keys = [self.stale(self.key("soon")) for _ in range(TRIES)]
        self.users.close()
        self.in_time(keys.pop, self.is_old, False)

    def ns(self):
        return dict(f.split("=") for f in self.d.info("namespaces")["ns_soon"].split(","))


class Guarded(Stale):
    """The same with what stands before an origin by default: breaker, retries."""

    guard = ""

    def test_the_old_value_comes_in_time_and_no_loop_stalls(self):
        keys = [self.stale(self.key("soon")) for _ in range(len(FAULTS) + 2 * TRIES)]
        for fault in FAULTS:
            def prepare(fault=fault):
                key = keys.pop()
                self.users.on(f"/soon/{key[5:]}", lambda ex: (fault.play(ex, self.gone), ex.hang_up()))
                return key

            with self.subTest(fault.name):
                self.in_time(prepare, self.is_old, False)
        counts = dict(f.split("=") for f in self.d.info("origins")["origin_soon"].split(","))
        self.assertGreater(int(counts["breaker_refused"]), 0)


class Poison(Bad):
    """What was sent for one request, or for none, is never the answer to another."""

    def setUp(self):
        self.users = self.origin()
        self.start(self.users.url)

    def connections(self):
        with self.users.changed:
            return list(self.users.sockets)

    def test_an_answer_that_nobody_asked_for_is_nobodys(self):
        gate = threading.Event()

        def twice(ex):
            ex.raw(bad_origin.WHOLE + b"good" + bad_origin.EVIL)

        def later(ex):
            ex.raw(bad_origin.WHOLE + b"good")
            gate.wait(harness.PATIENCE_S)
            ex.raw(bad_origin.EVIL)
            harness.wait_until(lambda: harness.unsent(ex.sock) == 0, "the other side to have it")
            sent.set()

        for name, script in (("at once", twice), ("later", later)):
            with self.subTest(name):
                sent = threading.Event()
                self.users.on("/users/first", script)
                for i in range(2 * LOOPS): # one for each connection that may be kept
                    self.users.on(f"/users/{i}", b"next")
                self.assertEqual(self.ask("user:first"), b"good")
                gate.set()
                if script is later:
                    sent.wait(harness.PATIENCE_S)
                for i in range(2 * LOOPS):
                    self.assertEqual(self.ask(f"user:{i}"), b"next")
                self.c("FLUSHALL")
                self.c("SET", "plain", "value")

    def test_what_follows_a_malformed_head_is_nobodys(self):
        stay = threading.Event()
        self.addCleanup(stay.set)
        for n, head in enumerate((b": no name", b"X: a\r\n folded", b"Content-Length: x")):
            with self.subTest(head=head):
                data = bad_origin.head(head) + 3 * bad_origin.EVIL
                self.users.on(f"/users/bad{n}", lambda ex, data=data: (ex.raw(data), bad_origin.hang(ex, stay)))
                self.users.on(f"/users/next{n}", b"next")
                self.is_error(self.ask(f"user:bad{n}"), "origin users: ")
                self.assertEqual(self.ask(f"user:next{n}"), b"next")


class Nobody(Bad):
    """Those who do not even take a request."""

    def nobody(self, place, words, late=True):
        with place() as url:
            self.start(url)
            self.in_time(self.soon, lambda told: self.is_error(told, words), late)

    def test_a_port_where_nobody_listens_is_an_error_at_once(self):
        self.nobody(bad_origin.refusing, " refused", late=False)

    def test_packets_that_are_dropped_are_an_error_by_the_deadline(self):
        self.nobody(bad_origin.full, "no connection to ")

    def test_a_server_that_accepts_and_is_silent_is_an_error_by_the_deadline(self):
        self.nobody(bad_origin.accepting, "no answer within")

    def test_a_kept_connection_that_went_silent_is_an_error_by_the_deadline(self):
        """Half-open: the other side is not there any more, and nobody says so."""
        users, gone = self.origin(), threading.Event()
        self.addCleanup(gone.set)
        self.start(users.url)
        for n in range(1, 2 + 2 * TRIES):
            users.on(f"/soon/{n}", b"value" if n % 2 else lambda ex: bad_origin.hang(ex, gone))
        self.assertEqual(self.ask(self.key("soon")), b"value")

        def check(told):
            self.is_error(told, "no answer within")
            self.assertEqual(self.ask(self.key("soon")), b"value")

        self.in_time(self.soon, check, True)

    def test_one_that_comes_and_goes_is_an_error_only_while_it_is_gone(self):
        users = self.origin()
        self.start(users.url)
        for n in range(10):
            users.on(f"/users/up{n}", b"up")
            users.on(f"/users/again{n}", b"up")
            self.assertEqual(self.ask(f"user:up{n}"), b"up")
            users.close()
            self.is_error(self.ask(f"user:down{n}"), " refused")
            users = harness.Origin(users.port, users.scripts)
            self.addCleanup(users.close)
            self.assertEqual(self.ask(f"user:again{n}"), b"up")

    def test_one_that_flaps_gives_values_and_errors_and_nothing_else(self):
        users, seen = self.origin(), set()
        self.start(users.url)
        for n in range(60):
            bad = bad_origin.FAULTS[n % len(bad_origin.FAULTS)]
            if n % 2 or bad.when == AT_DEADLINE:
                users.on(f"/users/{n}", b"value")
            else:
                users.on(f"/users/{n}", lambda ex, bad=bad: (bad.play(ex, self.over), ex.hang_up()))
            told = self.ask(f"user:{n}")
            if told != b"value":
                self.is_error(told, bad.told)
            seen.add(told == b"value")
        self.assertEqual(seen, {True, False})

    def setUp(self):
        self.over = threading.Event()
        self.addCleanup(self.over.set)


class Names(Bad):
    """The C library's resolver stands still, or knows no such name."""

    def setUp(self):
        if harness.SANITIZER:
            self.skipTest("sanitizers must be the first that is loaded")
        self.library = os.path.join(os.environ["BUILD_DIR"], "tests/helpers/slow_resolver.so")
        self.stalls = os.path.join(self.folder(), "stalls")

    def begin(self, name):
        self.users = self.origin()
        self.start(f"http://{name}:{self.users.port}",
                   env={"LD_PRELOAD": self.library, "RESOLVER_STALLS": self.stalls})

    def test_a_name_that_is_known_is_asked(self):
        self.begin("here.test")
        self.users.on("/users/1", b"value")
        self.assertEqual(self.ask("user:1"), b"value")

    def test_a_name_that_does_not_exist_is_an_error(self):
        self.begin("nowhere.test")
        self.in_time(self.soon, lambda told: self.is_error(told, "cannot resolve nowhere.test:"), False)

    def test_a_resolver_that_stalls_is_an_error_by_the_deadline(self):
        with open(self.stalls, "wb"):
            pass
        self.begin("stalls.test")
        self.in_time(self.soon, lambda told: self.is_error(told, " not resolved within"), True)
        os.unlink(self.stalls)
        self.users.on("/users/late", b"value")
        self.assertEqual(self.ask("user:late"), b"value")


if __name__ == "__main__":
    harness.main()
