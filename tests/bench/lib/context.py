"""What a run of ./dev bench knows: programs, processors, how much to do."""

import os
import platform
import re
import subprocess
import sys
import time

from . import servers

MIB = 1 << 20


class Context:
    def __init__(self, args):
        self.build = os.path.realpath(args.build)
        self.pannier = args.pannier or os.path.join(self.build, "pannier")
        self.loadgen = args.loadgen or self.pannier
        self.floor = os.path.join(self.build, "floor_server")
        self.sim = os.path.join(self.build, "tests/bench/sim")
        self.out = os.path.join(self.build, "bench")
        self.traces = args.traces
        self.quick, self.rounds = args.quick, args.rounds or (1 if args.quick else 3)
        self.chosen = set(args.servers.split(",")) if args.servers else None
        cpus = sorted(os.sched_getaffinity(0))
        self.cpus = cpus
        # On a machine with one processor nothing is pinned, nor worth much.
        self.load_cpu, self.server_cpu = (cpus[0], cpus[1]) if len(cpus) > 1 else (None, None)
        if len(cpus) > 1:
            os.sched_setaffinity(0, {self.load_cpu}) # this script's probes too
        self.troubles = []
        os.makedirs(self.out, exist_ok=True)

    def n(self, full, quick):
        return quick if self.quick else full

    def say(self, text):
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def trouble(self, text):
        self.troubles.append(text)
        self.say(f"TROUBLE {text}")

    def refused(self, name, text):
        """Error replies: what a peer refuses is a finding, not a failure."""
        (self.trouble if name.startswith("pannier") else self.say)(text)

    def wanted(self, *names):
        return [n for n in names if self.chosen is None or n in self.chosen]

    def server(self, name, memory=256 * MIB, **more):
        return servers.make(self, name, memory, **more)


def first_line(*argv):
    try:
        out = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
        return (out.stdout or out.stderr).strip().splitlines()[0]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return "-"


def version(program):
    found = re.search(r"\d+(\.\d+)+", first_line(program, "--version"))
    return f"{program.removesuffix('-server')} {found[0] if found else '-'}"


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def machine(ctx):
    src = os.path.dirname(os.path.abspath(__file__))
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": processor(), "processors": len(ctx.cpus),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "commit": first_line("git", "-C", src, "describe", "--always", "--dirty"),
        "redis": version("redis-server"), "memcached": version("memcached"),
        "valgrind": version("valgrind"),
        "load_before": os.getloadavg()[0],
    }
