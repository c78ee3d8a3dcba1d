#!/usr/bin/env python3
"""Reading through: one fetch a key, over several loops, and what happens when
the origin is slow, broken or gone."""

import re
import resource
import selectors
import socket
import threading
import time

import harness

ROUTED = """
memory: 64MiB
threads: 2
namespaces:
  - prefix: "user:"
    origin: users
    path: /users/{rest}
    ttl: 300s
origins:
  users:
    http:
      endpoints: ["%s"]
    deadline: 500ms
    max_body: 64KiB
"""
HERD = 1000


def raise_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4 * HERD:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4 * HERD, hard), hard))


def connect_herd(path, n):
    """n connections, as an application's threads would have them."""
    herd = []
    for _ in range(n):
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        herd.append(s)
    return herd


def read_all(herd, n_bytes):
    """What each connection got, n_bytes of it, whichever comes first."""
    got = {s: b"" for s in herd}
    end = time.monotonic() + harness.PATIENCE_S
    with selectors.DefaultSelector() as sel:
        for s in herd:
            sel.register(s, selectors.EVENT_READ)
        while sel.get_map() and time.monotonic() < end:
            for key, _ in sel.select(1):
                s = key.fileobj
                data = s.recv(65536)
                got[s] += data
                if not data or len(got[s]) >= n_bytes:
                    sel.unregister(s)
    return list(got.values())


