#!/usr/bin/env python3
"""What a hand-over costs clients: 20,000 GETs a second, and in the midst of them a successor takes over.

    tests/bench/handover.py [KEYS [RATE]]      1,000,000 keys of 100 bytes
"""

import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
sys.dont_write_bytecode = True
from harness import BINARY, Daemon  # noqa: E402

KEYS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
RATE = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
SECONDS, BEFORE = 6, 3 # the successor comes in the middle


def bench(d, *args):
    return [BINARY, "bench", "--socket", d.path, "-r", str(KEYS), "-c", "50", "--quiet", "--json", *args]


def main():
    folder = tempfile.mkdtemp(prefix="pannier-bench-")
    config = f"memory: 256MiB\nhandover: {folder}/handover.sock\n"
    old = Daemon(folder, config)
    subprocess.run(bench(old, "--fill", "-n", "1000"), check=True, stdout=subprocess.DEVNULL)
    load = subprocess.Popen(bench(old, "--rate", str(RATE), "--seconds", str(SECONDS), "--ratio", "1:0", "--verify"),
                            stdout=subprocess.PIPE, text=True)
    time.sleep(BEFORE) # the load is what is measured, nothing is awaited
    new = Daemon(folder, config, args=["--takeover"], stopped=True)
    new.launch()
    code = old.wait()
    said = json.loads(load.communicate()[0])
    print(old.text() + new.text(), end="")
    for second in said["timeline"]:
        print("second {at_s:.0f}: {ops} answered, {hits} hits, p99 {p99_us} us, at most {max_us} us".format(**second))
    info = new.info()
    print(f"the old one ended with {code}, the load with {load.returncode}; keys {info['db0']}; "
          f"of the new one's reads {info['keyspace_hits']} hits, {info['keyspace_misses']} misses")
    new.kill()


if __name__ == "__main__":
    main()
