#!/usr/bin/env python3
"""The life of the daemon and of its connections, over the real socket."""

import contextlib
import os
import resource
import signal
import socket
import stat
import threading
import time
import unittest

import harness
from harness import Client, Closed, ReplyError, encode

MIB = 1 << 20

READ_THROUGH = """
threads: 2
namespaces:
  - prefix: "user:"
    origin: users
    path: /users/{{rest}}
origins:
  users:
    http:
      endpoints: ["{url}"]
    deadline: {deadline}
"""


def refuse_to_wait(sock, data):
    """How many bytes the socket takes without being read."""
    sent = 0
    sock.setblocking(False)
    try:
        while sent < len(data):
            sent += sock.send(data[sent:])
    except BlockingIOError:
        pass
    return sent


def let_in(d):
    """A new client that is served, or None."""
    try:
        c = d.client()
    except (ConnectionRefusedError, FileNotFoundError):
        return None
    try:
        if c("PING") == "PONG":
            return c
    except (ReplyError, Closed, ConnectionResetError, BrokenPipeError):
        pass
    c.close()
    return None


class Stopping(harness.Case):
    def test_sigterm_closes_idle_clients_removes_the_socket_and_exits_0(self):
        d = self.daemon()
        clients = [d.client() for _ in range(5)]
        for c in clients:
            self.assertEqual(c("PING"), "PONG")
        self.assertEqual(d.stop(), 0)
        self.assertFalse(os.path.exists(d.path))
        for c in clients:
            self.assertEqual(c.until_closed(), b"")

    def test_sigint_is_a_stop_too(self):
        d = self.daemon()
        d.signal(signal.SIGINT)
        self.assertEqual(d.wait(), 0)

    def test_sigterm_answers_what_is_under_way(self):
        o = self.origin()
        gate = o.hold("/users/1", b"ann")
        d = self.daemon(READ_THROUGH.format(url=o.url, deadline="30s"))
        c, idle = d.client(), d.client()
        c.send("GET", "user:1")
        o.wait_requests(1)
        d.signal(signal.SIGTERM)
        self.assertEqual(idle.until_closed(), b"")
        with self.assertRaises((ConnectionRefusedError, FileNotFoundError)):
            d.client()
        self.assertTrue(d.running())
        gate.open()
        self.assertEqual(c.reply(), b"ann")
        self.assertEqual(c.until_closed(), b"")
        self.assertEqual(d.wait(), 0)

    def test_a_second_sigterm_stops_at_once(self):
        o = self.origin()
        gate = o.hold("/users/1", b"ann")
        d = self.daemon(READ_THROUGH.format(url=o.url, deadline="60s"))
        c, idle = d.client(), d.client()
        c.send("GET", "user:1")
        o.wait_requests(1)
        d.signal(signal.SIGTERM)
        self.assertEqual(idle.until_closed(), b"") # the first one has been taken
        d.signal(signal.SIGTERM)
        self.assertEqual(d.wait(), 128 + signal.SIGTERM)
        self.assertIn("stop: at once", d.text())
        gate.open()

    def test_the_exit_code_names_the_signal_that_cut_the_drain_short(self):
        d = self.daemon("drain_delay: 1h\n")
        d.signal(signal.SIGTERM)
        d.wait_log("stop: serving for")
        d.signal(signal.SIGINT)
        self.assertEqual(d.wait(), 128 + signal.SIGINT)

    def test_while_the_delay_lasts_all_are_served_and_it_says_that_it_is_not_ready(self):
        folder = self.folder()
        path = os.path.join(folder, "admin.sock")

        def ready():
            s = harness.connect(path)
            s.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            with s, s.makefile("rb") as f:
                return f.readline().split()[1]
        d = self.daemon(f"drain_delay: 1h\nadmin_http: unix:{path}\n")
        old = d.client()
        self.assertEqual(ready(), b"200")
        d.signal(signal.SIGTERM)
        harness.wait_until(lambda: ready() == b"503", "the daemon to say so")
        self.assertEqual(old("SET", "k", "v"), "OK")
        new = d.client()
        self.assertEqual(new("GET", "k"), b"v")
        d.signal(signal.SIGTERM)
        self.assertEqual(d.wait(), 128 + signal.SIGTERM)

    def test_after_the_delay_it_drains(self):
        d = self.daemon("drain_delay: 1ms\n")
        c = d.client()
        self.assertEqual(c("PING"), "PONG")
        d.signal(signal.SIGTERM)
        self.assertEqual(c.until_closed(), b"")
        self.assertEqual(d.wait(), 0)
        self.assertRegex(d.text(), "serving for 1 ms more(?s:.*)answering what is under way")

    def test_what_was_sent_before_the_stop_is_answered(self):
        d = self.daemon("threads: 2\n")
        inside = [d.client() for _ in range(20)]
        for c in inside:
            self.assertEqual(c("PING"), "PONG")
        d.signal(signal.SIGSTOP) # so that all of it is there at once
        outside = [d.client() for _ in range(20)]
        for i, c in enumerate(inside + outside):
            c.raw(encode("SET", f"k{i}", "v") + encode("GET", f"k{i}"))
        d.signal(signal.SIGTERM)
        d.signal(signal.SIGCONT)
        for c in inside + outside:
            self.assertEqual(c.until_closed(), b"+OK\r\n$1\r\nv\r\n")
        self.assertEqual(d.wait(), 0)

    def test_who_never_stops_sending_is_cut_off_between_two_requests(self):
        d = self.daemon("threads: 1\n")
        c = d.client()
        stop = threading.Event()

        def send():
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    c.raw(encode("PING") * 100)
        sender = threading.Thread(target=send)
        sender.start()
        try:
            self.assertEqual(c.reply(), "PONG")
            d.signal(signal.SIGTERM)
            rest = c.until_closed()
            self.assertEqual(d.wait(), 0)
        finally:
            stop.set()
            sender.join(harness.PATIENCE_S)
        self.assertEqual(rest.replace(b"+PONG\r\n", b""), b"")

    def test_the_drain_ends_after_its_time(self):
        o = self.origin()
        gate = o.hold("/users/1", b"ann")
        d = self.daemon("drain_timeout: 50ms\n" + READ_THROUGH.format(url=o.url, deadline="60s"))
        c = d.client()
        c.send("GET", "user:1")
        o.wait_requests(1)
        d.signal(signal.SIGTERM)
        self.assertEqual(d.wait(), 0)
        self.assertIn("after the drain timeout 1 connections", d.text())
        gate.open()


