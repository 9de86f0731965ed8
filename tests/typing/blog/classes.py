"""Consumers that are classes."""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.utils.decorators import method_decorator

from channels import Group
from channels.auth import channel_session_user
from channels.generic import BaseConsumer
from channels.generic.base import Handler
from channels.generic.websockets import (
    InvalidFrame,
    JsonWebsocketConsumer,
    WebsocketConsumer,
    WebsocketDemultiplexer,
    WebsocketMultiplexer,
)
from channels.message import Message
from channels.security.websockets import allowed_hosts_only
from channels.sessions import channel_session, enforce_ordering, http_session
from tests.typing.blog.bindings import PostBinding


class Work(BaseConsumer):
    """Background work."""

    method_mapping = {"blog.work": "work", "blog.rest": "rest"}
    channel_session = True

    def work(self, message: Message, **kwargs: Any) -> int:
        """Work."""
        return len(message.content) + len(self.kwargs)

    @http_session
    def rest(self, message: Message, **kwargs: Any) -> None:
        """Rest."""


class Echo(WebsocketConsumer):
    """Echoes; its methods take what the routing captures."""

    http_user = True
    strict_ordering = True
    groups = ["everybody"]

    def connection_groups(self, room: str, **kwargs: Any) -> list[str]:
        """The group of the room."""
        return [f"room-{room}"]

    @method_decorator(allowed_hosts_only)
    def raw_connect(self, message: Message, **kwargs: Any) -> None:
        """Connect where the page is one of ours."""
        super().raw_connect(message, **kwargs)

    def connect(self, message: Message, room: str, **kwargs: Any) -> None:
        """Accept, by the base class."""
        self.message.channel_session["room"] = room
        super().connect(message, room=room, **kwargs)

    def receive(
        self, text: str | None = None, bytes: bytes | None = None, *, room: str, **kwargs: Any
    ) -> None:
        """Send it back."""
        if self.path == "/end/" or not self.message.user.is_active:
            self.close(4000)
        else:
            self.send(text=text, bytes=bytes)
        self.group_send(f"room-{room}", text=text, close=True)

    def disconnect(self, message: Message, **kwargs: Any) -> None:
        """Tell others."""
        Group("everybody").send({"text": f"{message.user} has left"})


class Chat(JsonWebsocketConsumer):
    """Chats in JSON with an encoder of its own."""

    http_user_and_session = True
    json_depth = 10

    def connection_groups(self, **kwargs: Any) -> Iterable[str]:
        """The group of the room."""
        yield f"room-{kwargs['room']}"

    def get_handler(self, message: Message, **kwargs: Any) -> Handler:
        """In one more decorator."""
        return enforce_ordering(super().get_handler(message, **kwargs))

    def receive(self, content: Any, room: str, **kwargs: Any) -> None:
        """Tell the room."""
        session = self.message.http_session
        nick = session["nick"] if session else self.message.user.get_username()
        self.send({"sent": True}, close=False)
        self.group_send(f"room-{room}", {"from": nick, "text": content["text"]})

    def invalid_frame(self, error: InvalidFrame) -> None:
        """Say so, and go on."""
        self.send({"error": str(error)})

    @classmethod
    def decode_json(cls, text: str) -> Any:
        """With decimals."""
        return json.loads(text, parse_float=Decimal)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """With whatever has a str."""
        return json.dumps(content, default=str)


class StreamOfChat(JsonWebsocketConsumer):
    """One stream of several."""

    def connect(
        self, message: Message, multiplexer: WebsocketMultiplexer, room: str, **kwargs: Any
    ) -> None:
        """Greet."""
        multiplexer.send({"stream": multiplexer.stream, "room": room})

    @channel_session_user
    def disconnect(
        self, message: Message, multiplexer: WebsocketMultiplexer, **kwargs: Any
    ) -> None:
        """Look at who goes."""
        print(message.user, multiplexer.stream)

    def receive(self, content: Any, multiplexer: WebsocketMultiplexer, **kwargs: Any) -> None:
        """Answer."""
        multiplexer.send({"original": content})
        WebsocketMultiplexer.group_send("everybody", "chat", content)


@channel_session
def counted(message: Message, multiplexer: WebsocketMultiplexer, **kwargs: Any) -> None:
    """A stream whose consumer is a function."""
    message.channel_session["count"] = message.channel_session.get("count", 0) + 1
    multiplexer.send({"count": message.channel_session["count"]})


class Compact(WebsocketMultiplexer):
    """Encodes without spaces."""

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """The frame."""
        return json.dumps(content, separators=(",", ":"))


class Streams(WebsocketDemultiplexer):
    """Several streams."""

    http_user = True
    consumers = {"chat": StreamOfChat, "count": counted, "posts": PostBinding.consumer}
    multiplexer_class = Compact

    def connection_groups(self, room: str, **kwargs: Any) -> list[str]:
        """The groups of the binding."""
        return [f"posts-{room}"]

    def connect(self, message: Message, **kwargs: Any) -> None:
        """Connect the streams."""
        super().connect(message, **kwargs)
