"""Runs `pannier bench` against a server."""

import json
import subprocess

from .servers import pinned


class LoadFailed(Exception):
    pass


class Load:
    """A run that is under way; with-statements never leave it behind."""

    def __init__(self, ctx, server, args, cpu=None, nice=0):
        argv = [ctx.loadgen, "bench", "--socket", f"unix:{server.path}", "--protocol",
                server.protocol, "--json", "--quiet", *map(str, args)]
        self.what = f"{server.name}: pannier bench {' '.join(map(str, args))}"
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
        out, err = self.process.communicate()
        if self.process.returncode != 0 and not (tolerant and out):
            raise LoadFailed(f"{self.what}: {err.strip() or out[-300:]}")
        return json.loads(out)


def load(ctx, server, *args, tolerant=False, cpu=None, nice=0):
    with Load(ctx, server, args, cpu, nice) as run:
        return run.result(tolerant)


def latency(result, which="all"):
    """What is kept of a result's latency."""
    found = result["latency_us"][which]
    return {k: found[k] for k in ("mean", "p50", "p90", "p99", "p999", "p9999", "max")}