class Starting(harness.Case):
    def exits(self, d, *words):
        """It does so within a second, not with 0, and says why."""
        begun = time.monotonic()
        self.assertNotEqual(d.launch().wait(), 0)
        if not harness.SANITIZER:
            self.assertLess(time.monotonic() - begun, 1)
        for word in words:
            self.assertIn(word, d.text())

    def test_a_stale_socket_is_replaced_after_kill_9(self):
        d = self.daemon()
        self.assertEqual(d.client()("SET", "k", "v"), "OK")
        d.kill()
        self.assertTrue(os.path.exists(d.path))
        d.start()
        self.assertEqual(d.client()("PING"), "PONG")
        self.assertEqual(d.stop(), 0)
        self.assertFalse(os.path.exists(d.path))

    def test_a_socket_in_use_is_left_alone(self):
        first = self.daemon()
        self.exits(self.daemon(folder=first.folder, stopped=True), first.path, "another process")
        self.assertEqual(first.client()("PING"), "PONG")
        self.assertEqual(first.stop(), 0)

    def test_a_path_that_is_too_long_is_an_error_that_says_so(self):
        d = self.daemon(stopped=True)
        path = os.path.join(d.folder, "x" * 200)
        d.path = path[:108]
        d.write_config("")
        self.exits(d, "107")
        d.path = path[:107]
        d.write_config("")
        d.start()
        self.assertEqual(d.client()("PING"), "PONG")

    def test_a_file_that_is_no_socket_is_not_touched(self):
        d = self.daemon(stopped=True)
        with open(d.path, "w", encoding="utf-8") as f:
            f.write("precious")
        self.exits(d, d.path)
        with open(d.path, encoding="utf-8") as f:
            self.assertEqual(f.read(), "precious")

    def test_a_directory_that_is_missing_is_named(self):
        d = self.daemon(stopped=True)
        d.path = os.path.join(d.folder, "none", "sock")
        d.write_config("")
        self.exits(d, os.path.join(d.folder, "none"))

    def test_the_mode_of_the_socket_is_the_configured_one(self):
        d = self.daemon(stopped=True)
        d.write_config(f'listen:\n  - unix: {d.path}\n    mode: "0640"\n')
        d.start()
        self.assertEqual(stat.S_IMODE(os.stat(d.path).st_mode), 0o640)

    def test_tcp_is_served_on_loopback_and_nowhere_else(self):
        d = self.daemon(stopped=True)
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        d.write_config(f"listen:\n  - unix: {d.path}\n  - tcp: 127.0.0.1:{port}\n")
        d.start()
        c = Client(("127.0.0.1", port))
        self.assertEqual(c("SET", "k", "v"), "OK")
        self.assertEqual(d.client()("GET", "k"), b"v")
        d.stop()
        d.write_config(f"listen:\n  - tcp: 0.0.0.0:{port}\n")
        self.exits(d, "loopback")


