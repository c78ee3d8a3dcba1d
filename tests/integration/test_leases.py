#!/usr/bin/env python3
"""Leases with a token, stale values, and who else is in it: connections on both
loops, clients that read only, pools of connections, clients that are killed."""

import harness

CONFIG = """
memory: 32MiB
threads: 2
namespaces:
  - prefix: "page:"
    coalesce: lease
    lease_time: 60s
  - prefix: "news:"
    coalesce: lease
    lease_time: 60s
    grace: 60s
  - prefix: "short:"
    coalesce: lease
    lease_time: 300ms
"""
VOID = "LEASE this token is void"


class Case(harness.Case):
    def ns(self, d, name):
        line = d.info("namespaces")["ns_" + name]
        return {k: float(v) for k, v in (f.split("=") for f in line.split(","))}

    def wait_waiting(self, d, n, name="page"):
        harness.wait_until(lambda: self.ns(d, name)["lease_waits"] >= n, f"{n} to wait")

    def expired(self, c, key):
        """A key whose time is over."""
        c("SET", key, "old", "PX", "1")
        harness.wait_until(lambda: c("EXISTS", key) == 0, "the time to pass")


class Tokens(Case):
    def test_a_load_is_stored_once_and_others_get_it(self):
        d = self.daemon(CONFIG)
        clients = [d.client() for _ in range(8)] # on both loops
        kind, value, token = clients[0]("PANNIER.LEASE", "any")
        self.assertEqual((kind, value), ("LEASE", None))
        for c in clients[1:]:
            c.send("PANNIER.LEASE", "any")
        self.wait_waiting(d, 7, "default")
        self.assertEqual(clients[0]("SET", "any", "v", "EX", "300", "LEASE", token), "OK")
        for c in clients[1:]:
            self.assertEqual(c.reply(), ["HIT", b"v", None])
        self.assertIn(VOID, clients[0].error("SET", "any", "w", "LEASE", token))

    def test_replies_are_the_same_in_resp3(self):
        c = self.daemon(CONFIG).client()
        c("HELLO", "3")
        c.send("PANNIER.LEASE", "any")
        self.assertEqual((c.line(), c.line(), c.line()), (b"*3", b"+LEASE", b"_"))
        self.assertRegex(c.value(), rb"^[1-9][0-9]*$")
        c("SET", "any", "v")
        c.raw(harness.encode("PANNIER.LEASE", "any"))
        self.assertEqual(c.take(len(b"*3\r\n+HIT\r\n$1\r\nv\r\n_\r\n")), b"*3\r\n+HIT\r\n$1\r\nv\r\n_\r\n")

    def test_whoever_is_faster_voids_the_token(self):
        d = self.daemon(CONFIG)
        c, other = d.client(), d.client()
        for key in ("any", "page:1"):
            for change in (("SET", key, "new"), ("DEL", key), ("EXPIRE", key, "10"), ("FLUSHALL",),
                           ("GETDEL", key), ("APPEND", key, "x")):
                other("DEL", key)
                token = c("PANNIER.LEASE", key)[2]
                other(*change)
                self.assertIn(VOID, c.error("SET", key, "old", "LEASE", token), change)
                other("DEL", key)

    def test_the_token_is_good_on_another_connection_of_the_pool(self):
        d = self.daemon(CONFIG)
        one, two = d.client(), d.client()
        token = one("PANNIER.LEASE", "any")[2]
        self.assertEqual(two("SET", "any", "v", "LEASE", token), "OK")
        token = one("PANNIER.LEASE", "other")[2]
        one.close()
        harness.wait_until(lambda: self.ns(d, "default")["lease_voided"] == 1, "the lease to end")
        self.assertIn(VOID, two.error("SET", "other", "v", "LEASE", token))

    def test_a_load_that_failed_is_handed_on_at_once(self):
        d = self.daemon(CONFIG)
        one, two = d.client(), d.client()
        token = one("PANNIER.LEASE", "any")[2]
        two.send("PANNIER.LEASE", "any")
        self.wait_waiting(d, 1, "default")
        self.assertEqual(one("PANNIER.LEASE", "any", "RELEASE", token), 1)
        self.assertEqual(two.reply()[0], "LEASE")
        self.assertEqual(one("PANNIER.LEASE", "any", "RELEASE", token), 0)

    def test_waiting_ends_when_the_client_says_so(self):
        d = self.daemon(CONFIG)
        one, two = d.client(), d.client()
        one("PANNIER.LEASE", "any")
        self.assertEqual(two("PANNIER.LEASE", "any", "WAIT", "0"), ["MISS", None, None])
        self.assertEqual(two("PANNIER.LEASE", "any", "WAIT", "30"), ["MISS", None, None])

    def test_the_next_gets_a_token_when_the_time_is_over(self):
        d = self.daemon(CONFIG)
        one, two = d.client(), d.client()
        first = one("PANNIER.LEASE", "short:1")[2]
        kind, _, second = two("PANNIER.LEASE", "short:1", "WAIT", "60000")
        self.assertEqual(kind, "LEASE")
        self.assertIn(VOID, one.error("SET", "short:1", "late", "LEASE", first))
        self.assertEqual(two("SET", "short:1", "v", "LEASE", second), "OK")

    def test_silent_and_explicit_ones_wait_for_each_other(self):
        d = self.daemon(CONFIG)
        one, two = d.client(), d.client()
        token = one("PANNIER.LEASE", "page:1")[2]
        two.send("GET", "page:1")
        self.wait_waiting(d, 1)
        one("SET", "page:1", "v", "LEASE", token)
        self.assertEqual(two.reply(), b"v")
        self.assertIsNone(two("GET", "page:2"))
        one.send("PANNIER.LEASE", "page:2")
        self.wait_waiting(d, 2)
        two("SET", "page:2", "w")
        self.assertEqual(one.reply(), ["HIT", b"w", None])

    def test_in_a_transaction_only_the_set(self):
        d = self.daemon(CONFIG)
        c = d.client()
        token = c("PANNIER.LEASE", "any")[2]
        c("MULTI")
        self.assertEqual(c("SET", "any", "v", "LEASE", token), "QUEUED")
        self.assertEqual(c("SET", "any", "w", "LEASE", token), "QUEUED")
        done, void = c("EXEC")
        self.assertEqual(done, "OK")
        self.assertIn(VOID, str(void))
        c("MULTI")
        self.assertIn("not allowed", c.error("PANNIER.LEASE", "any"))
        c("DISCARD")
        self.assertEqual(c("GET", "any"), b"v")

    def test_leases_of_one_pipeline_wait_side_by_side(self):
        d = self.daemon(CONFIG)
        one, two = d.client(), d.client()
        tokens = [one("PANNIER.LEASE", k)[2] for k in ("a", "b")]
        two.raw(harness.encode("PANNIER.LEASE", "a") + harness.encode("PANNIER.LEASE", "b"))
        self.wait_waiting(d, 2, "default")
        one("SET", "b", "2", "LEASE", tokens[1])
        one("SET", "a", "1", "LEASE", tokens[0])
        self.assertEqual([two.reply()[1], two.reply()[1]], [b"1", b"2"])