class ReadThrough(harness.Case):
    def routed(self, **more):
        self.users = self.origin()
        return self.daemon(ROUTED % self.users.url, **more)

    def test_value_is_fetched_once_and_then_comes_from_the_cache(self):
        d = self.routed()
        self.users.on("/users/42", b'{"name":"ann"}')
        c = d.client()
        self.assertEqual(c("GET", "user:42"), b'{"name":"ann"}')
        self.assertEqual(c("GET", "user:42"), b'{"name":"ann"}')
        self.assertEqual(self.users.count(), 1)
        self.assertTrue(0 < c("TTL", "user:42") <= 300)

    def test_key_is_percent_encoded_into_the_path(self):
        d = self.routed()
        self.users.on("/users/a%2Fb%20c", b"x")
        self.assertEqual(d.client()("GET", "user:a/b c"), b"x")

    def test_thousand_connections_that_get_a_cold_key_make_one_request(self):
        raise_descriptors()
        d = self.routed()
        gate = self.users.hold("/users/1", b"cold")
        herd = connect_herd(d.path, HERD)
        for s in herd:
            s.sendall(b"GET user:1\r\n")
        self.users.wait_requests(1)
        harness.wait_until(lambda: self.ns(d)["coalesced"] >= HERD - 1, "the herd to wait")
        gate.open()
        answers = read_all(herd, 10)
        for s in herd:
            s.close()
        self.assertEqual(answers, [b"$4\r\ncold\r\n"] * HERD)
        self.assertEqual(self.users.count("/users/1"), 1)

    def ns(self, d, name="user"):
        line = d.info("namespaces")[f"ns_{name}"]
        return {k: float(v) for k, v in (f.split("=") for f in line.split(","))}

    def test_loops_both_have_connections_of_the_herd(self):
        d = self.routed()
        herd = connect_herd(d.path, 8)
        for s in herd:
            s.sendall(b"PING\r\n")
        read_all(herd, 7)
        threads = set(re.findall(r"io-thread=(\d+)", str(d.client()("CLIENT", "LIST"))))
        for s in herd:
            s.close()
        self.assertEqual(threads, {"0", "1"})

    def test_dead_origin_leaves_cached_keys_and_cold_ones_fail_in_time(self):
        d = self.routed()
        self.users.on("/users/1", b"warm")
        c = d.client()
        self.assertEqual(c("GET", "user:1"), b"warm")
        self.users.close()
        self.assertEqual(c("GET", "user:1"), b"warm")
        begun = time.monotonic()
        self.assertIn("ORIGIN", str(c.error("GET", "user:2")))
        self.assertLess(time.monotonic() - begun, 0.55 + (3 if harness.SANITIZER else 1))

    def test_silent_origin_is_an_error_by_the_deadline_for_all_waiters(self):
        d = self.routed()
        gate = self.users.hold("/users/1", b"late")
        self.addCleanup(gate.open)
        clients = [d.client() for _ in range(20)]
        begun = time.monotonic()
        for c in clients:
            c.send("GET", "user:1")
        errors = []
        for c in clients:
            with self.assertRaises(harness.ReplyError) as e:
                raise c.reply()
            errors.append(str(e.exception))
        took = time.monotonic() - begun
        self.assertEqual(len(set(errors)), 1)
        self.assertIn("no answer within", errors[0])
        self.assertGreaterEqual(took, 0.5)
        self.assertLess(took, 0.55 + (3 if harness.SANITIZER else 1))
        self.assertEqual(self.users.count("/users/1"), 1)

    def test_error_is_not_cached(self):
        d = self.routed()
        self.users.on("/users/1", b"oops", status=503)
        c = d.client()
        self.assertIn("503", str(c.error("GET", "user:1")))
        self.users.on("/users/1", b"well")
        self.assertEqual(c("GET", "user:1"), b"well")

    def test_not_found_is_nil(self):
        d = self.routed()
        self.assertIsNone(d.client()("GET", "user:nobody"))

    def test_body_over_the_cap_is_an_error_and_the_connection_goes_on(self):
        d = self.routed()
        self.users.on("/users/big", b"x" * 70000)
        c = d.client()
        self.assertIn("64KiB", str(c.error("GET", "user:big")))
        self.assertEqual(c("PING"), "PONG")

    def small_pod(self):
        self.users = self.origin()
        return self.daemon(ROUTED.replace("64KiB", "1MiB").replace("500ms", "10s") % self.users.url)

    def test_values_larger_than_output_limit_reach_all_who_waited(self):
        d = self.small_pod()
        gate = self.users.hold("/users/1", b"x" * 1000000)
        clients = [d.client() for _ in range(20)]
        for c in clients:
            c.send("GET", "user:1")
        self.users.wait_requests(1)
        gate.open()
        for c in clients:
            self.assertEqual(c.reply(), b"x" * 1000000)
        self.assertEqual(self.users.count(), 1)
        self.assertEqual(d.info()["output_limit_closes"], "0")

    def test_large_values_that_nobody_reads_are_bounded_and_harm_nobody(self):
        d = self.small_pod()
        for i in range(4):
            self.users.on(f"/users/{i}", b"x" * 1000000)
        self.users.on("/users/small", b"ann")
        sleepers = [d.client() for _ in range(2)]
        for i, c in enumerate(sleepers):
            c.send("GET", f"user:{i}")
            c.sock.recv(1, socket.MSG_PEEK) # its reply has begun
        c = d.client()
        self.assertRegex(str(c.error("GET", "user:2")), "^OVERLOAD .*buffers_limit")
        self.assertRegex(str(c.error("MGET", "user:3", "user:small")), "^OVERLOAD .*buffers_limit")
        self.assertEqual(c("GET", "user:small"), b"ann")
        for sleeper in sleepers:
            self.assertEqual(len(sleeper.reply()), 1000000)
        self.assertEqual(len(c("GET", "user:2")), 1000000) # from the cache by now

    def test_an_mget_of_more_than_output_limit_is_an_error_and_the_connection_goes_on(self):
        d = self.small_pod()
        for i in range(60):
            self.users.on(f"/users/{i}", b"x" * 15000)
        c = d.client()
        self.assertIn("ask for fewer keys", str(c.error("MGET", *[f"user:{i}" for i in range(60)])))
        self.assertEqual(c("MGET", *[f"user:{i}" for i in range(10)]), [b"x" * 15000] * 10)

    def test_answer_that_must_not_be_stored_is_fetched_each_time(self):
        d = self.routed()
        self.users.on("/users/1", b"x", headers=[("Cache-Control", "no-store")])
        c = d.client()
        c("GET", "user:1")
        c("GET", "user:1")
        self.assertEqual(self.users.count(), 2)

    def test_max_age_of_the_answer_is_the_time_to_live(self):
        d = self.routed()
        self.users.on("/users/1", b"x", headers=[("Cache-Control", "max-age=60")])
        c = d.client()
        c("GET", "user:1")
        self.assertTrue(55 <= c("TTL", "user:1") <= 60)

    def test_mget_fetches_at_the_same_time_and_answers_in_order(self):
        d = self.routed()
        gates = [self.users.hold(f"/users/{i}", b"v%d" % i) for i in range(5)]
        c = d.client()
        c("SET", "user:2", "set")
        c("SET", "plain", "p")
        c.send("MGET", "user:0", "plain", "user:1", "user:2", "none", "user:3", "user:4", "user:0")
        self.users.wait_requests(4)  # all before any is answered
        for gate in gates:
            gate.open()
        self.assertEqual(c.reply(), [b"v0", b"p", b"v1", b"set", None, b"v3", b"v4", b"v0"])
        self.assertEqual(self.users.count(), 4)

    def test_misses_of_a_pipeline_wait_side_by_side_and_answers_stay_in_order(self):
        d = self.routed()
        gates = [self.users.hold(f"/users/{i}", b"v%d" % i) for i in range(3)]
        c = d.client()
        c("SET", "k", "hit")
        for i in range(3):
            c.send("GET", f"user:{i}")
            c.send("GET", "k")
        c.send("SET", "k", "after")
        c.send("GET", "k")
        self.users.wait_requests(3)
        for gate in reversed(gates):
            gate.open()
        self.assertEqual([c.reply() for _ in range(8)],
                         [b"v0", b"hit", b"v1", b"hit", b"v2", b"hit", "OK", b"after"])

    def test_write_while_a_fetch_is_under_way_is_not_undone_by_it(self):
        d = self.routed()
        gate = self.users.hold("/users/1", b"old")
        reader, writer = d.client(), d.client()
        reader.send("GET", "user:1")
        self.users.wait_requests(1)
        self.assertEqual(writer("SET", "user:1", "new"), "OK")
        gate.open()
        self.assertEqual(reader.reply(), b"old")
        self.assertEqual(writer("GET", "user:1"), b"new")

    def test_fetch_that_began_before_a_delete_is_not_stored(self):
        d = self.routed()
        gate = self.users.hold("/users/1", b"old")
        reader, writer = d.client(), d.client()
        reader.send("GET", "user:1")
        self.users.wait_requests(1)
        self.assertEqual(writer("DEL", "user:1"), 0)
        gate.open()
        self.assertEqual(reader.reply(), b"old")
        self.users.on("/users/1", b"new")
        self.assertEqual(writer("GET", "user:1"), b"new")

    def test_clients_killed_while_they_wait_disturb_nobody(self):
        d = self.routed()
        gate = self.users.hold("/users/1", b"v")
        leader, waiter, third = d.client(), d.client(), d.client()
        leader.send("GET", "user:1")
        self.users.wait_requests(1)
        waiter.send("GET", "user:1")
        third.send("GET", "user:1")
        harness.wait_until(lambda: self.ns(d)["coalesced"] >= 2, "two to wait")
        leader.close()
        waiter.close()
        gate.open()
        self.assertEqual(third.reply(), b"v")
        self.assertEqual(self.users.count(), 1)

    def test_reload_brings_another_origin(self):
        d = self.routed()
        self.users.on("/users/1", b"first")
        c = d.client()
        self.assertEqual(c("GET", "user:1"), b"first")
        other = self.origin()
        other.on("/users/2", b"second")
        d.write_config(ROUTED % other.url)
        d.signal(harness.signal.SIGHUP)
        d.wait_log("reload: done")
        self.assertEqual(c("GET", "user:1"), b"first")
        self.assertEqual(c("GET", "user:2"), b"second")


