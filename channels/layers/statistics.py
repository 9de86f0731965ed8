"""Counters: the statistics of the reference, and the log of dropped messages.

Where the counters live is the backend's choice; these serve layers that count in their own process.
"""

import logging
import threading
import time
from collections import deque

__all__ = ["DROP_LOG_INTERVAL", "DropCounter", "Tally", "count_in", "statistics"]

logger = logging.getLogger("channels.layers")

#: Parts into which the last second is divided, so that "in the last second" is right to a tenth.
_SLOTS = 10

#: Seconds between two log lines about drops for the same reason: enough to notice, too little to
#: flood a log.
DROP_LOG_INTERVAL = 10.0

#: Reasons remembered for limiting the log; past it the oldest is forgotten, and may be logged a bit
#: early.
_REASONS = 1000


class Tally:
    """Counts one kind of event: in all, and in the last second. Guarded by its owner's lock."""

    __slots__ = ("_before", "_recent", "count", "slot")

    def __init__(self) -> None:
        #: Number of the tenth of a second that ``count`` belongs to.
        self.slot = -1
        #: Events in that tenth.
        self.count = 0
        self._before = 0
        # Made when needed: an empty deque takes 600 bytes, and most channels are used once.
        self._recent: deque[tuple[int, int]] | tuple[()] = ()

    def turn_to(self, slot: int) -> None:
        """Close the present tenth of a second and begin ``slot``."""
        if self.count:
            if not self._recent:
                self._recent = deque(maxlen=_SLOTS - 1)
            self._recent.append((self.slot, self.count))
            self._before += self.count
        self.slot, self.count = slot, 0

    def total(self) -> int:
        """Events counted in all."""
        return self._before + self.count

    def per_second(self, now: float) -> int:
        """Events counted in the second before ``now``."""
        oldest = int(now * _SLOTS) - _SLOTS
        present = self.count if self.slot > oldest else 0
        return present + sum(count for slot, count in self._recent if slot > oldest)


def count_in(now: float, first: Tally, second: Tally) -> None:
    """Count one event at ``now``, in seconds of a monotonic clock, in two tallies."""
    slot = int(now * _SLOTS)
    if first.slot != slot:
        first.turn_to(slot)
    if second.slot != slot:
        second.turn_to(slot)
    first.count += 1
    second.count += 1


def statistics(
    messages: Tally,
    full: Tally,
    pending: int,
    max_age: float,
    now: float,
    dropped: int | None = None,
) -> dict[str, int | float]:
    """The six keys of the reference (ASGI spec, Details), and ``messages_dropped`` where given.

    Counts of messages, and ages in seconds.
    """
    found: dict[str, int | float] = {
        "messages_count": messages.total(),
        "messages_count_per_second": messages.per_second(now),
        "messages_pending": pending,
        "messages_max_age": max_age,
        "channel_full_count": full.total(),
        "channel_full_count_per_second": full.per_second(now),
    }
    if dropped is not None:
        found["messages_dropped"] = dropped
    return found


class DropCounter:
    """Counts messages that a layer dropped, and logs them at a limited rate."""

    def __init__(self) -> None:
        self.total = 0
        # Entered again where a finaliser that runs in here drops a message too; the worst of it is
        # a count that is one short.
        self._lock = threading.RLock()
        self._logged: dict[tuple[str, str], float] = {}

    def add(self, channel: str, count: int, reason: str) -> None:
        """Count ``count`` messages to ``channel``; ``reason`` completes the log line."""
        now = time.monotonic()
        with self._lock:
            self.total += count
            total, due = self.total, self._is_due((channel, reason), now)
        if due:
            logger.warning(
                "Dropped %d message(s) to channel %r: %s (%d dropped by this layer so far)",
                count,
                channel,
                reason,
                total,
            )

    def _is_due(self, key: tuple[str, str], now: float) -> bool:
        last = self._logged.get(key)
        if last is not None and now - last < DROP_LOG_INTERVAL:
            return False
        self._logged.pop(key, None)
        if len(self._logged) >= _REASONS:
            del self._logged[next(iter(self._logged))]
        self._logged[key] = now
        return True
