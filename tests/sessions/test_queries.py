"""What each decorator asks of the database, for each kind of message.

With the engine ``db``, of which every access is a query. A decorator reads each of the channel's
session, the browser's and the user at most once a message, and writes each session at most once.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from channels import auth, sessions
from channels.generic.websockets import JsonWebsocketConsumer, WebsocketDemultiplexer
from channels.sessions.stores import PREFIX
from tests.sessions.sockets import Socket
from tests.sessions.users import log_in

#: What a decorator asks for around a consumer that does nothing: of a socket whose browser is
#: logged in and that has a session, at a connect, a frame and the disconnect.
ASKED = {
    "channel_session": ([], [], ["read channel", "delete channel"]),
    "http_session": (["read browser"], ["read browser"], ["read browser"]),
    "channel_and_http_session": (
        ["read browser", "read channel", "write channel"],
        ["read channel", "read browser"],
        ["read channel", "read browser", "delete channel"],
    ),
    "channel_session_user": ([], [], ["read channel", "delete channel"]),
    "http_session_user": (["read browser"], ["read browser"], ["read browser"]),
    "channel_session_user_from_http": (
        ["read browser", "read channel", "write channel"],
        ["read browser", "read channel", "write channel"],
        ["read browser", "read channel", "delete channel"],
    ),
    "channel_and_http_session_user_from_http": (
        ["read browser", "read channel", "write channel"],
        ["read channel", "read browser"],
        ["read channel", "read browser", "delete channel"],
    ),
    "enforce_ordering": (
        ["read channel", "write channel"],
        ["read channel", "write channel"],
        ["read channel", "delete channel"],
    ),
}
DECORATORS = {name: getattr(sessions, name, None) or getattr(auth, name) for name in ASKED}
#: Those that give a user.
WITH_USER = [name for name in ASKED if "user" in name]
_VERBS = {"SELECT": "read", "INSERT": "write", "UPDATE": "write", "DELETE": "delete"}


@contextmanager
def asked() -> Iterator[list[str]]:
    """What is asked of the database inside, in words; savepoints aside."""
    found: list[str] = []
    with CaptureQueriesContext(connection) as context:
        yield found
    for query in context.captured_queries:
        verb = _VERBS.get(query["sql"].split()[0])
        if verb is not None:
            found.append(f"{verb} {_thing(query['sql'])}")


def _thing(sql: str) -> str:
    if "auth_user" in sql:
        return "user"
    assert "django_session" in sql, sql
    return "channel" if re.search(f"'{PREFIX}[0-9a-f]+'", sql) else "browser"


@pytest.fixture
def socket(database: None) -> Socket:
    """A socket whose browser is logged in."""
    return Socket(log_in(User.objects.create_user("ada")).session_key)


def messages(socket: Socket):
    """One message of each kind, all with cookies as requests have them."""
    auth.channel_session_user_from_http(lambda message: None)(socket.connect())
    headers = socket.connect().content["headers"]
    yield socket.connect()
    yield socket.receive(headers=headers)
    yield socket.disconnect(headers=headers)


@pytest.mark.parametrize("name", ASKED)
def test_around_a_consumer_that_does_nothing(name, socket):
    consumer = DECORATORS[name](lambda message: None)
    found = []
    for message in messages(socket):
        with asked() as each:
            consumer(message)
        found.append(each)
    assert found == list(ASKED[name])


def greedy(message):
    """Looks at all that it has been given, and stores something in each session."""
    user = getattr(message, "user", None)
    if user is not None:
        assert user.get_username() == user.get_username()
    for name in ("channel_session", "http_session"):
        session = getattr(message, name, None)
        if session is not None:
            session["seen"] = session.get("seen", 0) + 1
            session.setdefault("first", 1)


@pytest.mark.parametrize("name", ASKED)
def test_around_a_consumer_that_uses_everything(name, socket):
    consumer = DECORATORS[name](greedy)
    for message in messages(socket):
        with asked() as made:
            consumer(message)
        assert no_repeats(made), (message, made)
        assert ("read user" in made) == (name in WITH_USER)


@pytest.mark.parametrize("outer", ASKED)
@pytest.mark.parametrize("inner", ASKED)
def test_two_decorators_ask_for_nothing_twice(outer, inner, socket):
    consumer = DECORATORS[outer](DECORATORS[inner](greedy))
    for message in messages(socket):
        with asked() as made:
            consumer(message)
        assert no_repeats(made), (message, made)


def no_repeats(made: list[str]) -> bool:
    """Whether nothing was asked twice."""
    return not [each for each, times in Counter(made).items() if times > 1]


class Echo(JsonWebsocketConsumer):
    http_user = True

    def connect(self, message, **kwargs):
        super().connect(message, **kwargs)
        greedy(message)

    def receive(self, content, **kwargs):
        greedy(self.message)

    def disconnect(self, message, **kwargs):
        greedy(message)


class OrderedEcho(Echo):
    strict_ordering = True


class EchoWithBoth(Echo):
    http_user_and_session = True


class Streams(WebsocketDemultiplexer):
    http_user = True
    consumers = {"echo": Echo, "ordered": OrderedEcho, "both": EchoWithBoth}


@pytest.mark.parametrize("consumer", [Echo, OrderedEcho, EchoWithBoth, Streams])
def test_classes_ask_for_nothing_twice(consumer, socket):
    for message in messages(socket):
        message.content["text"] = '{"stream": "echo", "payload": {}}'
        with asked() as made:
            consumer(message)
        assert no_repeats(made), (message, made)
        assert "read user" in made
