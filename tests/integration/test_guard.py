#!/usr/bin/env python3
"""The guard before origins, with a whole daemon: what it lets pass, what it keeps back
and with which words, and how it is seen and overruled."""

import threading

import harness

CONFIG = """
memory: 64MiB
threads: {threads}
namespaces:
  - prefix: "user:"
    origin: users
    path: /users/{{rest}}
    ttl: 300s
origins:
  users:
    http:
      endpoints: [{endpoints}]
    deadline: 20s
    {guard}
"""
OFF = "breaker: {enabled: false}\n    retry: {enabled: false}\n    ejection: {enabled: false}\n    "


class Backend(harness.Origin):
    """Answers every path by one script, which tests exchange."""

    def __init__(self, port=0):
        super().__init__(port)
        self.scripts = self
        self.script = None
        self.under_way, self.peak = 0, 0
        self.checks = lambda ex: ex.answer(200)
        self.is_well()

    def get(self, path):
        return self.checks if path == "/healthz" else self.script

    def is_well(self):
        self.script = lambda ex: ex.answer(200, b"value")

    def fails(self, status=500):
        self.script = lambda ex: ex.answer(status)

    def holds(self):
        gate = harness.Gate()

        def what(ex):
            gate.wait()
            ex.answer(200, b"value")
        self.script = what
        return gate

    def counts_how_many_at_a_time(self):
        def what(ex):
            with self.changed:
                self.under_way += 1
                self.peak = max(self.peak, self.under_way)
            threading.Event().wait(0.002)
            with self.changed:
                self.under_way -= 1
            ex.answer(200, b"value")
        self.script = what

    def asked(self):
        """Requests that are no checks."""
        with self.changed:
            return sum(path != "/healthz" for path in self.requests)


class Case(harness.Case):
    def backend(self):
        b = Backend()
        self.addCleanup(b.close)
        return b

    def start(self, *backends, guard, threads=1):
        endpoints = ", ".join(f'"{b.url}"' for b in backends)
        self.config = lambda guard: CONFIG.format(endpoints=endpoints, guard=guard, threads=threads)
        self.d = self.daemon(self.config(guard))
        self.c, self.n = self.d.client(), 0
        self.addCleanup(self.c.close)
        return self.d

    def key(self):
        self.n += 1
        return f"user:{self.n}"

    def get(self):
        """The value, or the error as text."""
        try:
            return self.c("GET", self.key())
        except harness.ReplyError as e:
            return str(e)

    def gets_error(self, part):
        told = self.get()
        self.assertIn("ORIGIN origin users: ", str(told))
        self.assertIn(part, told)

    def info(self):
        line = self.d.info("origins")["origin_users"]
        return dict(pair.split("=") for pair in line.split(","))

    def state(self):
        flat = self.c("PANNIER.ORIGIN", "STATE", "users")
        state = dict(zip([name.decode() for name in flat[::2]], flat[1::2]))
        state["endpoints"] = [dict(zip([name.decode() for name in e[::2]], e[1::2]))
                              for e in state["endpoints"]]
        return state

    def endpoint(self, backend):
        return next(e for e in self.state()["endpoints"]
                    if e["endpoint"].decode() == backend.url)["state"].decode()


