#!/usr/bin/env python3
"""A Redis Cluster of six as an origin: all slots, a failover and a migration of slots
under traffic. Never a wrong value, errors only for a while."""

import contextlib
import threading
import time

import harness
import redis_servers

TIMEOUT_MS = 2000 if harness.SANITIZER else 500
DEADLINE_S = 2.0
# A busy machine may let an answer lie for a while.
LATE_S = 10.0
# Where no error is allowed, however busy the machine.
PATIENT_S = 15.0


class Load:
    """Clients that read keys through the daemon and note what came. `truth` says what
    values a key may have."""

    def __init__(self, daemon, keys, truth, clients=2):
        self.daemon, self.keys, self.truth = daemon, keys, truth
        self.right, self.errors, self.wrong, self.slowest = 0, [], [], 0.0
        self.stop = threading.Event()
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(clients)]
        for t in self.threads:
            t.start()

    def run(self, n):
        c = self.daemon.client()
        while not self.stop.is_set():
            n += 1
            key = self.keys[n * 7 % len(self.keys)]
            began = time.monotonic()
            error, value = None, None
            try:
                value = c("GET", key)
                c("DEL", key)
            except harness.ReplyError as e:
                error = str(e)
            took = time.monotonic() - began
            with self.changed:
                self.slowest = max(self.slowest, took)
                if error is not None:
                    self.errors.append(error)
                elif value in self.truth(key):
                    self.right += 1
                else:
                    self.wrong.append((key, value))
                self.changed.notify_all()
        c.close()

    def wait_right(self, more, what):
        """Until so many more reads were answered well."""
        with self.changed:
            goal = self.right + more
            ok = self.changed.wait_for(lambda: self.right >= goal, harness.PATIENCE_S)
        if not ok:
            raise AssertionError(f"gave up waiting for {what}: {self.errors[-3:]}")

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()


class Claims(redis_servers.Case):
    @classmethod
    def setUpClass(cls):
        cls.case = None
        if redis_servers.HAVE_REDIS:
            cls.case = redis_servers.Case()
            cls.addClassCleanup(cls.case.doCleanups)
            cls.cluster = redis_servers.Cluster(cls.case, 3, TIMEOUT_MS)

    def tier(self, options="", deadline_s=DEADLINE_S):
        urls = ", ".join(f'"{n.url}"' for n in self.cluster.masters[:2])
        return self.pannier(f"mode: cluster, endpoints: [{urls}]{options}",
                            origin=f"deadline: {int(deadline_s)}s")

    def test_1_each_key_is_read_from_the_node_that_has_it(self):
        for i in range(300):
            self.cluster.write(f"u:{i}", f"v{i}", "PX", 100000)
        self.cluster.write("u:{tag}1", "tagged")
        c = self.tier().client()
        c.raw(b"".join(harness.encode("GET", f"u:{i}") for i in range(300)))
        self.assertEqual([c.reply() for _ in range(300)], [f"v{i}".encode() for i in range(300)])
        self.assertEqual(c("GET", "u:{tag}1"), b"tagged")
        self.assertTrue(0 < c("PTTL", "u:7") <= 100000)
        self.assertIsNone(c("GET", "u:none"))

    def test_2_replicas_serve_reads_where_they_may(self):
        for i in range(60):
            self.cluster.write(f"u:r{i}", "v")

        def gets():
            return [int(r("INFO", "commandstats").decode().partition("cmdstat_get:calls=")[2]
                        .partition(",")[0] or 0) for r in self.cluster.replicas]
        harness.wait_until(lambda: sum(r("DBSIZE") for r in self.cluster.replicas) >= 60,
                           "the replicas to have all")
        before = gets()
        c = self.tier(", read_from: replica").client()
        for i in range(60):
            self.assertEqual(c("GET", f"u:r{i}"), b"v")
        self.assertGreater(sum(gets()) - sum(before), 50)

    def test_3_slots_move_under_traffic(self):
        source, target = self.cluster.masters[0], self.cluster.masters[1]
        keys = [f"u:{{m{i}}}" for i in range(40)]
        slots = sorted({source("CLUSTER", "KEYSLOT", k) for k in keys})
        slots = [s for s in slots if s < 5461][:8]
        for k in keys:
            self.cluster.write(k, k)
        target("CONFIG", "RESETSTAT")
        load = Load(self.tier(deadline_s=PATIENT_S), keys, lambda k: (k.encode(),))
        try:
            load.wait_right(50, "reads before")
            for slot in slots:
                self.move(slot, source, target, load)
            load.wait_right(50, "reads after")
        finally:
            load.end()
        self.assertEqual(load.wrong, [])
        self.assertEqual(load.errors, [])
        self.assertIn(b"cmdstat_asking:", target("INFO", "commandstats"))

    def move(self, slot, source, target, load):
        ids = self.cluster.id_of(source), self.cluster.id_of(target)
        target("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        source("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        load.wait_right(5, "reads while a slot moves")
        for key in source("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
            self.reread(load.daemon, key)
            load.wait_right(2, "reads while keys move")
        for node in (target, source, *self.cluster.masters[2:]):
            node("CLUSTER", "SETSLOT", slot, "NODE", ids[1])

    def reread(self, daemon, key):
        """From the node that the slot is moving to: by ASK alone."""
        c = daemon.client()
        c("DEL", key)
        self.assertEqual(c("GET", key), key)
        c.close()

    def test_4_a_master_that_dies_is_replaced_under_traffic(self):
        dead, heir = self.cluster.masters[2], self.cluster.replicas[2]
        keys = [f"u:f{i}" for i in range(60)]
        for k in keys:
            self.cluster.write(k, k)
        harness.wait_until(lambda: heir("DBSIZE") == dead("DBSIZE"), "the replica to have all")
        load = Load(self.tier(), keys, lambda k: (k.encode(),))
        try:
            load.wait_right(50, "reads before")
            dead.kill()
            harness.wait_until(lambda: b"role:master" in heir.ask("INFO", "replication"),
                               "the heir")
            heir("CONFIG", "RESETSTAT")
            harness.wait_until(lambda: b"cmdstat_get:" in heir("INFO", "commandstats"),
                               "reads at the heir")
            with load.changed:
                load.errors.clear()
            load.wait_right(100, "reads after")
        finally:
            load.end()
        self.assertEqual(load.wrong, [])
        self.assertLess(load.slowest, DEADLINE_S + LATE_S)
        with contextlib.suppress(harness.ReplyError):
            self.assertEqual(self.tier().client()("GET", keys[0]), keys[0].encode())


if __name__ == "__main__":
    harness.main()
