"""When to let events wait for others, so that a busy server handles several in one go.

A server that is woken for each event pays for each: to be woken, to look for events, and to find
its caches cold. Under load the next event is never far, so the events of a millisecond are
handled together, as network cards do it with their interrupts. Whoever has a single request under
way waits for nothing: pauses begin only where events come fast, and end where few come of them.
"""

__all__ = ["Coalescing"]

#: Events, on average of the last pauses, for which a pause is worth while. A single request has at
#: most two under way: that the layer took its message, and the answer to it.
_WORTH = 3

#: How much the latest pause counts in that average.
_WEIGHT = 1 / 8

#: Windows without a pause after those that were not.
_REST = 400


class Coalescing:
    """Decides on pauses before the reactor looks for events. Times are monotonic seconds."""

    __slots__ = ("_average", "_busy", "_end", "_events", "_last", "_paused", "_rested", "window")

    def __init__(self, window: float = 0.0) -> None:
        #: Seconds between two looks for events while the server is busy; 0: no pauses.
        self.window = window
        #: Whether events come so fast that they are let wait for others.
        self._busy = False
        #: When it was last looked for events, and whether after a pause.
        self._last = 0.0
        self._paused = False
        #: Events that came of a pause, on average.
        self._average = 0.0
        #: When pauses may be tried again.
        self._rested = 0.0
        #: While there are none: the end of the window in which events are counted, and how many
        #: there were.
        self._end = 0.0
        self._events = 0

    def pause(self, now: float, timeout: float | None) -> float:
        """Seconds to wait before the next look for events, which may take ``timeout`` at most."""
        rest = self._last + self.window - now if self._busy else 0.0
        if timeout is not None:
            rest = min(rest, timeout)
        self._paused = rest > 0
        if not self._paused:
            self._last = now
            return 0.0
        self._last = now + rest
        return rest

    def found(self, events: int) -> None:
        """Note how many events there were at the look that followed."""
        if self._busy:
            if self._paused:
                self._average += (events - self._average) * _WEIGHT
                if self._average < _WORTH:
                    self._busy = False
                    self._rested = self._last + self.window * _REST
            return
        if self._last >= self._end:
            self._end = self._last + self.window
            self._events = 0
        self._events += events
        if self._events > _WORTH and self._last >= self._rested:
            self._busy = True
            self._average = _WORTH + 1.0
