#!/usr/bin/env python3
"""Limits on clients: how many, how long idle, how much they may hold."""

import re
import resource
import select
import socket

import harness
from harness import Client, Closed, ReplyError, encode

CROWD = 4000

READ_THROUGH = """
threads: 1
idle_timeout: 1s
namespaces:
  - prefix: "user:"
    origin: users
    path: /users/{{rest}}
origins:
  users:
    http:
      endpoints: ["{url}"]
    deadline: 60s
"""


def fields(client, section="stats"):
    text = client("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def is_closed(client):
    """Of one that has no replies to come."""
    if not select.select([client.sock], [], [], 0)[0]:
        return False
    return client.until_closed() == b""


class Case(harness.Case):
    def tcp_daemon(self, config):
        """It and a TCP address, besides the usual socket."""
        d = self.daemon(stopped=True)
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        d.write_config(f"listen:\n  - unix: {d.path}\n  - tcp: 127.0.0.1:{port}\n" + config)
        return d.start(), ("127.0.0.1", port)


class Idle(Case):
    def test_a_client_that_is_idle_for_too_long_is_closed_and_an_active_one_is_not(self):
        d, tcp = self.tcp_daemon("threads: 1\nidle_timeout: 1s\n")
        active, active_tcp = d.client(), Client(tcp)
        idle, idle_tcp = d.client(), Client(tcp)

        def both_closed():
            self.assertEqual(active("PING"), "PONG")
            self.assertEqual(active_tcp("PING"), "PONG")
            done[0] = done[0] or is_closed(idle)
            done[1] = done[1] or is_closed(idle_tcp)
            return all(done)

        done = [False, False]
        harness.wait_until(both_closed, "the idle ones to be closed")
        self.assertEqual(active("PING"), "PONG")
        self.assertEqual(active_tcp("PING"), "PONG")

    def test_without_a_timeout_it_can_be_set_and_taken_back(self):
        d = self.daemon("threads: 1\n")
        setter, idle = d.client(), d.client()
        self.assertEqual(idle("PING"), "PONG")
        self.assertEqual(setter("CONFIG", "SET", "timeout", "1"), "OK")
        harness.wait_until(lambda: setter("PING") == "PONG" and is_closed(idle), "it to be closed")
        self.assertEqual(setter("CONFIG", "SET", "timeout", "0"), "OK")

    def test_one_that_waits_for_an_origin_is_not_idle_nor_just_after(self):
        o = self.origin()
        gate = o.hold("/users/1", b"ann")
        d = self.daemon(READ_THROUGH.format(url=o.url))
        waiting = d.client()
        name = waiting("CLIENT", "ID")
        waiting.send("GET", "user:1")
        o.wait_requests(1)
        for _ in range(2):
            self.assertEqual(d.client().until_closed(), b"") # that one was idle
        gate.open()
        self.assertEqual(waiting.reply(), b"ann")
        # Its request is two seconds old, its reply is not.
        line = d.client()("CLIENT", "LIST", "ID", name).decode()
        self.assertLess(int(re.search(r" idle=(\d+) ", line)[1]), 2)
        self.assertEqual(waiting.until_closed(), b"")

    def test_one_that_sends_or_reads_slowly_is_not_idle(self):
        d = self.daemon("threads: 1\nidle_timeout: 1s\nmemory: 256MiB\n")
        request = encode("SET", "k", b"v" * 1000000)
        sender, reader, sent = d.client(), d.client(), 0
        self.assertEqual(reader("SET", "big", b"x" * 1000000), "OK")
        reader.send("GET", "big")
        reader.take(len(b"$1000000\r\n"))
        sender.raw(request[:500000])
        sent = 500000
        left = 1000000
        idle = d.client()
        while not is_closed(idle):
            sender.raw(request[sent:sent + 8])
            sent += 8
            if left > 4096:
                reader.take(4096)
                left -= 4096
            select.select([idle.sock], [], [], 0.01)
        sender.raw(request[sent:])
        self.assertEqual(sender.reply(), "OK")
        self.assertEqual(reader.take(left + 2), b"x" * left + b"\r\n")


class Number(Case):
    def test_more_than_allowed_are_refused_in_redis_words_and_counted(self):
        d, tcp = self.tcp_daemon("max_clients: 3\n")
        # The one that asked whether it runs may still be on its way out.
        first, *_others = [self.let_in(where) for where in (d.path, tcp, d.path)]
        before = int(fields(first)["rejected_connections"])
        for where in (d.path, tcp, d.path):
            self.assertEqual(Client(where).until_closed(), b"-ERR max number of clients reached\r\n")
        self.assertEqual(int(fields(first)["rejected_connections"]), before + 3)
        self.assertEqual(first("CONFIG", "SET", "maxclients", "4"), "OK")
        self.let_in(tcp) # the loop that accepts hears of it a moment later

    @staticmethod
    def let_in(where):
        def served():
            c = Client(where)
            try:
                return c if c("PING") == "PONG" else None
            except (ReplyError, Closed, ConnectionResetError, BrokenPipeError):
                c.close()
                return None
        return harness.wait_until(served, "a client to be let in")

    def test_a_list_of_thousands_is_refused_or_whole(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < CROWD + 100:
            self.skipTest(f"only {hard} descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, CROWD + 100), hard))
        d = self.daemon("threads: 2\nmemory: 256MiB\n")
        c = d.client()
        crowd = [d.client() for _ in range(CROWD)]
        self.assertEqual(crowd[-1]("PING"), "PONG")
        lines = c("CLIENT", "LIST").decode().splitlines()
        self.assertEqual(len(lines), CROWD + 1)
        self.assertEqual(c("CONFIG", "SET", "maxmemory-clients", "1MiB"), "OK")
        self.assertEqual(c.error("CLIENT", "LIST"),
                         "ERR too many clients for one reply, use CLIENT LIST ID")
        last = crowd[-1]("CLIENT", "ID")
        lines = c("CLIENT", "LIST", "ID", last, c("CLIENT", "ID"), last).decode().splitlines()
        self.assertEqual(len(lines), 2)
        self.assertTrue(lines[0].startswith(f"id={last} "))
        self.assertEqual(c("CONFIG", "SET", "output_limit", "8MiB", "maxmemory-clients", "32MiB"), "OK")
        lines = c("CLIENT", "LIST").decode().splitlines()
        ids = [int(re.match(r"id=(\d+) ", line)[1]) for line in lines]
        self.assertEqual(len(ids), CROWD + 1)
        self.assertEqual(ids, sorted(ids))
        for client in crowd:
            client.close()


class Bytes(Case):
    def test_info_counts_what_went_through_the_socket(self):
        d = self.daemon("threads: 2\n")
        c = d.client()
        names = ("total_net_input_bytes", "total_net_output_bytes")
        before = [int(fields(c)[n]) for n in names]
        c("SET", "k", b"v" * 100000)
        c("GET", "k")
        after = [int(fields(c)[n]) for n in names]
        for was, now in zip(before, after):
            self.assertGreater(now - was, 100000)
            self.assertLess(now - was, 120000)
        self.assertEqual(c("CONFIG", "RESETSTAT"), "OK")
        for n in names:
            self.assertLess(int(fields(c)[n]), 20000)


class Buffers(Case):
    def test_over_the_limit_of_all_the_one_that_holds_most_is_closed(self):
        d = self.daemon("threads: 1\nmemory: 64MiB\nbuffers_limit: 1MiB\n")
        asker, large = d.client(), d.client()
        large.raw(encode("SET", "large", b"l" * 480000)[:400000])
        large.all_taken()
        small, closed = [], None
        request = encode("SET", "small", b"s" * 120000)
        while not closed and len(small) < 20:
            c = d.client()
            c.raw(request[:100000])
            c.all_taken()
            small.append(c)
            self.assertEqual(asker("PING"), "PONG")
            closed = is_closed(large)
        self.assertTrue(closed)
        self.assertGreater(len(small), 3)
        self.assertEqual(fields(asker)["query_limit_closes"], "1")
        for c in small:
            c.raw(request[100000:])
            self.assertEqual(c.reply(), "OK")
        self.assertIsNone(asker("GET", "large"))
        self.assertEqual(asker("GET", "small"), b"s" * 120000)

    def test_replies_that_are_not_read_count_too(self):
        d = self.daemon("threads: 1\nmemory: 64MiB\nbuffers_limit: 1MiB\noutput_limit: 1MiB\n")
        asker = d.client()
        self.assertEqual(asker("SET", "k", b"v" * 8000), "OK")
        lazy = [d.client() for _ in range(60)] # each is served some KiB ahead at least
        for c in lazy:
            c.raw(encode("GET", "k") * 50) # 400 kB
        harness.wait_until(lambda: int(fields(asker)["output_limit_closes"]) > 0, "a close")
        self.assertEqual(asker("GET", "k"), b"v" * 8000)
        whole = 0
        for c in lazy:
            try:
                for _ in range(50):
                    self.assertEqual(c.reply(), b"v" * 8000)
                whole += 1
            except (Closed, ConnectionResetError, BrokenPipeError):
                pass
        self.assertGreater(whole, 0)
        self.assertLess(whole, 60)


if __name__ == "__main__":
    harness.main()
