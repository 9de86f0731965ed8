"""When to ping a client, and when to take it for dead.

One deadline does both. Traffic does not move it, since that would cost something for each message;
when it fires too early it is armed for the rest of the silence. So an idle connection wakes up for
its pings only. Writing the ping and dropping the client is the core's.
"""

from collections.abc import Callable

from daphne.protocol.operations import Operation, Timer

__all__ = ["PING_TIMER", "KeepAlive"]

#: Name of the deadline.
PING_TIMER = "ping"


class KeepAlive:
    """The keep-alive of one connection.

    ``interval`` is the seconds of silence after which a ping is sent, ``timeout`` the seconds after
    it within which something must be heard. None or 0: no pings, or no conclusions from silence.
    """

    __slots__ = ("_clock", "_emit", "_interval", "_pinged", "_timeout", "heard")

    def __init__(
        self,
        emit: Callable[[Operation], None],
        clock: Callable[[], float],
        interval: float | None,
        timeout: float | None,
    ) -> None:
        self._emit = emit
        self._clock = clock
        self._interval = interval or 0.0
        self._timeout = timeout or 0.0
        #: When the client was last heard, and whether it was pinged since.
        self.heard = 0.0
        self._pinged = False

    def start(self) -> None:
        """The connection is open."""
        self.heard = self._clock()
        self._arm(self.heard + self._interval)

    def stop(self) -> None:
        """No more pings: the connection is about to end."""
        self._pinged = False
        self._emit(Timer(PING_TIMER, None))

    def hear(self) -> None:
        """The client gave a sign of life, whatever it was."""
        self.heard = self._clock()
        if self._pinged:
            self._pinged = False
            self._arm(self.heard + self._interval)

    def ping_is_due(self) -> bool:
        """The deadline has fired: whether to send a ping now; the deadline is armed again."""
        now = self._clock()
        if self.heard + self._interval > now:
            self._arm(self.heard + self._interval)
            return False
        self._pinged = self._timeout > 0
        self._arm(now + (self._timeout or self._interval))
        return True

    @property
    def unanswered(self) -> bool:
        """Whether nothing was heard since a ping: if the deadline fires now, the client is dead."""
        return self._pinged

    def _arm(self, at: float) -> None:
        if self._interval:
            self._emit(Timer(PING_TIMER, at))
