#!/usr/bin/env python3
"""The service manager's side: readiness, watchdog and reloads by sd_notify, sockets that
it opens and passes. The manager is played by this script."""

import os
import re
import signal
import socket
import subprocess
import unittest

import harness
from harness import Client

# Puts the descriptor named first at 3 and so on, as systemd does, then runs the rest.
ACTIVATE = """
import os, sys
fds = [int(x) for x in sys.argv[1].split(",")]
high = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(len(fds))
os.environ["LISTEN_FDNAMES"] = sys.argv[2]
os.execv(sys.argv[3], sys.argv[3:])
"""


class Manager:
    """A datagram socket as $NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(harness.PATIENCE_S)
        self.sock.bind(path)

    def next(self):
        return self.sock.recv(4096).decode()

    def until(self, what):
        """Datagrams up to one that begins with this."""
        seen = []
        while not seen or not seen[-1].startswith(what):
            seen.append(self.next())
        return seen

    def close(self):
        self.sock.close()


class Notify(harness.Case):
    def manager(self):
        m = Manager(os.path.join(self.folder(), "notify"))
        self.addCleanup(m.close)
        return m

    def test_it_is_ready_when_it_serves_and_stopping_when_it_stops(self):
        m = self.manager()
        d = self.daemon(env={"NOTIFY_SOCKET": m.path}, stopped=True).launch()
        self.assertTrue(m.next().startswith("READY=1\nSTATUS="))
        c = d.client()
        self.assertEqual(c("PING"), "PONG")
        c.close()
        d.signal(signal.SIGTERM)
        self.assertTrue(m.next().startswith("STOPPING=1"))
        self.assertEqual(d.wait(), 0)

    def test_a_reload_is_told_from_its_beginning_to_its_end(self):
        m = self.manager()
        d = self.daemon(env={"NOTIFY_SOCKET": m.path})
        m.until("READY=1")
        d.signal(signal.SIGHUP)
        self.assertRegex(m.next(), r"^RELOADING=1\nMONOTONIC_USEC=\d+$")
        self.assertEqual(m.next(), "READY=1\nSTATUS=Serving")
        d.write_config("nonsense: true\n")
        d.signal(signal.SIGHUP)
        self.assertTrue(m.next().startswith("RELOADING=1"))
        self.assertIn("reload failed", m.next())

    def test_the_watchdog_hears_from_it_while_its_loops_turn(self):
        m = self.manager()
        d = self.daemon("threads: 2\n", env={"NOTIFY_SOCKET": m.path, "WATCHDOG_USEC": "30000"})
        self.assertEqual(m.until("WATCHDOG=1")[-1], "WATCHDOG=1")
        m.until("WATCHDOG=1")
        self.assertEqual(d.stop(), 0)

    def test_without_a_watchdog_only_readiness_is_told(self):
        m = self.manager()
        d = self.daemon(env={"NOTIFY_SOCKET": m.path})
        self.assertEqual(d.stop(), 0)
        self.assertEqual([x.split("\n")[0] for x in m.until("STOPPING=1")],
                         ["READY=1", "STOPPING=1"])


class Activation(harness.Case):
    def bound(self, where):
        family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
        s = socket.socket(family, socket.SOCK_STREAM)
        s.bind(where)
        s.listen(16)
        self.addCleanup(s.close)
        return s

    def activated(self, sockets, names="", config="", args=()):
        """A daemon that is given these; it is waited for its first line of log."""
        d = self.daemon(config, stopped=True)
        fds = [s.fileno() for s in sockets]
        command = ["python3", "-c", ACTIVATE, ",".join(map(str, fds)), names,
                   harness.BINARY, "serve", *args]
        d.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                     pass_fds=fds, cwd=d.folder)
        d.reader = harness.threading.Thread(target=d.read_log, args=(d.process.stderr,))
        d.reader.daemon = True
        d.reader.start()
        return d

    def ask(self, where):
        c = Client(where)
        self.addCleanup(c.close)
        self.assertEqual(c("PING"), "PONG")
        return c

    def test_clients_that_came_before_the_daemon_are_served(self):
        path = os.path.join(self.folder(), "s")
        s = self.bound(path)
        early = Client(path)
        self.addCleanup(early.close)
        early.send("PING")
        d = self.activated([s])
        self.assertEqual(early.reply(), "PONG")
        d.wait_log(re.escape(f"listening on unix:{path}"))
        self.assertEqual(d.stop(), 0)

    def test_the_socket_outlives_the_daemon_and_its_clients_wait_for_the_next(self):
        path = os.path.join(self.folder(), "s")
        s = self.bound(path)
        d = self.activated([s])
        self.ask(path)
        self.assertEqual(d.stop(), 0)
        self.assertTrue(os.path.exists(path))
        between = Client(path)
        self.addCleanup(between.close)
        between.send("PING")
        d = self.activated([s])
        self.assertEqual(between.reply(), "PONG")
        self.assertEqual(d.stop(), 0)

    def test_what_the_configuration_names_is_taken_and_the_rest_is_added(self):
        folder = self.folder()
        named, other = os.path.join(folder, "named"), os.path.join(folder, "other")
        sockets = [self.bound(named), self.bound(other), self.bound(("127.0.0.1", 0))]
        own = os.path.join(folder, "own")
        config = os.path.join(folder, "c.yaml")
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"listen:\n  - unix: {named}\n    read_only: true\n  - unix: {own}\n")
        d = self.activated(sockets, args=["--config", config])
        self.assertIn("READONLY", self.ask(named).error("SET", "k", "v"))
        self.assertEqual(self.ask(other)("SET", "k", "v"), "OK")
        self.assertEqual(self.ask(sockets[2].getsockname())("GET", "k"), b"v")
        d.wait_log(re.escape(f"listening on unix:{own}"))
        self.ask(own)
        d.signal(signal.SIGHUP)
        d.wait_log("reload: done")
        self.assertNotIn("needs a restart", d.text())
        self.ask(other)
        self.assertEqual(d.stop(), 0)
        self.assertFalse(os.path.exists(own))
        self.assertTrue(os.path.exists(other))

    def test_admin_http_takes_its_socket_too(self):
        path = os.path.join(self.folder(), "admin")
        s, main = self.bound(path), self.bound(os.path.join(self.folder(), "s"))
        d = self.activated([main, s], args=["--admin-http", f"unix:{path}"])
        c = harness.connect(path)
        self.addCleanup(c.close)
        c.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        self.assertIn(b"200 OK", c.recv(4096))
        self.assertEqual(d.stop(), 0)
        self.assertTrue(os.path.exists(path))

    def test_a_socket_that_cannot_be_served_stops_the_start_with_its_name(self):
        wide = self.bound(("0.0.0.0", 0))
        d = self.activated([self.bound(os.path.join(self.folder(), "s")), wide], "a.socket:b.socket")
        self.assertEqual(d.wait(), 78)
        self.assertIn(f"the passed socket tcp:0.0.0.0:{wide.getsockname()[1]} cannot be used",
                      d.text())
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(s.close)
        d = self.activated([self.bound(os.path.join(self.folder(), "s")), s], "a.socket:b.socket")
        self.assertEqual(d.wait(), 78)
        self.assertIn("the passed socket 4 (b.socket) cannot be used: it does not listen", d.text())


if __name__ == "__main__":
    harness.main()
