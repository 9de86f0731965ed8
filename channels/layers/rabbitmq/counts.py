"""What this process has sent and been refused: the counts that RabbitMQ does not keep."""

import threading
import time
from collections import OrderedDict

from channels.layers.statistics import Tally, count_in, statistics

__all__ = ["Counts"]

#: Channels whose counts are kept. An application has far fewer; the bound is for names made at
#: random.
_REMEMBERED = 10_000


class Counts:
    """Counts of messages and refusals, in all and by channel. May be used by any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._messages, self._full = Tally(), Tally()
        self._by_queue: OrderedDict[str, tuple[Tally, Tally]] = OrderedDict()

    def add(self, queue: str, stored: bool) -> None:
        """Count a message that was stored, or refused because ``queue`` was full."""
        with self._lock:
            messages, full = self._of(queue)
            now = time.monotonic()
            if stored:
                count_in(now, self._messages, messages)
            else:
                count_in(now, self._full, full)

    def _of(self, queue: str) -> tuple[Tally, Tally]:
        tallies = self._by_queue.get(queue)
        if tallies is None:
            tallies = self._by_queue[queue] = (Tally(), Tally())
            if len(self._by_queue) > _REMEMBERED:
                self._by_queue.popitem(last=False)
        else:
            self._by_queue.move_to_end(queue)
        return tallies

    def statistics(self, queue: str | None, pending: int, max_age: float) -> dict[str, int | float]:
        """The statistics of ``queue``, or of all; the last two figures are the broker's."""
        with self._lock:
            if queue is None:
                messages, full = self._messages, self._full
            else:
                messages, full = self._by_queue.get(queue) or (Tally(), Tally())
            return statistics(messages, full, pending, max_age, time.monotonic())
