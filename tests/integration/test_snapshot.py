#!/usr/bin/env python3
"""Snapshots: what the cache held is there after a restart; a damaged or half-written one harms
nobody, and whatever clients and origins say while one is loaded wins."""

import glob
import os
import random
import re
import resource
import signal
import stat
import struct
import threading
import time
import unittest

import harness
from harness import ReplyError

CONFIG = """
memory: {memory}
threads: {threads}
snapshot_path: {path}
{more}
"""


# A sanitizer has some of it.
SMALL, SMALLER = ("32MiB", "28MiB") if harness.SANITIZER else ("24MiB", "20MiB")


def status(d):
    """PANNIER.SNAPSHOT as a dictionary."""
    c = d.client()
    try:
        flat = c("PANNIER.SNAPSHOT")
    finally:
        c.close()
    return {k.decode(): v for k, v in zip(flat[::2], flat[1::2])}


def loaded(d):
    """The status once nothing is loaded any more."""
    harness.wait_until(lambda: status(d)["state"] != b"loading", "the snapshot to be loaded")
    return status(d)


def fill(d, keys, value=lambda i: b"value of %d" % i, ttl=None):
    more = ("PX", ttl) if ttl else ()
    c = d.client()
    keys = list(keys)
    for k in range(0, len(keys), 2000):
        c.pipeline(*[("SET", f"key:{i}", value(i)) + more for i in keys[k:k + 2000]])
    c.close()


def held(d, keys):
    """How many of these are there."""
    c = d.client()
    keys, n = list(keys), 0
    for k in range(0, len(keys), 1000):
        n += sum(c.pipeline(*[("EXISTS", f"key:{i}") for i in keys[k:k + 1000]]))
    c.close()
    return n


