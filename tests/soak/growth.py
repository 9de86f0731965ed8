"""Whether the memory of processes stays flat over a while."""

import time
from typing import Any

from tests.soak.stack import Stack

__all__ = ["Growth"]

#: The part of the time after which a process is warm, and what it may grow from then on to count as
#: flat: MiB, and a part of what it held.
_WARM, _MIB, _PART = 0.2, 4.0, 0.05


class Growth:
    """The memory of each process, looked at again and again."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._started = time.monotonic()
        self._series: dict[str, list[tuple[float, float]]] = {}

    def look(self) -> None:
        """Note what each process holds now."""
        now = time.monotonic() - self._started
        for name, held in self._stack.memory().items():
            self._series.setdefault(name, []).append((round(now, 1), round(held, 2)))

    def summary(self) -> dict[str, Any]:
        """Of each process, MiB: when it was warm, at the end, at its most; and the series."""
        end = time.monotonic() - self._started
        found = {}
        for name, series in self._series.items():
            warm = [held for when, held in series if when >= end * _WARM] or [series[-1][1]]
            # The middle of a few looks, as garbage comes and goes.
            part = max(1, len(warm) // 5)
            first, last = (sorted(few)[len(few) // 2] for few in (warm[:part], warm[-part:]))
            found[name] = {
                "warm": first,
                "end": last,
                "most": max(held for _, held in series),
                "flat": last <= first * (1 + _PART) + _MIB,
                "series": series,
            }
        return found
