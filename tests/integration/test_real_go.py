#!/usr/bin/env python3
"""Go's clients: go-redis and redigo."""

import os
import re

import real

OLDEST = (1, 26)


class Go(real.Case):
    def test_go_redis_and_redigo(self):
        self.claims()

    def claims(self, *which):
        # Where its own installer puts it, no PATH need lead there.
        if os.path.exists("/usr/local/go/bin/go"):
            os.environ["PATH"] += ":/usr/local/go/bin"
        said = self.needs("go", "version", package="golang-go")
        if tuple(map(int, re.search(r"go(\d+)\.(\d+)", said).groups())) < OLDEST:
            self.skipTest(f"{self.id()}: {said} is too old, go-redis needs 1.26")
        folder = self.installed("go", [said], self.build)
        self.converse([os.path.join(folder, "claims"), *which])

    @staticmethod
    def build(folder):
        real.fetch(["go", "mod", "download", "-x"], folder, {"GOFLAGS": "-mod=readonly"})
        real.run_tool(["go", "build", "-o", "claims", "."], folder,
                      {"GOFLAGS": "-mod=readonly -buildvcs=false", "CGO_ENABLED": "0"})


if __name__ == "__main__":
    real.main()
