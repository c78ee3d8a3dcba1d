#!/usr/bin/python3
"""Shells complete `pannier` by what `pannier completion` prints: bash, zsh and fish, each
asked as a user asks it."""

import os
import re
import shutil
import subprocess
import sys
import unittest

import harness
from terminal import Terminal

SUBCOMMANDS = ["advise", "bench", "check", "completion", "demo", "help", "ping", "serve", "stats",
               "top"]
WIDE = {"columns": 300, "lines": 60}


def printed(shell):
    return subprocess.run([harness.BINARY, "completion", shell], check=True, capture_output=True,
                          text=True, timeout=harness.PATIENCE_S).stdout


@unittest.skipIf(harness.SANITIZER, "sanitizers: the shells are no part of the build")
class Shells(harness.Case):
    def script(self, shell, name):
        """In a folder of its own, the path of which comes back."""
        path = os.path.join(self.folder(), name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(printed(shell))
        return path

    def needs(self, program):
        if shutil.which(program) is None:
            self.fail(f"no {program}: apt-get install {program}")

    def terminal(self, args, **env):
        """With a file to complete in its working directory."""
        self.dir = self.folder()
        for name in ("some-config.yaml", "other file.yaml"):
            with open(os.path.join(self.dir, name), "w", encoding="utf-8"):
                pass
        env = {"HOME": self.dir, "PS1": "$ ", "INPUTRC": "/dev/null", **env}
        t = Terminal(args, more={"cwd": self.dir}, **WIDE, **env)
        self.addCleanup(t.close)
        return t

    def set_up(self, t, commands):
        """Once they are done, an empty screen; the marker is not what was typed."""
        t.press(commands + "; echo do''ne\n")
        t.wait(r"(?m)^done$(.|\n)*^\$$")
        t.press("\x0c")
        t.wait(r"^\$\n*$")

    def completes(self, t, typed, wanted):
        """The line becomes what is wanted, a regular expression; then it is taken back."""
        t.press(typed + "\t")
        t.wait(r"(?m)^\$ " + wanted + "$")
        t.press("\x15\x0c")  # ^U ^L: another line, another screen
        t.wait(r"^\$\n*$")

    def lists(self, t, typed, wanted):
        """All of these words are offered, and the line is left as it is."""
        t.press(typed + "\t\t")
        for word in wanted:
            t.wait(r"(?m)(^|\s)" + re.escape(word) + r"(\s|$)")
        t.press("\x15\x0c")
        t.wait(r"^\$\n*$")

    def everything(self, t):
        self.lists(t, "pannier ", SUBCOMMANDS)
        self.completes(t, "pannier ser", "pannier serve")
        self.completes(t, "pannier serve --evi", "pannier serve --eviction=")
        self.completes(t, "pannier serve --eviction=s3", "pannier serve --eviction=s3fifo")
        self.lists(t, "pannier serve --eviction=", ["lru", "s3fifo", "tinylfu"])
        self.lists(t, "pannier serve --log-level=", ["debug", "info", "warn", "error"])
        self.completes(t, "pannier serve --config som",
                       "pannier serve --config some-config.yaml")
        self.completes(t, "pannier check som", "pannier check some-config.yaml")
        self.completes(t, "pannier check ot", r"pannier check other\\ file.yaml")
        self.completes(t, "pannier check --eff", "pannier check --effective")
        self.completes(t, "pannier top --on", "pannier top --once")
        self.completes(t, "pannier bench --protocol m", "pannier bench --protocol memcache")
        self.completes(t, "pannier completion z", "pannier completion zsh")
        self.completes(t, "pannier help adv", "pannier help advise")

    def test_bash(self):
        self.needs("bash")
        t = self.terminal(["bash", "--noprofile", "--norc", "-i"])
        self.set_up(t, f". {self.script('bash', 'pannier')}; bind 'set bell-style none' "
                    "'set page-completions off' 'set completion-query-items 0'")
        self.everything(t)
        self.completes(t, "pannier stats -s unix:som", "pannier stats -s unix:some-config.yaml")
        self.completes(t, "pannier stats --socket=unix:som",
                       "pannier stats --socket=unix:some-config.yaml")

    def test_bash_finds_it_where_bash_completion_looks(self):
        loader = "/usr/share/bash-completion/bash_completion"
        self.assertTrue(os.path.exists(loader), "apt-get install bash-completion")
        data = self.folder()
        os.makedirs(data + "/completions")
        shutil.move(self.script("bash", "pannier"), data + "/completions/pannier")
        t = self.terminal(["bash", "--noprofile", "--norc", "-i"], BASH_COMPLETION_USER_DIR=data)
        self.set_up(t, f". {loader}; bind 'set bell-style none'")
        self.completes(t, "pannier serve --evi", "pannier serve --eviction=")
        self.completes(t, "pannier serve --eviction=s3", "pannier serve --eviction=s3fifo")

    def test_zsh(self):
        self.needs("zsh")
        t = self.terminal(["zsh", "-f", "-i"], PROMPT="$ ", TERM="vt100")
        self.set_up(t, f"fpath=({os.path.dirname(self.script('zsh', '_pannier'))} $fpath); "
                    "autoload -Uz compinit; compinit -D -u; setopt nobeep; unsetopt prompt_sp; PS1='$ '; bindkey -e")
        self.everything(t)
        self.lists(t, "pannier top -", ["--once", "--json", "--interval"])

    def test_zsh_that_reads_it_in_its_start_file(self):
        self.needs("zsh")
        t = self.terminal(["zsh", "-f", "-i"], PROMPT="$ ", TERM="vt100")
        self.set_up(t, "autoload -Uz compinit; compinit -D -u; "
                    f". {self.script('zsh', 'x')}; unsetopt prompt_sp; PS1='$ '; bindkey -e")
        self.completes(t, "pannier serve --eviction=s3", "pannier serve --eviction=s3fifo")

    def fish(self, line):
        said = subprocess.run(
            ["fish", "--no-config", "-c",
             f"source {self.fishs}; complete -C '{line}'"],
            capture_output=True, text=True, check=True, timeout=harness.PATIENCE_S, cwd=self.dir,
            env={**os.environ, "HOME": self.dir, "XDG_CONFIG_HOME": self.dir,
                 "XDG_DATA_HOME": self.dir})
        self.assertEqual(said.stderr, "")
        return [word.split("\t")[0] for word in said.stdout.splitlines()]

    def test_fish(self):
        self.needs("fish")
        self.fishs = self.script("fish", "pannier.fish")
        self.dir = self.folder()
        with open(os.path.join(self.dir, "some-config.yaml"), "w", encoding="utf-8"):
            pass
        self.assertEqual(sorted(self.fish("pannier ")), SUBCOMMANDS)
        self.assertEqual(self.fish("pannier serve --evi"), ["--eviction"])
        self.assertEqual(sorted(self.fish("pannier serve --eviction ")),
                         ["lru", "s3fifo", "tinylfu"])
        self.assertEqual(self.fish("pannier serve --eviction=s3"), ["--eviction=s3fifo"])
        self.assertEqual(self.fish("pannier serve --config som"), ["some-config.yaml"])
        self.assertEqual(self.fish("pannier check som"), ["some-config.yaml"])
        self.assertEqual(self.fish("pannier bench --protocol m"), ["memcache"])
        self.assertEqual(self.fish("pannier completion z"), ["zsh"])
        self.assertEqual(self.fish("pannier help adv"), ["advise"])
        self.assertEqual(self.fish("pannier ping --memory"), [])
        self.assertIn("--once", self.fish("pannier top --"))


class Command(harness.Case):
    def test_a_shell_that_is_not_known_is_refused(self):
        for args, words in (((), "which shell?"), (("tcsh",), '"tcsh" is no shell'),
                            (("bash", "zsh"), "which shell?")):
            done = subprocess.run([harness.BINARY, "completion", *args], capture_output=True,
                                  text=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (64, ""))
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    sys.exit(harness.main())
