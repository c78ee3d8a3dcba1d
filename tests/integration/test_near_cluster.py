#!/usr/bin/env python3
"""The near cache of a Redis Cluster: one channel to each master, kept right while a slot
moves and while a master is replaced."""

import harness
import redis_servers

TIMEOUT_MS = 2000 if harness.SANITIZER else 500


class NearCluster(redis_servers.Case):
    def setUp(self):
        super().setUp()
        self.cluster = redis_servers.Cluster(self, 3, TIMEOUT_MS)
        seeds = ", ".join(f'"{n.url}"' for n in self.cluster.nodes)
        self.d = self.pannier(
            f"mode: cluster, tracking: true, endpoints: [{seeds}], refresh: 1h, "
            f"tracking_ping: 50ms, tracking_timeout: {5 if harness.SANITIZER else 2}s, "
            "unverified_max: 1h", namespace="ttl: 1h", origin="deadline: 10s")
        self.c = self.d.client()
        self.d.wait_log("invalidations are heard")

    def wait_value(self, key, value):
        def there():
            try:
                return self.c("GET", key) == value.encode()
            except harness.ReplyError:
                return False
        harness.wait_until(there, f"{key} to be {value}")

    def move(self, slot, source, target):
        ids = self.cluster.id_of(source), self.cluster.id_of(target)
        target("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        source("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        for key in source("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        for node in self.cluster.masters:
            node("CLUSTER", "SETSLOT", slot, "NODE", ids[1])

    def channels(self, node):
        lines = node("CLIENT", "LIST").decode().splitlines()
        return sum("name=pannier" in x and "t" in x.split("flags=")[1].split()[0] for x in lines)

    def test_writes_are_seen_at_all_masters_while_slots_move_and_masters_die(self):
        for round_ in range(3):
            for i in range(12):
                self.cluster.write(f"u:{i}", f"{round_}")
                self.wait_value(f"u:{i}", f"{round_}")
        self.assertEqual([self.channels(n) for n in self.cluster.masters], [1, 1, 1])

        source, target = self.cluster.masters[0], self.cluster.masters[1]
        key = next(k for k in (f"u:m{i}" for i in range(1000))
                   if source("CLUSTER", "KEYSLOT", k) < 5461)
        self.cluster.write(key, "before")
        self.wait_value(key, "before")
        self.move(source("CLUSTER", "KEYSLOT", key), source, target)
        self.wait_value(key, "before")
        for i in range(5):
            self.cluster.write(key, f"moved{i}")
            self.wait_value(key, f"moved{i}")

        dead, heir = self.cluster.masters[2], self.cluster.replicas[2]
        key = next(k for k in (f"u:f{i}" for i in range(1000))
                   if source("CLUSTER", "KEYSLOT", k) > 10922)
        self.cluster.write(key, "before")
        self.wait_value(key, "before")
        harness.wait_until(lambda: heir("DBSIZE") == dead("DBSIZE"), "the replica to have all")
        dead.kill()
        self.d.wait_log("not heard any more")
        harness.wait_until(lambda: b"role:master" in heir("INFO", "replication"), "the heir")
        for i in range(5):
            self.cluster.write(key, f"after{i}")
            self.wait_value(key, f"after{i}")
        harness.wait_until(lambda: self.channels(heir) == 1, "a channel to the heir")


if __name__ == "__main__":
    harness.main()
