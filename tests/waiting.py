"""Waiting in tests: for a condition, with a deadline, never for a fixed time."""

import time
from collections.abc import Callable

__all__ = ["wait_until"]


def wait_until(predicate: Callable[[], object], timeout: float = 10.0) -> object:
    """Return the first true value of ``predicate``; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {timeout} s: {predicate!r}")
        time.sleep(0.002)  # looks again; the deadline above bounds it
