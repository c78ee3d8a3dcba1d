#!/usr/bin/env python3
"""pannier as the near cache of a real redis-server: kept true by its invalidations, also
when their channel breaks, falls silent or cannot be had."""

import os
import signal
import time

import harness
import redis_servers

# Short times, where a test waits for one of them; long ones, where nothing may happen by time.
SLACK = 10 if harness.SANITIZER else 1
QUICK = f"tracking_ping: {50 * SLACK}ms, tracking_timeout: {300 * SLACK}ms"
NEVER = "tracking_ping: 1h, tracking_timeout: 1m"


class Near(redis_servers.Case):
    def near(self, options="", namespace="ttl: 1h", **more):
        self.server = self.redis()
        self.d = self.pannier(f'tracking: true, endpoints: ["{self.server.url}"], {options}',
                              namespace=namespace, **more)
        self.c = self.d.client()
        self.d.wait_log("invalidations are heard")

    def told(self):
        line = self.d.info("origins")["origin_tier"]
        return int(line.split("invalidations=")[1].split(",")[0])

    def write(self, *args):
        """At the server, and waits until the daemon has heard of it."""
        before = self.told()
        self.server(*args)
        harness.wait_until(lambda: self.told() > before, "an invalidation")

    def fetch(self, key, value):
        """Brings a value here; from now on only an invalidation takes it away."""
        self.write("SET", key, value)
        self.assertEqual(self.c("GET", key), value.encode())

    def calls(self):
        """GETs that the server has executed."""
        text = self.server("INFO", "commandstats").decode()
        for line in text.splitlines():
            if line.startswith("cmdstat_get:"):
                return int(line.split("calls=")[1].split(",")[0])
        return 0

    def wait_value(self, key, value):
        harness.wait_until(lambda: self.c("GET", key) == value, f"{key} to be {value!r}")

    def channel(self):
        """Lines of CLIENT LIST of connections that have tracking or listen."""
        return [line for line in self.server("CLIENT", "LIST").decode().splitlines()
                if "name=pannier" in line and ("flags=P" in line or "flags=t" in line or
                                               "t" in line.split("flags=")[1].split()[0] or
                                               "sub=1" in line)]

    def kill_channel(self):
        for line in self.channel():
            self.server("CLIENT", "KILL", "ID", line.split()[0].split("=")[1])


class Live(Near):
    def test_a_write_by_another_client_is_seen(self):
        self.near(NEVER)
        for i in range(20):
            self.fetch("u:1", f"v{i}")
        self.assertEqual(self.c("GET", "u:1"), b"v19")

    def test_what_did_not_change_is_served_without_asking(self):
        self.near(NEVER)
        self.fetch("u:1", "ann")
        before = self.calls()
        for _ in range(50):
            self.assertEqual(self.c("GET", "u:1"), b"ann")
        self.assertEqual(self.calls(), before)

    def test_a_removal_and_an_end_in_time_are_seen(self):
        self.near(NEVER)
        self.fetch("u:1", "ann")
        self.server("DEL", "u:1")
        self.wait_value("u:1", None)
        self.fetch("u:2", "bob")
        self.server("PEXPIRE", "u:2", 1)
        self.wait_value("u:2", None)

    def test_flushall_takes_all_of_the_tier_and_nothing_else(self):
        self.near(NEVER, more="")
        self.c("SET", "own", "stays")
        for i in range(50):
            self.server("SET", f"u:{i}", "x")
            self.assertEqual(self.c("GET", f"u:{i}"), b"x")
        self.server("FLUSHALL")
        for i in range(50):
            self.wait_value(f"u:{i}", None)
        self.assertEqual(self.c("GET", "own"), b"stays")

    def test_a_write_through_pannier_is_read_back_at_once(self):
        self.near(NEVER, namespace="ttl: 1h, write: through")
        for i in range(50):
            self.assertEqual(self.c("SET", "u:1", f"v{i}"), "OK")
            self.assertEqual(self.c("GET", "u:1"), f"v{i}".encode())

    def test_keys_that_are_called_differently_at_the_server_are_told_back(self):
        self.server = self.redis()
        self.d = self.pannier(f'tracking: true, endpoints: ["{self.server.url}"], {NEVER}, '
                              'key: "app:{rest}"', namespace="ttl: 1h")
        self.c = self.d.client()
        self.d.wait_log("invalidations are heard")
        for i in range(10):
            self.server("SET", "app:7", f"v{i}")
            self.wait_value("u:7", f"v{i}".encode())

    def test_its_state_is_told(self):
        self.near(NEVER)
        self.assertIn("tracking=verified", self.d.info("origins")["origin_tier"])
        state = self.c("PANNIER.ORIGIN", "STATE", "tier")
        self.assertEqual(state[state.index(b"tracking") + 1], b"verified")
        self.server.kill()
        self.d.wait_log("not heard any more")
        self.assertIn("tracking=unverified", self.d.info("origins")["origin_tier"])

    def test_one_channel_serves_all_threads(self):
        self.near(NEVER)
        self.assertEqual(len(self.channel()), 1)

    def test_without_resp3_two_connections_do_the_same(self):
        self.server = self.redis("rename-command HELLO \"\"")
        self.d = self.pannier(f'tracking: true, endpoints: ["{self.server.url}"], {NEVER}',
                              namespace="ttl: 1h")
        self.c = self.d.client()
        self.d.wait_log("invalidations are heard")
        for i in range(20):
            self.fetch("u:1", f"v{i}")
        self.server("FLUSHALL")
        self.wait_value("u:1", None)
        self.assertEqual(len(self.channel()), 2)


