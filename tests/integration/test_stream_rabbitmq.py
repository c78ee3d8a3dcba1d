#!/usr/bin/env python3
"""Invalidations from RabbitMQ: Debian's broker in a folder of its own."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import amqp
import harness

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
START_S = 150 # where all cores are taken: some 6 s alone


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Broker:
    """A node of its own, with its own epmd, on loopback."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.port, self.dist_port, self.epmd_port = free_port(), free_port(), free_port()
        with open(os.path.join(self.folder, "plugins"), "w", encoding="ascii") as f:
            f.write("[].\n")
        with open(os.path.join(self.folder, "rabbitmq.conf"), "w", encoding="ascii") as f:
            f.write(f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlog.file.level = error\n")
        self.env = dict(os.environ, HOME=self.folder, ERL_EPMD_PORT=str(self.epmd_port),
                        ERL_EPMD_ADDRESS="127.0.0.1", RABBITMQ_NODENAME=f"test{self.port}@localhost",
                        RABBITMQ_DIST_PORT=str(self.dist_port), RABBITMQ_CONF_ENV_FILE="/dev/null",
                        RABBITMQ_CONFIG_FILE=os.path.join(self.folder, "rabbitmq"),
                        RABBITMQ_MNESIA_BASE=self.folder, RABBITMQ_LOG_BASE=self.folder,
                        RABBITMQ_ENABLED_PLUGINS_FILE=os.path.join(self.folder, "plugins"),
                        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 1:1 +sbwt none "
                        "-kernel inet_dist_use_interface {127,0,0,1}")
        self.epmd = subprocess.Popen(["epmd", "-port", str(self.epmd_port)], env=self.env,
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
        self.process = None

    def start(self):
        self.process = subprocess.Popen([SERVER], env=self.env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        start_new_session=True, cwd=self.folder)
        end = time.monotonic() + START_S
        while not self.answers():
            assert time.monotonic() < end, "rabbitmq-server does not start"
            select.select([], [], [], 0.05)

    def answers(self):
        assert self.process.poll() is None, "rabbitmq-server ended"
        try:
            amqp.Amqp(self.port).close()
        except (OSError, harness.Closed, AssertionError):
            return False
        return True

    def emulator(self):
        """The process of Erlang, which the scripts wait for."""
        pids = [self.process.pid]
        for pid in pids:
            with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                if f.read().startswith("beam"):
                    return pid
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
                pids += [int(child) for child in f.read().split()]
        raise AssertionError("no emulator")

    def stop(self, how=signal.SIGTERM):
        """Its helpers end with it, and then the scripts that began it."""
        os.kill(self.emulator(), how)
        self.process.wait(harness.PATIENCE_S)

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)
        self.epmd.kill()
        self.epmd.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Streams(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()
        cls.addClassCleanup(cls.broker.end)
        cls.broker.start()

    def setUp(self):
        super().setUp()
        self.amqp = amqp.Amqp(self.broker.port)
        self.addCleanup(lambda: self.amqp.close())
        self.amqp.exchange("changes")

    def start(self, more="exchange: changes", namespaces=""):
        d = self.daemon(f"""
memory: 32MiB
{namespaces}
invalidations:
  s:
    kind: rabbitmq
    endpoints: ["127.0.0.1:{self.broker.port}"]
    {more}
""")
        self.wait_connected(d)
        return d

    def stat(self, d, name):
        line = d.info()["stream_s"]
        return int(dict(pair.split("=") for pair in line.split(","))[name])

    def wait_connected(self, d, times=1, gaps=None):
        harness.wait_until(lambda: self.stat(d, "connected") == 1 and
                           self.stat(d, "connects") >= times and
                           (gaps is None or self.stat(d, "gaps") >= gaps), "the stream")

    def wait_gone(self, c, *keys):
        harness.wait_until(lambda: c("EXISTS", *keys) == 0, f"{keys} to be gone")

    def test_what_a_message_names_goes(self):
        c = self.start().client()
        self.assertEqual(c("MSET", "a", 1, "b", 2, "p:1", 3, "p:2", 4, "stays", 5), "OK")
        self.amqp.publish("changes", json.dumps({"keys": ["a", "b"], "prefixes": ["p:"]}))
        self.wait_gone(c, "a", "b", "p:1", "p:2")
        self.assertEqual(c("GET", "stays"), b"5")

    def test_clients_that_track_are_told(self):
        d = self.start()
        c, other = d.client(), d.client()
        c("HELLO", 3)
        c("CLIENT", "TRACKING", "ON")
        other("SET", "a", 1)
        c("GET", "a")
        self.amqp.publish("changes", json.dumps({"keys": ["a"]}))
        self.assertEqual(c.value(), [b"invalidate", [b"a"]])

    def test_softly_values_stay_as_stale(self):
        c = self.start(namespaces='namespaces: [{prefix: "n:", grace: 1h, coalesce: lease}]').client()
        c("SET", "n:1", "old")
        self.amqp.publish("changes", json.dumps({"key": "n:1", "soft": True}))
        self.wait_gone(c, "n:1")
        self.assertEqual(c("PANNIER.LEASE", "n:1", "WAIT", 0)[:2], ["LEASE", b"old"])

    def test_fields_of_change_events_make_keys(self):
        d = self.start('exchange: changes\n    keys: ["user:{after.id|before.id}"]')
        c = d.client()
        for n, event in enumerate(({"before": None, "after": {"id": 7, "name": "x"}, "op": "c"},
                                   {"before": {"id": 7}, "after": None, "op": "d"},
                                   {"after": {"id": "7"}})):
            c("SET", "user:7", n)
            self.amqp.publish("changes", json.dumps(event))
            self.wait_gone(c, "user:7")
        self.assertEqual(self.stat(d, "malformed"), 0)

    def test_what_is_malformed_is_rejected_and_counted_and_the_rest_goes_on(self):
        self.amqp.exchange("dead")
        self.amqp.queue("graves")
        self.amqp.bind("graves", "dead")
        self.amqp.queue("mine", arguments=[("x-dead-letter-exchange", "dead")])
        self.amqp.bind("mine", "changes")
        d = self.start("queue: mine")
        c = d.client()
        for bad in ("{", "[1]", "{}", "\xff", json.dumps({"keys": [1]}), "x" * 2000000):
            self.amqp.publish("changes", bad)
        c("SET", "a", 1)
        self.amqp.publish("changes", json.dumps({"keys": ["a"]}))
        self.wait_gone(c, "a")
        self.assertEqual(self.stat(d, "malformed"), 6)
        harness.wait_until(lambda: self.amqp.queue("graves", passive=True)[0] == 6, "dead letters")
        self.assertEqual(self.amqp.get("graves"), b"{")
        self.amqp.delete_queue("mine")

    def test_a_queue_that_is_removed_is_made_anew_and_is_a_gap(self):
        d = self.start("exchange: changes\n    queue: durable")
        c = d.client()
        gaps = self.stat(d, "gaps")
        c("SET", "a", 1)
        self.amqp.delete_queue("durable")
        self.wait_connected(d, 2, gaps + 1)
        self.wait_gone(c, "a")
        self.amqp.delete_queue("durable")

    def test_a_durable_queue_keeps_what_comes_while_nobody_reads(self):
        more = "exchange: changes\n    queue: kept"
        first = self.start(more)
        self.assertEqual(self.stat(first, "gaps"), 1)
        first.stop()
        self.amqp.publish("changes", json.dumps({"keys": ["a"]}), lasts=True)
        self.assertEqual(self.amqp.queue("kept", passive=True)[0], 1)
        second = self.start(more)
        harness.wait_until(lambda: self.stat(second, "messages") == 1, "the message")
        self.assertEqual(self.stat(second, "gaps"), 0)
        harness.wait_until(lambda: self.amqp.queue("kept", passive=True) == (0, 1), "the ack")
        second.stop()
        self.amqp.delete_queue("kept")

    def test_a_broker_that_restarts_is_found_again(self):
        own = self.start()
        durable = self.start("exchange: changes\n    queue: over")
        ignores = self.start("exchange: changes\n    on_gap: ignore")
        clients = [d.client() for d in (own, durable, ignores)]
        gaps = self.stat(durable, "gaps")
        for c in clients:
            c("MSET", "a", 1, "b", 2)
        self.broker.stop()
        for d in (own, durable, ignores):
            harness.wait_until(lambda d=d: self.stat(d, "connected") == 0, "the end")
        self.broker.start()
        self.amqp.close()
        self.amqp = amqp.Amqp(self.broker.port)
        for d in (own, durable, ignores):
            self.wait_connected(d, 2)
        self.wait_gone(clients[0], "a", "b")
        self.assertEqual(clients[1]("EXISTS", "a", "b"), 2)
        self.assertEqual(clients[2]("EXISTS", "a", "b"), 2)
        self.assertEqual(self.stat(durable, "gaps"), gaps)
        self.amqp.publish("changes", json.dumps({"keys": ["a"]}))
        for c in clients:
            self.wait_gone(c, "a")
        self.assertEqual(clients[1]("EXISTS", "b"), 1)
        self.amqp.delete_queue("over")

    def test_many_messages_are_applied_each(self):
        d = self.start("exchange: changes\n    prefetch: 7")
        c = d.client()
        for i in range(300):
            c("SET", f"k:{i}", 1)
        for i in range(0, 300, 3):
            self.amqp.publish("changes", json.dumps(
                [{"keys": [f"k:{i}"]}, {"tags": ["none"], "keys": [f"k:{i + 1}", f"k:{i + 2}"]}]))
        self.wait_gone(c, *[f"k:{i}" for i in range(300)])
        self.assertEqual(self.stat(d, "messages"), 100)

    def test_who_cannot_log_in_keeps_trying_and_serves(self):
        secret = os.path.join(self.folder(), "secret")
        with open(secret, "w", encoding="ascii") as f:
            f.write("wrong\n")
        os.chmod(secret, 0o600)
        d = self.daemon(f"""
invalidations:
  s:
    kind: rabbitmq
    endpoints: ["127.0.0.1:{self.broker.port}"]
    user: guest
    password_file: {secret}
    exchange: changes
""")
        d.wait_log("invalidations s: login")
        self.assertEqual(d.client()("SET", "a", 1), "OK")
        self.assertEqual(self.stat(d, "connected"), 0)


if __name__ == "__main__":
    if not os.path.exists(SERVER):
        raise unittest.SkipTest("no rabbitmq-server")
    harness.main()
