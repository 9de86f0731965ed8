"""Tests of the order of a socket's messages, one worker at a time; several are in
``test_ordering_workers``.
"""

import itertools

import pytest
from django.test import override_settings

from channels.auth import channel_session_user, channel_session_user_from_http
from channels.exceptions import ChannelFull, ConsumeLater
from channels.layers.inmemory import ChannelLayer
from channels.message import Message
from channels.sessions import (
    channel_session,
    enforce_ordering,
    requeue_messages,
    session_for_reply_channel,
    wait_channel_name,
)
from tests.sessions import counted
from tests.sessions.sockets import Socket, queries, received, rows

COUNTED = override_settings(SESSION_ENGINE="tests.sessions.counted")


@pytest.fixture
def consumed():
    return []


@pytest.fixture
def consumer(consumed):
    @enforce_ordering
    def consumer(message):
        consumed.append(message["order"])
        return "consumed"

    return consumer


def waiting(socket: Socket) -> list[int]:
    """The orders of the messages that wait; they are taken out."""
    return [content["order"] for content in received(socket, wait_channel_name(socket.name))]


def test_messages_in_their_order_are_consumed_at_once(engine, consumed, consumer):
    socket = Socket()
    assert consumer(socket.connect()) == "consumed"
    for _ in range(3):
        assert consumer(socket.receive()) == "consumed"
    assert consumer(socket.disconnect()) == "consumed"
    assert consumed == [0, 1, 2, 3, 4]
    assert waiting(socket) == []


def test_the_state_is_kept_under_its_documented_key(engine, consumer):
    socket = Socket()
    consumer(socket.connect())
    consumer(socket.receive())
    assert session_for_reply_channel(socket.name)["__channels_next_order"] == 2


def test_a_message_before_its_turn_waits(engine, consumed, consumer):
    socket = Socket()
    consumer(socket.connect())
    message = socket.receive(3, text="hello")
    assert consumer(message) is None
    assert consumed == [0]
    assert received(socket, f"__wait__.{socket.name.replace('!', '?')}") == [
        {**message.content, "original_channel": "websocket.receive"}
    ]


def test_a_waiting_message_is_put_back_when_its_turn_comes(engine, consumed, consumer):
    socket = Socket()
    consumer(socket.connect())
    second, third = socket.receive(2), socket.receive(3)
    consumer(third)
    consumer(second)
    consumer(socket.receive(1))
    assert consumed == [0, 1]
    assert received(socket, "websocket.receive") == [second.content]
    assert waiting(socket) == [3]


@pytest.mark.parametrize("orders", list(itertools.permutations(range(1, 5))), ids=str)
def test_whatever_the_order_in_which_they_come_they_are_consumed_in_order(
    database, consumed, consumer, orders
):
    socket = Socket()
    consumer(socket.connect())
    for order in orders:
        message = socket.receive(order) if order < 4 else socket.message(*LAST)
        consumer(message)
        again(socket, consumer)
    assert consumed == [0, 1, 2, 3, 4]
    assert waiting(socket) == []
    assert rows() == 0


LAST = ("websocket.disconnect", 4)


def again(socket: Socket, consumer) -> None:
    """Consume what was put back, as workers do."""
    while True:
        channel, content = socket.layer.receive(["websocket.receive", "websocket.disconnect"])
        if channel is None:
            return
        consumer(Message(content, channel, socket.layer))


def test_a_message_whose_turn_came_when_it_began_to_wait_is_consumed(engine, consumed, consumer):
    socket = Socket()
    consumer(socket.connect())
    layer = socket.layer

    class Late(ChannelLayer):
        """Another worker consumes the first message just before the second one waits."""

        def send(self, channel, content):
            if content.get("order") == 2:
                consumer(socket.receive(1))
            layer.send(channel, content)

        def receive(self, *args, **options):
            return layer.receive(*args, **options)

    second = socket.receive(2)
    assert consumer(Message(second.content, second.channel.name, Late())) == "consumed"
    assert consumed == [0, 1, 2]
    assert waiting(socket) == []


def test_more_messages_than_the_wait_channel_holds_wait(engine, consumed, consumer):
    socket = Socket(layer=ChannelLayer(capacity=3))
    consumer(socket.connect())
    for order in range(20, 1, -1):
        consumer(socket.receive(order))
    assert consumed == [0]
    consumer(socket.receive(1))
    again(socket, consumer)
    assert consumed == list(range(21))


# -- what it needs --------------------------------------------------------------------------------


def test_messages_without_order_are_refused(consumer):
    with pytest.raises(ValueError, match="needs messages with an 'order'"):
        consumer(Message({"reply_channel": "a!b"}, "websocket.receive", None))


def test_messages_without_reply_channel_are_refused(consumer):
    with pytest.raises(ValueError, match="reply_channel"):
        consumer(Message({"order": 0}, "websocket.receive", None))


def test_the_slight_mode_is_refused():
    with pytest.raises(ValueError, match="slight"):
        enforce_ordering(slight=True)


def test_it_may_be_called(database):
    socket = Socket()
    consumer = enforce_ordering()(lambda message: message["order"])
    assert [consumer(socket.connect()), consumer(socket.receive())] == [0, 1]


def test_methods_may_be_decorated(database):
    class Consumers:
        @enforce_ordering
        def consume(self, message):
            return message["order"]

    socket = Socket()
    assert [Consumers().consume(each) for each in (socket.connect(), socket.receive())] == [0, 1]
    assert Consumers().consume(socket.receive(5)) is None