class Stale(Case):
    def test_first_loads_and_others_get_the_old_value_meanwhile(self):
        d = self.daemon(CONFIG)
        one, others = d.client(), [d.client() for _ in range(6)]
        self.expired(one, "news:1")
        self.assertIsNone(one("GET", "news:1"))
        for c in others:
            self.assertEqual(c("GET", "news:1"), b"old")
        one("SET", "news:1", "new", "EX", "300")
        for c in others:
            self.assertEqual(c("GET", "news:1"), b"new")
        counts = self.ns(d, "news")
        self.assertEqual((counts["stale_served"], counts["leases"], counts["lease_waits"]), (6, 1, 0))

    def test_who_asks_with_a_token_sees_it(self):
        d = self.daemon(CONFIG)
        one, two = d.client(), d.client()
        self.expired(one, "news:1")
        kind, value, token = one("PANNIER.LEASE", "news:1")
        self.assertEqual((kind, value), ("LEASE", b"old"))
        self.assertEqual(two("PANNIER.LEASE", "news:1"), ["STALE", b"old", None])
        self.assertEqual(one("SET", "news:1", "new", "LEASE", token), "OK")
        self.assertEqual(two("PANNIER.LEASE", "news:1"), ["HIT", b"new", None])

    def test_for_all_other_commands_it_is_not_there(self):
        d = self.daemon(CONFIG)
        c = d.client()
        self.expired(c, "news:1")
        absent = [(("EXISTS", "news:1"), 0), (("TTL", "news:1"), -2), (("PTTL", "news:1"), -2),
                  (("EXPIRETIME", "news:1"), -2), (("TYPE", "news:1"), "none"), (("STRLEN", "news:1"), 0),
                  (("GETRANGE", "news:1", "0", "-1"), b""), (("MGET", "news:1"), [None]),
                  (("PERSIST", "news:1"), 0), (("KEYS", "*"), []), (("RANDOMKEY",), None),
                  (("TOUCH", "news:1"), 0), (("OBJECT", "ENCODING", "news:1"), None),
                  (("MEMORY", "USAGE", "news:1"), None), (("GETEX", "news:1", "EX", "5"), None),
                  (("SET", "news:1", "x", "XX"), None), (("COPY", "news:1", "other"), 0)]
        for request, answer in absent:
            self.assertEqual(c(*request), answer, request)
        self.assertEqual(c("SCAN", "0")[1], [])
        self.assertIsNone(c("GET", "news:1")) # still there, for whoever comes next
        self.assertEqual(d.client()("GET", "news:1"), b"old")
        self.assertEqual(c("INCR", "news:1"), 1) # counts from nothing

    def test_delete_and_expire_take_it_away(self):
        d = self.daemon(CONFIG)
        one, two = d.client(), d.client()
        for change in (("DEL",), ("UNLINK",), ("GETDEL",), ("PEXPIRE", "1000"), ("EXPIREAT", "1")):
            self.expired(one, "news:1")
            self.assertIn(one(change[0], "news:1", *change[1:]), (0, None))
            self.assertIsNone(one("GET", "news:1"))
            before = self.ns(d, "news")["lease_waits"]
            two.send("GET", "news:1")
            self.wait_waiting(d, before + 1, "news")
            one("SET", "news:1", "v")
            self.assertEqual(two.reply(), b"v")

    def test_watch_sees_that_the_time_is_over(self):
        d = self.daemon(CONFIG)
        c, other = d.client(), d.client()
        c("SET", "news:1", "v", "PX", "200")
        c("WATCH", "news:1")
        harness.wait_until(lambda: other("EXISTS", "news:1") == 0, "the time to pass")
        c("MULTI")
        c("SET", "news:2", "x")
        self.assertIsNone(c("EXEC"))
        c("WATCH", "news:1") # absent from the beginning
        c("MULTI")
        c("SET", "news:2", "x")
        self.assertEqual(c("EXEC"), ["OK"])

    def test_a_reload_changes_the_grace_of_what_is_written_from_now_on(self):
        d = self.daemon(CONFIG)
        c, other = d.client(), d.client()
        self.expired(c, "news:1")
        d.write_config(CONFIG.replace("    grace: 60s\n", ""))
        d.signal(harness.signal.SIGHUP)
        d.wait_log("reload: done")
        self.expired(c, "news:2")
        self.assertIsNone(c("GET", "news:1"))
        self.assertEqual(other("GET", "news:1"), b"old")
        self.assertEqual(other("PANNIER.LEASE", "news:2")[1], None)


