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

    def drain(self, highest: int | None = None) -> list[Content]:
        """Remove all, by their order.

        Of those that stand in channels of their own only the one of order ``highest`` is found.
        """
        waiting: list[Content] = []
        while (content := self._next(highest)) is not None:
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

    def _next(self, order: int | None) -> Content | None:
        channels = [self.channel]
        if order is not None:
            channels.append(self._overflow(order))
        content: Content | None = self.layer.receive(channels)[1]
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
