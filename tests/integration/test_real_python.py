#!/usr/bin/env python3
"""redis-py: the one of Debian, and the newest of PyPI."""

import os
import subprocess
import sys

import real

DEBIANS = "/usr/bin/python3"


class RedisPy(real.Case):
    def test_of_debian(self):
        self.needs(DEBIANS, "-c", "import redis", package="python3-redis")
        for program in ("sync.py", "aio.py"):
            self.converse([DEBIANS, "-B", os.path.join(real.CLIENTS, "python", program)])

    def test_of_pypi(self):
        folder = self.installed("python", [sys.version], self.venv)
        for program in ("sync.py", "aio.py", "redlocks.py", "caching.py"):
            self.converse([os.path.join(folder, "venv/bin/python"), "-B", os.path.join(folder, program)])

    def venv(self, folder):
        done = subprocess.run([sys.executable, "-m", "venv", "venv"], cwd=folder, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            self.skipTest(f"no virtual environments here (Debian: python3-venv): {done.stdout[-300:]}")
        real.fetch(["venv/bin/python", "-m", "pip", "install", "-q", "--no-input", "--retries", "3",
                    "--disable-pip-version-check", "-r", "requirements.txt"], folder)


if __name__ == "__main__":
    real.main()
