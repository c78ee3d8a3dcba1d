"""Runs `pannier bench` against a server."""

import json
import os
import subprocess

from .client import ServerError
from .servers import CannotStart, pinned


class LoadFailed(Exception):
    pass


# What may go wrong with one server while the others are still worth measuring.
FAILURES = (CannotStart, LoadFailed, ServerError, OSError)


class Load:
    """A run that is under way; with-statements never leave it behind."""

    def __init__(self, ctx, server, args, cpu=None, nice=0):
        argv = [ctx.loadgen, "bench", "--socket", f"unix:{server.path}", "--protocol",
                server.protocol, "--json", "--quiet", *map(str, args)]
        self.what = f"pannier bench {' '.join(map(str, args))}"
        self.process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=pinned(ctx.load_cpu if cpu is None else cpu, nice))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def result(self, tolerant=False):
        """tolerant: error replies are the caller's business."""
        out, err = self.process.communicate()
        found = json.loads(out) if out.startswith("{") else {}
        refused = self.process.returncode == os.EX_PROTOCOL and found.get("errors")
        if self.process.returncode != 0 and not (tolerant and refused):
            raise LoadFailed(f"{err.strip() or found.get('fault')} ({self.what})")
        return found


def load(ctx, server, *args, tolerant=False, cpu=None, nice=0):
    with Load(ctx, server, args, cpu, nice) as run:
        return run.result(tolerant)


def latency(result, which="all"):
    """What is kept of a result's latency."""
    found = result["latency_us"][which]
    return {k: found[k] for k in ("mean", "p50", "p90", "p99", "p999", "p9999", "max")}
