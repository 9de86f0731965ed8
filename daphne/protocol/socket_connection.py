"""What every state of a WebSocket connection needs: reading or not, writing, deadlines, reports.

What the connection is used for is in ``websocket``.
"""

from typing import Any

from daphne.protocol.core import ConnectionContext, Core
from daphne.protocol.head import Head
from daphne.protocol.operations import Log, PauseReading, ResumeReading, Timer
from daphne.protocol.outlet import Outlet

__all__ = ["SocketConnection"]


class SocketConnection(Core):
    """A core that knows its client, and what is known of its transport."""

    __slots__ = ("_client", "_local", "_outlet", "_path", "_paused", "_since")

    kind = "websocket"

    def __init__(self, context: ConnectionContext, head: Head, local: str) -> None:
        super().__init__(context)
        self._path = head.path
        self._client = f"{head.client[0]}:{head.client[1]}" if head.client else None
        #: Local part of the reply channel.
        self._local = local
        self._outlet = Outlet(self.emit, context.options.websocket_write_limit)
        #: Whether we asked not to be given more of what the client sends.
        self._paused = False
        #: When the handshake was asked for, then when it was accepted.
        self._since = 0.0

    @property
    def _reply_channel(self) -> str:
        return self.context.reply_prefix + self._local

    # -- reading and writing --------------------------------------------------------------------

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.emit(PauseReading())

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.emit(ResumeReading())

    def pause_writing(self) -> None:
        """See ``Core``: from here on what waits is counted."""
        self._outlet.pause()

    def resume_writing(self) -> None:
        """See ``Core``."""
        self._outlet.resume()

    def drained(self, count: int) -> None:
        """See ``Core``."""
        self._outlet.drained(count)

    # -- time, and reports ----------------------------------------------------------------------

    def _arm(self, name: str, seconds: float | None) -> None:
        """Arm a deadline; None means that there is none."""
        if seconds is not None:
            self.emit(Timer(name, self.context.clock() + seconds))

    def _passed(self) -> float:
        """Seconds since the handshake was asked for, or accepted."""
        return self.context.clock() - self._since

    def _log(self, action: str, **more: Any) -> None:
        """Report a step of the socket's life to the action loggers."""
        details = {"path": self._path, "client": self._client, "reply_channel": self._reply_channel}
        self.emit(Log("websocket", action, details | more))
