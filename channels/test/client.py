"""``Client``: sends messages in a test and runs the consumers that they are routed to.

It runs a consumer as a worker does, with the signals around it and what it sent leaving when it has
ended; but exceptions come out, and the test's database connections stay open. WebSockets have a
client of their own, in ``websocket``.
"""

import copy
import secrets
import string
from collections.abc import Mapping
from typing import Any

from channels import DEFAULT_CHANNEL_LAYER, Group
from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.exceptions import ChannelSocketException
from channels.message import Message
from channels.signals import consumer_finished, consumer_started
from channels.test.connections import keep_connections
from channels.test.messages import next_message, nothing_on, shortened
from channels.worker.dispatch import call_consumer, end_socket

__all__ = ["Client"]

#: Keys by which routes are filtered most, first in a failure.
_TELLING_KEYS = ("path", "stream", "method", "text")


class Client:
    """A sender of messages to the layer ``alias``, with a reply channel that it reads."""

    def __init__(self, alias: str = DEFAULT_CHANNEL_LAYER) -> None:
        self.alias = alias
        #: The name of the channel that consumers reply to.
        self.reply_channel = alias + "".join(secrets.choice(string.ascii_letters) for _ in range(5))

    @property
    def channel_layer(self) -> ChannelLayerWrapper:
        """The layer at this moment."""
        return channel_layers[self.alias]

    def get_next_message(self, channel: str) -> Message | None:
        """Take the next message from ``channel``; None without one."""
        return next_message(self.channel_layer, channel)

    def get_consumer_by_channel(self, channel: str) -> Any:
        """The consumer of an empty message on ``channel``, or None."""
        match = self.channel_layer.router.match(Message({"text": ""}, channel, self.channel_layer))
        return match and match[0]

    def send(self, to: str, content: Mapping[str, Any] = {}) -> None:  # noqa: B006  (only read)
        """Send ``content`` to the channel ``to``, with the client's reply channel if it has none.

        Raises what the layer's ``send`` raises.
        """
        self.channel_layer.send(to, self._with_reply_channel(content))

    def consume(self, channel: str, fail_on_none: bool = True) -> Any:
        """Take the next message from ``channel`` and run its consumer; returns what that returns.

        Raises ``AssertionError`` where there is no message or no consumer, unless ``fail_on_none``
        is false, and whatever the consumer raises; but what acts on the socket, such as
        ``DenyConnection``, does so.
        """
        message = self.get_next_message(channel)
        if message is None:
            return self._failed(fail_on_none, nothing_on(self.channel_layer, channel))
        match = self.channel_layer.router.match(message)
        if match is None:
            return self._failed(fail_on_none, self._unroutable(message))
        consumer, kwargs = match
        return self._run(channel, consumer, message, kwargs)

    def send_and_consume(
        self,
        channel: str,
        content: Mapping[str, Any] = {},  # noqa: B006  (only read)
        fail_on_none: bool = True,
    ) -> Any:
        """``send`` to ``channel``, then ``consume`` from it."""
        self.send(channel, content)
        return self.consume(channel, fail_on_none=fail_on_none)

    def receive(self) -> Any:
        """The content of the next reply; None without one."""
        message = self.get_next_message(self.reply_channel)
        return message and message.content

    def join_group(self, group_name: str) -> None:
        """Add the client's reply channel to a group."""
        Group(group_name, channel_layer=self.channel_layer).add(self.reply_channel)

    def _with_reply_channel(self, content: Mapping[str, Any]) -> dict[str, Any]:
        return {"reply_channel": self.reply_channel, **copy.deepcopy(dict(content))}

    def _run(self, channel: str, consumer: Any, message: Message, kwargs: dict[str, Any]) -> Any:
        with keep_connections():
            consumer_started.send(sender=type(self), environ={})
            try:
                return call_consumer(consumer, message, kwargs)
            except ChannelSocketException as exception:
                end_socket(channel, exception, message)
                if isinstance(exception, ValueError):
                    raise  # an invalid frame: in a test it is a mistake, most often
            finally:
                consumer_finished.send(sender=type(self), environ={})

    def _failed(self, is_failure: bool, reason: str) -> None:
        if is_failure:
            raise AssertionError(reason)

    def _unroutable(self, message: Message) -> str:
        """What to say of a message that no route takes."""
        telling = {key: message[key] for key in _TELLING_KEYS if key in message}
        routes = [f"  {route}" for route in self.channel_layer.router.root.routing]
        return "\n".join(
            [
                f"Expected a route for a message on channel {message.channel} of layer "
                f"{self.alias!r} with {shortened(telling or message.content)}, but none takes it. "
                f"The routes are{':' if routes else ' none.'}",
                *routes,
            ]
        )
