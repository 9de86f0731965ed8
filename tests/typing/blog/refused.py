"""Mistakes: ``E`` says by which code mypy refuses a line."""

from typing import Any

from channels import Channel, Group, nothing, route  # E: attr-defined
from channels.auth import channel_session_user, close_user_sockets
from channels.binding.websockets import WebsocketBinding
from channels.generic.websockets import (
    JsonWebsocketConsumer,
    WebsocketConsumer,
    WebsocketDemultiplexer,
)
from channels.layers.redis import RedisChannelLayer
from channels.message import Message
from channels.security.websockets import BaseOriginValidator, allowed_hosts_only
from channels.sessions import channel_session
from channels.test import WSClient, something  # E: attr-defined
from tests.typing.blog.models import Post


@channel_session
def consumer(message: Message, room: str) -> int:
    """Any consumer."""
    return 1


@allowed_hosts_only
@channel_session_user
def guarded(message: Message, room: str) -> None:
    """Any consumer that is guarded."""


def calls(message: Message) -> None:
    """Of what is decorated."""
    consumer(message)  # E: call-arg
    consumer(message, room=1)  # E: arg-type
    guarded(message, 1)  # E: arg-type
    channel_session("consumer")  # E: arg-type
    text: str = consumer(message, "hall")  # E: assignment
    route("websocket.connect", 1)  # E: arg-type
    print(text, nothing, something)


def messages(message: Message) -> None:
    """With mistakes in what is done to them."""
    message.reply_channel.send("text")  # E: arg-type
    message.reply_channel.sent({})  # E: union-attr
    message.http_session["key"]  # E: index
    message.channel_session.save_it()  # E: attr-defined
    print(message.user.nickname)  # E: union-attr
    print(message.sesion)  # E: attr-defined
    Group("everybody").add(1)  # E: arg-type
    Channel(1)  # E: arg-type
    Channel("task").send({1: "one"})  # E: dict-item
    close_user_sockets("anna")  # E: arg-type
    WSClient().force_login("anna")  # E: arg-type
    RedisChannelLayer(capacity="100")  # E: arg-type


class Echo(WebsocketConsumer):
    """Mistakes in a class."""

    http_user = "yes"  # E: assignment
    groups = 1  # E: assignment

    def connect(self, **kwargs: Any) -> None:  # E: override
        self.close("now")  # E: arg-type

    def connection_groups(self, room: str, **kwargs: Any) -> str | None:  # E: override
        return None

    def receive(self, text: str | None = None, **kwargs: Any) -> None:
        self.send({"text": text})  # E: arg-type

    @channel_session
    def counted(self, message: Message) -> int:
        return self.counted()  # E: call-arg

    @allowed_hosts_only
    def guarded(self, message: Message) -> int:
        return self.guarded("message")  # E: arg-type


class Chat(JsonWebsocketConsumer):
    """Mistakes with JSON."""

    def receive(self, content: Any, **kwargs: Any) -> None:
        self.send(close=True)  # E: call-arg
        self.group_send("everybody")  # E: call-arg


class Streams(WebsocketDemultiplexer):
    """Mistakes with streams."""

    consumers = {"echo": "Echo"}  # E: dict-item
    multiplexer_class = Echo  # E: assignment


class PostBinding(WebsocketBinding):
    """Mistakes in a binding."""

    model = Post
    stream = 1  # E: assignment

    @classmethod
    def group_names(cls, instance: Post) -> int:  # E: override
        return 1

    def has_permission(self, user: Any, action: str) -> bool:  # E: override
        return True


class Validator(BaseOriginValidator[..., None]):
    """A mistake in a validator."""

    def validate_origin(self, message: Message, origin: str) -> bool:  # E: override
        return True
