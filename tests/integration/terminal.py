"""terminal.py - a program on a terminal of its own: what it shows, keys, sizes. Of Debian's
python3-pyte, so scripts that use it begin with #!/usr/bin/python3."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios

import pyte

import harness


class Terminal:
    """A program on a terminal of its own, and what that shows."""

    def __init__(self, args, columns=80, lines=24, more=None, **env):
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.master, self.slave = pty.openpty()
        self.size(columns, lines)
        self.before = termios.tcgetattr(self.slave)
        env = {**os.environ, "TERM": "linux", "LC_ALL": "C.UTF-8", "NO_COLOR": "", **env}
        self.process = subprocess.Popen(
            args, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **(more or {}))

    def size(self, columns, lines):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns, lines):
        self.screen.resize(lines, columns)
        self.screen.reset()
        self.size(columns, lines)  # the kernel sends SIGWINCH

    def press(self, keys):
        os.write(self.master, keys.encode())

    def read(self):
        if select.select([self.master], [], [], 0)[0]:
            data = os.read(self.master, 1 << 16)
            self.raw += data
            self.stream.feed(data)

    def text(self):
        self.read()
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait(self, pattern):
        """Until the screen has this; answers the match."""
        def there():
            return re.search(pattern, self.text())
        try:
            return harness.wait_until(there, f"{pattern!r}")
        except AssertionError as e:
            raise AssertionError(f"{e} on:\n{self.text()}") from None

    def end(self):
        """The exit code; all that was written is read."""
        def ended():
            self.read()
            return self.process.poll() is not None
        harness.wait_until(ended, "the end of the program")
        while select.select([self.master], [], [], 0)[0]:
            self.read()
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
