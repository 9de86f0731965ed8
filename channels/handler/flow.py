"""Sending a response: one message after the other, as fast as the client takes them.

A full reply channel is waited for. A server of this package also gives credit for the bytes that
have left for the client, so that a response of any size occupies a bounded part of the layer.

A short response leaves at the end of its consumer, together with the worker's next receive, which
spares a round trip to a layer that is a server. So it is where nothing but Django's own receivers,
which take no time, wait for ``request_finished``; where others do, it leaves before them.
"""

import logging
import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished
from django.db import close_old_connections

from channels.exceptions import MessageTooLarge
from channels.layers.exchange import receive_within, send_within
from channels.pending import pending_message_store
from channels.spec import (
    RESPONSE_WINDOW,
    check_http_credit,
    credit_channel,
    http_response_aborted,
)

__all__ = ["ResponseSender"]

logger = logging.getLogger("django.channels")

#: Seconds between looks for a client that is gone, while a response is streamed slowly.
_LOOK_INTERVAL = 1.0

#: Seconds after which messages expire in a layer that does not tell (ASGI spec, Details).
_EXPIRY = 60

#: Bytes of head and content of a short response: far below the limit of any layer.
_SHORT = 64 * 1024

#: What Django itself has called at the end of each request.
_QUICK = frozenset(map(id, (close_caches, close_old_connections, reset_urlconf)))


class ResponseSender:
    """Sends the messages of one response to ``channel``, a :class:`channels.channel.Channel`."""

    #: Seconds that a full reply channel is waited for: the time after which its messages expire by
    #: default, so that nobody reads it any more.
    room_timeout: float = 60

    #: Seconds without any credit after which a client counts as stalled: twice what servers wait.
    credit_timeout: float = 240

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._layer = channel.channel_layer
        self._credit_channel = credit_channel(channel.name)
        self._streaming = False
        self._outstanding = 0
        #: When there was no credit left to be taken; monotonic.
        self._looked = time.monotonic()
        self._client_gone = False

    def send_all(self, messages: Generator[dict[str, Any]]) -> None:
        """Send each message; stop where the client is gone, or takes nothing for too long.

        That a message is too large for the layer is raised within ``messages``, which may go on
        with others, an error page say. Raises whatever else the layer does.
        """
        try:
            self._send_all(messages)
        except Exception:
            if self._streaming:
                self.abort()
            raise

    def _send_all(self, messages: Generator[dict[str, Any]]) -> None:
        too_large = (MessageTooLarge, getattr(self._layer, "MessageTooLarge", MessageTooLarge))
        message = next(messages, None)
        while message is not None:
            try:
                if not self.send(message):
                    return
            except too_large as error:
                message = _throw(messages, error)
                continue
            message = next(messages, None)

    def send(self, message: dict[str, Any]) -> bool:
        """Send one message as soon as there is credit and room for it.

        False where the client is gone, or takes nothing for too long: nothing more is to be sent
        then. Raises whatever the layer does but ``ChannelFull``.
        """
        size = len(message.get("content", b""))
        if not self._has_credit(size) or not self._send(message):
            self._give_up()
            return False
        self._outstanding += size
        self._streaming = True
        return True

    def _send(self, message: dict[str, Any]) -> bool:
        if not self._streaming and _may_wait(message):
            pending_message_store.append(
                self._channel,
                message,
                is_plain=True,
                patience=self.room_timeout,
                may_change=False,
            )
            return True
        return send_within(
            lambda content: self._channel.send(content, immediately=True),
            message,
            self._layer,
            self._channel.name,
            self.room_timeout,
        )

    def _has_credit(self, size: int) -> bool:
        """Whether ``size`` more bytes may be sent; waits for it where the window is used up."""
        if self._credit_channel is None or not self._streaming:
            return True
        # A quarter of the window may be on its way without its credit being sent yet.
        limit = max(RESPONSE_WINDOW - size, RESPONSE_WINDOW // 4)
        self._look()
        while size and self._outstanding > limit and not self._client_gone:
            if not self._take_credit(self.credit_timeout):
                return False
            self._drain()
        return not self._client_gone

    def _look(self) -> None:
        """Take what credit there is without waiting, once in a while."""
        pause = time.monotonic() - self._looked
        if pause < _LOOK_INTERVAL:
            return
        self._drain()
        if pause > getattr(self._layer, "expiry", _EXPIRY):
            # Credit may have come and expired meanwhile. What it was for has left the layer by now,
            # which is all that the window is to keep free.
            self._outstanding = 0

    def _drain(self) -> None:
        """Take all the credit that is there."""
        while not self._client_gone and self._take_credit(0):
            pass
        self._looked = time.monotonic()

    def _take_credit(self, timeout: float) -> bool:
        """Take one credit message; False where none came within ``timeout`` seconds."""
        message = receive_within(self._layer, str(self._credit_channel), timeout)
        if message is None:
            return False
        credit = check_http_credit(message)
        self._outstanding = max(0, self._outstanding - credit["bytes"])
        self._client_gone = credit["closed"]
        return True

    def _give_up(self) -> None:
        if self._client_gone:
            return logger.debug("The client of %s is gone", self._channel.name)
        logger.error(
            "The response to %s was given up: its server or its client took nothing of it any more",
            self._channel.name,
        )
        self.abort()

    def abort(self) -> None:
        """Tell the server that no more will come, if it knows the message and it can be sent."""
        if self._credit_channel is not None:
            with suppress(Exception):
                self._channel.send(dict(http_response_aborted()), immediately=True)


def _may_wait(message: dict[str, Any]) -> bool:
    """Whether a response leaves as soon and as surely where its consumer has ended."""
    if message.get("more_content") or not pending_message_store.is_idle:
        return False
    size = len(message.get("content", b""))
    size += sum(len(name) + len(value) for name, value in message.get("headers", ()))
    return size <= _SHORT and _QUICK.issuperset(key[0] for key, *_ in request_finished.receivers)


def _throw(messages: Generator[dict[str, Any]], error: Exception) -> dict[str, Any] | None:
    """What ``messages`` yields next where ``error`` is raised in it; None where it ends."""
    try:
        return messages.throw(error)
    except StopIteration:
        return None