class Lost(Near):
    def test_a_channel_that_is_killed_comes_back_and_misses_nothing(self):
        self.near(QUICK + ", unverified_max: 1h")
        self.fetch("u:1", "old")
        self.kill_channel()
        self.d.wait_log("not heard any more")
        self.server("SET", "u:1", "new")
        self.wait_value("u:1", b"new")

    def test_without_resp3_the_loss_of_either_connection_is_noticed(self):
        self.server = self.redis("rename-command HELLO \"\"")
        self.d = self.pannier(f'tracking: true, endpoints: ["{self.server.url}"], {NEVER}, '
                              'unverified_max: 1h', namespace="ttl: 1h")
        self.c = self.d.client()
        for i in range(2):
            harness.wait_until(lambda: len(self.channel()) == 2, "the channel")
            self.fetch("u:1", f"old{i}")
            self.server("CLIENT", "KILL", "ID", self.channel()[i].split()[0].split("=")[1])
            harness.wait_until(lambda n=i: self.d.text().count("not heard any more") == n + 1,
                               "the loss to be noticed")
            self.server("SET", "u:1", f"new{i}")
            self.wait_value("u:1", f"new{i}".encode())

    def test_a_server_that_restarts_is_verified_again(self):
        self.near(QUICK + ", unverified_max: 1h")
        self.fetch("u:1", "old")
        self.server.kill()
        self.d.wait_log("not heard any more")
        self.assertEqual(self.c("GET", "u:1"), b"old")
        self.server.start()
        self.server("SET", "u:1", "new")
        self.wait_value("u:1", b"new")
        harness.wait_until(lambda: self.d.text().count("invalidations are heard") == 2,
                           "the channel to be there again")
        self.fetch("u:1", "newer")

    def test_a_silent_server_is_noticed_and_what_is_here_is_served_meanwhile(self):
        self.near(QUICK + ", unverified_max: 1h")
        self.fetch("u:1", "old")
        self.server.signal(signal.SIGSTOP)
        self.d.wait_log("answers no PING within")
        self.assertEqual(self.c("GET", "u:1"), b"old")
        self.server.signal(signal.SIGCONT)
        self.server("SET", "u:1", "new")
        self.wait_value("u:1", b"new")

    def test_what_is_unverified_is_not_served_for_longer_than_it_may(self):
        self.near(QUICK + f", unverified_max: {1000 * SLACK}ms", origin="deadline: 100ms")
        self.fetch("u:1", "old")
        self.server.kill()
        end = time.monotonic() + 2 * SLACK + 10
        errors = 0
        while errors == 0:
            try:
                self.assertEqual(self.c("GET", "u:1"), b"old")
            except harness.ReplyError:
                errors += 1
            self.assertLess(time.monotonic(), end)
        self.assertIn("tier", self.c.error("GET", "u:1"))

    def test_nothing_unverified_is_served_where_it_may_not_be(self):
        self.near(QUICK + ", unverified_max: 0", origin="deadline: 100ms")
        self.fetch("u:1", "old")
        self.server.kill()
        self.d.wait_log("not heard any more")
        def fails():
            try:
                self.c("GET", "u:1")
            except harness.ReplyError:
                return True
            return False
        harness.wait_until(fails, "the old value to go")

    def test_a_server_that_refuses_tracking_is_read_with_a_short_time(self):
        self.server = self.redis()
        self.server("ACL", "SETUSER", "default", "-client|tracking")
        self.d = self.pannier(f'tracking: true, endpoints: ["{self.server.url}"], {QUICK}, '
                              'unverified_max: 200ms', namespace="ttl: 1h")
        self.c = self.d.client()
        self.server("SET", "u:1", "old")
        self.assertEqual(self.c("GET", "u:1"), b"old")
        self.assertLessEqual(self.c("PTTL", "u:1"), 200)
        self.server("SET", "u:1", "new")
        self.wait_value("u:1", b"new")
        self.d.wait_log("origin tier: .*CLIENT TRACKING")


class Shape(Near):
    def test_a_reload_that_changes_nothing_keeps_the_channel(self):
        self.near(NEVER)
        self.fetch("u:1", "ann")
        before = self.channel()[0].split()[0]
        self.d.signal(signal.SIGHUP)
        self.d.wait_log("reload: done")
        self.fetch("u:1", "eve")
        self.assertEqual([c.split()[0] for c in self.channel()], [before])

    def test_tracking_may_be_switched_off_and_on_by_a_reload(self):
        self.near(NEVER)
        self.fetch("u:1", "ann")
        with open(self.d.config, encoding="utf-8") as f:
            text = f.read()
        with open(self.d.config, "w", encoding="utf-8") as f:
            f.write(text.replace("tracking: true", "tracking: false"))
        self.d.signal(signal.SIGHUP)
        harness.wait_until(lambda: self.channel() == [], "the channel to go")
        self.server("SET", "u:1", "bob")
        self.assertEqual(self.c("GET", "u:1"), b"ann")
        with open(self.d.config, "w", encoding="utf-8") as f:
            f.write(text)
        self.d.signal(signal.SIGHUP)
        self.wait_value("u:1", b"bob")
        harness.wait_until(lambda: len(self.channel()) == 1, "the channel to come back")
        self.fetch("u:1", "eve")


if __name__ == "__main__":
    harness.main()
