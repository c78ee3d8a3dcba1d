#!/usr/bin/env python3
"""Clients that Debian has: php-redis, hiredis, ruby-redis, Redis.pm, lua-redis."""

import os

import real


def program(*parts):
    return os.path.join(real.CLIENTS, *parts)


class Debian(real.Case):
    def test_php_redis(self):
        self.needs("php", "-r", "exit(extension_loaded('redis') ? 0 : 1);", package="php-cli, php-redis")
        self.converse(["php", program("php", "claims.php")])

    def test_hiredis(self):
        compiler = os.environ.get("CC", "cc")
        self.needs(compiler, "--version", package="gcc")
        if not os.path.exists("/usr/include/hiredis/hiredis.h"):
            self.skipTest(f"{self.id()}: no hiredis on this machine (Debian: libhiredis-dev)")
        binary = os.path.join(self.folder(), "claims")
        real.run_tool([compiler, "-Wall", "-Werror", "-O1", "-o", binary, "claims.c", "-lhiredis"],
                      program("c"))
        self.converse([binary])

    def test_ruby_redis(self):
        self.needs("ruby", "-e", "require 'redis'", package="ruby-redis")
        self.converse(["ruby", program("ruby", "claims.rb")])

    def test_perl_redis(self):
        self.needs("perl", "-e", "use Redis", package="libredis-perl")
        self.converse(["perl", program("perl", "claims.pl")])

    def test_lua_redis(self):
        self.needs("lua5.1", "-e", "require 'redis'", package="lua-redis")
        self.converse(["lua5.1", program("lua", "claims.lua")])


if __name__ == "__main__":
    real.main()
