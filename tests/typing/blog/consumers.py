"""Consumers that are functions, in every decorator."""

import json
from datetime import timedelta

from channels import Channel, Group
from channels.auth import (
    channel_and_http_session_user_from_http,
    channel_session_user,
    channel_session_user_from_http,
    close_user_sockets,
    http_session_user,
    transfer_user,
)
from channels.exceptions import ConsumeLater, DenyConnection, WebsocketCloseException
from channels.message import Message
from channels.security.websockets import BaseOriginValidator, allowed_hosts_only
from channels.sessions import (
    channel_and_http_session,
    channel_session,
    enforce_ordering,
    http_session,
)


@allowed_hosts_only
@channel_session_user_from_http
def connect(message: Message, room: str) -> None:
    """Let users in who are logged in."""
    if not message.user.is_authenticated:
        raise DenyConnection("nobody is logged in")
    message.reply_channel.send({"accept": True})
    message.channel_session["room"] = room
    message.channel_session.set_expiry(timedelta(days=1))
    Group(f"room-{room}").add(message.reply_channel)


@enforce_ordering
@channel_session_user
def receive(message: Message) -> None:
    """Tell the room."""
    room: str = message.channel_session["room"]
    text = json.dumps({"from": message.user.get_username(), "text": message["text"]})
    Group(f"room-{room}").send({"text": text})
    Channel("blog.log").send({"room": room, "text": message.get("text", "")})


@enforce_ordering()
@channel_session
def disconnect(message: Message) -> None:
    """Leave."""
    Group(f"room-{message.channel_session['room']}").discard(message.reply_channel)


@http_session_user
def poll(message: Message) -> None:
    """Answer a request by hand."""
    session = message.http_session
    seen: int = session.get("seen", 0) if session is not None else 0
    content = f"{message.user.get_username()} has seen {seen}".encode()
    message.reply_channel.send({"status": 200, "content": content})


@http_session
def count(message: Message) -> int:
    """Count in the browser's session, if there is one."""
    if message.http_session is None:
        raise WebsocketCloseException(4000)
    message.http_session["seen"] = message.http_session.get("seen", 0) + 1
    return len(message.content)


@channel_and_http_session
def both(message: Message) -> None:
    """Have the socket's user be the browser's from now on."""
    if message.http_session is not None:
        transfer_user(message.http_session, message.channel_session)


@channel_and_http_session_user_from_http
def end(message: Message) -> None:
    """Close what the user has open."""
    if message.user.is_authenticated:
        close_user_sockets(message.user, code=4001)


class InternalOnly(BaseOriginValidator[..., None]):
    """Takes one origin."""

    def validate_origin(self, message: Message, origin: str | None) -> bool:
        """Whether it is the one."""
        return origin == "https://internal.example.com"


@InternalOnly
def connect_internally(message: Message) -> None:
    """Accept the socket and send by whatever the message has."""
    content = message.copy().content
    message.reply_channel.send({"accept": True}, immediately=True)
    message.reply_channel.send({"text": ", ".join(sorted(content))})


def log(message: Message) -> None:
    """Background work, which waits until something is there."""
    if not message.get("text"):
        raise ConsumeLater
    for key, value in message.items():
        print(key, value, message.channel.name, message.channel_layer)
