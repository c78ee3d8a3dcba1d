#!/usr/bin/env python3
"""What a snapshot costs: fills a cache, writes it and loads it, and asks for keys all the while.

    tests/bench/snapshot.py [MIB [VALUE_BYTES]]      256 MiB of values of 100 bytes
"""

import os
import re
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
sys.dont_write_bytecode = True
from harness import Daemon, encode  # noqa: E402

MIB = int(sys.argv[1]) if len(sys.argv) > 1 else 256
VALUE = int(sys.argv[2]) if len(sys.argv) > 2 else 100


def fill(d):
    c = d.client()
    keys = MIB * (1 << 20) // (VALUE + 40)
    for k in range(0, keys, 5000):
        c.raw(b"".join(b"SET key:%d %s\r\n" % (i, b"v" * VALUE) for i in range(k, min(k + 5000, keys))))
        for _ in range(k, min(k + 5000, keys)):
            c.reply()
    c.close()


def asked(d, during):
    """Microseconds of each GET while that is true."""
    c, times = d.client(), []
    while during():
        begun = time.perf_counter()
        c("GET", "key:1")
        times.append((time.perf_counter() - begun) * 1e6)
    c.close()
    return sorted(times)


def show(what, times, lag):
    if times:
        print(f"{what}: GET {times[len(times) // 2]:.0f} us at the median, "
              f"{times[len(times) * 99 // 100]:.0f} at the 99th percentile, {times[-1]:.0f} at most; "
              f"longest turn of a loop {lag} us")


def lag_of(d):
    return d.info().get("loop_lag_max_us", "?")


def main():
    folder = tempfile.mkdtemp(prefix="pannier-bench-")
    config = (f"memory: {MIB + MIB // 4 + 32}MiB\nthreads: 1\nsnapshot_path: {folder}/snapshot\n"
              "drain_timeout: 60s\nadvice: off\n")
    d = Daemon(folder, config)
    fill(d)
    end = time.monotonic() + 2
    d.client()("CONFIG", "RESETSTAT")
    show("at rest", asked(d, lambda: time.monotonic() < end), lag_of(d))
    c = d.client()
    c("CONFIG", "RESETSTAT")
    saver = threading.Thread(target=c, args=("SAVE",))
    saver.start()
    show("while it is written", asked(d, saver.is_alive), lag_of(d))
    d.stop()
    print(re.findall(r"snapshot: (.* written) to", d.text())[0],
          re.findall(r"written to .* (in .*)", d.text())[0])
    d.start()
    o = d.client()
    show("while it is loaded", asked(d, lambda: b"loading" in o("PANNIER.SNAPSHOT")), lag_of(d))
    print(re.findall(r"snapshot: (.* loaded) from", d.text())[0],
          re.findall(r"loaded from .* (in .*)", d.text())[0])
    print(f"VmHWM {d.status('VmHWM') >> 20} MiB")
    d.kill()


if __name__ == "__main__":
    main()
