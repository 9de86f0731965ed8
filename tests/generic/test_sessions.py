"""Tests of class-based consumers with sessions and users."""

import json
from importlib import import_module

import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.decorators import method_decorator

from channels import Channel
from channels.auth import channel_session_user
from channels.generic import BaseConsumer
from channels.generic.websockets import (
    JsonWebsocketConsumer,
    WebsocketConsumer,
    WebsocketDemultiplexer,
)
from channels.message import Message
from channels.sessions import channel_session
from tests.generic.sockets import REPLY_CHANNEL, Socket


@pytest.fixture
def user():
    return User.objects.create_user("ada", password="secret")


@pytest.fixture
def cookie(user):
    """The headers of a browser in which the user is logged in."""
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session["theme"] = "dark"
    session.save()
    return {"headers": [[b"cookie", f"sessionid={session.session_key}".encode()]]}


class Counting(BaseConsumer):
    method_mapping = {"task": "task"}
    counts: list[int] = []

    def task(self, message):
        assert message is self.message
        message.channel_session["n"] = message.channel_session.get("n", 0) + 1
        self.counts.append(message.channel_session["n"])


@pytest.mark.parametrize("attribute", ["channel_session", "channel_session_user"])
def test_a_class_attribute_gives_the_methods_their_session(attribute):
    consumer = type("Consumer", (Counting,), {attribute: True, "counts": []})
    for _ in range(2):
        instance = consumer(Message({"reply_channel": REPLY_CHANNEL}, "task", None))
    assert consumer.counts == [1, 2]
    assert hasattr(instance.message, "user") is (attribute == "channel_session_user")


class Naming(WebsocketConsumer):
    def connect(self, message, **kwargs):
        self.send(text=f"{message.user} connects")

    def receive(self, text=None, **kwargs):
        self.send(text=f"{self.message.user} says {text}")

    def disconnect(self, message, **kwargs):
        Channel("gone", channel_layer=message.channel_layer).send({"user": str(message.user)})


@pytest.mark.parametrize("attribute", ["http_user", "http_user_and_session"])
def test_a_socket_has_the_user_of_its_browser(attribute, cookie):
    socket = Socket(type("Consumer", (Naming,), {attribute: True}))
    assert socket.does("connect", **cookie) == [{"text": "ada connects"}]
    assert socket.does("receive", text="hi") == [{"text": "ada says hi"}]
    socket.does("disconnect")
    assert socket.layer.receive(["gone"]) == ("gone", {"user": "ada"})
    assert Session.objects.count() == 1  # the browser's


@pytest.mark.parametrize("attribute", ["http_user", "http_user_and_session"])
def test_a_socket_without_a_user_is_anonymous_and_leaves_no_row(attribute):
    socket = Socket(type("Consumer", (Naming,), {attribute: True}))
    assert socket.does("connect") == [{"text": f"{AnonymousUser()} connects"}]
    assert socket.does("receive", text="hi") == [{"text": f"{AnonymousUser()} says hi"}]
    assert Session.objects.count() == 0


def test_http_user_and_session_gives_the_browsers_session(cookie):
    class Themed(WebsocketConsumer):
        http_user_and_session = True

        def connect(self, message, **kwargs):
            self.send(text=message.http_session["theme"])

        def receive(self, text=None, **kwargs):
            self.send(text=self.message.http_session["theme"])

    socket = Socket(Themed)
    assert socket.does("connect", **cookie) == [{"text": "dark"}]
    assert socket.does("receive", text="hi") == [{"text": "dark"}]


def test_method_decorators_get_the_message():
    class Decorated(WebsocketConsumer):
        @method_decorator(channel_session)
        def connect(self, message, **kwargs):
            message.channel_session["seen"] = True
            message.reply_channel.send({"accept": True})

        @method_decorator(channel_session_user)
        def raw_receive(self, message, **kwargs):
            self.send(text=str(message.channel_session["seen"]))

    socket = Socket(Decorated)
    assert socket.does("connect") == [{"accept": True}]
    assert socket.does("receive", text="hi") == [{"text": "True"}]


# Behind a demultiplexer


class Remembering(JsonWebsocketConsumer):
    """Keeps in the session of the socket which streams were connected, and tells."""

    channel_session = True

    def connect(self, message, multiplexer, **kwargs):
        seen = message.channel_session.setdefault("seen", [])
        message.channel_session["seen"] = [*seen, multiplexer.stream]

    def receive(self, content, multiplexer, **kwargs):
        multiplexer.send({"seen": self.message.channel_session["seen"]})

    def disconnect(self, message, multiplexer, **kwargs):
        seen = message.channel_session["seen"]
        Channel("gone", channel_layer=message.channel_layer).send({multiplexer.stream: seen})


class Streams(WebsocketDemultiplexer):
    consumers = {"one": Remembering, "two": Remembering}


def test_each_stream_has_the_session_at_connect_receive_and_disconnect():
    socket = Socket(Streams)
    socket.does("connect")
    (answer,) = socket.says({"stream": "two", "payload": {}})
    assert json.loads(answer["text"])["payload"] == {"seen": ["one", "two"]}
    socket.does("disconnect")
    gone = [socket.layer.receive(["gone"])[1] for _ in range(2)]
    assert gone == [{"one": ["one", "two"]}, {"two": ["one", "two"]}]
    assert Session.objects.count() == 0


def test_streams_see_the_user_of_the_demultiplexer(cookie):
    class Who(JsonWebsocketConsumer):
        def receive(self, content, multiplexer, **kwargs):
            multiplexer.send({"user": self.message.user.username})

    class Users(WebsocketDemultiplexer):
        http_user = True
        consumers = {"who": Who}

    socket = Socket(Users)
    socket.does("connect", **cookie)
    (answer,) = socket.says({"stream": "who", "payload": {}})
    assert json.loads(answer["text"])["payload"] == {"user": "ada"}


def test_a_message_of_several_streams_with_a_session_loads_and_saves_it_once():
    socket = Socket(Streams)
    socket.does("connect")
    with CaptureQueriesContext(connection) as captured:
        socket.says({"stream": "two", "payload": {}})
    assert len(captured) == 1
