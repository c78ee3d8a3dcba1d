#!/usr/bin/env python3
"""Locks as applications take them: the lock libraries of Python, Node and Go,
unchanged, against the daemon."""

import os
import sys

import real
import test_real_go
import test_real_node
import test_real_python


class Python(real.Case):
    def test_redis_py_of_debian(self):
        debians = test_real_python.DEBIANS
        self.needs(debians, "-c", "import redis", package="python3-redis")
        self.converse([debians, "-B", os.path.join(real.CLIENTS, "python", "locks.py")])

    def test_redis_py_of_pypi(self):
        folder = self.installed("python", [sys.version],
                                lambda to: test_real_python.RedisPy.venv(self, to))
        self.converse([os.path.join(folder, "venv/bin/python"), "-B", os.path.join(folder, "locks.py")])


class Node(test_real_node.Node):
    def test_redlock(self):
        self.program("redlock.mjs")

    test_ioredis = test_node_redis = None # those are test_real_node.py's


class Go(test_real_go.Go):
    def test_redislock_and_redsync(self):
        self.claims("locks")

    test_go_redis_and_redigo = None # that is test_real_go.py's


if __name__ == "__main__":
    real.main()
