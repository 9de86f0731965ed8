"""Counting how often a blocked thread runs, which is how polling shows."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from channels.layers.conformance.kit import Background

__all__ = ["WatchedThread", "scheduled"]


def scheduled(thread: int) -> int:
    """How often a thread, given by its native id, was put to sleep, and the hundredths of a second
    for which it ran, together: one that never sleeps shows by these.

    0 where the system does not tell it.
    """
    task = Path(f"/proc/self/task/{thread}")
    try:
        lines = task.joinpath("status").read_text().splitlines()
        fields = task.joinpath("stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0  # another system, or the thread has ended
    switches = (line.split()[1] for line in lines if line.startswith("voluntary_ctxt_switches"))
    return sum(map(int, [*switches, *fields[11:13]]))


class WatchedThread(Background):
    """A call in a thread of its own that counts what its thread does meanwhile.

    ``activity`` grows with each call that the thread makes, and with what ``scheduled`` tells; it
    stands still while the thread is blocked.
    """

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._calls = 0
        super().__init__(function, *args, **kwargs)

    def run(self) -> None:
        sys.setprofile(self._count)
        try:
            super().run()
        finally:
            sys.setprofile(None)

    def _count(self, frame: object, event: str, argument: object) -> None:
        self._calls += 1

    def activity(self) -> int:
        """What it did so far."""
        return self._calls + scheduled(self.native_id or 0)

    def settled(self, window: float) -> "WatchedThread":
        """Itself, once it is blocked, or after ``window`` seconds if it never is."""
        end = time.monotonic() + window
        latest = -1
        while (activity := self.activity()) != latest or activity == 0:
            latest = activity
            if time.monotonic() > end:
                break
            time.sleep(0.03)  # between two looks
        return self
