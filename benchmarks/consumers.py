"""Class-based consumers against a function, in CPU time: echoes, in JSON, with the socket's user.

A message goes through a layer in memory and a worker's dispatch, and its answer is taken from the
layer, all in one process: what a server and another layer cost comes on top. The database is SQLite
in memory. Queries for a message are counted.
"""

import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.test.utils import override_settings
from project import logged_in, queries
from traffic import MESSAGE

from channels import route, route_class
from channels.asgi import ChannelLayerWrapper
from channels.auth import channel_session_user, channel_session_user_from_http
from channels.generic.websockets import (
    JsonWebsocketConsumer,
    WebsocketConsumer,
    WebsocketDemultiplexer,
)
from channels.layers.inmemory import ChannelLayer
from channels.message import Message
from channels.names import random_part
from channels.routing import Router
from channels.worker.dispatch import Dispatcher

#: Rounds, and messages of each consumer in one.
ROUNDS = 15
MESSAGES = 200
#: How often a JSON echo with user may cost what the bare echo costs.
BUDGET = 2.0

RECEIVE = "websocket.receive"


@channel_session_user_from_http
def accept(message: Message) -> None:
    message.reply_channel.send({"accept": True})


def echo(message: Message) -> None:
    """The bare echo."""
    message.reply_channel.send({"text": message["text"]})


def echo_json(message: Message) -> None:
    """In JSON, by hand."""
    message.reply_channel.send({"text": json.dumps(json.loads(message["text"]))})


@channel_session_user
def echo_with_user(message: Message) -> None:
    """With the user there, who is not looked at."""
    echo_json(message)


@channel_session_user
def echo_of_user(message: Message) -> None:
    """The user is looked at."""
    assert message.user.is_active
    echo_json(message)


class Echo(WebsocketConsumer):
    def receive(self, text: str | None = None, bytes: bytes | None = None, **kwargs: Any) -> None:
        self.send(text=text)


class EchoJson(JsonWebsocketConsumer):
    def receive(self, content: Any, **kwargs: Any) -> None:
        self.send(content)


class EchoWithUser(EchoJson):
    http_user = True


class EchoOfUser(EchoWithUser):
    def receive(self, content: Any, **kwargs: Any) -> None:
        assert self.message.user.is_active
        self.send(content)


class EchoInOrder(EchoWithUser):
    strict_ordering = True


class EchoOnStream(JsonWebsocketConsumer):
    def receive(self, content: Any, multiplexer: Any, **kwargs: Any) -> None:
        multiplexer.send(content)


class Streams(WebsocketDemultiplexer):
    consumers = {"echo": EchoOnStream}


#: A frame for all of them: 64 bytes of JSON, as a stream has it.
TEXT = json.dumps({"stream": "echo", "payload": {"text": "x" * 24}})

CASES: dict[str, Callable[..., Any]] = {
    "function, bare echo": echo,
    "function, JSON": echo_json,
    "function, JSON with user": echo_with_user,
    "function, JSON, user is looked at": echo_of_user,
    "class, echo": Echo,
    "class, JSON": EchoJson,
    "class, JSON with user": EchoWithUser,
    "class, JSON, user is looked at": EchoOfUser,
    "class, JSON with user, in order": EchoInOrder,
    "class, JSON on a stream": Streams,
}


class Socket:
    """A socket whose user has logged in, and the worker that serves it."""

    def __init__(self, consumer: Callable[..., Any]) -> None:
        layer = ChannelLayerWrapper(ChannelLayer(), "default", None)
        if isinstance(consumer, type):
            layer.router = Router([route_class(consumer)])
        else:
            layer.router = Router([route("websocket.connect", accept), route(RECEIVE, consumer)])
        self.layer = layer
        self.dispatcher = Dispatcher(layer, Dispatcher)
        self.process = f"daphne.response.{random_part()}!"
        self.name = f"{self.process}{random_part()}"
        self.order = 0
        self._open()

    def _open(self) -> None:
        """Connect: by the consumer, or by what stands beside a function that has a user."""
        cookie = f"{settings.SESSION_COOKIE_NAME}={logged_in()}".encode()
        content = {**self._content(), "headers": [[b"cookie", cookie]], "query_string": b""}
        self.dispatcher.dispatch("websocket.connect", content)
        self.layer.receive([self.process])

    def run(self, messages: int) -> None:
        """Send so many frames, and take the answers."""
        for _ in range(messages):
            self.order += 1
            self.layer.send(RECEIVE, self._content())
            channel, content = self.layer.receive([RECEIVE])
            self.dispatcher.dispatch(channel, content)
            if self.layer.receive([self.process])[1] is None:
                raise RuntimeError("there was no answer")

    def _content(self) -> dict[str, Any]:
        return {**MESSAGE, "reply_channel": self.name, "order": self.order, "text": TEXT}


def main() -> None:
    """Print a table for sessions in the database, and one for sessions in a cache."""
    call_command("migrate", verbosity=0)
    for engine in ("db", "cache"):
        print(f"a message and its answer, sessions by the engine {engine}; ratios to the bare echo")
        with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}"):
            report()


def report() -> None:
    """One table. The consumers take turns, so that a drift of the machine meets all of them."""
    sockets = {name: Socket(consumer) for name, consumer in CASES.items()}
    asked = {name: queries(lambda socket=socket: socket.run(1)) for name, socket in sockets.items()}
    figures: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, socket in sockets.items():
            before = time.process_time()
            socket.run(MESSAGES)
            figures[name].append((time.process_time() - before) / MESSAGES * 1e6)
    bare = figures["function, bare echo"]
    for name, rounds in figures.items():
        ratio = median(one / base for one, base in zip(rounds, bare, strict=True))
        budget = f"  (budget {BUDGET})" if name == "class, JSON with user" else ""
        print(f"  {name:34}{median(rounds):8.1f} us{ratio:8.2f}{asked[name]:4d} queries{budget}")


if __name__ == "__main__":
    main()
