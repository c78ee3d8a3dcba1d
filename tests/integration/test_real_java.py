#!/usr/bin/env python3
"""Java's clients: jedis, through a socket factory, and lettuce, by netty."""

import glob
import os
import re

import real


class Java(real.Case):
    def program(self, name):
        versions = [self.needs("javac", "-version", package="default-jdk-headless"),
                    self.needs("mvn", "-version", package="maven")]
        if int(re.search(r"javac (\d+)", versions[0])[1]) < 17:
            self.skipTest(f"{self.id()}: {versions[0]} is too old, these programs need 17")
        folder = self.installed("java", versions, self.build)
        # A small machine: what is quick to start is better than what runs fast later.
        self.converse(["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp",
                       f"{folder}/jars/*:{folder}/classes", name])

    @staticmethod
    def build(folder):
        real.fetch(["mvn", "-B", "-q", "dependency:copy-dependencies", "-DoutputDirectory=jars",
                    "-Dmaven.wagon.http.retryHandler.count=3"], folder)
        real.run_tool(["javac", "-Xlint:all,-processing,-classfile,-path", "-Werror", "-encoding", "UTF-8",
                       "-d", "classes", "-cp", "jars/*",
                       *glob.glob("*.java", root_dir=folder)], folder)

    def test_jedis(self):
        self.program("WithJedis")

    def test_lettuce(self):
        self.program("WithLettuce")


if __name__ == "__main__":
    real.main()
