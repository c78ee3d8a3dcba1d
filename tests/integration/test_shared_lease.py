#!/usr/bin/env python3
"""Several pannier in front of one HTTP origin, with a Redis that they share between: one
fetch for all of them, and what happens when one of them, or the Redis, is not there."""

import signal
import threading

import harness
import redis_servers

CONFIG = """
memory: 64MiB
threads: 2
namespaces:
  - prefix: "u:"
    origin: users
    path: /users/{rest}
    ttl: 60s
    tier: shared
    shared_lease: %s
origins:
  users:
    http:
      endpoints: ["%s"]
    deadline: %s
  shared:
    redis: {endpoints: ["%s"], tracking_ping: 1h, tracking_timeout: 1m}
    deadline: %s
"""


class Shared(redis_servers.Case):
    def setUp(self):
        super().setUp()
        self.server = self.redis()
        self.users = self.origin()

    def sidecar(self, lease="true", deadline="20s", tier_deadline="10s"):
        d = self.daemon(CONFIG % (lease, self.users.url, deadline, self.server.url,
                                  tier_deadline))
        d.wait_log("invalidations are heard")
        return d

    def count(self, d, field):
        line = d.info("namespaces")["ns_u"]
        return int(dict(f.split("=", 1) for f in line.split(","))[field])

    def ask(self, d, key, replies):
        def run():
            c = d.client()
            try:
                replies.append(c("GET", key))
            except harness.ReplyError as e:
                replies.append(str(e))
            finally:
                c.close()
        t = threading.Thread(target=run)
        t.start()
        return t

    def test_two_sidecars_make_one_request_for_a_key(self):
        gate = self.users.hold("/users/1", b"ann")
        a, b = self.sidecar(), self.sidecar()
        replies = []
        threads = [self.ask(a, "u:1", replies)]
        self.users.wait_requests(1)
        threads += [self.ask(d, "u:1", replies) for d in (a, b, b, b)]
        harness.wait_until(lambda: self.count(b, "shared_waits") == 1, "the other to wait")
        gate.open()
        for t in threads:
            t.join()
        self.assertEqual(replies, [b"ann"] * 5)
        self.assertEqual(self.users.count(), 1)
        self.assertEqual(self.server("GET", "u:1"), b"ann")
        self.assertTrue(0 < self.server("PTTL", "u:1") <= 60000)
        self.assertEqual(self.server("KEYS", "pannier:lease:*"), [])

    def test_a_value_in_the_tier_costs_the_origin_nothing(self):
        a = self.sidecar()
        self.server("SET", "u:1", "ann", "PX", 30000)
        c = a.client()
        # The news of that SET may come behind the first fetch, and take its value away.
        harness.wait_until(lambda: c("GET", "u:1") == b"ann" and 0 < c("PTTL", "u:1") <= 30000,
                           "the value to stay")
        self.assertEqual(self.users.count(), 0)
        self.assertLessEqual(1, self.count(a, "tier_hits"))

    def test_a_write_to_the_tier_is_seen_in_all(self):
        self.users.on("/users/1", b"ann")
        a, b = self.sidecar().client(), self.sidecar().client()
        self.assertEqual(a("GET", "u:1"), b"ann")
        self.assertEqual(b("GET", "u:1"), b"ann")
        harness.wait_until(lambda: self.server("GET", "u:1") == b"ann", "the tier to be filled")
        self.server("SET", "u:1", "eve")
        for c in (a, b):
            harness.wait_until(lambda c=c: c("GET", "u:1") == b"eve", "the new value")
        self.assertEqual(self.users.count(), 1)

    def test_what_another_wrote_meanwhile_is_not_overwritten(self):
        gate = self.users.hold("/users/1", b"old")
        a = self.sidecar()
        replies = []
        t = self.ask(a, "u:1", replies)
        self.users.wait_requests(1)
        self.server("SET", "u:1", "new")
        gate.open()
        t.join()
        self.assertEqual(replies, [b"old"])
        harness.wait_until(lambda: self.server("KEYS", "pannier:lease:*") == [],
                           "the lease to end")
        self.assertEqual(self.server("GET", "u:1"), b"new")
        c = a.client()
        harness.wait_until(lambda: c("GET", "u:1") == b"new", "the new value")

    def test_a_sidecar_that_dies_with_the_lease_holds_up_the_others_for_a_while_only(self):
        self.users.hold("/users/1", b"never")
        a = self.sidecar(deadline="20s")
        b = self.sidecar(deadline=f"{4 if not harness.SANITIZER else 10}s")
        t = self.ask_and_forget(a, "u:1")
        self.users.wait_requests(1)
        a.signal(signal.SIGKILL)
        t.join()
        a.wait()
        self.users.on("/users/1", b"ann")
        self.assertEqual(b.client()("GET", "u:1"), b"ann")
        self.assertEqual(self.count(b, "shared_late"), 1)

    def ask_and_forget(self, d, key):
        def run():
            try:
                d.client()("GET", key)
            except (harness.Closed, OSError, harness.ReplyError):
                pass
        t = threading.Thread(target=run)
        t.start()
        return t

    def test_an_origin_that_fails_gives_the_lease_back(self):
        self.users.on("/users/1", status=503)
        a = self.sidecar()
        self.assertIn("503", a.client().error("GET", "u:1"))
        harness.wait_until(lambda: self.server("KEYS", "pannier:lease:*") == [],
                           "the lease to end")
        self.users.on("/users/1", b"ann")
        self.assertEqual(self.sidecar().client()("GET", "u:1"), b"ann")

    def test_without_a_tier_each_sidecar_coalesces_for_itself(self):
        a = self.sidecar(tier_deadline="300ms")
        self.server.kill()
        gate = self.users.hold("/users/1", b"ann")
        replies = []
        threads = [self.ask(a, "u:1", replies) for _ in range(5)]
        self.users.wait_requests(1)
        gate.open()
        for t in threads:
            t.join()
        self.assertEqual(replies, [b"ann"] * 5)
        self.assertEqual(self.users.count(), 1)
        self.assertGreaterEqual(self.count(a, "tier_errors"), 1)

    def test_a_tier_that_hangs_leaves_time_for_the_origin(self):
        self.users.on("/users/1", b"ann")
        a = self.sidecar(tier_deadline="200ms")
        self.server.signal(signal.SIGSTOP)
        self.assertEqual(a.client()("GET", "u:1"), b"ann")

    def test_without_shared_lease_the_tier_is_filled_all_the_same(self):
        self.users.on("/users/1", b"ann")
        a, b = self.sidecar("false"), self.sidecar("false")
        self.assertEqual(a.client()("GET", "u:1"), b"ann")
        harness.wait_until(lambda: self.server("GET", "u:1") == b"ann", "the tier to be filled")
        self.assertEqual(b.client()("GET", "u:1"), b"ann")
        self.assertEqual(self.users.count(), 1)

    def test_a_stop_in_the_middle_of_waiting_answers_and_ends(self):
        self.users.hold("/users/1", b"never")
        a, b = self.sidecar(), self.sidecar()
        threads = [self.ask_and_forget(a, "u:1")]
        self.users.wait_requests(1)
        threads.append(self.ask_and_forget(b, "u:1"))
        harness.wait_until(lambda: self.count(b, "shared_waits") == 1, "the other to wait")
        for d in (b, a):
            d.signal(signal.SIGTERM)
            d.signal(signal.SIGINT)
            self.assertIn(d.wait(), (128 + signal.SIGINT, 128 + signal.SIGTERM)) # cut short
        for t in threads:
            t.join()


if __name__ == "__main__":
    harness.main()