# -- with other decorators ------------------------------------------------------------------------

DECORATORS = (enforce_ordering, channel_session, channel_session_user)


@pytest.mark.parametrize(
    "decorators",
    [*itertools.permutations(DECORATORS), (enforce_ordering, enforce_ordering)],
    ids=lambda each: ", ".join(decorator.__name__ for decorator in each),
)
def test_it_composes_in_any_order_and_saves_before_the_next_message_is_released(
    database, decorators
):
    socket, numbers = Socket(), []

    def consumer(message):
        message.channel_session["number"] = message.channel_session.get("number", 0) + 1
        numbers.append(message.channel_session["number"])

    for decorator in decorators:
        consumer = decorator(consumer)
    consumer(socket.connect())
    consumer(socket.receive(2))
    with queries() as made:
        consumer(socket.receive(1))
    assert made == ["SELECT", "UPDATE"]
    assert session_for_reply_channel(socket.name)["number"] == 2
    again(socket, consumer)
    assert numbers == [1, 2, 3]


def test_the_reference_s_sample_whose_connect_consumer_has_no_decorator(database):
    @channel_session_user_from_http
    def ws_add(message):
        message.channel_session["sent"] = 0

    @enforce_ordering
    @channel_session_user
    def ws_message(message):
        message.channel_session["sent"] = message.channel_session["sent"] + 1
        return message.channel_session["sent"]

    socket = Socket()
    ws_add(socket.connect())
    assert ws_message(socket.receive(2)) is None
    assert ws_message(socket.receive(1)) == 1
    again(socket, ws_message)
    assert session_for_reply_channel(socket.name)["sent"] == 2


def test_a_socket_whose_connect_consumer_stores_nothing_is_consumed_in_order_too(
    database, consumed, consumer
):
    socket = Socket()
    for order in (3, 1, 2):
        consumer(socket.receive(order))
        again(socket, consumer)
    assert consumed == [1, 2, 3]


# -- consumers that do not end well ---------------------------------------------------------------


def test_a_message_that_is_put_back_keeps_its_turn(engine, consumed):
    @enforce_ordering
    def consumer(message):
        if message["order"] == 1 and "__retries__" not in message.content:
            raise ConsumeLater
        consumed.append(message["order"])

    socket = Socket()
    consumer(socket.connect())
    consumer(socket.receive(2))
    with pytest.raises(ConsumeLater):
        consumer(socket.receive(1))
    assert waiting(socket) == [2]
    consumer(socket.receive(2))
    consumer(socket.receive(1, __retries__=1))
    again(socket, consumer)
    assert consumed == [0, 1, 2]


def test_a_message_that_is_put_back_lets_go_of_those_that_it_carries(database):
    @enforce_ordering
    def consumer(message):
        raise ConsumeLater

    socket = Socket()
    message = socket.receive(1)
    message.carried = [{**socket.receive(3).content, "original_channel": "websocket.receive"}]
    with pytest.raises(ConsumeLater):
        consumer(message)
    assert waiting(socket) == [3]


def test_a_released_message_that_finds_no_room_goes_on_waiting(database, consumer):
    socket = Socket(layer=ChannelLayer(capacity=1))
    consumer(socket.connect())
    consumer(socket.receive(2))
    socket.layer.send("websocket.receive", {})
    with pytest.raises(ChannelFull):
        consumer(socket.receive(1))
    assert waiting(socket) == [2]


def test_a_failing_consumer_lets_the_next_message_have_its_turn(engine, consumed):
    @enforce_ordering
    def consumer(message):
        if message["order"] == 1:
            raise ZeroDivisionError
        consumed.append(message["order"])

    socket = Socket()
    consumer(socket.connect())
    consumer(socket.receive(2))
    with pytest.raises(ZeroDivisionError):
        consumer(socket.receive(1))
    again(socket, consumer)
    assert consumed == [0, 2]


def test_a_message_that_comes_again_is_dropped(database, consumed, consumer, caplog):
    socket = Socket()
    for message in (socket.connect(), socket.receive(1), socket.receive(1), socket.receive(2)):
        consumer(message)
    assert consumed == [0, 1, 2]
    assert "came again" in caplog.text


def test_requeue_messages_puts_back_all_that_waits(database, consumer):
    socket = Socket()
    consumer(socket.connect())
    messages = [socket.receive(order) for order in (4, 2, 3)]
    for message in messages:
        consumer(message)
    requeue_messages(messages[0])
    assert [each["order"] for each in received(socket, "websocket.receive")] == [2, 3, 4]
    assert waiting(socket) == []


# -- costs ----------------------------------------------------------------------------------------


def test_a_session_is_read_and_saved_once_a_message():
    with COUNTED:
        socket, consumer = Socket(), enforce_ordering(lambda message: None)
        counted.asked.clear()
        consumer(socket.connect())
        assert counted.asked == {"load": 1, "save": 1}
        for _ in range(10):
            consumer(socket.receive())
        assert counted.asked == {"load": 11, "save": 11}
        consumer(socket.disconnect())
        assert counted.asked == {"load": 12, "save": 11, "delete": 1}


def test_a_message_that_has_to_wait_saves_nothing():
    with COUNTED:
        socket, consumer = Socket(), enforce_ordering(lambda message: None)
        consumer(socket.connect())
        counted.asked.clear()
        consumer(socket.receive(2))
        assert counted.asked == {"load": 2}
