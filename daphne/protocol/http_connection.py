"""What a connection of HTTP/1.1 and a stream of HTTP/2 both need: writing, closing, reading or not,
one deadline.

The deadline is armed lazily: a later one is noted only, and looked at when the armed one passes,
so that a busy connection costs the shell no timer work. What the connection is used for is in
``responder``, ``receiver`` and ``http1``.
"""

from daphne.protocol.core import ConnectionContext, Core
from daphne.protocol.operations import Abort, Close, PauseReading, ResumeReading, Timer, Write

__all__ = ["HttpConnection"]

#: Name of the deadline.
_DEADLINE = "http"


class HttpConnection(Core):
    """A core with a deadline, and with what is known of its transport."""

    __slots__ = (
        "_armed",
        "_closed",
        "_deadline",
        "_outstanding",
        "_reading",
        "_write_paused",
    )

    def __init__(self, context: ConnectionContext) -> None:
        super().__init__(context)
        #: When something has to happen, and when the shell's timer will tell; None: never.
        self._deadline: float | None = None
        self._armed: float | None = None
        #: Bytes written that have not left for the client.
        self._outstanding = 0
        self._write_paused = False
        self._reading = True
        #: Whether ``Close`` or ``Abort`` was emitted, or the connection lost.
        self._closed = False

    def _set_reading(self, reading: bool) -> None:
        if reading is not self._reading:
            self._reading = reading
            self.emit(ResumeReading() if reading else PauseReading())

    def _write(self, data: bytes) -> None:
        self._outstanding += len(data)
        self.emit(Write(data))

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._deadline = None
            self.emit(Close())

    def _abort(self) -> None:
        if not self._closed:
            self._closed = True
            self._deadline = None
            self.emit(Abort())

    def _arm(self, seconds: float | None, now: float | None = None) -> None:
        """Have something happen in ``seconds``; None: never."""
        if seconds is None:
            self._deadline = None
            return
        deadline = (self.context.clock() if now is None else now) + seconds
        self._deadline = deadline
        if self._armed is None or deadline < self._armed:
            self._armed = deadline
            self.emit(Timer(_DEADLINE, deadline))

    def timer(self, name: str) -> None:
        """See ``Core``."""
        self._armed = None
        deadline = self._deadline
        if deadline is None or self._closed:
            return
        if self.context.clock() < deadline:
            self._armed = deadline
            self.emit(Timer(_DEADLINE, deadline))
            return
        self._expired()

    def _expired(self) -> None:
        """The deadline has passed: arm another one, or end the connection."""
        raise NotImplementedError
