#!/usr/bin/env python3
"""prometheus-redis-exporter, as Debian has it, beside the daemon."""

import re
import subprocess
import urllib.request

import harness
import real

PROGRAM = "prometheus-redis-exporter"


class Exporter(harness.Case):
    def setUp(self):
        self.d = self.daemon(real.CONFIG)

    def metrics(self):
        """A scrape: name with labels -> value."""
        if real.version_of(PROGRAM, "--version") is None:
            self.skipTest(f"no {PROGRAM} on this machine (Debian: {PROGRAM})")
        exporter = subprocess.Popen(
            [PROGRAM, "-redis.addr", f"unix://{self.d.path}", "-web.listen-address", "127.0.0.1:0",
             "-include-system-metrics", "-export-client-list"], # of Unix sockets it shows no clients
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            port = harness.wait_until(lambda: real.listening_port(exporter.pid), "the exporter to listen")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics",
                                        timeout=harness.PATIENCE_S) as page:
                text = page.read().decode()
        finally:
            exporter.kill()
            said = exporter.communicate()[0].decode(errors="replace")
        self.assertNotRegex(said, r"level=(error|warning)")
        return {name: float(value) for name, value in
                re.findall(r"^(redis_\S+(?:\{.*\})?) (\S+)$", text, re.M)}

    def test_its_metrics_are_there_and_right(self):
        c = self.d.client()
        for i in range(10):
            c("SET", f"key:{i}", "v", *(("EX", "1000") if i < 3 else ()))
        for i in range(15):
            c("GET", f"key:{i}")
        m = self.metrics()
        wanted = {
            "redis_up": 1,
            'redis_db_keys{db="db0"}': 10,
            'redis_db_keys_expiring{db="db0"}': 3,
            "redis_keyspace_hits_total": 10,
            "redis_keyspace_misses_total": 5,
            "redis_evicted_keys_total": 0,
            "redis_expired_keys_total": 0,
            "redis_rejected_connections_total": 0,
            "redis_connected_clients": 2,
            "redis_blocked_clients": 0,
            "redis_connected_slaves": 0,
            "redis_loading_dump_file": 0,
            "redis_master_repl_offset": 0,
            "redis_pubsub_channels": 0,
            "redis_config_maxmemory": 256 << 20,
            "redis_memory_max_bytes": 256 << 20,
            "redis_config_maxclients": 10000,
            'redis_commands_total{cmd="get"}': 15,
            'redis_commands_total{cmd="set"}': 10,
            'redis_commands_failed_calls_total{cmd="get"}': 0,
            "redis_slowlog_length": 0,
            "redis_exporter_last_scrape_error{err=\"\"}": 0,
        }
        self.assertEqual({name: m.get(name) for name in wanted}, wanted)
        self.assertEqual(len([n for n in m if n.startswith("redis_instance_info{")
                              and 'redis_version="7.0' in n and 'role="master"' in n]), 1)

    def test_figures_that_move_are_in_their_range(self):
        m = self.metrics()
        resident = self.d.status("VmRSS")
        self.assertGreater(m["redis_memory_used_bytes"], 0)
        self.assertLess(abs(m["redis_memory_used_rss_bytes"] - resident), resident / 2)
        self.assertGreaterEqual(m["redis_memory_used_peak_bytes"], m["redis_memory_used_bytes"])
        self.assertLess(m["redis_uptime_in_seconds"], 600)
        self.assertGreater(m["redis_start_time_seconds"], 1.6e9)
        self.assertGreater(m["redis_commands_processed_total"], 0)
        self.assertGreater(m["redis_connections_received_total"], 0)
        self.assertGreater(m["redis_net_input_bytes_total"], 0)
        self.assertGreater(m["redis_net_output_bytes_total"], 0)
        self.assertGreater(m["redis_cpu_user_seconds_total"] + m["redis_cpu_sys_seconds_total"], 0)
        self.assertGreater(m["redis_process_id"], 1)


if __name__ == "__main__":
    harness.main()
