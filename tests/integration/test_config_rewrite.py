#!/usr/bin/env python3
"""CONFIG REWRITE: what CONFIG SET changed is there after a restart."""

import os

import harness


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


class Rewrite(harness.Case):
    def test_what_was_set_outlives_a_restart_and_comments_stay(self):
        d = self.daemon("# ours\nmemory: 64MiB # of 96\nthreads: 1\n")
        before = read(d.config)
        c = d.client()
        self.assertEqual(c("CONFIG", "SET", "maxmemory", "48mb", "timeout", "90"), "OK")
        self.assertEqual(read(d.config), before)
        self.assertEqual(c("CONFIG", "REWRITE"), "OK")
        after = before.replace("memory: 64MiB #", "memory: 48MiB #") + "idle_timeout: 90s\n"
        self.assertEqual(read(d.config), after)
        self.assertEqual(c("CONFIG", "REWRITE"), "OK")
        self.assertEqual(read(d.config), after)
        d.stop()
        d.start()
        self.assertEqual(d.client()("CONFIG", "GET", "timeout", "memory"),
                         [b"memory", b"48MiB", b"timeout", b"90"])

    def test_a_file_that_is_gone_is_told_and_nothing_else_happens(self):
        d = self.daemon("memory: 64MiB\n")
        c = d.client()
        self.assertEqual(c("CONFIG", "SET", "maxmemory", "48mb"), "OK")
        os.unlink(d.config)
        self.assertRegex(c.error("CONFIG", "REWRITE"),
                         "^ERR Rewriting config file: .*pannier.yaml: cannot be found: No such file")
        self.assertEqual(sorted(os.listdir(d.folder)), ["pannier.sock"])

    def test_a_file_changed_meanwhile_keeps_what_was_changed(self):
        d = self.daemon("memory: 64MiB\n")
        c = d.client()
        self.assertEqual(c("CONFIG", "SET", "maxmemory", "48mb"), "OK")
        d.write_config("max_clients: 77\n")
        self.assertEqual(c("CONFIG", "REWRITE"), "OK")
        self.assertIn("max_clients: 77\nmemory: 48MiB\n", read(d.config))


if __name__ == "__main__":
    harness.main()
