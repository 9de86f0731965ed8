"""Telling a worker that streams a response how much of it has left for the client.

The protocol is described with ``channels.spec.credit_channel``. A credit counts bytes of body.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from channels.exceptions import ChannelFull
from channels.spec import RESPONSE_WINDOW, credit_channel, http_credit
from daphne.protocol.operations import AwaitRoom, Operation, Send

__all__ = ["Credit", "farewell"]

logger = logging.getLogger(__name__)

#: Bytes for which a credit is sent: the worker has a window of four of them.
_STEP = RESPONSE_WINDOW // 4


class Credit:
    """The credit of one response.

    It is the key of its own operations, as an ``Upload`` is.
    """

    __slots__ = (
        "_busy",
        "_channel",
        "_closed",
        "_closing",
        "_emit",
        "_given",
        "_left",
        "_offered",
    )

    def __init__(self, channel: str, emit: Callable[[Operation], None]) -> None:
        """``channel`` mirrors the response's reply channel; ``emit`` takes the operations."""
        self._channel = channel
        self._emit = emit
        #: Bytes of body that have left.
        self._left = 0
        #: Bytes that the layer has taken credits for.
        self._given = 0
        #: Bytes that the credit under way is about.
        self._offered = 0
        #: Whether an operation is under way.
        self._busy = False
        #: Whether the client is gone, and whether the credit under way says so.
        self._closed = False
        self._closing = False

    def advance(self, left: int) -> None:
        """``left`` bytes of body have left for the client since the response began."""
        self._left = max(self._left, left)
        if not self._busy and self._left - self._given >= _STEP:
            self._send()

    def close(self) -> None:
        """The client went away before the end of the response."""
        if not self._closed:
            self._closed = True
            if not self._busy:
                self._send()

    def _send(self) -> None:
        self._busy = True
        self._offered = self._left
        self._closing = self._closed
        credit = http_credit(self._left - self._given, closed=self._closed)
        self._emit(Send(self._channel, credit, self, confirmed=True))

    def sent(self) -> None:
        """The layer took the credit."""
        self._busy = False
        self._given = self._offered
        if self._closed and not self._closing:
            self._send()
        elif not self._closed:
            self.advance(self._left)

    def failed(self, error: Exception) -> None:
        """The layer refused the credit: try again as soon as that makes sense."""
        if isinstance(error, ChannelFull):
            self._emit(AwaitRoom(self._channel, self))
            return
        logger.warning("No credit could be given to %s: %s", self._channel, error)
        self._busy = False

    def room(self) -> None:
        """The channel has room for the credit now."""
        self._send()


def farewell(reply_channel: str, message: Mapping[str, Any]) -> Send | None:
    """What to send when ``message`` came for a client who is gone.

    A worker that streams need not go on; others are told nothing.
    """
    if not message.get("more_content"):
        return None
    channel = credit_channel(reply_channel)
    return None if channel is None else Send(channel, http_credit(closed=True))
