"""One socket, three streams: the tasks, a talk, and who is here."""

from collections.abc import Iterable
from typing import Any

from channels.generic.websockets import (
    JsonWebsocketConsumer,
    WebsocketDemultiplexer,
    WebsocketMultiplexer,
)
from channels.message import Message
from desk.binding import TaskBinding
from desk.models import Task, Visitor

#: The sockets of all pages.
GROUP = "desk"

#: Characters of what is said, at most.
TEXT_LENGTH = 500


def tasks(message: Message, **kwargs: Any) -> None:
    """The binding, which in addition sends a page that comes the last tasks there are."""
    if message.channel.name == "websocket.connect":
        for task in reversed(Task.objects.order_by("-pk")[:100]):
            message.reply_channel.send(TaskBinding().serialize(task, "update"))
    TaskBinding.consumer(message, **kwargs)


class Talk(JsonWebsocketConsumer):
    """What one page says all pages show; nothing is kept."""

    def receive(self, content: Any, multiplexer: WebsocketMultiplexer, **kwargs: Any) -> None:
        text = content.get("text")
        if isinstance(text, str) and text.strip():
            said = {"text": text[:TEXT_LENGTH]}
            multiplexer.group_send(GROUP, multiplexer.stream, said)


class Presence(JsonWebsocketConsumer):
    """How many pages are open."""

    def connect(self, message: Message, multiplexer: WebsocketMultiplexer, **kwargs: Any) -> None:
        Visitor.objects.create(reply_channel=message.reply_channel.name)
        self._tell(multiplexer)

    def disconnect(
        self, message: Message, multiplexer: WebsocketMultiplexer, **kwargs: Any
    ) -> None:
        Visitor.objects.filter(reply_channel=message.reply_channel.name).delete()
        self._tell(multiplexer)

    def _tell(self, multiplexer: WebsocketMultiplexer) -> None:
        here = {"here": Visitor.objects.count()}
        multiplexer.group_send(GROUP, multiplexer.stream, here)


class Desk(WebsocketDemultiplexer):
    """The socket of a page."""

    consumers = {"tasks": tasks, "talk": Talk, "presence": Presence}

    def connection_groups(self, **kwargs: Any) -> Iterable[str]:
        return [GROUP]
