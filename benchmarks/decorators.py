"""The decorators of consumers: CPU time and queries for a message, by decorator and session engine.

Each message goes through a worker's dispatch, over a layer in memory; the database is SQLite in
memory, so that what a decorator itself costs is seen, not what a database server does.
"""

import tempfile
from collections.abc import Callable
from typing import Any

from django.core.management import call_command
from django.test.utils import override_settings
from project import logged_in, queries
from traffic import MESSAGE, microseconds

from channels.asgi import ChannelLayerWrapper
from channels.auth import (
    channel_and_http_session_user_from_http,
    channel_session_user,
    channel_session_user_from_http,
    http_session_user,
)
from channels.layers.inmemory import ChannelLayer
from channels.message import Message
from channels.names import random_part
from channels.routing import route
from channels.security.websockets import allowed_hosts_only
from channels.sessions import channel_session, enforce_ordering, http_session
from channels.worker.dispatch import Dispatcher

#: Messages in a round.
MESSAGES = 300

ENGINES = ("db", "cached_db", "cache", "file")


def nothing(message: Message) -> None:
    """Looks at nothing."""


def read(message: Message) -> None:
    message.channel_session.get("number")


def write(message: Message) -> None:
    message.channel_session["number"] = message["order"]


def read_browsers(message: Message) -> None:
    assert message.http_session is not None
    message.http_session.get("number")


def name_user(message: Message) -> None:
    assert message.user.is_authenticated


#: What is measured: its name, the channel that the messages come on, and the consumer.
CASES: tuple[tuple[str, str, Callable[[Message], Any]], ...] = (
    ("no decorator", "websocket.receive", nothing),
    ("allowed_hosts_only", "websocket.connect", allowed_hosts_only(nothing)),
    ("channel_session, unused", "websocket.receive", channel_session(nothing)),
    ("channel_session, read", "websocket.receive", channel_session(read)),
    ("channel_session, written", "websocket.receive", channel_session(write)),
    ("http_session, read", "websocket.connect", http_session(read_browsers)),
    ("http_session_user", "websocket.connect", http_session_user(name_user)),
    ("channel_session_user, unused", "websocket.receive", channel_session_user(nothing)),
    ("channel_session_user", "websocket.receive", channel_session_user(name_user)),
    (
        "channel_session_user_from_http",
        "websocket.connect",
        channel_session_user_from_http(name_user),
    ),
    (
        "channel_and_http_session_user_from_http",
        "websocket.receive",
        channel_and_http_session_user_from_http(name_user),
    ),
    ("enforce_ordering", "websocket.receive", enforce_ordering(nothing)),
    (
        "enforce_ordering and channel_session_user",
        "websocket.receive",
        enforce_ordering(channel_session_user(name_user)),
    ),
)


class Socket:
    """A socket whose user has logged in, opened as the reference's sample opens it."""

    def __init__(self, key: str) -> None:
        self.layer = ChannelLayerWrapper(ChannelLayer(), "default", [])
        self.name = f"daphne.response.bench!{random_part()}"
        cookie = b"sessionid=" + key.encode()
        self.headers = [[b"cookie", cookie], [b"origin", b"https://example.com"]]
        self.order = 0
        opening = self._content("websocket.connect")
        for decorator in (channel_and_http_session_user_from_http, channel_session):
            decorator(nothing)(Message(opening, "websocket.connect", self.layer))

    def runner(self, channel: str, consumer: Callable[[Message], Any]) -> Callable[[int], None]:
        """What has a worker run the consumer for so many messages."""
        layer = ChannelLayerWrapper(self.layer.channel_layer, "default", [route(channel, consumer)])
        dispatcher = Dispatcher(layer, Dispatcher)

        def run(messages: int) -> None:
            for _ in range(messages):
                dispatcher.dispatch(channel, self._content(channel))

        return run

    def _content(self, channel: str) -> dict[str, Any]:
        content = {**MESSAGE, "reply_channel": self.name, "order": self.order}
        if channel == "websocket.connect":
            return {**content, "headers": self.headers, "query_string": b""}
        self.order += 1
        return {**content, "order": self.order}


def measure(channel: str, consumer: Callable[[Message], Any]) -> tuple[float, int]:
    """Microseconds of CPU, and queries, for one message."""
    run = Socket(logged_in()).runner(channel, consumer)
    run(2)
    asked = queries(lambda: run(1))
    return microseconds(lambda: run(MESSAGES), MESSAGES), asked


def main() -> None:
    """Print a line for each decorator: microseconds and queries by engine."""
    call_command("migrate", verbosity=0)
    with tempfile.TemporaryDirectory() as folder, override_settings(SESSION_FILE_PATH=folder):
        report()


def report() -> None:
    """The table."""
    print(f"us of CPU a message (queries){'':17}" + "".join(f"{each:>14}" for each in ENGINES))
    for name, channel, consumer in CASES:
        cells = []
        for engine in ENGINES:
            with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}"):
                taken, asked = measure(channel, consumer)
            cells.append(f"{taken:9.0f} ({asked:d})")
        print(f"{name:44}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
