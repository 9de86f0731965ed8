"""What waits for a client that does not read: never more than a limit.

The transport says when its buffer is full, and how much has left. From then on what is written is
counted, and what would exceed the limit is not written. What then becomes of the client is decided
in ``websocket``.
"""

from collections.abc import Callable

from daphne.protocol.operations import Operation, Write

__all__ = ["Outlet"]


class Outlet:
    """Writes to one client."""

    __slots__ = ("_blocked", "_emit", "_limit", "_waiting")

    def __init__(self, emit: Callable[[Operation], None], limit: int) -> None:
        """``limit``: bytes that may wait beyond what the transport's buffer held when it filled."""
        self._emit = emit
        self._limit = limit
        #: Whether the transport's buffer is full, and what was written since.
        self._blocked = False
        self._waiting = 0

    def write(self, operation: Write) -> bool:
        """Emit the operation; False: not, since the client is too far behind."""
        if self._blocked:
            waiting = self._waiting + len(operation.data)
            if waiting > self._limit:
                return False
            self._waiting = waiting
        self._emit(operation)
        return True

    def pause(self) -> None:
        """The transport's buffer is full: count from here."""
        self._blocked = True
        self._waiting = 0

    def resume(self) -> None:
        """The transport's buffer is empty."""
        self._blocked = False

    def drained(self, count: int) -> None:
        """So many bytes have left."""
        if self._blocked:
            self._waiting = max(0, self._waiting - count)
