"""AMQP channels for one purpose each: publishing with confirmation, and requests one by one.

A mistake on an AMQP channel closes it, as does a question about a queue that is gone; so what may
fail has a channel of its own.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from pika import BasicProperties
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker

from channels.layers.rabbitmq.replies import Reply
from channels.layers.rabbitmq.wire import Wire

__all__ = ["REFUSED", "STORED", "UNROUTABLE", "Lane", "Publisher"]

#: What becomes of a message: it is in its queue, its queue is full, its queue does not exist.
STORED, REFUSED, UNROUTABLE = "stored", "refused", "unroutable"


class Lane:
    """Requests over an AMQP channel, one at a time; the channel is opened again when one fails."""

    def __init__(self, open_channel: Callable[[], Reply[Channel]]) -> None:
        self._open_channel = open_channel
        self._channel: Channel | None = None
        self._waiting: deque[tuple[Callable[[Channel, Reply[Any]], Any], Reply[Any]]] = deque()
        self._current: Reply[Any] | None = None
        self._lost: BaseException | None = None

    def request(self, send: Callable[[Channel, Reply[Any]], Any]) -> Reply[Any]:
        """Call ``send`` with the channel when it is free, and with the reply that it has to settle.

        The reply fails with ``ChannelClosedByBroker`` where the broker refused the request.
        """
        reply: Reply[Any] = Reply()
        self._waiting.append((send, reply))
        if self._current is None:
            self._next()
        return reply

    def answer(self, value: Any) -> None:
        """Settle the request that is under way."""
        if self._current is not None:
            self._current.succeed(value)

    def fail(self, error: BaseException) -> None:
        """Give up, because the connection is lost."""
        self._lost = error
        current, self._current = self._current, None
        if current is not None:
            current.fail(error)
        while self._waiting:
            self._waiting.popleft()[1].fail(error)

    def _next(self) -> None:
        while self._current is None and self._waiting:
            if self._lost is not None:
                self.fail(self._lost)
            elif self._channel is None:
                self._open()
            else:
                self._send(self._channel, *self._waiting.popleft())

    def _open(self) -> None:
        opening = self._current = self._open_channel()
        opening.when_settled(lambda: self._opened(opening))

    def _send(
        self, channel: Channel, send: Callable[[Channel, Reply[Any]], Any], reply: Reply[Any]
    ) -> None:
        self._current = reply
        reply.when_settled(lambda: self._done(reply))
        send(channel, reply)

    def _opened(self, opening: Reply[Channel]) -> None:
        if self._lost is None:
            self._channel = opening.result()
            self._channel.add_on_close_callback(self._closed)
            self._done(opening)

    def _done(self, reply: Reply[Any]) -> None:
        if self._current is reply:
            self._current = None
            self._next()

    def _closed(self, channel: Channel, reason: BaseException) -> None:
        if self._channel is channel and isinstance(reason, ChannelClosedByBroker):
            self._channel = None
            if self._current is not None:
                self._current.fail(reason)


class _Sent:
    """A message that the broker has not confirmed yet."""

    __slots__ = ("key", "outcome", "reply")

    def __init__(self, key: str) -> None:
        self.key = key
        self.outcome = STORED
        self.reply: Reply[str] = Reply()


class Publisher:
    """Publishes on ``channel``, and hears what becomes of each message."""

    def __init__(self, channel: Channel, wire: Wire) -> None:
        self._channel = channel
        self._wire = wire
        self._count = 0
        self._sent: dict[int, _Sent] = {}
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(lambda frame: None)  # the wire reads the confirmations
        wire.on_confirmation(channel, self._confirmed)

    def publish(
        self, exchange: str, key: str, body: bytes, properties: BasicProperties
    ) -> Reply[str]:
        """``STORED``, ``REFUSED`` or ``UNROUTABLE``."""
        sent = _Sent(key)
        if not self._channel.is_open:
            sent.reply.fail(ConnectionError("the connection is being closed"))
            return sent.reply
        self._count += 1
        self._sent[self._count] = sent
        self._wire.publish(self._channel, exchange, key, body, properties)
        return sent.reply

    def fail(self, error: BaseException) -> None:
        """Give up, because the connection is lost."""
        sent, self._sent = self._sent, {}
        for one in sent.values():
            one.reply.fail(error)

    def _returned(self, channel: Channel, method: Any, properties: Any, body: bytes) -> None:
        """The confirmation follows. A queue returns messages in the order in which they came."""
        for sent in self._sent.values():
            if sent.key == method.routing_key and sent.outcome is STORED:
                sent.outcome = UNROUTABLE
                return

    def _confirmed(self, number: int, multiple: bool, refused: bool) -> None:
        for tag in self._tags(number, multiple):
            sent = self._sent.pop(tag)
            sent.reply.succeed(REFUSED if refused else sent.outcome)

    def _tags(self, tag: int, multiple: bool) -> list[int]:
        if not multiple:
            return [tag]
        tags = []
        for earlier in self._sent:
            if earlier > tag:
                break
            tags.append(earlier)
        return tags
