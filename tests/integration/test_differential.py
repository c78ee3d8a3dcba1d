#!/usr/bin/env python3
"""The same requests to redis-server 7.0 and to pannier: the same replies.

    PANNIER=build/pannier tests/integration/test_differential.py
    ... --seed 7 --count 20000      longer, or a sequence seen before
    ... --seconds 600               one seed after the other, for so long
    ... --only expire               one family of commands
    ... --tenant --only string      on a socket with namespaces of its own
    ... --self                      redis against redis: is the test itself sound?

Random sequences of commands with edge arguments go to both, in pipelines, over
RESP2 and RESP3; replies are compared byte for byte. Where they may differ is
said in one place, EXCEPTIONS below, and for people in doc/compatibility.md.
No sequence depends on time: whatever has an expiry has it far off, or in the
past. A sequence that fails is cut down to what is needed and printed."""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from differential_commands import FAMILIES, KEYS, Source  # noqa: E402
from differential_tracking import run_tracking  # noqa: E402
from respclient import Client, Closed, Error, Map, encode  # noqa: E402

# --- servers ------------------------------------------------------------------


class Server:
    def __init__(self, argv, path, log):
        self.path = path
        self.log_path = log
        self.log = open(log, "wb")
        self.process = subprocess.Popen(argv, stdout=self.log, stderr=self.log)
        self.wait_until_it_answers()

    def wait_until_it_answers(self):
        for _ in range(600):
            try:
                client = Client(self.path)
                client.call(b"PING")
                client.close()
                return
            except (FileNotFoundError, ConnectionError, Closed):
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        self.stop()
        sys.exit("%s does not start:\n%s" % (self.path, self.said()))

    def said(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as text:
            return text.read()

    def stop(self):
        """Its exit code: a sanitizer's findings show there at the latest."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        return self.process.returncode


def start_redis(directory, name="redis"):
    path = os.path.join(directory, name + ".sock")
    # One database, as we have.
    return Server(["redis-server", "--port", "0", "--unixsocket", path, "--save", "",
                   "--databases", "1", "--dir", directory],
                  path, os.path.join(directory, name + ".log"))


def start_pannier(directory, tenant):
    path = os.path.join(directory, "pannier.sock")
    binary = os.environ.get("PANNIER", "build/pannier")
    listen = "unix:" + path + (",namespaces=default" if tenant else "")
    return Server([binary, "serve", "--listen", listen, "--memory", "256MiB",
                   "--threads", "2"], path, os.path.join(directory, "pannier.log"))


# --- where replies may differ ----------------------------------------------------


def near(reply):
    """Times left: to the minute, since the two are asked one after the other."""
    return reply if not isinstance(reply, int) or reply < 60 else "far"


def near_ms(reply):
    return reply if not isinstance(reply, int) or reply < 60000 else "far"


def without_id(reply):
    if isinstance(reply, Map):
        return [(k, v) for k, v in reply if k != b"id"]
    if isinstance(reply, list):
        return without_id(Map(zip(reply[::2], reply[1::2])))
    return reply


def any_number(reply):
    return "number" if isinstance(reply, int) else reply


def unordered(reply):
    return sorted(reply) if isinstance(reply, list) else reply


def pairs(reply):
    if isinstance(reply, Map):
        return sorted(reply)
    return sorted(zip(reply[::2], reply[1::2])) if isinstance(reply, list) else reply


def page(reply):
    """One page of a walk: its form only; @scan compares whole walks."""
    return reply if isinstance(reply, Error) else [type(x) for x in reply]


SAME_FIELDS = [b"name", b"flags", b"db", b"sub", b"psub", b"multi", b"user", b"redir", b"resp"]


def client_lines(reply):
    lines = [dict(f.split(b"=", 1) for f in line.split(b" ")) for line in reply.split(b"\n") if line]
    return type(reply), sorted([line.get(f) for f in SAME_FIELDS] for line in lines)


def client_line(reply):
    return client_lines(reply), b" cmd=client|info " in reply


def first_words(reply):
    """CONFIG SET says in other words what a good value would be."""
    if isinstance(reply, Error) and b"- can't set" not in reply and b"- dup" not in reply:
        return reply.split(b" - ")[0] if b"possibly related" in reply else reply
    return reply


# The command, or with its subcommand: what of the reply is compared, and why
# not all of it. Everything else is compared to the byte.
EXCEPTIONS = {
    b"TTL": (near, "time passes"),
    b"PTTL": (near_ms, "time passes"),
    b"EXPIRETIME": (near, "both keep it on clocks of their own"),
    b"PEXPIRETIME": (near_ms, "the same"),
    b"EVAL": (near_ms, "the same, where the script returns it"),
    b"EVALSHA": (near_ms, "the same"),
    b"EVAL_RO": (near_ms, "the same"),
    b"EVALSHA_RO": (near_ms, "the same"),
    b"KEYS": (unordered, "no order is promised"),
    b"SCAN": (page, "cursors are the server's own, and so are the keys of one page"),
    b"HELLO": (without_id, "ids are the server's own"),
    b"CLIENT ID": (any_number, "ids are the server's own"),
    b"CLIENT INFO": (client_line, "sizes, addresses and times; lib-name and lib-ver of 7.2"),
    b"CLIENT LIST": (client_lines, "the same, and what others did last where it was no command"),
    b"CONFIG GET": (pairs, "no order is promised"),
    b"CONFIG SET": (first_words, "what a good value would be is said in our words"),
}


CONTROL = bytes(i if 32 <= i != 127 else 32 for i in range(256))


def comparable(argv, raw, value):
    """Errors too: what they quote has no control characters here."""
    name = argv[0].upper()
    if name in (b"CLIENT", b"CONFIG") and len(argv) > 1:
        name += b" " + argv[1].upper()
    if name in EXCEPTIONS and not isinstance(value, Error):
        return EXCEPTIONS[name][0](value)
    if isinstance(value, Error):
        raw = raw[:-2].translate(CONTROL) + raw[-2:]
    return first_words(value) if name == b"CONFIG SET" else raw


# --- running ----------------------------------------------------------------------


def scan_all(client, args):
    """A whole walk, as a set."""
    found, cursor = set(), b"0"
    while True:
        reply = client.call(b"SCAN", cursor, *args)
        if isinstance(reply, Error):
            return reply
        cursor, page_keys = reply
        found.update(page_keys)
        if cursor == b"0":
            return sorted(found)


MARK = b"-- mark --"
TRACKING = "tracking" # a family with connections of its own


def listen(client, args):
    """All that comes for a request of publish and subscribe, whose replies may
    be many: up to that of a PING behind it, which subscribers may send."""
    client.send_raw(encode(args) + encode([b"PING", MARK]))
    out = []
    raw, value = client.read()
    while value not in (MARK, [b"pong", MARK]):
        out.append((raw, value))
        raw, value = client.read()
    # Redis drops all of a client's channels, and tries patterns, in no order.
    if len(args) == 1:
        return sorted(str(v[1]) for _, v in out if isinstance(v, list)), \
            sorted(str(v[2]) for _, v in out if isinstance(v, list)), len(out)
    if args[0].upper() == b"PUBSUB" and args[1].endswith(b"CHANNELS"):
        return [unordered(v) for _, v in out]
    return sorted(raw for raw, _ in out)


def run_macro(client, argv):
    if argv[0] == b"@listen":
        return listen(client, argv[1:])
    if argv[0] == b"@scan":
        return scan_all(client, argv[1:])
    # Redis drops what has expired when it is looked at, or later.
    client.call(b"EXISTS", *KEYS)
    return client.call(b"DBSIZE")


def run_on(client, sequence):
    """What is compared of each reply. Requests between macros are one pipeline."""
    out, batch = [], []

    def flush():
        client.send_raw(b"".join(encode(argv) for argv in batch))
        for argv in batch:
            out.append(comparable(argv, *client.read()))
        batch.clear()

    for argv in sequence:
        if argv[0].startswith(b"@"):
            flush()
            out.append(run_macro(client, argv))
        else:
            batch.append(argv)
    flush()
    return out


class Pair:
    """The two servers, and two connections to each."""

    def __init__(self, redis, ours):
        self.servers = (redis, ours)
        self.clients = {}

    def client(self, server, proto):
        if (server, proto) not in self.clients:
            self.clients[server, proto] = Client(server.path)
        return self.clients[server, proto]

    def drop(self):
        for client in self.clients.values():
            client.close()
        self.clients.clear()

    def prepare(self, server, proto):
        client = self.client(server, proto)
        client.call(b"RESET")
        client.call(b"FLUSHALL")
        client.call(b"CONFIG", b"SET", b"maxclients", b"10000", b"timeout", b"0",
                    b"slowlog-max-len", b"128", b"slowlog-log-slower-than", b"10000000",
                    b"latency-monitor-threshold", b"0")
        client.call(b"SLOWLOG", b"RESET")
        client.call(b"LATENCY", b"RESET")
        client.call(b"SCRIPT", b"FLUSH")
        client.call(b"HELLO", b"%d" % proto)
        return client

    def run(self, sequence, proto):
        """The index of the first difference with both replies, or None."""
        answers = []
        for server in self.servers:
            try:
                client = self.prepare(server, proto)
                answers.append(run_on(client, sequence))
                client.call(b"RESET")  # or it would get what others publish
            except (Closed, TimeoutError, ValueError) as e:
                self.drop()
                answers.append([repr(e)])
        for i, (a, b) in enumerate(zip(*answers)):
            if a != b:
                return i, a, b
        return None if len(answers[0]) == len(answers[1]) else (0, answers[0][-1], answers[1][-1])


def shrink(pair, sequence, proto):
    """Leaves out what is not needed for a difference."""
    i = len(sequence) - 1
    while i >= 0:
        less = sequence[:i] + sequence[i + 1:]
        if pair.run(less, proto):
            sequence = less
        i -= 1
    return sequence


def show(argv):
    return " ".join(repr(a)[1:] for a in argv)


def report(pair, sequence, proto, seed, family):
    first = pair.run(sequence, proto)
    sequence = shrink(pair, sequence[:first[0] + 1], proto) if first else sequence
    found = pair.run(sequence, proto) or first
    print("FAIL %s, RESP%d, --seed %d --only %s" % (family, proto, seed, family))
    for argv in sequence:
        print("    " + show(argv))
    if found:
        print("  redis:   %r\n  pannier: %r" % (found[1], found[2]))
    else:
        print("  only once: the same sequence gives the same replies now")


def run_family(pair, family, seed, count):
    """True if no sequence of this family differs."""
    source = Source("%s %d" % (family, seed))
    for n in range(count):
        sequence = [source.r.choice(FAMILIES[family])(source)
                    for _ in range(source.r.choice([5, 20, 40]))]
        proto = 2 + n % 2
        if pair.run(sequence, proto):
            report(pair, sequence, proto, seed, family)
            return False
    return True


# --- fixed cases -------------------------------------------------------------------


def quit_answers_and_closes(pair):
    for argv in ([b"QUIT"], [b"quit", b"a", b"b"]):
        ends = []
        for server in pair.servers:
            client = Client(server.path)
            client.send_raw(encode([b"PING"]) + encode(argv) + encode([b"PING"]))
            ends.append(client.read_to_end())
            client.close()
        if ends[0] != ends[1]:
            return "%s: %r, %r" % (show(argv), *ends)
    return None


RAW = [
    b"PING\r\n", b"ping\n", b"SET a \"b c\"\r\nGET a\r\n", b"SET a 'b\\'c'\r\nGET a\r\n",
    b"SET a \"\\x41\\n\"\r\nGET a\r\n", b"\r\n\r\nPING\r\n", b"SET a \"b\r\n", b"SET a 'b'c\r\n",
    b"*0\r\nPING\r\n", b"*-1\r\nPING\r\n", b"*-10\r\nPING\r\n", b"*3000000000\r\n", b"*1\r\nfoo\r\n",
    b"*1\r\n$-10\r\n", b"*1\r\n$blabla\r\n", b"*1\r\n$2000000000\r\n", b"*x\r\n", b"*\r\n",
    b"*1\r\n$4\r\nPINGxx", b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", b"nosuch a b\r\n", b"   PING   a  \r\n",
]


def raw_input_is_answered_alike(pair):
    tail = encode([b"ECHO", b"the end"]) + encode([b"QUIT"])
    for data in RAW:
        ends = []
        for server in pair.servers:
            client = Client(server.path)
            client.send_raw(data + tail)
            ends.append(client.read_to_end())
            client.close()
        if ends[0] != ends[1]:
            return "%r: redis %r, pannier %r" % (data, *ends)
    return None


# What a client or an exporter reads: redis-cli --stat, ioredis, redis_exporter.
INFO_FIELDS = {
    b"server": b"redis_version redis_mode os arch_bits process_id run_id tcp_port uptime_in_seconds "
               b"uptime_in_days config_file hz",
    b"clients": b"connected_clients maxclients blocked_clients tracking_clients",
    b"memory": b"used_memory used_memory_human used_memory_rss used_memory_peak maxmemory "
               b"maxmemory_policy mem_fragmentation_ratio mem_allocator total_system_memory "
               b"used_memory_dataset_perc allocator_allocated allocator_active allocator_resident "
               b"allocator_frag_ratio allocator_rss_ratio rss_overhead_ratio number_of_functions "
               b"mem_not_counted_for_evict mem_total_replication_buffers lazyfreed_objects",
    b"persistence": b"loading rdb_bgsave_in_progress aof_enabled aof_rewrite_in_progress "
                    b"rdb_last_save_time rdb_last_bgsave_status current_cow_size rdb_last_cow_size "
                    b"aof_last_cow_size module_fork_in_progress rdb_last_load_keys_loaded",
    b"stats": b"total_connections_received total_commands_processed instantaneous_ops_per_sec "
              b"total_net_input_bytes total_net_output_bytes rejected_connections expired_keys "
              b"evicted_keys keyspace_hits keyspace_misses total_error_replies latest_fork_usec "
              b"total_forks active_defrag_hits migrate_cached_sockets total_net_repl_input_bytes "
              b"total_eviction_exceeded_time unexpected_error_replies tracking_total_keys "
              b"tracking_total_items tracking_total_prefixes",
    b"replication": b"role connected_slaves master_replid master_repl_offset",
    b"cpu": b"used_cpu_sys used_cpu_user used_cpu_sys_main_thread used_cpu_user_main_thread",
    b"cluster": b"cluster_enabled",
    b"keyspace": b"db0",
}


def info_of(server, *sections):
    client = Client(server.path)
    client.call(b"SET", b"k", b"v", b"EX", b"1000")
    text = client.call(b"INFO", *sections)
    client.close()
    titles = [line for line in text.split(b"\r\n") if line.startswith(b"#")]
    fields = [line.split(b":")[0] for line in text.split(b"\r\n") if b":" in line]
    return titles, fields


def info_has_what_programs_read(pair):
    for section, names in INFO_FIELDS.items():
        answers = [info_of(server, section) for server in pair.servers]
        if answers[0][0] != answers[1][0]:
            return "INFO %s: titles %r, %r" % (section.decode(), answers[0][0], answers[1][0])
        for name in names.split():
            for server, (_, fields) in zip(pair.servers, answers):
                if name not in fields:
                    return "%s: no %s in INFO %s" % (server.path, name.decode(), section.decode())
    return None


def info_sections_come_in_the_same_order(pair):
    own = (b"# Namespaces", b"# Origins", b"# Invalidations", b"# Advice")
    for args in ([], [b"all"], [b"everything"], [b"default"], [b"nosuch"], [b"keyspace", b"server"],
                 [b"CPU", b"cpu", b"Cluster"]):
        answers = [[t for t in info_of(server, *args)[0] if t not in own] for server in pair.servers]
        # A Redis without modules prints this one only with "everything".
        differ = (b"# Modules",)
        answers = [[t for t in titles if t not in differ] for titles in answers]
        if answers[0] != answers[1]:
            return "INFO %s: %r, %r" % (show(args), *answers)
    return None


def errors_are_counted_by_their_first_word(pair):
    answers = []
    for server in pair.servers:
        client = Client(server.path)
        client.call(b"CONFIG", b"RESETSTAT")
        client.call(b"SET", b"k", b"text")
        for args in ([b"INCR", b"k"], [b"GET"], [b"NOSUCH"], [b"CLIENT", b"NOSUCH"], [b"INCR", b"k"],
                     [b"HELLO", b"9"], [b"SELECT", b"x"]):
            client.call(*args)
        answers.append(client.call(b"INFO", b"errorstats"))
        client.close()
    if answers[0] != answers[1]:
        return "INFO errorstats: redis %r, pannier %r" % tuple(answers)
    return None


QUIET = [
    [[b"CLIENT", b"REPLY", b"OFF"], [b"GET", b"k"], [b"NOSUCH"], [b"CLIENT", b"REPLY", b"ON"], [b"GET", b"k"]],
    [[b"CLIENT", b"REPLY", b"SKIP"], [b"NOSUCH"], [b"GET", b"k"]],
    [[b"CLIENT", b"REPLY", b"SKIP"], [b"CLIENT", b"REPLY", b"SKIP"], [b"GET", b"k"], [b"GET", b"k"]],
    [[b"CLIENT", b"REPLY", b"OFF"], [b"CLIENT", b"REPLY", b"SKIP"], [b"GET", b"k"], [b"RESET"], [b"GET", b"k"]],
    [[b"CLIENT", b"REPLY", b"OFF"], [b"MULTI"], [b"GET", b"k"], [b"EXEC"], [b"CLIENT", b"REPLY", b"ON"]],
    [[b"CLIENT", b"REPLY", b"SKIP"], [b"CLIENT", b"REPLY", b"ON"], [b"GET", b"k"]],
    [[b"CLIENT", b"REPLY", b"SKIP"], [b"CLIENT", b"REPLY", b"OFF"], [b"GET", b"k"], [b"CLIENT", b"REPLY", b"ON"]],
    [[b"CLIENT", b"REPLY", b"OFF"], [b"CLIENT", b"REPLY", b"foo"], [b"CLIENT", b"REPLY", b"ON"]],
    [[b"CLIENT", b"REPLY", b"SKIP"], [b"CLIENT", b"LIST"], [b"GET", b"k"]],
]


def client_reply_is_silent_alike(pair):
    for requests in QUIET:
        ends = []
        for server in pair.servers:
            client = Client(server.path)
            client.send_raw(b"".join(map(encode, requests)) + encode([b"ECHO", b"the end"]) + encode([b"QUIT"]))
            ends.append(client.read_to_end())
            client.close()
        if ends[0] != ends[1]:
            return "%s: redis %r, pannier %r" % ("; ".join(map(show, requests)), *ends)
    return None


def memory_stats_has_the_same_fields_in_the_same_order(pair):
    names = []
    for server in pair.servers:
        client = Client(server.path)
        client.call(b"SET", b"k", b"v")
        reply = client.call(b"MEMORY", b"STATS")
        names.append(reply[::2])
        names[-1].append(reply[2 * reply[::2].index(b"db.0") + 1][::2])
        client.close()
    ours = [name for name in names[1] if name in names[0]]
    return None if ours == names[0] else "redis %r, pannier %r" % tuple(names)


FIXED = [memory_stats_has_the_same_fields_in_the_same_order, client_reply_is_silent_alike, quit_answers_and_closes, raw_input_is_answered_alike, info_has_what_programs_read,
         info_sections_come_in_the_same_order, errors_are_counted_by_their_first_word]


def run_fixed(pair):
    failed = 0
    for test in FIXED:
        trouble = test(pair)
        if trouble:
            print("FAIL %s: %s" % (test.__name__, trouble))
            failed += 1
    return failed


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    slow = os.environ.get("SANITIZER")
    parser.add_argument("--count", type=int, default=30 if slow else 120, help="sequences of each family")
    parser.add_argument("--seconds", type=float, default=0, help="go on with the next seeds")
    parser.add_argument("--only", choices=sorted([*FAMILIES, TRACKING]), help="one family")
    parser.add_argument("--tenant", action="store_true",
                        help="on a listener that is confined to a namespace")
    parser.add_argument("--self", action="store_true", dest="self_check", help="redis against redis")
    return parser.parse_args()


def tracking_is_alike(pair, args, seed):
    trouble = run_tracking([s.path for s in pair.servers], seed, args.count)
    if trouble:
        print("FAIL %s, --seed %d: %s" % (TRACKING, seed, trouble))
    return not trouble


def run_families(pair, args, seed):
    print("seed %d" % seed, flush=True)
    families = [args.only] if args.only else [*FAMILIES, TRACKING]
    good = [tracking_is_alike(pair, args, seed) if f == TRACKING
            else run_family(pair, f, seed, args.count) for f in families]
    return sum(good), len(good) - sum(good)


def run_all(pair, args):
    end = time.monotonic() + args.seconds
    failed = 0 if args.only else run_fixed(pair)
    passed = 0 if args.only else len(FIXED) - failed
    for seed in range(args.seed, sys.maxsize):
        more = run_families(pair, args, seed)
        passed, failed = passed + more[0], failed + more[1]
        if failed or time.monotonic() >= end:
            break
    pair.drop()
    return passed, failed


def ends_well(server):
    code = server.stop()
    if code != 0:
        print("FAIL the server ends with %d:\n%s" % (code, server.said()))
    return code == 0


def main():
    args = arguments()
    if shutil.which("redis-server") is None:
        print("redis-server is not installed\n0 passed, 0 failed, %d skipped" % (len(FAMILIES) + 1))
        return 0
    with tempfile.TemporaryDirectory() as directory:
        redis = start_redis(directory)
        ours = None
        try:
            ours = start_redis(directory, "other") if args.self_check else \
                start_pannier(directory, args.tenant)
            passed, failed = run_all(Pair(redis, ours), args)
            good = ends_well(ours)
            passed, failed = passed + good, failed + (not good)
        finally:
            if ours is not None:
                ours.stop()
            redis.stop()
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
