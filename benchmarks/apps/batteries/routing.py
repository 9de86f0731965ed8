"""An echo, a group of sockets, and background work, in synchronous consumers."""

from pathlib import Path

from channels import Group, route
from channels.message import Message


def connect(message: Message) -> None:
    message.reply_channel.send({"accept": True})


def receive(message: Message) -> None:
    message.reply_channel.send({"text": message["text"]})


def join(message: Message) -> None:
    Group("members").add(message.reply_channel)
    message.reply_channel.send({"accept": True})


def tell_members(message: Message) -> None:
    Group("members").send({"text": message["text"]})


def leave(message: Message) -> None:
    Group("members").discard(message.reply_channel)


def do_nothing(message: Message) -> None:
    """The background work, of which only the cost of getting here counts.

    The last one says that all are done; on a channel of its own it would be served in turn.
    """
    if "path" in message:
        Path(message["path"]).touch()


channel_routing = [
    route("websocket.connect", join, path="^/members/"),
    route("websocket.connect", connect),
    route("websocket.receive", tell_members, path="^/members/"),
    route("websocket.receive", receive),
    route("websocket.disconnect", leave, path="^/members/"),
    route("noop", do_nothing),
]
