"""Consumers to route to, and messages to route."""

from typing import Any

from channels.message import Message

__all__ = ["Chat", "connect", "first", "on", "second"]


def first(message: Message, **kwargs: Any) -> None:
    """A consumer."""


def second(message: Message, **kwargs: Any) -> None:
    """Another consumer."""


class Chat:
    """A class-based consumer."""

    def __init__(self, message: Message, **kwargs: Any) -> None:
        self.message = message

    @classmethod
    def channel_names(cls) -> set[str]:
        return {"websocket.connect", "websocket.receive"}


def connect(path: Any = "/", **content: Any) -> Message:
    return Message({"path": path, **content}, "websocket.connect", None)


def on(channel: str, **content: Any) -> Message:
    return Message(content, channel, None)
