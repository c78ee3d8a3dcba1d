#!/usr/bin/env python3
"""Publish and subscribe over the socket: between loops, in order, in both
protocols, and with a client that does not read."""

import unittest

import harness
from harness import Push, wait_until

THREADS = ["--threads", "3"]


class PubSub(harness.Case):
    def setUp(self):
        self.d = self.daemon(args=THREADS)

    def listener(self, *channels, proto=2):
        c = self.d.client()
        c("HELLO", proto)
        c.send("SUBSCRIBE", *channels)
        for channel in channels:
            self.assertEqual(c.value()[1], channel.encode())
        return c

    def test_a_message_reaches_clients_of_every_loop(self):
        listeners = [self.listener("news", proto=2 + n % 2) for n in range(9)]
        loops = {line.split("io-thread=")[1] for line in
                 self.d.client()("CLIENT", "LIST", "TYPE", "pubsub").decode().splitlines()}
        self.assertEqual(len(loops), 3)
        self.assertEqual(self.d.client()("PUBLISH", "news", "hello"), 9)
        for n, c in enumerate(listeners):
            message = c.value()
            self.assertEqual(message, [b"message", b"news", b"hello"])
            self.assertEqual(isinstance(message, Push), n % 2 == 1)

    def test_the_messages_of_one_publisher_keep_their_order(self):
        listeners = [self.listener("c") for _ in range(6)]
        publisher = self.d.client()
        replies = publisher.pipeline(*[("PUBLISH", "c", n) for n in range(2000)])
        self.assertEqual(replies, [6] * 2000)
        for c in listeners:
            got = [int(c.value()[2]) for _ in range(2000)]
            self.assertEqual(got, list(range(2000)))

    def test_large_messages_arrive_whole(self):
        listeners = [self.listener("c") for _ in range(4)]
        text = bytes(range(256)) * 1200
        self.assertEqual(self.d.client()("PUBLISH", "c", text), 4)
        for c in listeners:
            self.assertEqual(c.value(), [b"message", b"c", text])

    def test_patterns_and_channels_count_each(self):
        c = self.listener("news.a")
        c.send("PSUBSCRIBE", "news.*", "*a")
        self.assertEqual([c.value()[2], c.value()[2]], [2, 3])
        p = self.d.client()
        self.assertEqual(p("PUBLISH", "news.a", "x"), 3)
        self.assertEqual(c.value(), [b"message", b"news.a", b"x"])
        self.assertEqual(sorted([c.value(), c.value()]),
                         [[b"pmessage", b"*a", b"news.a", b"x"],
                          [b"pmessage", b"news.*", b"news.a", b"x"]])
        self.assertEqual(p("PUBSUB", "NUMPAT"), 2)
        self.assertEqual(p("PUBSUB", "CHANNELS"), [b"news.a"])

    def test_shard_channels_are_apart(self):
        c = self.d.client()
        self.assertEqual(c("SSUBSCRIBE", "c"), [b"ssubscribe", b"c", 1])
        p = self.d.client()
        self.assertEqual(p("PUBLISH", "c", "x"), 0)
        self.assertEqual(p("SPUBLISH", "c", "y"), 1)
        self.assertEqual(c.value(), [b"smessage", b"c", b"y"])
        self.assertEqual(p("PUBSUB", "SHARDNUMSUB", "c"), [b"c", 1])

    def test_who_leaves_is_forgotten(self):
        c = self.listener("c", "d")
        p = self.d.client()
        self.assertEqual(p("PUBSUB", "NUMSUB", "c", "d"), [b"c", 1, b"d", 1])
        c.close()
        wait_until(lambda: p("PUBSUB", "NUMSUB", "c", "d") == [b"c", 0, b"d", 0], "the end of a client")
        self.assertEqual(p("PUBLISH", "c", "x"), 0)
        self.assertEqual(self.d.info()["pubsub_channels"], "0")

    def test_reset_ends_subscriptions(self):
        c = self.listener("c")
        self.assertTrue(c.error("GET", "k").startswith("ERR Can't execute 'get': only (P|S)SUB"))
        self.assertEqual(c("PING"), [b"pong", b""])
        self.assertEqual(c("RESET"), "RESET")
        self.assertEqual(c("PING"), "PONG")
        self.assertEqual(self.d.client()("PUBLISH", "c", "x"), 0)

    def test_in_resp3_a_listener_may_do_anything(self):
        c = self.listener("c", proto=3)
        self.assertEqual(c("SET", "k", "v"), "OK")
        c.send("PUBLISH", "c", "to myself")
        self.assertEqual(c.value(), [b"message", b"c", b"to myself"])
        self.assertEqual(c.value(), 1)

    def test_who_does_not_read_is_closed_and_nobody_else(self):
        d = self.daemon("output_limit: 1MiB\nmemory: 64MiB\n", args=THREADS)
        for size in (1000, 100000):
            slow = [d.client() for _ in range(3)]
            good = d.client()
            for c in slow + [good]:
                c.send("SUBSCRIBE", "c")
                c.value()
            p = d.client()
            while p("PUBLISH", "c", b"x" * size) == 4:
                self.assertEqual(len(good.value()[2]), size)
            self.assertEqual(len(good.value()[2]), size)
            while p("PUBLISH", "c", b"x" * size) > 1:
                self.assertEqual(len(good.value()[2]), size)
            self.assertEqual(len(good.value()[2]), size)
            for c in slow:
                c.until_closed()
            good.close()
            wait_until(lambda p=p: p("PUBSUB", "NUMSUB", "c") == [b"c", 0], "the end of a client")
        self.assertEqual(d.info()["output_limit_closes"], "6")


if __name__ == "__main__":
    harness.main()