class Leases(harness.Case):
    CONFIG = """
memory: 32MiB
threads: 2
namespaces:
  - prefix: "page:"
    coalesce: lease
    lease_time: 700ms
"""

    def test_cache_aside_code_loads_once(self):
        d = self.daemon(self.CONFIG)
        loads, got, lock = [], [], threading.Lock()
        release = threading.Event()

        def everyday_code():
            c = d.client()
            v = c("GET", "page:1")
            if v is None:
                with lock:
                    loads.append(1)
                release.wait(harness.PATIENCE_S)
                v = b"made"
                c("SET", "page:1", v, "EX", "300")
            with lock:
                got.append(v)

        threads = [threading.Thread(target=everyday_code) for _ in range(50)]
        for t in threads:
            t.start()
        harness.wait_until(lambda: self.waits(d) >= 49, "the others to wait")
        release.set()
        for t in threads:
            t.join()
        self.assertEqual(len(loads), 1)
        self.assertEqual(got, [b"made"] * 50)

    def waits(self, d):
        line = d.info("namespaces")["ns_page"]
        return int(dict(f.split("=") for f in line.split(","))["lease_waits"])

    def test_holder_that_dies_is_followed_at_once(self):
        d = self.daemon(self.CONFIG.replace("700ms", "60s"))
        holder, second, third = d.client(), d.client(), d.client()
        self.assertIsNone(holder("GET", "page:1"))
        second.send("GET", "page:1")
        harness.wait_until(lambda: self.waits(d) >= 1, "the second to wait")
        third.send("GET", "page:1")
        harness.wait_until(lambda: self.waits(d) >= 2, "the third to wait")
        holder.close()
        self.assertIsNone(second.reply())
        second("SET", "page:1", "v")
        self.assertEqual(third.reply(), b"v")

    def test_nobody_waits_longer_than_the_lease_time(self):
        d = self.daemon(self.CONFIG)
        holder, other = d.client(), d.client()
        self.assertIsNone(holder("GET", "page:1"))
        begun = time.monotonic()
        self.assertIsNone(other("GET", "page:1"))
        self.assertGreaterEqual(time.monotonic() - begun, 0.6)
        self.assertLess(time.monotonic() - begun, 0.7 + (3 if harness.SANITIZER else 1))

    def test_holder_that_asks_again_does_not_wait_for_itself(self):
        d = self.daemon(self.CONFIG.replace("700ms", "60s"))
        c = d.client()
        self.assertIsNone(c("GET", "page:1"))
        self.assertIsNone(c("GET", "page:1"))

    def test_delete_voids_the_lease(self):
        d = self.daemon(self.CONFIG.replace("700ms", "60s"))
        holder, waiter = d.client(), d.client()
        self.assertIsNone(holder("GET", "page:1"))
        waiter.send("GET", "page:1")
        harness.wait_until(lambda: self.waits(d) >= 1, "the other to wait")
        d.client()("DEL", "page:1")
        self.assertIsNone(waiter.reply())


if __name__ == "__main__":
    harness.main()
