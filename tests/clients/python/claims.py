"""The way of talking to tests/integration/real.py, in Python."""

import os
import sys
import traceback

SOCKET, GUARDED, PASSWORD = (os.environ[x] for x in ("SOCKET", "GUARDED", "PASSWORD"))


def claim(name, test):
    try:
        test()
    except Exception as e:  # whatever goes wrong is a claim that does not hold
        traceback.print_exc()
        print(f"not ok {name}: {type(e).__name__}: {' '.join(str(e).split())}", flush=True)
    else:
        print(f"ok {name}", flush=True)


def ask(what):
    """Of the daemon: stop, start, restart. Comes back when it is done."""
    print("ask", what, flush=True)
    assert sys.stdin.readline() == "done\n"


def equal(got, wanted):
    if got != wanted:
        raise AssertionError(f"{got!r:.300}, not {wanted!r:.300}")


def raises(kind, words, do):
    try:
        got = do()
    except kind as e:
        if words not in str(e):
            raise AssertionError(f"{e!r} does not say {words!r}") from e
        return
    raise AssertionError(f"{got!r:.300}, no {kind.__name__}")
