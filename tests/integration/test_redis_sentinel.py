#!/usr/bin/env python3
"""A master that Sentinel watches, as an origin: found, replaced under traffic, and its
replica read from where that is allowed."""

import threading
import time

import harness
import redis_servers

DOWN_MS = 1500 if harness.SANITIZER else 300
DEADLINE_S = 2.0
LATE_S = 10.0


class Claims(redis_servers.Case):
    def setUp(self):
        super().setUp()
        self.master = self.redis("repl-diskless-sync-delay 0")
        self.replica = self.redis(f"replicaof 127.0.0.1 {self.master.port}",
                                  "repl-diskless-sync-delay 0")
        watch = [f"sentinel monitor tier 127.0.0.1 {self.master.port} 2",
                 f"sentinel down-after-milliseconds tier {DOWN_MS}",
                 "sentinel failover-timeout tier 3000", "sentinel parallel-syncs tier 1"]
        self.sentinels = [self.redis(*watch, sentinel=True) for _ in range(3)]
        harness.wait_until(self.all_known, "the sentinels to know all")

    def all_known(self):
        for s in self.sentinels:
            text = s("INFO", "sentinel").decode()
            if "status=ok" not in text or "slaves=1,sentinels=3" not in text:
                return False
            if b"slave" != dict(zip(*[iter(s("SENTINEL", "replicas", "tier")[0])] * 2))[b"flags"]:
                return False
        return b"master_link_status:up" in self.replica("INFO", "replication")

    def tier(self, options="", name="tier"):
        urls = ", ".join(f'"{s.url}"' for s in self.sentinels)
        return self.pannier(f"mode: sentinel, master_name: {name}, endpoints: [{urls}]{options}",
                            origin=f"deadline: {int(DEADLINE_S)}s")

    def test_the_master_is_found_and_replaced_under_traffic(self):
        for i in range(20):
            self.master("SET", f"u:{i}", f"v{i}")
        harness.wait_until(lambda: self.replica("DBSIZE") == 20, "the replica to have all")
        d = self.tier()
        c = d.client()
        self.assertEqual(c("GET", "u:1"), b"v1")
        wrong, right, slowest = [], [0], [0.0]
        stop = threading.Event()

        def load():
            mine, i = d.client(), 0
            while not stop.is_set():
                i += 1
                began = time.monotonic()
                try:
                    value = mine("GET", f"u:{i % 20}")
                    mine("DEL", f"u:{i % 20}")
                    right[0] += 1
                    if value != f"v{i % 20}".encode():
                        wrong.append((i % 20, value))
                except harness.ReplyError as e:
                    if not str(e).startswith("ORIGIN "):
                        wrong.append(str(e))
                slowest[0] = max(slowest[0], time.monotonic() - began)
            mine.close()

        thread = threading.Thread(target=load)
        thread.start()
        try:
            harness.wait_until(lambda: right[0] > 20, "reads before")
            self.master.kill()
            harness.wait_until(lambda: b"role:master" in self.replica.ask("INFO", "replication"),
                               "the failover")
            harness.wait_until(lambda: self.replica.ask("CONFIG", "RESETSTAT"), "the new master")
            harness.wait_until(lambda: b"cmdstat_get:" in self.replica.ask("INFO", "commandstats"),
                               "reads at the new master")
            before = right[0]
            harness.wait_until(lambda: right[0] > before + 50, "reads after")
        finally:
            stop.set()
            thread.join()
        self.assertEqual(wrong, [])
        self.assertLess(slowest[0], DEADLINE_S + LATE_S)

    def test_a_replica_is_read_from_and_what_is_wrong_is_said(self):
        self.master("SET", "u:1", "ann")
        harness.wait_until(lambda: self.replica("DBSIZE") == 1, "the replica to have it")
        c = self.tier(", read_from: replica").client()
        self.replica("CONFIG", "RESETSTAT")
        self.assertEqual(c("GET", "u:1"), b"ann")
        self.assertIn(b"cmdstat_get:calls=1,", self.replica("INFO", "commandstats"))
        text = self.tier(name="nobody").client().error("GET", "u:1")
        self.assertIn("knows no master nobody; see master_name", text)


if __name__ == "__main__":
    harness.main()
