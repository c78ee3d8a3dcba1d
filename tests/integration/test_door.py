#!/usr/bin/env python3
"""What a listener lets through: whom, with what password, to which keys, and
which commands."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import unittest

import harness
from harness import ReplyError, encode

READONLY = "READONLY You can't write against a read only replica."
NOPERM = "NOPERM this command is only served on an admin socket"


class Door(harness.Case):
    def start(self, options):
        """A daemon with its own socket and one more, with these options."""
        folder = self.folder()
        own, more = os.path.join(folder, "own.sock"), os.path.join(folder, "more.sock")
        lines = "".join(f"    {line}\n" for line in options)
        self.d = self.daemon(f"listen:\n  - unix: {own}\n  - unix: {more}\n{lines}", path=own)
        return self.d.client(), harness.Client(more)

    def test_a_read_only_listener_refuses_what_writes(self):
        own, other = self.start(["read_only: true"])
        self.assertEqual(own("SET", "k", "1"), "OK")
        for args in (("SET", "k", "2"), ("DEL", "k"), ("INCR", "k"), ("EXPIRE", "k", 1),
                     ("GETDEL", "k"), ("FLUSHALL",), ("MSET", "k", "2")):
            self.assertEqual(other.error(*args), READONLY)
        self.assertEqual(other("GET", "k"), b"1")
        self.assertEqual(other.error("SET", "k"), "ERR wrong number of arguments for 'set' command")
        self.assertEqual(other("PUBLISH", "c", "x"), 0)
        other("RESET")
        self.assertEqual(other.error("SET", "k", "2"), READONLY)

    def test_what_is_dangerous_is_served_on_the_admin_socket_alone(self):
        own, admin = self.start(["admin: true"])
        for args in (("CONFIG", "GET", "maxmemory"), ("CONFIG", "SET", "timeout", 0),
                     ("CONFIG", "RESETSTAT"), ("FLUSHALL",), ("FLUSHDB",), ("CLIENT", "UNPAUSE"),
                     ("CLIENT", "PAUSE", 1), ("CLIENT", "KILL", "ID", 999999)):
            self.assertEqual(own.error(*args), NOPERM)
            admin(*args)
        self.assertEqual(own("SET", "k", "1"), "OK")
        self.assertIn(b"id=", own("CLIENT", "LIST"))
        self.assertEqual(self.d.info()["errorstat_NOPERM"], "count=5")  # since RESETSTAT

    def test_without_an_admin_socket_every_listener_serves_all(self):
        own, other = self.start([])
        for c in (own, other):
            self.assertEqual(c("FLUSHALL"), "OK")


NAMESPACES = """namespaces:
  - prefix: "a:"
  - prefix: "a:secret:"
  - prefix: "b:"
