#!/usr/bin/env python3
"""Invalidations from Kafka: librdkafka's mock of a broker (tests/helpers/kafka_mock.c)."""

import json
import os
import subprocess
import unittest

import harness

HELPER = os.path.join(os.environ.get("BUILD_DIR") or os.path.join(harness.TOP, "build"),
                      "tests/helpers/kafka_mock")


class Broker:
    def __init__(self, partitions=2):
        self.process = subprocess.Popen([HELPER, "changes", str(partitions)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()

    def __call__(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer == "ok\n", answer

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Streams(harness.Case):
    def setUp(self):
        super().setUp()
        if harness.SANITIZER == "tsan":
            self.skipTest("sanitizers: TSan does not know threads of C11, as librdkafka's are")
        self.broker = Broker()
        self.addCleanup(self.broker.end)

    def start(self, more=""):
        d = self.daemon(f"""
memory: 32MiB
invalidations:
  s:
    kind: kafka
    endpoints: ["{self.broker.address}"]
    topics: [changes]
    {more}
""")
        harness.wait_until(lambda: self.stat(d, "connected") == 1, "the stream")
        return d

    def stat(self, d, name):
        line = d.info()["stream_s"]
        return int(dict(pair.split("=") for pair in line.split(","))[name])

    def publish(self, partition=0, **message):
        self.broker(f"produce {partition} {json.dumps(message)}")

    def wait_gone(self, c, *keys):
        harness.wait_until(lambda: c("EXISTS", *keys) == 0, f"{keys} to be gone")

    def wait_messages(self, d, n):
        harness.wait_until(lambda: self.stat(d, "messages") >= n, f"{n} messages")

    def settle(self, d):
        """Until the gap of the beginning is done."""
        c = d.client()
        c("SET", "settle", 1)
        self.publish(key="settle")
        self.wait_gone(c, "settle")

    def test_what_messages_of_all_partitions_name_goes(self):
        d = self.start()
        self.settle(d)
        c = d.client()
        self.assertEqual(c("MSET", "a", 1, "b", 2, "p:1", 3, "stays", 5), "OK")
        self.publish(0, keys=["a"])
        self.publish(1, keys=["b"], prefixes=["p:"])
        self.wait_gone(c, "a", "b", "p:1")
        self.assertEqual(c("GET", "stays"), b"5")
        self.assertEqual(self.stat(d, "gaps"), 1)

    def test_what_was_there_before_the_start_is_not_read_and_all_is_in_doubt(self):
        for i in range(3):
            self.publish(key=f"old:{i}")
        d = self.start()
        self.settle(d)
        self.assertEqual(self.stat(d, "messages"), 1)
        self.assertEqual(self.stat(d, "gaps"), 1)

    def test_a_group_goes_on_where_it_was(self):
        more = 'group: mine\n    properties: ["session.timeout.ms=6000", "heartbeat.interval.ms=500"]'
        first = self.start(more)
        self.settle(first)
        first.stop()
        self.publish(key="a")
        second = self.start(more)
        self.wait_messages(second, 1)
        self.assertLessEqual(self.stat(second, "gaps"), 1) # the other partition was never read
        second.stop()

    def test_what_is_malformed_and_tombstones_are_passed_over(self):
        d = self.start('keys: ["user:{after.id|before.id}"]')
        c = d.client()
        self.broker("produce 0 {")
        self.broker("produce 0 ")
        self.publish(after=None, before=None)
        c("SET", "user:7", 1)
        self.publish(after={"id": 7})
        self.wait_gone(c, "user:7")
        self.wait_messages(d, 4)
        self.assertEqual(self.stat(d, "malformed"), 2)

    def test_a_broker_that_was_away_is_found_again_and_nothing_is_missed(self):
        d = self.start()
        self.settle(d)
        c = d.client()
        c("MSET", "a", 1, "b", 2)
        self.broker("down")
        d.wait_log("invalidations s: ")
        self.assertEqual(c("EXISTS", "a", "b"), 2)
        self.broker("up")
        self.publish(key="a")
        self.wait_gone(c, "a")
        self.assertEqual(c("EXISTS", "b"), 1)
        self.assertEqual(self.stat(d, "gaps"), 1)

    def test_a_setting_that_librdkafka_does_not_know_is_told(self):
        d = self.daemon(f"""
invalidations:
  s:
    kind: kafka
    endpoints: ["{self.broker.address}"]
    topics: [changes]
    properties: ["no.such.thing=1"]
""")
        d.wait_log('invalidations s: no.such.thing: No such configuration property')
        self.assertEqual(d.client()("PING"), "PONG")


if __name__ == "__main__":
    if not os.path.exists(HELPER):
        raise unittest.SkipTest("built without librdkafka")
    harness.main()
