"""Tests of the order of a socket's messages with what a worker does around their consumers."""

import json
from typing import ClassVar

import pytest
from django.test import override_settings

from channels.generic.websockets import (
    JsonWebsocketConsumer,
    WebsocketConsumer,
    WebsocketDemultiplexer,
)
from channels.routing import route, route_class
from channels.sessions import channel_session, enforce_ordering
from tests.sessions.sockets import LoneWorker, Socket, received, rows


@pytest.fixture
def consumed():
    return []


def worker_of(consumed, connect, receive, disconnect) -> LoneWorker:
    """A worker whose consumers, with these decorators, note what they consume."""

    def note(message):
        consumed.append(message["order"])

    names = ("connect", "receive", "disconnect")
    decorators = (connect, receive, disconnect)
    return LoneWorker(
        *(
            route(f"websocket.{name}", each(note))
            for name, each in zip(names, decorators, strict=True)
        )
    )


def plain(func):
    return lambda message: func(message)


def test_a_worker_goes_on_with_the_message_that_waited(database, consumed):
    worker = worker_of(consumed, *[enforce_ordering] * 3)
    socket = Socket(layer=worker.layer)
    for message in (socket.connect(), socket.receive(3), socket.receive(2)):
        worker.run(message)
    assert consumed == [0]
    worker.run(socket.receive(1))
    assert consumed == [0, 1, 2, 3]
    assert received(socket, "websocket.receive") == []


@pytest.mark.parametrize("connect", [enforce_ordering, channel_session, plain])
@pytest.mark.parametrize("disconnect", [enforce_ordering, channel_session, plain])
def test_the_last_message_comes_last_whatever_its_consumer_s_decorators(
    database, consumed, connect, disconnect
):
    worker = worker_of(consumed, connect, enforce_ordering, disconnect)
    socket = Socket(layer=worker.layer)
    last = socket.message("websocket.disconnect", 4)
    for message in (
        *(socket.connect(), socket.receive(1), socket.receive(3)),
        *(last, socket.receive(2)),
    ):
        worker.run(message)
    assert consumed == [0, 1, 2, 3, 4]
    assert rows() == 0


def test_a_socket_that_ends_while_it_is_being_opened_is_opened_first(database, consumed):
    worker = worker_of(consumed, *[enforce_ordering] * 3)
    socket = Socket(layer=worker.layer)
    worker.run(socket.disconnect())
    assert consumed == []
    worker.run(socket.connect())
    assert consumed == [0, 1]
    assert rows() == 0


def test_a_refused_handshake_leaves_nothing_waiting(database, consumed):
    worker = worker_of(consumed, *[enforce_ordering] * 3)
    socket = Socket(layer=worker.layer)
    with override_settings(CHANNELS_ORIGIN_CHECK=True):
        worker.run(socket.connect())
    worker.run(socket.disconnect())
    assert consumed == [1]
    assert rows() == 0

    early = Socket(layer=worker.layer)
    worker.run(early.disconnect())
    with override_settings(CHANNELS_ORIGIN_CHECK=True):
        worker.run(early.connect())
    assert received(early, "websocket.disconnect") == [early.disconnect().content]
    worker.run(early.disconnect())
    assert consumed == [1, 1]


def test_the_session_goes_away_where_the_last_consumer_has_no_decorator(database, consumed):
    worker = worker_of(consumed, channel_session, channel_session, plain)
    socket = Socket(layer=worker.layer)

    @channel_session
    def store(message):
        message.channel_session["number"] = 1

    store(socket.connect())
    assert rows() == 1
    worker.run(socket.disconnect())
    assert rows() == 0


def test_classes_that_are_strict_are_known_as_ordered(database, consumed):
    class Strict:
        strict_ordering = True

        @classmethod
        def channel_names(cls):
            return {"websocket.connect", "websocket.disconnect"}

        def __init__(self, message, **kwargs):
            enforce_ordering(lambda message: consumed.append(message["order"]))(message)

    worker = LoneWorker(route_class(Strict))
    socket = Socket(layer=worker.layer)
    worker.run(socket.disconnect())
    worker.run(socket.connect())
    assert consumed == [0, 1]


def test_what_a_consumer_sends_leaves_before_the_next_one_may_run(database):
    seen = []

    @enforce_ordering
    def consumer(message):
        seen.append(received(socket, "daphne.response.tests!"))
        message.reply_channel.send({"text": str(message["order"])})

    worker = LoneWorker(route("websocket.receive", consumer))
    socket = Socket(layer=worker.layer)
    for order in (2, 3, 1):
        worker.run(socket.receive(order))
    assert seen == [[], [{"text": "1"}], [{"text": "2"}]]


# -- class-based consumers ------------------------------------------------------------------------


class Strict(WebsocketConsumer):
    """Notes the numbers that it gets, and counts them in the session."""

    strict_ordering = True
    channel_session = True
    consumed: ClassVar[list[object]] = []

    def connect(self, message, **kwargs):
        self.consumed.append("connect")
        super().connect(message, **kwargs)

    def receive(self, text=None, bytes=None, **kwargs):
        session = self.message.channel_session
        session["count"] = session.get("count", 0) + 1
        self.consumed.append((text, session["count"]))

    def disconnect(self, message, **kwargs):
        self.consumed.append("disconnect")


@enforce_ordering
def decorated(message, multiplexer):
    if "text" in message.content:
        Strict.consumed.append(message["text"])


class Numbers(JsonWebsocketConsumer):
    """One stream of a demultiplexer; it does not ask for order."""

    def receive(self, content, **kwargs):
        Strict.consumed.append(content["number"])


def run_shuffled(worker: LoneWorker, texts: list[str]) -> None:
    """Give the worker all messages of a socket, the frames in reverse, the last one before them."""
    Strict.consumed.clear()
    socket = Socket(layer=worker.layer)
    last = socket.message("websocket.disconnect", len(texts) + 1)
    frames = [socket.receive(order, text=text) for order, text in enumerate(texts, 1)]
    for message in (last, *reversed(frames), socket.connect()):
        worker.run(message)


def test_a_class_based_consumer_gets_its_messages_in_order(database):
    run_shuffled(LoneWorker(route_class(Strict)), ["a", "b", "c"])
    assert Strict.consumed == ["connect", ("a", 1), ("b", 2), ("c", 3), "disconnect"]
    assert rows() == 0


class StrictNumbers(Numbers):
    strict_ordering = True


@pytest.mark.parametrize(
    "consumers",
    [
        {"a": Numbers, "b": StrictNumbers},
        {"a": StrictNumbers, "b": Numbers},
        {"a": Numbers, "b": Numbers, "c": decorated},
    ],
    ids=["second strict", "first strict", "a decorated function"],
)
def test_the_streams_of_a_socket_have_one_order(database, consumers):
    demultiplexer = type("Streams", (WebsocketDemultiplexer,), {"consumers": consumers})
    frames = [
        json.dumps({"stream": "ab"[number % 2], "payload": {"number": number}})
        for number in range(6)
    ]
    run_shuffled(LoneWorker(route_class(demultiplexer)), frames)
    assert Strict.consumed == [0, 1, 2, 3, 4, 5]
    assert rows() == 0
