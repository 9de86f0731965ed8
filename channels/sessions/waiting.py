"""Where messages wait that came before their turn: a channel for each socket, in its layer.

What waits is known by its ``order``, and has the channel that it came on as ``original_channel``.
More than that channel holds goes to channels for a single message each. Whose turn it is, and who
looks here, is in ``channels.sessions.ordering``.
"""

from typing import Any

from channels.channel import Channel
from channels.exceptions import ChannelFull
from channels.message import Message

__all__ = [
    "ORIGINAL_CHANNEL",
    "WaitingRoom",
    "original",
    "requeue_messages",
    "wait_channel_name",
]

#: The key under which a waiting message has the channel that it came on.
ORIGINAL_CHANNEL = "original_channel"

#: Channels that are looked into by one receive.
_AT_ONCE = 100

Content = dict[str, Any]


class WaitingRoom:
    """The messages of one socket that wait in ``layer``."""

    def __init__(self, layer: Any, reply_channel: str) -> None:
        self.layer = layer
        self.channel = wait_channel_name(reply_channel)

    def park(self, *contents: Content) -> None:
        """Have messages wait, each of which has its ``original_channel``."""
        for content in sorted(contents, key=_order):
            try:
                self.layer.send(self.channel, content)
            except ChannelFull:
                self.layer.send(self._overflow(content["order"]), content)

    def take(self, order: int) -> tuple[Content | None, list[Content]]:
        """Remove the message of that order, and what stands before it.

        Usually it is the first one. The others are the caller's to keep while it is the turn of the
        message, which nobody can miss them in, or to park again.
        """
        others: list[Content] = []
        while (content := self._next(order)) is not None:
            if content["order"] == order:
                return content, others
            others.append(content)
        return None, others

    def drain(self, orders: range = range(0)) -> list[Content]:
        """Remove all, by their order.

        Those that stand in channels of their own are looked for among ``orders``.
        """
        waiting: list[Content] = []
        channels = [self.channel, *map(self._overflow, orders)]
        for first in range(0, len(channels), _AT_ONCE):
            some = channels[first : first + _AT_ONCE]
            while (content := self.layer.receive(some)[1]) is not None:
                waiting.append(content)
        return sorted(waiting, key=_order)

    def requeue(self, content: Content) -> None:
        """Put a message back onto the channel that it came on.

        Raises ``ChannelFull``, outside of consumers; then it still waits.
        """
        channel, as_it_came = original(content)
        try:
            Channel(channel, channel_layer=self.layer).send(as_it_came)
        except ChannelFull:
            self.park(content)
            raise

    def _next(self, order: int) -> Content | None:
        content: Content | None = self.layer.receive([self.channel, self._overflow(order)])[1]
        return content

    def _overflow(self, order: int) -> str:
        return f"{self.channel}.{order}"


def wait_channel_name(reply_channel: str) -> str:
    """The channel on which the messages of a socket wait for their turn."""
    return "__wait__." + reply_channel.replace("!", "?")


def requeue_messages(message: Message) -> None:
    """Put all messages that wait behind ``message`` back onto the channels that they came on.

    Whatever the turn of each is, so that most of them may have to wait again.
    """
    if message.reply_channel is None:
        return
    room = WaitingRoom(message.channel_layer, message.reply_channel.name)
    for content in room.drain():
        room.requeue(content)


def park_again(layer: Any, contents: list[Content]) -> None:
    """Have messages of one socket wait again that somebody has taken on the way to another one."""
    if contents:
        WaitingRoom(layer, contents[0]["reply_channel"]).park(*contents)
        contents.clear()


def original(content: Content) -> tuple[str, Content]:
    """The channel that a waiting message came on, and the message as it came."""
    as_it_came = dict(content)
    return as_it_came.pop(ORIGINAL_CHANNEL), as_it_came


def _order(content: Content) -> int:
    order: int = content["order"]
    return order
