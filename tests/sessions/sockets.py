"""Sockets for the tests of sessions: their messages, without a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.module_loading import import_string

from channels.asgi import ChannelLayerWrapper
from channels.layers.inmemory import ChannelLayer
from channels.message import Message
from channels.names import random_part
from channels.worker.dispatch import Dispatcher

__all__ = ["LoneWorker", "Socket", "browser_session", "queries", "received", "rows"]


class Socket:
    """A socket that nobody holds, with a layer of its own unless one is given.

    ``cookie`` is the session key that its browser sends, ``query`` the query string.
    """

    def __init__(self, cookie: str | None = None, query: bytes = b"", layer: Any = None) -> None:
        self.name = f"daphne.response.tests!{random_part()}"
        self.layer = layer or ChannelLayer(capacity=1000)
        self.cookie = cookie
        self.query = query
        self.order = 0

    def connect(self, **keys: Any) -> Message:
        """The message of ``websocket.connect``."""
        headers = []
        if self.cookie is not None:
            headers = [[b"cookie", f"{settings.SESSION_COOKIE_NAME}={self.cookie}".encode()]]
        return self.message(
            "websocket.connect", 0, headers=headers, query_string=self.query, **keys
        )

    def receive(self, order: int | None = None, text: str = "", **keys: Any) -> Message:
        """A frame, by default the next one."""
        self.order = self.order + 1 if order is None else order
        return self.message("websocket.receive", self.order, text=text, **keys)

    def disconnect(self, **keys: Any) -> Message:
        """The last message."""
        return self.message("websocket.disconnect", self.order + 1, code=1000, **keys)

    def message(self, channel: str, order: int, **keys: Any) -> Message:
        """A message of this socket on any channel."""
        content = {"reply_channel": self.name, "path": "/", "order": order, **keys}
        return Message(content, channel, self.layer)


def browser_session(**values: Any) -> SessionBase:
    """A stored session of a browser."""
    session: SessionBase = import_string(f"{settings.SESSION_ENGINE}.SessionStore")()
    for key, value in values.items():
        session[key] = value
    session.save()
    return session


@contextmanager
def queries() -> Iterator[list[str]]:
    """The first words of the queries made inside, savepoints aside; filled on leaving."""
    made: list[str] = []
    with CaptureQueriesContext(connection) as context:
        yield made
    words = (query["sql"].split()[0] for query in context.captured_queries)
    made += [word for word in words if word in {"SELECT", "INSERT", "UPDATE", "DELETE"}]


def rows() -> int:
    """How many sessions are stored in the database."""
    return int(import_string("django.contrib.sessions.models.Session").objects.count())


def received(socket: Socket, channel: str) -> list[dict[str, Any]]:
    """All contents of a channel of the socket's layer; they are taken out."""
    found = []
    while (content := socket.layer.receive([channel])[1]) is not None:
        found.append(content)
    return found


class LoneWorker:
    """A dispatcher that stands for a worker: it goes on with what its consumers release."""

    def __init__(self, *routes: Any) -> None:
        self.layer = ChannelLayerWrapper(ChannelLayer(), "default", list(routes))
        self.dispatcher = Dispatcher(self.layer, sender=LoneWorker, accepts=lambda channel: True)

    def run(self, message: Message) -> None:
        """Run the consumer of a message, and those of the messages that it releases."""
        self.dispatcher.dispatch(message.channel.name, message.content)
        while (follower := self.dispatcher.take_follower()) is not None:
            self.dispatcher.dispatch(*follower)
