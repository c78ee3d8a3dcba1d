#!/usr/bin/env python3
"""CL.THROTTLE: against a model of redis-cell with a clock of its own, and against the
daemon: many clients on several loops at once never get more than the limit."""

import os
import random
import subprocess
import threading
import unittest

import harness

SEQUENCES = 400
STEPS = 60


def trunc_div(a, b):
    """As integers are divided in C and Rust: towards zero."""
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q


class Model:
    """redis-cell, from its description: a float for the interval, whole
    microseconds for what remains, and seconds rounded up by milliseconds."""

    def __init__(self):
        self.tat = None

    @staticmethod
    def seconds(ns):
        whole = trunc_div(ns, 10**9)
        return whole + (1 if (ns - whole * 10**9) // 10**6 > 0 else 0)

    def throttle(self, max_burst, count, period, now, quantity):
        interval = int(period * 10**9 / count)
        tolerance = interval * (max_burst + 1)
        increment = interval * quantity
        tat = max(now, self.tat if self.tat is not None else now)
        new_tat = tat + increment
        retry = -1
        limited = now < new_tat - tolerance
        if limited:
            if increment <= tolerance:
                retry = self.seconds(new_tat - tolerance - now)
            ttl = tat - now
        else:
            self.tat = new_tat
            ttl = new_tat - now
        left, remaining = tolerance - ttl, 0
        if left > -interval:
            remaining = int(float(trunc_div(left, 1000)) / float(interval // 1000))
        remaining = min(remaining, max_burst + 1) # a rounding of theirs that we leave
        return [int(limited), max_burst + 1, remaining, retry, self.seconds(ttl)]


def sequence(rng):
    """Requests on one key: of one limit, as a rule, at times that make it
    full, partly full, and empty."""
    def limit():
        count = rng.choice([1, 2, 3, 7, 30, 1000, 99991])
        return (rng.choice([0, 1, 4, 15, 99, 10**6 if count > 1000 else 10**3]), count,
                rng.choice([1, 2, 3, 60, 86400]))
    now, current = rng.randrange(10**12, 10**15), limit()
    for _ in range(STEPS):
        if rng.random() < 0.03:
            current = limit()
        interval = current[2] * 10**9 // current[1]
        quantity = rng.choice([0, 1, 1, 1, 1, 2, 3, current[0], current[0] + 1, current[0] + 2])
        yield (*current, now, quantity)
        now += rng.choice([0, 0, 1, interval // 3, interval, interval + 1, 10**6, 999999,
                           interval * rng.randrange(1, current[0] + 5), rng.randrange(10**9)])


class AgainstTheModel(unittest.TestCase):
    def test_answers_are_those_of_the_model(self):
        rng = random.Random(20)
        requests, expected = [], []
        for _ in range(SEQUENCES):
            model = Model()
            requests.append((0, 0, 0, 0, 0))
            for request in sequence(rng):
                requests.append(request)
                expected.append((request, model.throttle(*request)))
        program = os.path.join(os.environ["BUILD_DIR"], "tests/helpers/gcra_replay")
        done = subprocess.run([program], input="".join("%d %d %d %d %d\n" % r for r in requests),
                              capture_output=True, text=True, check=True, timeout=60)
        got = done.stdout.splitlines()
        self.assertEqual(len(got), len(expected))
        for line, (request, wanted) in zip(got, expected):
            self.assertEqual([int(x) for x in line.split()[:5]], wanted, request)


class Throttle(harness.Case):
    def test_a_burst_and_then_none(self):
        c = self.daemon().client()
        for left in (2, 1, 0):
            self.assertEqual(c("CL.THROTTLE", "u", 2, 1, 1000), [0, 3, left, -1, (3 - left) * 1000])
        limited, limit, left, retry, reset = c("CL.THROTTLE", "u", 2, 1, 1000)
        self.assertEqual([limited, limit, left], [1, 3, 0])
        self.assertIn(retry, (999, 1000))
        self.assertIn(reset, (2999, 3000))
        self.assertEqual(c("CL.THROTTLE", "u", 2, 1, 1000, 4)[3], -1) # never so many
        self.assertEqual(c("CL.THROTTLE", "v", 2, 1, 1000, 0), [0, 3, 3, -1, 0])
        self.assertEqual(c("EXISTS", "v"), 0) # a look leaves nothing
        self.assertGreater(c("PTTL", "u"), 2990000)

    def test_the_state_goes_when_its_time_is_over(self):
        c = self.daemon().client()
        self.assertEqual(c("CL.THROTTLE", "u", 0, 1000, 1, 1), [0, 1, 0, -1, 1])
        harness.wait_until(lambda: c("EXISTS", "u") == 0, "it to expire")
        self.assertEqual(c("CL.THROTTLE", "u", 0, 1000, 1)[0], 0)

    def test_many_clients_on_several_loops_get_what_one_would(self):
        d = self.daemon("threads: 4\n")
        taken = []

        def work():
            c = d.client()
            replies = c.pipeline(*[("CL.THROTTLE", "k", 499, 1, 86400)] * 200)
            taken.append(sum(1 - r[0] for r in replies))
            c.close()
        threads = [threading.Thread(target=work) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sum(taken), 500)

    def test_in_a_transaction_it_is_part_of_it(self):
        c = self.daemon().client()
        replies = c.pipeline(("MULTI",), ("CL.THROTTLE", "t", 0, 1, 60), ("CL.THROTTLE", "t", 0, 1, 60),
                             ("EXEC",))
        self.assertEqual([r[0] for r in replies[3]], [0, 1])

    def test_protected_limits_outlast_the_cache(self):
        d = self.daemon('memory: 32MiB\nnamespaces:\n  - prefix: "rate:"\n    class: protected\n')
        c = d.client()
        for i in range(300):
            self.assertEqual(c("CL.THROTTLE", "rate:%d" % i, 0, 1, 86400)[0], 0)
        for i in range(0, 64 * 16, 64):
            self.assertEqual(c.pipeline(*[("SET", "c%d" % (i + k), b"x" * 65536) for k in range(64)]),
                             ["OK"] * 64)
        self.assertGreater(int(d.info()["evicted_keys"]), 0)
        for i in range(300):
            self.assertEqual(c("CL.THROTTLE", "rate:%d" % i, 0, 1, 86400)[0], 1)


if __name__ == "__main__":
    harness.main()