class Breaker(Case):
    GUARD = ("retry: {{enabled: false}}\n    breaker: {{min_calls: 4, window_calls: 10, "
             "open_time: {open}, open_time_max: {open}}}")

    def opened(self, open_time="1h"):
        users = self.backend()
        users.fails()
        self.start(users, guard=self.GUARD.format(open=open_time))
        for _ in range(4):
            self.gets_error("HTTP 500")
        return users

    def test_it_opens_lets_nothing_through_and_closes_when_probes_go_well(self):
        users = self.opened("100ms")
        self.d.wait_log("circuit open")
        self.assertEqual(self.info()["breaker_opened"], "1")
        users.is_well()
        harness.wait_until(lambda: self.get() == b"value", "probes")
        harness.wait_until(lambda: self.get() == b"value" and self.info()["breaker"] == "closed",
                           "the breaker to close")

    def test_an_open_one_refuses_at_once_and_says_for_how_long(self):
        users = self.opened()
        self.gets_error("circuit open for ")
        self.assertEqual(users.asked(), 4)
        self.assertEqual(self.info()["breaker"], "open")
        self.assertEqual(self.info()["refused"], "1")
        self.assertGreater(self.state()["open-for-ms"], 1000000)

    def test_a_reload_keeps_it_open_unless_its_options_changed(self):
        self.opened()
        self.reload(self.config(self.GUARD.format(open="1h")))
        self.gets_error("circuit open for ")
        self.reload(self.config(self.GUARD.format(open="30m")))
        self.gets_error("HTTP 500")

    def reload(self, config):
        before = self.d.text().count("reload: done")
        self.d.write_config(config)
        self.d.signal(harness.signal.SIGHUP)
        harness.wait_until(lambda: self.d.text().count("reload: done") > before, "the reload")
        # The loop takes it up before it serves what comes after this.
        self.assertEqual(self.c("PING"), "PONG")

    def test_it_is_forced_by_command(self):
        users = self.backend()
        self.start(users, guard=self.GUARD.format(open="1h"))
        self.assertEqual(self.c("PANNIER.ORIGIN", "LIST"), [b"users"])
        self.assertEqual(self.c("PANNIER.ORIGIN", "FORCE", "users", "open"), "OK")
        self.gets_error("circuit open by command")
        self.assertEqual(users.asked(), 0)
        self.assertEqual(self.state()["forced"], b"open")
        self.assertEqual(self.c("PANNIER.ORIGIN", "FORCE", "users", "CLOSED"), "OK")
        users.fails()
        for _ in range(8):
            self.gets_error("HTTP 500")
        self.assertEqual(self.c("PANNIER.ORIGIN", "FORCE", "users", "AUTO"), "OK")
        self.assertEqual(self.state()["forced"], b"auto")
        users.is_well()
        self.assertEqual(self.get(), b"value")

    def test_a_dry_run_counts_and_lets_pass(self):
        users = self.backend()
        users.fails()
        self.start(users, guard="retry: {enabled: false}\n    breaker: {min_calls: 4, dry_run: true}")
        for _ in range(7):
            self.gets_error("HTTP 500")
        self.assertEqual(users.asked(), 7)
        self.assertEqual(self.info()["breaker_refused"], "3")


class Load(Case):
    def test_a_rate_limit_holds(self):
        users = self.backend()
        self.start(users, guard="rate: {limit: 5, period: 1h}")
        self.assertEqual([self.get() for _ in range(5)], [b"value"] * 5)
        for _ in range(5):
            self.gets_error("rate limit of 5 in 3600000 ms reached, next turn in ")
        self.assertEqual(users.asked(), 5)

    def test_a_concurrency_limit_holds_over_all_threads_and_serves_all(self):
        users = self.backend()
        users.counts_how_many_at_a_time()
        d = self.start(users, guard="concurrency: {limit: 2}", threads=3)
        clients = [d.client() for _ in range(30)]
        for c in clients:
            c.send("GET", self.key())
        self.assertEqual([c.reply() for c in clients], [b"value"] * len(clients))
        self.assertLessEqual(users.peak, 2)
        self.assertEqual((self.info()["in_flight"], self.info()["queued"]), ("0", "0"))

    def test_a_full_queue_sheds_long_before_the_deadline(self):
        users = self.backend()
        gate = users.holds()
        d = self.start(users, guard="concurrency: {limit: 1, queue: 2}")
        clients = [d.client() for _ in range(3)]
        for n, c in enumerate(clients):
            c.send("GET", self.key())
            harness.wait_until(lambda n=n: int(self.info()["in_flight"]) + int(self.info()["queued"]) == n + 1,
                               "it to wait")
        self.gets_error("overloaded: 2 requests wait already")
        gate.open()
        self.assertEqual([c.reply() for c in clients], [b"value"] * 3)
        self.assertEqual(self.info()["shed"], "1")
        self.assertEqual(users.asked(), 3)

    def test_the_retry_budget_bounds_what_a_failing_backend_gets(self):
        users = self.backend()
        users.fails(503)
        self.start(users, guard="breaker: {enabled: false}\n    retry: {budget: 20, min_per_second: 0}")
        for _ in range(100):
            self.gets_error("HTTP 503")
        self.assertGreater(users.asked(), 110)
        self.assertLessEqual(users.asked(), 121)
        self.assertGreater(int(self.info()["retries_refused"]), 0)

    def test_one_failure_is_not_seen(self):
        users = self.backend()
        said = []

        def what(ex):
            said.append(1)
            ex.answer(200 if len(said) == 2 else 503, b"value")
        users.script = what
        self.start(users, guard="breaker: {enabled: true}")
        self.assertEqual(self.get(), b"value")
        self.assertEqual(self.info()["retries"], "1")