class Snapshots(harness.Case):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.folder(), "snapshot")

    def launch(self, memory="64MiB", threads=2, more="", **rest):
        return self.daemon(CONFIG.format(memory=memory, threads=threads, path=self.path,
                                         more=more), **rest)

    def restarted(self, d):
        self.assertEqual(d.stop(), 0)
        d.start()
        return loaded(d)

    # --- what comes back -----------------------------------------------------------------

    def test_after_a_restart_everything_is_there(self):
        d = self.launch(more="buffers_limit: 8MiB\n")
        c = d.client()
        fill(d, range(20000))
        c("SET", "big", b"x" * 700000)
        c("SET", "short", "1", "PX", 60000)
        c("SET", "empty", "")
        c("SET", "gone", "1", "PX", 1)
        self.assertEqual(stat.S_IMODE(os.stat(self.folder()).st_mode) & 0o700, 0o700)
        st = self.restarted(d)
        self.assertIsNone(st["load_error"])
        self.assertGreaterEqual(st["load_entries"], 20003)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(held(d, range(20000)), 20000)
        c = d.client()
        self.assertEqual(c("GET", "key:777"), b"value of 777")
        self.assertEqual(c("GET", "big"), b"x" * 700000)
        self.assertEqual(c("GET", "empty"), b"")
        self.assertIsNone(c("GET", "gone"))
        self.assertTrue(0 < c("PTTL", "short") <= 60000)
        self.assertEqual(c("PTTL", "key:1"), -1)
        self.assertEqual(d.info()["rdb_last_load_keys_loaded"], str(st["load_entries"]))

    def hits_of(self, d, stream):
        c = d.client()
        hits = 0
        for k in range(0, len(stream), 1000):
            part = stream[k:k + 1000]
            got = c.pipeline(*[("GET", f"key:{i}") for i in part])
            hits += sum(v is not None for v in got)
            c.pipeline(*[("SET", f"key:{i}", b"v" * 3000) for i, v in zip(part, got) if v is None])
        c.close()
        return hits

    def test_a_full_cache_has_the_hits_that_it_would_have_had(self):
        rng = random.Random(7)
        stream = [int(12000 * rng.random() ** 3) for _ in range(24000)]
        for policy in ("lru", "s3fifo", "tinylfu"):
            with self.subTest(policy):
                self.path = os.path.join(self.folder(), policy)
                more = f"eviction: {policy}\nsnapshot_on_stop: true"
                d = self.launch(SMALLER, 1, more)
                self.hits_of(d, stream)
                self.assertGreater(int(d.info()["evicted_keys"]), 100)
                self.assertEqual(d.client()("SAVE"), "OK")
                went_on = self.hits_of(d, stream[:8000])
                self.assertEqual(d.client()("CONFIG", "SET", "snapshot_on_stop", "false"), "OK")
                self.restarted(d)
                restarted = self.hits_of(d, stream[:8000])
                # Other hashes, other shards; and what a policy remembers of keys that are
                # not there begins anew. An empty cache has some 1,700 hits fewer.
                self.assertGreater(restarted, went_on - 8000 * 0.025)
                d.kill()

    def test_a_smaller_limit_keeps_what_was_used_last_and_is_kept(self):
        d = self.launch("64MiB")
        fill(d, range(40000), lambda i: b"v" * 900)
        self.assertEqual(d.stop(), 0)
        d.write_config(CONFIG.format(memory=SMALL, threads=2, path=self.path, more=""))
        d.start()
        st = loaded(d)
        self.assertIsNone(st["load_error"])
        if not harness.SANITIZER: # what they take leaves the least cache to both
            self.assertGreater(st["load_no_room"], 15000)
            self.assertGreater(held(d, range(35000, 40000)), 4900)
            self.assertLessEqual(d.status("VmHWM"), 24 << 20)

    def test_stale_values_and_what_origins_said_come_back(self):
        o = self.origin()
        o.on("/1", b"one", headers=[("Cache-Control", "max-age=1000"), ("ETag", '"e"')])
        o.on("/2", b"two", headers=[("Cache-Control", "max-age=0, stale-if-error=1000")])
        o.on("/3", b"", status=404)
        more = ("namespaces:\n  - {prefix: \"o:\", origin: web, path: \"/{rest}\", "
                "negative_ttl: 1000s}\norigins:\n  web:\n    http:\n      endpoints: [\"%s\"]\n" % o.url)
        d = self.launch(more=more)
        c = d.client()
        self.assertEqual(c("MGET", "o:1", "o:2", "o:3"), [b"one", b"two", None])
        n = o.count()
        self.restarted(d)
        c = d.client()
        self.assertEqual(c("GET", "o:1"), b"one")
        self.assertIsNone(c("GET", "o:3"))
        self.assertEqual(o.count(), n)
        o.close()
        self.assertEqual(c("GET", "o:2"), b"two") # stale, since the origin fails

    def test_protected_keys_are_protected_again(self):
        more = "namespaces:\n  - {prefix: \"lock:\", class: protected}\n"
        d = self.launch(more=more)
        c = d.client()
        c.pipeline(*[("SET", f"lock:{i}", "1") for i in range(500)])
        self.restarted(d)
        c = d.client()
        self.assertEqual(int(d.info()["arena_protected_keys"]), 500)
        self.assertEqual(c("EXISTS", *[f"lock:{i}" for i in range(500)]), 500)

    # --- commands -------------------------------------------------------------------------

    def test_save_bgsave_lastsave_and_what_they_tell(self):
        d = self.launch()
        c = d.client()
        before = c("LASTSAVE")
        self.assertEqual(str(before), d.info()["rdb_last_save_time"])
        fill(d, range(100))
        self.assertEqual(d.info()["rdb_changes_since_last_save"], "100")
        self.assertEqual(c("SAVE"), "OK")
        self.assertGreaterEqual(c("LASTSAVE"), before)
        st = status(d)
        self.assertEqual((st["saves"], st["save_entries"], st["save_error"]), (1, 100, None))
        self.assertEqual(st["save_bytes"], os.stat(self.path).st_size)
        self.assertEqual(c("BGSAVE", "SCHEDULE"), "Background saving started")
        harness.wait_until(lambda: status(d)["saves"] == 2, "the second snapshot")
        info = d.info()
        self.assertEqual((info["rdb_saves"], info["rdb_last_bgsave_status"],
                          info["rdb_changes_since_last_save"]), ("2", "ok", "0"))
        self.assertEqual(c.error("BGSAVE", "x"), "ERR syntax error")
        self.assertEqual(c.error("SHUTDOWN", "ABORT"), "ERR No shutdown in progress.")
        self.assertEqual(c.error("SHUTDOWN", "SAVE", "NOSAVE"), "ERR syntax error")

    def test_without_a_path_there_is_none(self):
        d = self.daemon("memory: 32MiB\n")
        c = d.client()
        for command in ("SAVE", "BGSAVE"):
            self.assertEqual(c.error(command), "ERR no snapshot_path is configured")
        self.assertEqual(c.error("SHUTDOWN", "SAVE"), "ERR no snapshot_path is configured")
        self.assertIsNone(status(d)["path"])
        c.send("SHUTDOWN")
        self.assertEqual(c.until_closed(), b"")
        self.assertEqual(d.wait(), 0)

    def test_shutdown_says_whether_one_is_written(self):
        d = self.launch()
        for how, there in ((("NOSAVE",), False), (("NOW", "FORCE"), True), (("SAVE",), True)):
            c = d.client()
            c("SET", "k", "v")
            c.send("SHUTDOWN", *how)
            self.assertEqual(c.until_closed(), b"")
            self.assertEqual(d.wait(), 0)
            self.assertEqual(os.path.exists(self.path), there)
            if there:
                os.unlink(self.path)
            d.start()

    def test_who_leaves_while_it_saves_harms_nobody(self):
        d = self.launch()
        fill(d, range(20000))
        for _ in range(5):
            c = d.client()
            c.send("SAVE")
            c.close()
        c = d.client()

        def saved():
            try:
                return c("SAVE") == "OK"
            except ReplyError as e:
                self.assertIn("already in progress", str(e))
                return False

        harness.wait_until(saved, "a snapshot of our own")

    # --- while it is loaded ------------------------------------------------------------------

    def test_what_clients_say_while_it_is_loaded_wins(self):
        keys = 60000
        d = self.launch("128MiB")
        fill(d, range(keys), lambda i: b"old" * 50)
        self.assertEqual(d.stop(), 0)
        d.launch()
        harness.wait_until(lambda: d.answers(), "the daemon to answer")
        c = d.client()
        order = list(range(keys))
        random.Random(3).shuffle(order)
        deleted, written = order[:2000], order[2000:4000]
        for k in range(0, 2000, 100):
            c("DEL", *[f"key:{i}" for i in deleted[k:k + 100]])
            c("MSET", *[x for i in written[k:k + 100] for x in (f"key:{i}", "new")])
            if k == 1000:
                c("PANNIER.INVALIDATE", "PREFIX", "key:11")
        d.signal(signal.SIGHUP) # a reload does not disturb it
        st = loaded(d)
        self.assertIsNone(st["load_error"])
        self.assertEqual(held(d, deleted), 0)
        for k in range(0, 2000, 500):
            got = c("MGET", *[f"key:{i}" for i in written[k:k + 500]])
            for i, value in zip(written[k:k + 500], got):
                # It may have been written before the prefix was invalidated.
                self.assertTrue(value == b"new" or (value is None and str(i).startswith("11")))
        self.assertEqual(held(d, [i for i in order[4000:] if str(i).startswith("11")]), 0)
        rest = [i for i in order[4000:] if not str(i).startswith("11")]
        self.assertGreater(held(d, rest), len(rest) * 0.999)

    def test_after_a_flush_nothing_comes_back(self):
        d = self.launch("128MiB")
        fill(d, range(60000), lambda i: b"old" * 50)
        self.assertEqual(d.stop(), 0)
        d.launch()
        harness.wait_until(lambda: d.answers(), "the daemon to answer")
        self.assertEqual(d.client()("FLUSHALL"), "OK")
        loaded(d)
        self.assertEqual(d.client()("DBSIZE"), 0)

    def test_a_stop_while_it_is_loaded_leaves_the_file_as_it_is(self):
        d = self.launch("128MiB")
        fill(d, range(60000), lambda i: b"old" * 50)
        self.assertEqual(d.stop(), 0)
        with open(self.path, "rb") as f:
            before = f.read()
        d.launch()
        harness.wait_until(lambda: d.answers() or not d.running(), "the daemon to answer")
        self.assertEqual(d.stop(), 0)
        if "was still being loaded" in d.text():
            with open(self.path, "rb") as f:
                self.assertEqual(f.read(), before)
        d.start()
        self.assertEqual(loaded(d)["load_entries"], 60000)

    # --- age and damage -----------------------------------------------------------------------

    def not_loaded(self, d, why):
        d.start()
        d.wait_log("snapshot: .* is not loaded: .*" + why)
        self.assertEqual(d.client()("DBSIZE"), 0)
        self.assertEqual(d.kill(), -signal.SIGKILL)

    def test_an_old_one_is_not_loaded(self):
        d = self.launch(more="snapshot_max_age: 1ms")
        fill(d, range(10))
        self.assertEqual(d.stop(), 0)
        time.sleep(0.005)
        self.not_loaded(d, "snapshot_max_age is")

    def test_what_is_no_good_snapshot_is_told_and_the_daemon_starts(self):
        d = self.launch()
        fill(d, range(5000))
        self.assertEqual(d.stop(), 0)
        with open(self.path, "rb") as f:
            good = f.read()

        def write(data, mode=0o600):
            if os.path.lexists(self.path):
                os.unlink(self.path)
            with open(self.path, "wb") as f:
                f.write(data)
            os.chmod(self.path, mode)

        write(good[:-1])
        self.not_loaded(d, "it was cut off")
        write(b"")
        self.not_loaded(d, "it has only 0 bytes")
        write(b"x" + good[1:])
        self.not_loaded(d, "no snapshot of pannier")
        write(good[:12] + struct.pack("=I", 9) + good[16:])
        self.not_loaded(d, "version 9; this pannier reads version 1")
        write(good, 0o666)
        self.not_loaded(d, "its mode must be 0600")
        os.unlink(self.path)
        os.symlink("/etc/passwd", self.path)
        self.not_loaded(d, "symbolic link")
        os.unlink(self.path)
        os.mkfifo(self.path)
        self.not_loaded(d, "no regular file")
        # What was good before the damage is there.
        middle = len(good) * 3 // 4
        write(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1:])
        d.start()
        d.wait_log(r"the checksum of block \d+ is wrong; [1-9]\d* entries were loaded")
        self.assertTrue(0 < d.client()("DBSIZE") < 5000)
        self.assertIn(b"checksum", status(d)["load_error"])
        # And the next one that is written is good.
        loaded(d)
        self.assertEqual(d.client()("SAVE"), "OK")

    def test_killed_while_it_is_written_the_old_one_is_good(self):
        d = self.launch("128MiB")
        fill(d, range(3000), lambda i: b"first")
        self.assertEqual(d.client()("SAVE"), "OK")
        with open(self.path, "rb") as f:
            first = f.read()
        fill(d, range(30000), lambda i: b"later" * 60)
        c = d.client()
        for delay in range(4):
            c.send("SAVE")
            for _ in range(delay * 300):
                os.stat(self.path) # some time passes, another for each try
            d.kill()
            with open(self.path, "rb") as f:
                now = f.read()
            d.start()
            st = loaded(d)
            self.assertIsNone(st["load_error"])
            if now == first:
                self.assertEqual(st["load_entries"], 3000)
                self.assertEqual(d.client()("GET", "key:1"), b"first")
            else: # it was faster
                self.assertEqual(st["load_entries"], 30000)
            with open(self.path, "wb") as f:
                f.write(first)
            fill(d, range(30000), lambda i: b"later" * 60)
            c = d.client()
        self.assertEqual(c("SAVE"), "OK")
        self.assertEqual(glob.glob(self.path + "?*"), []) # what was left half done is gone

    # --- disks --------------------------------------------------------------------------------

    def test_a_full_disk_is_told_and_the_old_one_stays(self):
        d = self.launch()
        resource.prlimit(d.pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        fill(d, range(100))
        self.assertEqual(d.client()("SAVE"), "OK")
        with open(self.path, "rb") as f:
            first = f.read()
        fill(d, range(10000), lambda i: b"v" * 300)
        c = d.client()
        self.assertEqual(c.error("SAVE"), "ERR the snapshot could not be written to "
                         f"{self.path}: File too large")
        self.assertEqual(glob.glob(self.path + "?*"), [])
        with open(self.path, "rb") as f:
            self.assertEqual(f.read(), first)
        self.assertEqual(d.info()["rdb_last_bgsave_status"], "err")
        self.assertEqual(status(d)["save_failures"], 1)
        self.assertEqual(c("FLUSHALL"), "OK")
        self.assertEqual(c("SAVE"), "OK")
        self.assertEqual(d.info()["rdb_last_bgsave_status"], "ok")
        self.assertEqual(d.stop(), 0)

    def test_a_directory_that_is_not_there_keeps_nobody_from_serving_or_stopping(self):
        self.path = os.path.join(self.folder(), "none", "snapshot")
        d = self.launch()
        c = d.client()
        self.assertIn("No such file or directory", c.error("SAVE"))
        self.assertEqual(c("PING"), "PONG")
        self.assertEqual(d.stop(), 0)

    # --- while it serves ------------------------------------------------------------------------

    def test_what_is_written_while_clients_write_comes_back(self):
        d = self.launch("128MiB", 2)
        fill(d, range(20000), lambda i: b"a" * 100)
        done = threading.Event()

        def write():
            c = d.client()
            n = 0
            while not done.is_set():
                c.pipeline(*[("SET", f"key:{(n + k) % 20000}", b"b" * 100) for k in range(500)])
                n += 500
            c.close()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            c = d.client()
            for _ in range(5):
                self.assertEqual(c("SAVE"), "OK")
        finally:
            done.set()
            writer.join()
        d.kill()
        d.start()
        self.assertIsNone(loaded(d)["load_error"])
        self.assertEqual(held(d, range(20000)), 20000)

    def test_memory_stays_under_the_limit(self):
        if harness.SANITIZER:
            self.skipTest("sanitizers have memory of their own")
        d = self.launch("32MiB", 2)
        fill(d, range(60000), lambda i: b"v" * 500)
        self.assertEqual(d.client()("SAVE"), "OK")
        self.assertLessEqual(d.status("VmHWM"), 32 << 20)
        self.restarted(d)
        fill(d, range(60000, 70000), lambda i: b"v" * 500)
        self.assertLessEqual(d.status("VmHWM"), 32 << 20)

    def test_readiness_may_wait_for_it(self):
        http = os.path.join(self.folder(), "http.sock")
        d = self.launch(more=f"admin_http: unix:{http}\nready_when_loaded: true\n")
        fill(d, range(1000))
        self.restarted(d)
        c = harness.connect(http)
        c.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        self.assertRegex(c.recv(4096), b"200 OK")
        c.close()
        c = harness.connect(http)
        c.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        text = b""
        while data := c.recv(1 << 16):
            text += data
        c.close()
        self.assertTrue(re.search(rb"^pannier_snapshot_loaded_entries_total 1000$", text, re.M))


if __name__ == "__main__":
    harness.main()
