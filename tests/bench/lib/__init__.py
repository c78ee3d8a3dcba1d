"""The parts of ./dev bench (tests/bench/run)."""
