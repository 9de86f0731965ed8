"""Counting how often a blocked thread runs, which is how polling shows."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from channels.layers.conformance.kit import Background

__all__ = ["WatchedThread", "quietest", "scheduled"]

#: Times that wake-ups are counted.
_WINDOWS = 3


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


def quietest(count: Callable[[], int], pause: Callable[[], object], enough: int) -> int:
    """By how much ``count`` grows during ``pause``: in the first in which it is not more than
    ``enough``, or the quietest of a few.

    What has just begun may still go on, and what is watched may have other users, who wake it now
    and then; a layer that polls wakes it in every pause.
    """
    least = _growth(count, pause)
    for _ in range(_WINDOWS - 1):
        if least <= enough:
            break
        least = min(least, _growth(count, pause))
    return least


def _growth(count: Callable[[], int], pause: Callable[[], object]) -> int:
    before = count()
    pause()
    return count() - before


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