"""
NO_KEY = "NOPERM this user has no permissions to access one of the keys used as arguments"
NO_CHANNEL = "NOPERM this user has no permissions to access one of the channels used as arguments"


def no_command(name):
    return f"NOPERM this user has no permissions to run the '{name}' command"


class Peers(harness.Case):
    """allow_uids and allow_gids."""

    def start(self, more):
        folder = self.folder()
        own, more_path = os.path.join(folder, "own.sock"), os.path.join(folder, "more.sock")
        # Others may come in: in the runner's folder as well, if it is of this run alone.
        os.chmod(folder, 0o755)
        if os.path.dirname(folder) != "/tmp":
            os.chmod(os.path.dirname(folder), 0o755)
        self.d = self.daemon(f"listen:\n  - unix: {own}\n  - unix: {more_path}\n"
                             f"    mode: \"0666\"\n    {more}\n", path=own)
        return more_path

    def is_let_in(self, path):
        """Whether this process is; nobody is told more than that it is not."""
        c = harness.Client(path)
        try:
            c.raw(encode("PING"))
            got = c.line()
        except (BrokenPipeError, ConnectionResetError):
            got = c.line()
        finally:
            c.close()
        if got == b"+PONG":
            return True
        self.assertEqual(got, b"-NOPERM user %d of group %d may not connect here" %
                         (os.getuid(), os.getgid()))
        return False

    def as_another(self, path, uid, gid, groups):
        """The first line that another user is answered."""
        pid_reads, pid_writes = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups(groups)
                os.setgid(gid)
                os.setuid(uid)
                c = harness.Client(path)
                try:
                    c.raw(encode("PING"))
                except BrokenPipeError:
                    pass
                os.write(pid_writes, c.line())
            finally:
                os._exit(0)
        os.close(pid_writes)
        os.waitpid(pid, 0)
        with os.fdopen(pid_reads, "rb") as f:
            return f.read()

    def test_who_is_not_listed_is_told_and_closed_before_a_byte_is_read(self):
        path = self.start(f"allow_uids: [{os.getuid() + 1}]")
        for n in range(3):
            self.assertFalse(self.is_let_in(path))
        self.assertEqual(self.d.client()("PING"), "PONG")
        self.assertEqual(self.d.info()["peers_refused"], "3")
        self.d.wait_log(r"more.sock: process \d+ of user %d, group %d may not connect" %
                        (os.getuid(), os.getgid()))

    def test_a_listed_user_is_let_in(self):
        self.assertTrue(self.is_let_in(self.start(f"allow_uids: [{os.getuid()}]")))

    def test_a_listed_group_is_let_in(self):
        self.assertTrue(self.is_let_in(self.start(f"allow_gids: [{os.getgid()}]")))

    def test_names_are_taken_as_well(self):
        user = pwd.getpwuid(os.getuid()).pw_name
        self.assertTrue(self.is_let_in(self.start(f"allow_uids: [{user}]")))

    def test_either_list_is_enough(self):
        more = f"allow_uids: [{os.getuid() + 1}]\n    allow_gids: [{os.getgid()}]"
        self.assertTrue(self.is_let_in(self.start(more)))

    @unittest.skipIf(os.getuid() != 0, "only root can become another user")
    def test_supplementary_groups_count(self):
        path = self.start("allow_gids: [4242]")
        self.assertEqual(self.as_another(path, 4001, 4002, [4242, 4003]), b"+PONG")
        self.assertEqual(self.as_another(path, 4001, 4242, []), b"+PONG")
        many = list(range(5000, 5200)) + [4242]
        self.assertEqual(self.as_another(path, 4001, 4002, many), b"+PONG")
        self.assertEqual(self.as_another(path, 4001, 4002, [4003]),
                         b"-NOPERM user 4001 of group 4002 may not connect here")

    def test_a_reload_changes_who_may_connect_and_leaves_those_who_are_in(self):
        path = self.start(f"allow_uids: [{os.getuid()}]")
        inside = harness.Client(path)
        self.assertEqual(inside("PING"), "PONG")
        with open(self.d.config, encoding="utf-8") as f:
            text = f.read()
        self.d.write_config(text.replace(f"[{os.getuid()}]", f"[{os.getuid() + 1}]"))
        self.d.signal(signal.SIGHUP)
        self.d.wait_log("reload: done")
        harness.wait_until(lambda: not self.is_let_in(path), "the new rule")
        self.assertEqual(inside("PING"), "PONG")
        inside.close()


class Tenants(harness.Case):
    """namespaces: of a listener."""

    def start(self, names="[a]", more="", wire=2):
        folder = self.folder()
        own, tenant = os.path.join(folder, "own.sock"), os.path.join(folder, "tenant.sock")
        self.tenant_path = tenant
        self.d = self.daemon(f"listen:\n  - unix: {own}\n  - unix: {tenant}\n"
                             f"    namespaces: {names}\n" + NAMESPACES + more, path=own)
        self.all = self.d.client()
        self.tenant = harness.Client(tenant)
        self.tenant("HELLO", wire)
        return self.all, self.tenant

    def test_keys_of_others_are_neither_read_nor_written(self):
        everybody, tenant = self.start()
        for key in ("b:1", "x", "a", "a:secret:1", ""):
            everybody("SET", key, "secret")
            for args in (("GET", key), ("SET", key, "1"), ("DEL", key), ("EXISTS", "a:1", key),
                         ("MGET", "a:1", key, "a:2"), ("MSET", "a:1", "1", key, "2"),
                         ("GETSET", key, "1"), ("TTL", key), ("EXPIRE", key, 5), ("TYPE", key),
                         ("RENAME", key, "a:stolen"), ("RENAME", "a:1", key),
                         ("COPY", key, "a:stolen"), ("BITOP", "AND", "a:stolen", key),
                         ("LCS", "a:1", key), ("OBJECT", "ENCODING", key),
                         ("MEMORY", "USAGE", key), ("WATCH", key), ("TOUCH", key)):
                self.assertEqual(tenant.error(*args), NO_KEY, args)
            self.assertEqual(everybody("GET", key), b"secret")
        self.assertEqual(tenant("SET", "a:1", "mine"), "OK")
        self.assertEqual(tenant("MGET", "a:1", "a:2"), [b"mine", None])
        self.assertEqual(everybody("GET", "a:1"), b"mine")
        self.assertEqual(self.d.info()["errorstat_NOPERM"], "count=95")

    def test_every_command_of_the_table_is_either_confined_or_refused(self):
        """Whatever commands there are: with keys of others as all of their
        arguments, none is answered by what it would show or change."""
        everybody, tenant = self.start()
        everybody("SET", "b:1", "secret")
        harmless = {b"acl", b"auth", b"client", b"command", b"discard", b"echo", b"exec",
                    b"hello", b"lolwut", b"multi", b"ping", b"quit", b"reset", b"select", b"time",
                    b"unsubscribe", b"punsubscribe", b"sunsubscribe", b"unwatch",
                    b"script", b"dbsize", b"flushall", b"flushdb", b"info", b"randomkey"}
        for name, arity, *_ in everybody("COMMAND"):
            if name in harmless:
                continue
            args = [name] + [b"b:1"] * (abs(arity) - 1 + (arity < -1))
            if name.startswith((b"eval", b"fcall")):
                args = [name, b"script", 1, b"b:1"]
            value = tenant.pipeline(args)[0]
            if name in (b"keys", b"scan", b"pannier.hotkeys"):
                self.assertNotIn(b"b:1", str(value).encode(), name)
            elif not str(value).startswith("ERR unknown subcommand"):
                self.assertTrue(str(value).startswith("NOPERM"), (name, value))
        self.assertEqual(everybody("GET", "b:1"), b"secret")
        # One of those that name keys has seen this one meanwhile.
        self.assertIn(b"b:1", str(everybody("PANNIER.HOTKEYS")).encode())
        self.assertNotIn("b:1", str(tenant("PANNIER.HOTKEYS", "COUNT", 100)))

    def test_walks_show_only_own_keys(self):
        everybody, tenant = self.start()
        self.assertIsNone(tenant("RANDOMKEY"))
        for i in range(300):
            everybody("SET", f"b:{i}", "1")
            everybody("SET", f"a:secret:{i}", "1")
        self.assertIsNone(tenant("RANDOMKEY"))
        self.assertEqual(tenant("DBSIZE"), 0)
        own = {f"a:{i}".encode() for i in range(50)}
        for key in own:
            tenant("SET", key, "1")
        self.assertEqual(set(tenant("KEYS", "*")), own)
        self.assertEqual(tenant("KEYS", "b:*"), [])
        self.assertEqual(tenant("DBSIZE"), 50)
        self.assertEqual(everybody("DBSIZE"), 650)
        for _ in range(20):
            self.assertIn(tenant("RANDOMKEY"), own)
        seen, cursor = set(), b"0"
        while True:
            cursor, keys = tenant("SCAN", cursor, "COUNT", 100)
            seen.update(keys)
            if cursor == b"0":
                break
        self.assertEqual(seen, own)

    def test_a_flush_takes_only_own_keys(self):
        everybody, tenant = self.start()
        for command in ("FLUSHALL", "FLUSHDB"):
            for key in ("a:1", "a:2", "a:secret:1", "b:1", "x"):
                everybody("SET", key, "1")
            self.assertEqual(tenant(command), "OK")
            self.assertEqual(sorted(everybody("KEYS", "*")), [b"a:secret:1", b"b:1", b"x"])
        everybody("SET", "a:1", "1")
        self.assertEqual(tenant.pipeline(("MULTI",), ("FLUSHALL",), ("DBSIZE",), ("EXEC",))[-1],
                         ["OK", 0])
        self.assertEqual(everybody("DBSIZE"), 3)

    def test_a_transaction_with_a_key_of_others_is_discarded(self):
        everybody, tenant = self.start()
        everybody("SET", "b:1", "secret")
        got = tenant.pipeline(("MULTI",), ("SET", "a:1", "1"), ("GET", "b:1"), ("EXEC",))
        self.assertEqual([str(x) for x in got], [
            "OK", "QUEUED", NO_KEY,
            "EXECABORT Transaction discarded because of previous errors."])
        self.assertIsNone(everybody("GET", "a:1"))

    def test_the_keys_of_scripts_are_looked_at(self):
        everybody, tenant = self.start()
        script = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) " \
                 "else return 0 end"
        everybody("MSET", "b:1", "token", "a:1", "token")
        sha = tenant("SCRIPT", "LOAD", script)
        for name, what in (("EVAL", script), ("EVALSHA", sha)):
            self.assertEqual(tenant.error(name, what, 1, "b:1", "token"), NO_KEY)
            self.assertEqual(tenant.error(name, what, 2, "a:1", "b:1", "token"), NO_KEY)
            self.assertEqual(everybody("GET", "b:1"), b"token")
        self.assertEqual(tenant("EVALSHA", sha, 1, "a:1", "token"), 1)

    def test_channels_are_confined_as_keys_are(self):
        everybody, tenant = self.start(wire=3)
        for args in (("PUBLISH", "b:news", "x"), ("SUBSCRIBE", "b:news"),
                     ("SUBSCRIBE", "a:news", "news"), ("PSUBSCRIBE", "*"),
                     ("PSUBSCRIBE", "a:*"), # would match what is in a:secret:
                     ("PSUBSCRIBE", "b:*"), ("SPUBLISH", "b:news", "x"), ("SSUBSCRIBE", "b:news"),
                     ("PUBSUB", "CHANNELS"), ("PUBSUB", "CHANNELS", "b:*"),
                     ("PUBSUB", "NUMSUB", "b:news"), ("PUBSUB", "SHARDCHANNELS")):
            self.assertEqual(tenant.error(*args), NO_CHANNEL, args)
        self.assertEqual(tenant.error("PUBSUB", "NUMPAT"), no_command("pubsub|numpat"))
        tenant.send("SUBSCRIBE", "a:news", "__redis__:invalidate")
        tenant.send("PSUBSCRIBE", "a:n*")
        for _ in range(3):
            self.assertIsInstance(tenant.value(), harness.Push)
        self.assertEqual(everybody("PUBLISH", "a:news", "hello"), 2)
        self.assertEqual(tenant.value(), [b"message", b"a:news", b"hello"])
        self.assertEqual(tenant.value(), [b"pmessage", b"a:n*", b"a:news", b"hello"])
        self.assertEqual(tenant("PUBSUB", "NUMSUB", "a:news"), [b"a:news", 1])

    def test_tracking_tells_of_own_keys_only(self):
        everybody, tenant = self.start("[b]", wire=3)
        for more in ((), ("PREFIX", "a:"), ("PREFIX", "b:", "PREFIX", "a:"), ("PREFIX", "")):
            self.assertEqual(tenant.error("CLIENT", "TRACKING", "ON", "BCAST", *more), NO_KEY)
        self.assertEqual(tenant("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "b:"), "OK")
        everybody("MSET", "a:1", "x", "b:1", "x")
        self.assertEqual(tenant.value(), [b"invalidate", [b"b:1"]])

    def test_the_binary_protocol_is_confined_as_well(self):
        everybody, _ = self.start()
        everybody("MSET", "a:1", "mine", "b:1", "theirs")
        c = harness.Client(self.tenant_path)
        c.raw(b"\xc1\x0a\x92\xa7pannier\x01"           # the preface
              b"\x07\x93\x01\x01\xa3a:1"               # GET a:1, id 1
              b"\x07\x93\x01\x02\xa3b:1")              # GET b:1, id 2
        c.half_close()
        got = c.until_closed()
        self.assertIn(b"\x01\x00\xc4\x04mine", got)
        self.assertNotIn(b"theirs", got)
        self.assertIn(b"NOPERM", got)

    @unittest.skipIf(shutil.which("redis-server") is None, "no redis-server")
    def test_to_its_own_keys_a_tenant_finds_a_whole_redis(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "test_differential.py")
        for family in ("string", "key", "walk", "two_keys", "transaction"):
            done = subprocess.run(
                [sys.executable, "-B", script, "--tenant", "--only", family, "--count", "10"],
                capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout)

    def test_what_is_the_whole_daemons_is_refused(self):
        _, tenant = self.start()
        for args in (("CONFIG", "GET", "*"), ("CLIENT", "LIST"), ("CLIENT", "KILL", "1"),
                     ("CLIENT", "PAUSE", "1"), ("SLOWLOG", "GET"), ("LATENCY", "LATEST"),
                     ("CONFIG", "RESETSTAT"), ("SCRIPT", "FLUSH")):
            self.assertEqual(tenant.error(*args), no_command("|".join(args[:2]).lower()))
        self.assertEqual(tenant("CLIENT", "SETNAME", "t"), "OK")
        self.assertEqual(tenant("CLIENT", "GETNAME"), b"t")
        self.assertGreater(len(tenant("COMMAND")), 50)
        self.assertEqual(len(tenant("TIME")), 2)

    def test_info_tells_of_no_namespace_but_the_own(self):
        everybody, tenant = self.start()
        everybody("MSET", "a:1", "1", "b:1", "1", "x", "1")
        text = tenant("INFO", "everything").decode()
        names = sorted(re.findall(r"^ns_([^:]*):", text, re.M))
        self.assertEqual(names, ["a"])
        self.assertIn("db0:keys=1,", text)
        self.assertEqual(sorted(re.findall(r"^ns_([^:]*):", everybody("INFO", "all").decode(),
                                           re.M)), ["a", "a_secret", "b", "default"])

    def test_several_namespaces_and_the_default_one(self):
        everybody, tenant = self.start("[a_secret, default]")
        self.assertEqual(tenant("SET", "a:secret:1", "1"), "OK")
        self.assertEqual(tenant("SET", "x", "1"), "OK")
        self.assertEqual(tenant.error("SET", "a:1", "1"), NO_KEY)
        self.assertEqual(tenant("SUBSCRIBE", "a:secret:news")[1], b"a:secret:news")

    def test_a_name_that_is_none_is_an_error_that_names_the_nearest(self):
        d = self.daemon(stopped=True)
        d.write_config(f"listen:\n  - unix: {d.path}\n    namespaces: [default, a_secrt]\n" + NAMESPACES)
        self.assertEqual(d.launch().wait(), 78)
        self.assertIn('listen[0].namespaces[1]: "a_secrt" is the name of no namespace; did you '
                      'mean "a_secret"?',
                      d.text())

    def test_a_reload_moves_the_bounds(self):
        everybody, tenant = self.start()
        self.assertEqual(tenant.error("GET", "b:1"), NO_KEY)
        queues = harness.Client(self.tenant_path)
        self.assertEqual(queues.pipeline(("MULTI",), ("SET", "a:1", "late"), ("PING",)),
                         ["OK", "QUEUED", "QUEUED"])
        with open(self.d.config, encoding="utf-8") as f:
            text = f.read()
        self.d.write_config(text.replace("namespaces: [a]", "namespaces: [b]"))
        self.d.signal(signal.SIGHUP)
        self.d.wait_log("reload: done")
        harness.wait_until(lambda: tenant.pipeline(("GET", "b:1")) == [None], "the new bounds")
        self.assertEqual(tenant.error("GET", "a:1"), NO_KEY)
        # What was queued before is looked at anew; each loop has its own moment.
        harness.wait_until(lambda: self.bounds_of(queues) == "new", "them on the other loop")
        self.assertEqual(queues("EXEC"), [ReplyError(NO_KEY), "PONG"])
        self.assertIsNone(everybody("GET", "a:1"))
        queues.close()

    def bounds_of(self, c):
        """What its loop knows, told by a key that was others' before."""
        other = harness.Client(self.tenant_path)
        try:
            return "new" if all(x == [None] for x in (
                other.pipeline(("GET", "b:1")), self.tenant.pipeline(("GET", "b:1")))) else "old"
        finally:
            other.close()

    def test_tracking_follows_the_bounds_of_a_reload(self):
        everybody, _ = self.start()
        told = [harness.Client(self.tenant_path) for _ in range(2)]
        for c, modes in zip(told, ([], ["BCAST", "PREFIX", "a:1"])):
            c("HELLO", 3)
            c("CLIENT", "TRACKING", "ON", *modes)
            c("GET", "a:1")
        with open(self.d.config, encoding="utf-8") as f:
            text = f.read()
        self.d.write_config(text.replace("namespaces: [a]", "namespaces: [b]"))
        self.d.signal(signal.SIGHUP)
        self.d.wait_log("reload: done")
        for c in told:
            harness.wait_until(lambda c=c: c.pipeline(("GET", "b:1")) == [None], "the new bounds")
        everybody("MSET", "a:1", "not theirs", "b:1", "theirs")
        self.assertEqual(told[0].value(), harness.Push([b"invalidate", [b"b:1"]]))
        self.assertEqual(told[1].pipeline(("PING",), ("PING",)), ["PONG", "PONG"])


