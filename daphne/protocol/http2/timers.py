"""Many deadlines behind the one that the shell keeps for a connection."""

from daphne.protocol.core import ConnectionContext, Core
from daphne.protocol.http2.streams import Stream
from daphne.protocol.operations import Timer

__all__ = ["TimedCore"]

#: Name of the connection's deadline in the shell.
_DEADLINE = "http2"


class TimedCore(Core):
    """A core with deadlines of its streams and of its own, which have None for a stream."""

    __slots__ = ("_armed", "_timers")

    def __init__(self, context: ConnectionContext) -> None:
        super().__init__(context)
        self._timers: dict[tuple[Stream | None, str], float] = {}
        #: When the shell will tell; None: never.
        self._armed: float | None = None

    def _pass(self, stream: Stream | None, name: str) -> None:
        """A deadline has passed."""
        raise NotImplementedError

    def _flush(self) -> None:
        """Write what the deadlines led to."""
        raise NotImplementedError

    def _arm(self, stream: Stream | None, name: str, at: float) -> None:
        self._timers[stream, name] = at
        if stream is not None:
            stream.timers.add(name)
        if self._armed is None or at < self._armed:
            self._armed = at
            self.emit(Timer(_DEADLINE, at))

    def _cancel(self, stream: Stream | None, name: str) -> None:
        self._timers.pop((stream, name), None)
        if stream is not None:
            stream.timers.discard(name)

    def timer(self, name: str) -> None:
        """See ``Core``: the earliest of all deadlines may have passed."""
        self._armed = None
        now = self.context.clock()
        due = [key for key, at in self._timers.items() if at <= now]
        for key in sorted(due, key=self._timers.__getitem__):
            if self._timers.get(key, now + 1) <= now:  # no earlier one has moved it
                self._cancel(*key)
                self._pass(*key)
        self._flush()
        self._rearm()

    def _rearm(self) -> None:
        """Have the shell tell of the earliest deadline."""
        first = min(self._timers.values(), default=None)
        if first is not None and (self._armed is None or first < self._armed):
            self._armed = first
            self.emit(Timer(_DEADLINE, first))
