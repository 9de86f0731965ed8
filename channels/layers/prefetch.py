"""What a worker has in hand beyond the message that it handles.

A layer with a server costs a worker two changes of process for each message, which is far more than
what is done for the message itself. So a worker whose consumers are quick takes several messages at
once, and need not see the answer to what a consumer has sent before it runs the next one. See
``BaseChannelLayer.prefetch``.
"""

from collections.abc import Callable
from typing import Any, Protocol

from channels.layers.entries import Received

__all__ = ["Failed", "Prefetch"]

#: Called with the token of a send that failed, and why; the worker tries again, or logs it.
Failed = Callable[[Any, Exception], None]


class Prefetch(Protocol):
    """What one thread has taken, and what it has sent without an answer so far.

    For this thread alone, but for ``give_back``, ``flush`` and ``len``.
    """

    #: How many messages the next receive that is given this object may take: 1 or more.
    limit: int
    #: When those in hand were taken, as a ``time.monotonic()``.
    taken_at: float

    def __len__(self) -> int:
        """How many messages are in hand."""

    def send(self, channel: str, message: dict[str, Any], token: Any) -> None:
        """Send ``message``, now or, while messages are in hand, a millisecond later.

        Raises nothing: a failure is told with ``token``, now or later. What this thread then sends
        to the layer, by a call that blocks, is done by the server after it, and after what it does
        when it is told of a refusal.
        """

    def flush(self) -> None:
        """Send what still waits to be sent. For any thread."""

    def next(self) -> Received:
        """The next message in hand; twice None where there is none any more."""

    def give_back(self) -> None:
        """Put the messages in hand back to the front of their channels. For any thread.

        They stay in hand where the layer is away.
        """

    def close(self) -> None:
        """Give back what is in hand, and wait for the answers to all that was sent."""