class Passwords(harness.Case):
    """password_file, PANNIER_PASSWORD, AUTH, HELLO AUTH."""

    def start(self, text="sesame\n", mode=0o600, **more):
        folder = self.folder()
        self.file = os.path.join(folder, "password")
        self.write(text, mode)
        self.d = self.daemon(f"password_file: {self.file}\n", folder=folder, stopped=True, **more)
        self.d.launch()
        return self.d

    def write(self, text, mode=0o600):
        with open(self.file, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.file, mode)

    def served(self, **more):
        d = self.start(**more)
        return harness.wait_until(lambda: self.try_client(d), "the daemon to listen")

    def try_client(self, d):
        if not d.running():
            raise AssertionError(d.text())
        try:
            return d.client()
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    CONVERSATION = [
        "GET a", "NOSUCH a", "GET", "PING", "COMMAND COUNT", "MULTI", "EXEC", "EXEC 1", "DISCARD",
        "SUBSCRIBE c", "CLIENT ID", "CLIENT NOSUCH", "RESET", "AUTH", "AUTH wrong", "AUTH sesam",
        "AUTH sesame2", "AUTH default wrong", "AUTH bob sesame", "AUTH Default sesame",
        "AUTH a b c", "HELLO", "HELLO 3", "HELLO 4", "HELLO 3 SETNAME x", "HELLO 3 AUTH default x",
        "HELLO 3 AUTH bob sesame", "HELLO 3 AUTH default", "GET a",
        "AUTH sesame", "GET a", "ACL WHOAMI", "AUTH wrong", "GET a", "RESET", "GET a",
        "AUTH default sesame", "GET a", "MULTI", "AUTH wrong", "AUTH sesame", "EXEC", "RESET",
        "GET a", "HELLO 2 AUTH default sesame SETNAME n", "CLIENT GETNAME", "ACL WHOAMI",
        "ACL NOSUCH", "ACL", "QUIT",
    ]

    @unittest.skipIf(shutil.which("redis-server") is None, "no redis-server")
    def test_every_reply_is_redis_s_to_the_byte(self):
        ours = self.served()
        folder = self.folder()
        path = os.path.join(folder, "redis.sock")
        redis = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--requirepass",
             "sesame", "--dir", folder], stdout=subprocess.DEVNULL)
        self.addCleanup(redis.wait)
        self.addCleanup(redis.terminate)
        harness.wait_until(lambda: os.path.exists(path), "redis")
        theirs = harness.wait_until(lambda: self.connected(path), "redis to listen")
        got = []
        for c in (ours, theirs):
            c.raw(b"".join(encode(*line.split()) for line in self.CONVERSATION))
            got.append(re.sub(rb"(?<=id\r\n):\d+", b":n", c.until_closed()).split(b"\r\n"))
        self.assertEqual(got[0], got[1])

    def connected(self, path):
        try:
            return harness.Client(path)
        except ConnectionRefusedError:
            return None

    def test_a_good_auth_in_the_middle_of_a_pipeline_works(self):
        big = b"v" * 300000
        c = self.served()
        c.raw(encode("GET", "k") + encode("AUTH", "sesame") + encode("SET", "k", big) +
              encode("MSET", *["k2", "v"] * 50) + encode("GET", "k"))
        self.assertEqual(c.value(), ReplyError("NOAUTH Authentication required."))
        self.assertEqual([c.value() for _ in range(4)], ["OK", "OK", "OK", big])

    def test_a_good_auth_works_wherever_the_stream_is_cut(self):
        data = (encode("PING") + encode("AUTH", "sesame") +
                encode("MSET", *["k", "v"] * 12) + encode("GET", "k") + encode("QUIT"))
        want = b"-NOAUTH Authentication required.\r\n+OK\r\n+OK\r\n$1\r\nv\r\n+OK\r\n"
        first = self.served()
        for cut in range(1, len(data)):
            c = self.d.client()
            c.raw(data[:cut])
            c.all_taken()
            c.raw(data[cut:])
            self.assertEqual(c.until_closed(), want, f"cut at {cut}")
            c.close()
        first.close()

    def test_before_auth_only_small_requests_are_read(self):
        first = self.served()
        for data, text in (
                (b"*1000000\r\n$536870912\r\n", "unauthenticated multibulk length"),
                (b"*11\r\n", "unauthenticated multibulk length"),
                (b"*2\r\n$4\r\nAUTH\r\n$16385\r\n", "unauthenticated bulk length"),
                (b"*2\r\n$536870912\r\n", "unauthenticated bulk length"),
                (b"*3000000000\r\n", "invalid multibulk length"),
                (encode("PING") + b"*11\r\n", "unauthenticated multibulk length"),
                (encode("AUTH", "no") + b"*11\r\n", "unauthenticated multibulk length")):
            c = self.d.client()
            c.raw(data)
            got = c.until_closed()
            self.assertTrue(got.endswith(b"-ERR Protocol error: " + text.encode() + b"\r\n"), got)
            c.close()
        # What is allowed is read, and answered.
        first.raw(encode("PING", *["x" * 16384] * 9))
        self.assertEqual(first.value(), ReplyError("NOAUTH Authentication required."))

    @unittest.skipIf(harness.SANITIZER, "sanitizers need memory of their own")
    def test_many_who_promise_much_before_auth_cost_nothing(self):
        first = self.served()
        before = self.d.status("VmRSS")
        crowd = [self.d.client() for _ in range(200)]
        for c in crowd:
            c.raw(b"*10\r\n$16384\r\n" + b"x" * 16384)
            c.all_taken()
        self.assertLess(self.d.status("VmRSS") - before, 16 << 20)
        self.assertEqual(first("AUTH", "sesame"), "OK")
        for c in crowd:
            c.close()

    def test_failures_are_counted_and_logged_without_the_password(self):
        c = self.served()
        for _ in range(3):
            c.error("AUTH", "hunter2")
        c("AUTH", "sesame")
        text = c("INFO", "everything").decode()
        self.assertIn("auth_failures:3\r\n", text)
        self.assertIn("errorstat_WRONGPASS:count=3", text)
        self.d.wait_log("wrong password")
        self.assertNotIn("hunter2", self.d.text())
        self.assertNotIn("sesame", self.d.text() + text)

    def test_config_get_masks_it(self):
        c = self.served()
        c("AUTH", "sesame")
        self.assertEqual(c("CONFIG", "GET", "requirepass"), [b"requirepass", b"********"])
        self.assertIn("immutable", c.error("CONFIG", "SET", "requirepass", "x"))
        self.assertNotIn(b"sesame", b" ".join(c("CONFIG", "GET", "*")))
        d = self.daemon()
        self.assertEqual(d.client()("CONFIG", "GET", "requirepass"), [b"requirepass", b""])

    def test_without_a_password_auth_says_so(self):
        c = self.daemon().client()
        self.assertEqual(
            c.error("AUTH", "x"), "ERR AUTH <password> called without any password configured for "
            "the default user. Are you sure your configuration is correct?")
        self.assertEqual(c("AUTH", "default", "x"), "OK")
        self.assertIn("WRONGPASS", c.error("AUTH", "bob", "x"))

    def test_a_reload_reads_it_again_and_leaves_those_who_are_in(self):
        c = self.served()
        c("AUTH", "sesame")
        self.write("tulip\r\n")
        self.d.signal(signal.SIGHUP)
        self.d.wait_log("reload: done")
        self.assertEqual(c("PING"), "PONG")
        new = self.d.client()
        harness.wait_until(lambda: new.pipeline(("AUTH", "tulip")) == ["OK"], "the new one")
        self.assertIn("WRONGPASS", self.d.client().error("AUTH", "sesame"))
        self.write("")
        self.d.signal(signal.SIGHUP)
        self.d.wait_log("empty; write the password into it; the old configuration stays")
        self.assertEqual(self.d.client()("AUTH", "tulip"), "OK")

    def test_only_one_line_end_is_left_out(self):
        for text, word in (("sesame", "sesame"), ("sesame\r\n", "sesame"), ("a b\n\n", "a b\n"),
                           (" s \n", " s ")):
            c = self.served(text=text)
            self.assertEqual(c("AUTH", word), "OK")
            self.d.stop()

    def test_a_file_that_is_no_good_is_told_at_the_start(self):
        for text, words in (("", "empty; write the password into it"), ("\n", "empty"),
                            ("x" * 5000, "longer than 4096 bytes")):
            self.assertNotEqual(self.start(text=text).wait(), 0)
            self.assertIn(words, self.d.text())
            self.assertIn(self.file, self.d.text())
        d = self.daemon("password_file: /nonexistent/file\n", stopped=True)
        self.assertNotEqual(d.launch().wait(), 0)
        self.assertIn("password file /nonexistent/file: No such file", d.text())

    def test_a_file_that_all_may_read_is_warned_of(self):
        self.served(mode=0o644)
        self.d.wait_log("every user of this machine may read it")

    def test_the_environment_may_hold_it_and_a_file_stands_above(self):
        d = self.daemon("", env={"PANNIER_PASSWORD": "open"}, stopped=True)
        d.launch()
        c = harness.wait_until(lambda: self.try_client(d), "the daemon to listen")
        self.assertEqual(c.error("PING"), "NOAUTH Authentication required.")
        self.assertEqual(c("AUTH", "open"), "OK")
        c = self.served(env={"PANNIER_PASSWORD": "open"})
        self.assertIn("WRONGPASS", c.error("AUTH", "open"))

    def test_ping_and_stats_say_it(self):
        self.served()

        def run(command, **env):
            return subprocess.run([harness.BINARY, command, "--socket", self.d.path],
                                  env={**os.environ, **env}, capture_output=True, text=True,
                                  check=False)
        for command in ("ping", "stats"):
            self.assertEqual(run(command, PANNIER_PASSWORD="sesame").returncode, 0)
            self.assertEqual(run(command, PANNIER_PASSWORD_FILE=self.file).returncode, 0)
            refused = run(command, PANNIER_PASSWORD="wrong")
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("was refused: WRONGPASS", refused.stderr)
            self.assertNotEqual(run(command).returncode, 0)

    def test_a_listener_may_have_its_own(self):
        folder = self.folder()
        own, more = os.path.join(folder, "own.sock"), os.path.join(folder, "more.sock")
        with open(os.path.join(folder, "p"), "w", encoding="utf-8") as f:
            f.write("two")
        self.daemon(f"listen:\n  - unix: {own}\n  - unix: {more}\n"
                    f"    password_file: {folder}/p\n", path=own)
        c = harness.Client(more)
        self.assertEqual(c.error("PING"), "NOAUTH Authentication required.")
        self.assertEqual(c("AUTH", "two"), "OK")
        self.assertEqual(harness.Client(own)("PING"), "PONG")


if __name__ == "__main__":
    harness.main()
