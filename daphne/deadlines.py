"""All deadlines of a server in one heap, behind one delayed call of the reactor.

Requests arm, move and cancel their deadlines far more often than one passes. So moving a deadline
later or cancelling it touches no heap: the entry stays where it is, and is looked at once its old
time has come. Nothing is scheduled while no deadline is armed, so an idle server sleeps.
"""

import heapq
import itertools
import logging
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "Deadline", "Deadlines"]

logger = logging.getLogger("daphne.server")

#: Entries that may be stale before it is worth looking at how many are.
_COMPACT_ABOVE = 1024


class DelayedCall(Protocol):
    """The part of Twisted's ``IDelayedCall`` that is used here."""

    def cancel(self) -> None: ...

    def active(self) -> bool: ...


class Clock(Protocol):
    """The part of Twisted's ``IReactorTime`` that is used here."""

    def seconds(self) -> float: ...

    def callLater(  # noqa: N802  (Twisted's name)
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> DelayedCall: ...


class Deadline:
    """One thing that happens when its time has come, unless it is moved or cancelled before."""

    __slots__ = ("_action", "_at", "_deadlines", "_queued")

    def __init__(self, deadlines: "Deadlines", action: Callable[[], object]) -> None:
        self._deadlines = deadlines
        self._action: Callable[[], object] | None = action
        #: When it happens; None while it is not armed.
        self._at: float | None = None
        #: Time of its earliest entry in the heap; None without one.
        self._queued: float | None = None

    @property
    def at(self) -> float | None:
        """When it happens, in seconds of the clock; None while it is not armed."""
        return self._at

    def arm(self, at: float) -> None:
        """Have it happen at ``at``, and not at an earlier set time."""
        self._at = at
        if self._queued is None or at < self._queued:
            self._deadlines._push(self, at)

    def cancel(self) -> None:
        """Have it not happen; it may be armed again."""
        self._at = None

    def discard(self) -> None:
        """Cancel for good, and let go of whatever the action refers to."""
        self._at = None
        self._action = None
        self._deadlines._discarded(self)


class Deadlines:
    """A heap of deadlines over one delayed call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Deadline]] = []
        #: Tells entries of the same time apart, and keeps them in order.
        self._count = itertools.count()
        self._discards = 0
        self._call: DelayedCall | None = None
        self._call_at = 0.0

    def new(self, action: Callable[[], object]) -> Deadline:
        """A deadline that calls ``action`` each time it passes; it is not armed yet."""
        return Deadline(self, action)

    def __len__(self) -> int:
        """Entries in the heap, stale ones included."""
        return len(self._heap)

    def stop(self) -> None:
        """Forget every deadline."""
        self._heap.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    # -- for Deadline -----------------------------------------------------------------------------

    def _push(self, deadline: Deadline, at: float) -> None:
        deadline._queued = at
        heapq.heappush(self._heap, (at, next(self._count), deadline))
        if self._call is None or at < self._call_at:
            self._schedule()

    def _discarded(self, deadline: Deadline) -> None:
        """Rebuild the heap once discarded deadlines make up most of it."""
        if deadline._queued is None:
            return
        self._discards += 1
        if self._discards > _COMPACT_ABOVE and self._discards * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2]._action is not None]
            heapq.heapify(self._heap)
            self._discards = 0

    # -- the delayed call -------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Have the reactor call at the time of the heap's first entry."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._heap:
            self._call_at = self._heap[0][0]
            delay = max(0.0, self._call_at - self._clock.seconds())
            self._call = self._clock.callLater(delay, self._pass)

    def _pass(self) -> None:
        """Act on every deadline that has passed, then sleep until the next."""
        self._call = None
        now = self._clock.seconds()
        due = []
        while self._heap and (self._heap[0][0] <= now or self._is_stale(self._heap[0])):
            deadline = self._take()
            if deadline is not None:
                due.append(deadline)
        for deadline in due:
            self._act(deadline, now)
        if self._call is None:
            self._schedule()

    @staticmethod
    def _is_stale(entry: tuple[float, int, Deadline]) -> bool:
        """Whether the entry's deadline was cancelled, so that it need not be waited for."""
        return entry[2]._at is None or entry[2]._queued != entry[0]

    def _take(self) -> Deadline | None:
        """Pop the first entry; the deadline, if this was the entry that counts."""
        at, _, deadline = heapq.heappop(self._heap)
        if deadline._action is None:
            self._discards = max(0, self._discards - 1)
        if deadline._queued != at:  # it was moved to an earlier time, whose entry came before
            return None
        deadline._queued = None
        return deadline

    def _act(self, deadline: Deadline, now: float) -> None:
        """Act on a deadline whose entry was due, or put it back if it was moved later."""
        if deadline._at is None or deadline._queued is not None:
            return
        if deadline._at > now:
            self._push(deadline, deadline._at)
            return
        deadline._at = None
        if deadline._action is None:
            return
        try:
            deadline._action()
        except Exception:
            logger.exception("A deadline's action failed")
