#!/usr/bin/env python3
"""Node's clients: ioredis and node-redis."""

import os

import real


class Node(real.Case):
    def program(self, name):
        versions = [self.needs("node", "--version", package="nodejs"),
                    self.needs("npm", "--version", package="npm")]
        if int(versions[0].rpartition("v")[2].partition(".")[0]) < 20:
            self.skipTest(f"{self.id()}: {versions[0]} is too old, these libraries need 20")
        folder = self.installed("node", versions, self.packages)
        self.converse(["node", os.path.join(folder, name)])

    @staticmethod
    def packages(folder):
        real.fetch(["npm", "ci", "--no-progress", "--loglevel=error"], folder)

    def test_ioredis(self):
        self.program("with-ioredis.js")

    def test_node_redis(self):
        self.program("with-node-redis.js")


if __name__ == "__main__":
    real.main()