class Endpoints(Case):
    def test_a_hedge_wins_against_a_slow_endpoint(self):
        fast, slow = self.backend(), self.backend()
        self.start(fast, slow, guard=OFF + "hedge: {enabled: true, min_delay: 20ms, budget: 100}")
        for _ in range(60):
            self.assertEqual(self.get(), b"value")
        gate = slow.holds()
        for _ in range(8):
            self.assertEqual(self.get(), b"value")
        gate.open()
        self.assertGreater(int(self.info()["hedges_won"]), 0)

    def test_a_dead_endpoint_is_ejected_and_comes_back(self):
        well, dead = self.backend(), self.backend()
        self.start(well, dead, guard="breaker: {enabled: false}\n    "
                   "ejection: {failures: 2, time: 300ms, time_max: 300ms}\n    balance: {slow_start: 0}")
        dead.close()
        for _ in range(6):
            self.assertEqual(self.get(), b"value")
        self.assertGreaterEqual(int(self.info()["ejections"]), 1)
        again = Backend(dead.port)
        self.addCleanup(again.close)
        harness.wait_until(lambda: self.get() == b"value" and again.asked() > 1, "it to come back")
        self.assertEqual(self.endpoint(again), "in")

    def test_health_checks_take_an_endpoint_out_and_bring_it_back(self):
        well, sick = self.backend(), self.backend()
        sick.checks = lambda ex: ex.answer(500)
        self.start(well, sick, guard=OFF + "health: {path: /healthz, interval: 20ms, timeout: 10s, "
                   "rise: 2, fall: 2}\n    balance: {slow_start: 0}")
        # Before anybody asked for a key.
        harness.wait_until(lambda: self.endpoint(sick) == "down", "it to be down")
        self.assertEqual(self.info()["endpoints_out"], "1")
        for _ in range(6):
            self.assertEqual(self.get(), b"value")
        self.assertEqual(sick.asked(), 0)
        sick.checks = lambda ex: ex.answer(204)
        harness.wait_until(lambda: self.endpoint(sick) == "in", "it to be up")
        for _ in range(6):
            self.assertEqual(self.get(), b"value")
        self.assertGreater(sick.asked(), 0)

    def test_an_endpoint_is_taken_out_and_put_back_by_command(self):
        one, other = self.backend(), self.backend()
        self.start(one, other, guard=OFF + "balance: {slow_start: 0}")
        self.assertEqual(self.c("PANNIER.ORIGIN", "EJECT", "users", one.url), "OK")
        self.assertEqual(self.endpoint(one), "out")
        for _ in range(6):
            self.get()
        self.assertEqual((one.asked(), other.asked()), (0, 6))
        self.assertEqual(self.c("PANNIER.ORIGIN", "RESTORE", "users", one.url), "OK")
        for _ in range(6):
            self.get()
        self.assertEqual(one.asked(), 3)


class Words(Case):
    def test_the_command_says_what_is_wrong(self):
        self.start(self.backend(), guard="breaker: {enabled: true}")
        for args, told in (
                (["STATE", "nobody"], "ERR no such origin; PANNIER.ORIGIN LIST names them"),
                (["FORCE", "users", "ajar"], "ERR the state must be OPEN, CLOSED or AUTO"),
                (["EJECT", "users", "http://x"], "ERR no such endpoint; PANNIER.ORIGIN STATE names them"),
                (["RESTORE", "nobody", "x"], "ERR no such origin; PANNIER.ORIGIN LIST names them"),
                (["STATE"], "ERR wrong number of arguments for 'pannier.origin|state' command"),
                (["NOPE"], "ERR unknown subcommand 'NOPE'. Try PANNIER.ORIGIN HELP.")):
            self.assertEqual(str(self.c.error("PANNIER.ORIGIN", *args)), told)
        self.assertIn("FORCE <name> OPEN|CLOSED|AUTO", self.c("PANNIER.ORIGIN", "HELP"))

    def test_orders_are_for_admins_where_there_are_any(self):
        folder = self.folder()
        d = self.daemon(f"listen:\n  - unix: {folder}/app.sock\n  - {{unix: {folder}/admin.sock, admin: true}}\n"
                        + CONFIG.format(endpoints='"http://127.0.0.1:9"', guard="breaker: {enabled: true}", threads=1),
                        folder=folder, path=f"{folder}/app.sock")
        app, admin = d.client(), harness.Client(f"{folder}/admin.sock")
        self.assertIn("NOPERM", str(app.error("PANNIER.ORIGIN", "FORCE", "users", "OPEN")))
        self.assertEqual(app("PANNIER.ORIGIN", "LIST"), [b"users"])
        self.assertEqual(admin("PANNIER.ORIGIN", "FORCE", "users", "OPEN"), "OK")
        self.assertIn("circuit open by command", str(app.error("GET", "user:1")))


if __name__ == "__main__":
    harness.main()