class Waiting(Case):
    def test_a_set_over_any_connection_wakes_all(self):
        d = self.daemon(CONFIG)
        holder, pool, waiters = d.client(), d.client(), [d.client() for _ in range(6)]
        self.assertIsNone(holder("GET", "page:1"))
        for c in waiters:
            c.send("GET", "page:1")
        self.wait_waiting(d, 6)
        self.assertEqual(d.info("clients")["blocked_clients"], "6")
        listed = pool("CLIENT", "LIST").decode()
        self.assertEqual(sum(" flags=" in x and "b" in x.split(" flags=")[1].split()[0]
                             for x in listed.splitlines()), 6, listed)
        pool("SET", "page:1", "v")
        for c in waiters:
            self.assertEqual(c.reply(), b"v")
        self.assertEqual(d.info("clients")["blocked_clients"], "0")

    def test_a_waiter_that_is_killed_is_passed_over(self):
        d = self.daemon(CONFIG)
        holder, second, third = d.client(), d.client(), d.client()
        self.assertIsNone(holder("GET", "page:1"))
        second.send("GET", "page:1")
        self.wait_waiting(d, 1)
        third.send("GET", "page:1")
        self.wait_waiting(d, 2)
        second.close()
        harness.wait_until(lambda: d.info("clients")["blocked_clients"] == "1", "it to be gone")
        holder.close()
        self.assertIsNone(third.reply())
        self.assertEqual(self.ns(d, "page")["lease_promoted"], 1)

    def test_expire_and_flush_void_a_lease(self):
        d = self.daemon(CONFIG)
        for n, change in enumerate((("EXPIRE", "page:1", "10"), ("FLUSHALL",), ("FLUSHDB",)), 1):
            holder, waiter, other = d.client(), d.client(), d.client()
            self.assertIsNone(holder("GET", "page:1"))
            waiter.send("GET", "page:1")
            self.wait_waiting(d, n)
            other(*change)
            self.assertIsNone(waiter.reply(), change)
            other("SET", "page:1", "v")
            other("DEL", "page:1")

    def test_who_is_one_too_many_loads_by_itself(self):
        d = self.daemon("wait_limit: 2\n" + CONFIG)
        holder, two, three, four = (d.client() for _ in range(4))
        self.assertIsNone(holder("GET", "page:1"))
        two.send("GET", "page:1")
        three.send("GET", "page:1")
        self.wait_waiting(d, 2)
        self.assertIsNone(four("GET", "page:1"))
        self.assertEqual(self.ns(d, "page")["wait_refused"], 1)
        holder("SET", "page:1", "v")
        self.assertEqual((two.reply(), three.reply()), (b"v", b"v"))

    def test_clients_that_read_only_neither_hold_leases_nor_wait(self):
        folder = self.folder()
        d = self.daemon(f"listen:\n  - unix: {folder}/rw\n  - unix: {folder}/ro\n    read_only: true\n" +
                        CONFIG, folder=folder, path=folder + "/rw")
        reader, holder = harness.Client(folder + "/ro"), d.client()
        self.assertIsNone(reader("GET", "page:1"))
        self.assertIsNone(holder("GET", "page:1"))
        self.assertEqual(self.ns(d, "page")["leases"], 1)
        self.assertIsNone(reader("GET", "page:1"))
        self.assertEqual(reader("PANNIER.LEASE", "page:1"), ["MISS", None, None])