class Reloading(harness.Case):
    def option(self, d, name):
        return d.client()("CONFIG", "GET", name)[1]

    def test_sighup_takes_what_can_change_while_running(self):
        d = self.daemon("max_clients: 100\n")
        old = d.client()
        self.assertEqual(old("SET", "k", "v"), "OK")
        self.assertEqual(self.option(d, "maxclients"), b"100")
        d.write_config("max_clients: 200\n")
        d.signal(signal.SIGHUP)
        d.wait_log("reload: done")
        self.assertEqual(self.option(d, "maxclients"), b"200")
        self.assertEqual(old("GET", "k"), b"v") # same connection, same data

    def test_a_broken_configuration_is_refused_and_the_old_one_stays(self):
        d = self.daemon("max_clients: 100\n")
        d.write_config("max_clients: many\n")
        d.signal(signal.SIGHUP)
        d.wait_log("old configuration stays")
        self.assertIn("max_clients", d.text())
        self.assertEqual(self.option(d, "maxclients"), b"100")
        d.write_config("max_clients: 300\n")
        d.signal(signal.SIGHUP)
        d.wait_log("reload: done")
        self.assertEqual(self.option(d, "maxclients"), b"300")


class Killed(harness.Case):
    """Clients that are processes, and end by kill -9."""

    def process(self, d, *commands):
        """One that sends these, and then waits for what never comes."""
        pid = os.fork()
        if pid == 0:
            try:
                c = d.client()
                c.raw(b"".join(encode(*args) for args in commands))
                signal.pause()
            finally:
                os._exit(1)
        self.addCleanup(self.kill, pid)
        return pid

    def kill(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass

    def namespace(self, d, name):
        line = d.info("namespaces")["ns_" + name]
        return dict(f.split("=") for f in line.split(","))

    def clients(self, d, n):
        """Until there are so many, the one that asks counted."""
        harness.wait_until(lambda: d.info()["connected_clients"] == str(n), f"{n} clients")

    def test_a_leader_and_a_waiter_of_a_fetch(self):
        o = self.origin()
        gate = o.hold("/users/1", b"ann")
        d = self.daemon(READ_THROUGH.format(url=o.url, deadline="60s"))
        leader = self.process(d, ("GET", "user:1"))
        o.wait_requests(1)
        waiter = self.process(d, ("GET", "user:1"), ("SET", "k", "behind"))
        last = d.client()
        last.send("GET", "user:1")
        harness.wait_until(lambda: self.namespace(d, "user")["coalesced"] == "2", "two to wait")
        self.kill(leader)
        self.kill(waiter)
        self.clients(d, 2)
        gate.open()
        self.assertEqual(last.reply(), b"ann")
        self.assertEqual(o.count(), 1)
        self.assertIsNone(last("GET", "k")) # what stood behind its wait was not done

    def test_a_holder_of_a_lease_and_those_who_wait_for_it(self):
        d = self.daemon('threads: 2\nnamespaces:\n  - prefix: "page:"\n    coalesce: lease\n'
                        "    lease_time: 60s\n")
        holder = self.process(d, ("GET", "page:1"))
        harness.wait_until(lambda: self.namespace(d, "page")["leases"] == "1", "the lease")
        waiters = [self.process(d, ("GET", "page:1")) for _ in range(3)]
        harness.wait_until(lambda: self.namespace(d, "page")["lease_waits"] == "3", "them to wait")
        last = d.client()
        last.send("GET", "page:1")
        harness.wait_until(lambda: self.namespace(d, "page")["lease_waits"] == "4", "all to wait")
        for pid in waiters[:2] + [holder] + waiters[2:]: # the third has the lease for a moment
            self.kill(pid)
        self.assertIsNone(last.reply())
        self.assertEqual(last("SET", "page:1", "made"), "OK")
        self.assertEqual(d.client()("GET", "page:1"), b"made")

    def test_in_the_middle_of_a_request_and_of_a_reply(self):
        d = self.daemon("threads: 2\n")
        c = d.client()
        c("SET", "big", b"x" * 900000)
        reader = self.process(d, *[("GET", "big")] * 10)
        pid = os.fork()
        if pid == 0:
            try:
                half = d.client() # named: else it is closed behind the line
                half.raw(encode("SET", "half", b"y" * 100000)[:60000])
                signal.pause()
            finally:
                os._exit(1)
        self.addCleanup(self.kill, pid)
        self.clients(d, 4)
        self.kill(reader)
        self.kill(pid)
        self.clients(d, 2)
        self.assertIsNone(c("GET", "half"))
        self.assertEqual(c("STRLEN", "big"), 900000)

    def test_one_that_listens_watches_and_queues(self):
        d = self.daemon("threads: 2\n")
        c = d.client()
        pid = self.process(d, ("HELLO", 3), ("SUBSCRIBE", "c"), ("WATCH", "k"), ("MULTI",),
                           ("SET", "k", "queued"))
        harness.wait_until(lambda: c("PUBSUB", "NUMSUB", "c") == [b"c", 1], "the listener")
        self.kill(pid)
        harness.wait_until(lambda: c("PUBLISH", "c", "x") == 0, "it to be forgotten")
        self.assertIsNone(c("GET", "k"))


class Seeds(harness.Case):
    def test_two_starts_place_the_same_keys_differently(self):
        """Nobody can choose keys beforehand that fall into one bucket."""
        orders = []
        for _ in range(2):
            d = self.daemon("threads: 1\n")
            c = d.client()
            for i in range(200):
                c("SET", f"k{i}", "v")
            orders.append(c("KEYS", "*"))
        self.assertEqual(sorted(orders[0]), sorted(orders[1]))
        self.assertNotEqual(orders[0], orders[1])


class Clients(harness.Case):
    def test_a_half_closed_client_gets_all_its_replies(self):
        d = self.daemon()
        c = d.client()
        value = b"v" * 100000
        c.raw(encode("SET", "k", value) + encode("GET", "k") * 100 + encode("PING"))
        c.half_close()
        self.assertEqual(c.until_closed(), b"+OK\r\n" + b"$100000\r\n%b\r\n" % value * 100 +
                         b"+PONG\r\n")

    def test_a_half_closed_client_gets_the_reply_that_comes_late(self):
        o = self.origin()
        gate = o.hold("/users/1", b"ann")
        d = self.daemon(READ_THROUGH.format(url=o.url, deadline="30s"))
        c = d.client()
        c.send("GET", "user:1")
        c.half_close()
        o.wait_requests(1)
        self.assertEqual(d.client()("PING"), "PONG")
        gate.open()
        self.assertEqual(c.until_closed(), b"$3\r\nann\r\n")

    def test_clients_that_go_at_any_moment_leave_the_others_alone(self):
        o = self.origin()
        gate = o.hold("/users/1", b"ann")
        d = self.daemon(READ_THROUGH.format(url=o.url, deadline="30s"))
        stays = d.client()
        self.assertEqual(stays("SET", "big", b"x" * 900000), "OK")
        waiting = d.client()
        waiting.send("GET", "user:1")
        o.wait_requests(1)
        parked, leader_gone, writing, cut = [d.client() for _ in range(4)]
        parked.send("GET", "user:1")
        leader_gone.raw(encode("GET", "user:1") + encode("SET", "k", "v"))
        writing.raw(encode("GET", "big") * 20) # and goes in the middle of the replies
        cut.raw(encode("SET", "half", b"y" * 1000)[:500])
        self.assertGreater(len(writing.take(1000)), 0)
        for c in (parked, leader_gone, writing, cut):
            c.close()
        # The two who stay, and the one who asks.
        harness.wait_until(lambda: d.info()["connected_clients"] == "3", "them to be let go")
        self.assertEqual(stays("GET", "half"), None)
        gate.open()
        self.assertEqual(waiting.reply(), b"ann")
        self.assertEqual(stays("GET", "big"), b"x" * 900000)
        self.assertEqual(o.count(), 1)

    @unittest.skipIf(harness.SANITIZER, "sanitizers need memory of their own")
    def test_a_client_that_pipelines_and_never_reads_costs_bounded_memory(self):
        for size in (100, 10000, 1000000):
            with self.subTest(value_bytes=size):
                d = self.daemon("memory: 128MiB\noutput_limit: 1MiB\nthreads: 1\n")
                other = d.client()
                self.assertEqual(other("SET", "k", b"v" * size), "OK")
                before = d.status("VmRSS")
                greedy = [d.client() for _ in range(8)]
                requests = encode("GET", "k") * 20000
                for _ in range(5):
                    for c in greedy:
                        try:
                            refuse_to_wait(c.sock, requests)
                        except OSError:
                            pass # closed: that is fair
                    self.assertEqual(other("PING"), "PONG")
                self.assertLess(d.status("VmRSS") - before, 24 * MIB)
                self.assertLessEqual(d.status("VmRSS"), 128 * MIB)
                self.assertEqual(other("GET", "k"), b"v" * size)
                for c in greedy:
                    c.close()

    def test_replies_that_were_held_up_come_when_the_client_reads_on(self):
        d = self.daemon("output_limit: 256KiB\n")
        c = d.client()
        value = b"v" * 5000
        self.assertEqual(c("SET", "k", value), "OK")
        sent = refuse_to_wait(c.sock, encode("GET", "k") * 100000)
        self.assertEqual(d.client()("PING"), "PONG")
        c.sock.settimeout(harness.PATIENCE_S)
        for _ in range(sent // len(encode("GET", "k"))):
            self.assertEqual(c.reply(), value)

    def test_more_clients_than_allowed_are_told(self):
        d = self.daemon("max_clients: 3\n")
        # The one that asked whether it runs may still be on its way out.
        clients = [harness.wait_until(lambda: let_in(d), "room") for _ in range(3)]
        self.assertIn(b"max number of clients", d.client().until_closed())
        clients[0].close()
        harness.wait_until(lambda: let_in(d), "room for another client")

    def test_without_descriptors_the_daemon_neither_spins_nor_gives_up(self):
        few = 40
        d = self.daemon(limits=[(resource.RLIMIT_NOFILE, (few, few))], args=["--threads", "1"])
        first = d.client()
        self.assertEqual(first("SET", "k", "v"), "OK")
        crowd = [d.client() for _ in range(2 * few)]
        d.wait_log("no more clients|descriptor|Too many open files")
        before = d.cpu_ticks()
        for _ in range(100):
            self.assertEqual(first("GET", "k"), b"v") # those who are in are served
        self.assertLess(d.cpu_ticks() - before, 50) # half a second, of a busy loop
        for c in crowd:
            c.close()
        harness.wait_until(lambda: let_in(d), "new clients to be let in")
        self.assertEqual(first("GET", "k"), b"v")


if __name__ == "__main__":
    harness.main()