class Shared(Case):
    """Where many callers share a connection: lease_holder: request."""

    CONFIG = CONFIG.replace("lease_time: 60s\n", "lease_time: 60s\n    lease_holder: request\n")

    def test_callers_of_one_connection_get_what_one_of_them_loads(self):
        d = self.daemon(self.CONFIG)
        c, other = d.client(), d.client()
        self.assertIsNone(c("GET", "page:1"))
        for _ in range(5):
            c.send("GET", "page:1")
        other.send("GET", "page:1")
        self.wait_waiting(d, 6)
        c.send("SET", "page:1", "v", "EX", "300") # passes them, and is answered behind them
        self.assertEqual([c.reply() for _ in range(6)], [b"v"] * 5 + ["OK"])
        self.assertEqual(other.reply(), b"v")
        self.assertEqual(c("PING"), "PONG")

    def test_a_transaction_passes_them_too(self):
        d = self.daemon(self.CONFIG)
        c = d.client()
        self.assertIsNone(c("GET", "page:1"))
        c.send("GET", "page:1")
        self.wait_waiting(d, 1)
        for request in (("MULTI",), ("SET", "page:1", "v"), ("EXPIRE", "page:1", "300"), ("EXEC",)):
            c.send(*request)
        self.assertEqual([c.reply() for _ in range(5)], [b"v", "OK", "QUEUED", "QUEUED", ["OK", 1]])

    def test_a_write_to_another_key_passes_them(self):
        d = self.daemon(self.CONFIG)
        c, other = d.client(), d.client()
        self.assertIsNone(c("GET", "page:1"))
        self.assertIsNone(other("GET", "page:2"))
        c.send("GET", "page:2")
        other.send("GET", "page:1")
        self.wait_waiting(d, 2)
        c.send("SET", "page:1", "1") # neither waits for the other
        other.send("SET", "page:2", "2")
        self.assertEqual([c.reply(), c.reply()], [b"2", "OK"])
        self.assertEqual([other.reply(), other.reply()], [b"1", "OK"])

    def test_what_changes_the_connection_waits_its_turn(self):
        d = self.daemon(self.CONFIG)
        c, other = d.client(), d.client()
        self.assertIsNone(other("GET", "page:1"))
        c.send("GET", "page:1")
        self.wait_waiting(d, 1)
        c.raw(harness.encode("HELLO", "3") + harness.encode("GET", "none"))
        c.all_taken()
        other("SET", "page:1", "v")
        self.assertEqual(c.reply(), b"v")
        self.assertEqual(c.reply()[b"proto"], 3)
        self.assertIsNone(c.reply())

    def test_more_than_can_wait_over_one_connection_load_by_themselves(self):
        d = self.daemon(self.CONFIG)
        c = d.client()
        self.assertIsNone(c("GET", "page:1"))
        c.raw(harness.encode("GET", "page:1") * 600)
        self.wait_waiting(d, 512)
        c.send("SET", "page:1", "v")
        replies = [c.reply() for _ in range(601)]
        self.assertEqual(replies, [b"v"] * 512 + [None] * 88 + ["OK"])

    def test_the_connection_s_end_ends_all(self):
        d = self.daemon(self.CONFIG)
        c, other = d.client(), d.client()
        self.assertIsNone(c("GET", "page:1"))
        c.raw(harness.encode("GET", "page:1") * 3)
        self.wait_waiting(d, 3)
        other.send("GET", "page:1")
        self.wait_waiting(d, 4)
        c.close()
        self.assertIsNone(other.reply())
        self.assertEqual(other("SET", "page:1", "v"), "OK")


if __name__ == "__main__":
    harness.main()
