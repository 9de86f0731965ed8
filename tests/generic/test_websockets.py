"""Tests of the class-based consumers of sockets."""

import datetime
import decimal
import json
import logging

import pytest

from channels import Channel, Group
from channels.asgi import channel_layers
from channels.exceptions import (
    ChannelSocketException,
    DenyConnection,
    WebsocketCloseException,
)
from channels.generic.websockets import InvalidFrame, JsonWebsocketConsumer, WebsocketConsumer
from tests.generic.sockets import REPLY_CHANNEL, Socket


class Echo(WebsocketConsumer):
    def receive(self, text=None, bytes=None, **kwargs):
        self.send(text=text, bytes=bytes)


class JsonEcho(JsonWebsocketConsumer):
    def receive(self, content, **kwargs):
        self.send(content)


# Connecting


def test_a_socket_is_accepted_by_default():
    assert Socket(WebsocketConsumer).does("connect") == [{"accept": True}]


def test_whoever_overrides_connect_accepts():
    class Silent(WebsocketConsumer):
        def connect(self, message, **kwargs):
            assert message is self.message

    assert Socket(Silent).does("connect") == []


def test_the_routing_gives_arguments_and_the_socket_its_path():
    class Named(WebsocketConsumer):
        def connect(self, message, name):
            self.send(text=f"{name} at {self.path}")

    socket = Socket(Named, path="^/rooms/(?P<name>[a-z]+)/")
    assert socket.does("connect", path="/rooms/attic/") == [{"text": "attic at /rooms/attic/"}]


# Groups


def test_a_socket_is_in_its_groups_until_it_disconnects():
    class Grouped(WebsocketConsumer):
        def connection_groups(self, name, **kwargs):
            return [f"group-{name}"]

    socket = Socket(Grouped, path="^/(?P<name>[a-z]+)/")
    socket.does("connect")
    assert socket.layer.group_channels("group-path") == [REPLY_CHANNEL]
    socket.does("disconnect")
    assert socket.layer.group_channels("group-path") == []


def test_groups_may_be_a_class_attribute():
    class Grouped(WebsocketConsumer):
        groups = ["one", "two"]

    socket = Socket(Grouped)
    socket.does("connect")
    assert [socket.layer.group_channels(name) for name in ("one", "two")] == [[REPLY_CHANNEL]] * 2


def test_a_denied_socket_is_in_no_group():
    class Denied(WebsocketConsumer):
        groups = ["one"]

        def connect(self, message, **kwargs):
            raise DenyConnection

    socket = Socket(Denied)
    assert socket.does("connect") == [{"close": True}]
    assert socket.layer.group_channels("one") == []


@pytest.mark.parametrize(
    ("consumer", "arguments", "message"),
    [
        (WebsocketConsumer, {"text": "a"}, {"text": "a"}),
        (WebsocketConsumer, {"bytes": b"a", "close": True}, {"bytes": b"a", "close": True}),
        (JsonWebsocketConsumer, {"content": [1]}, {"text": "[1]"}),
        (JsonWebsocketConsumer, {"content": 1, "close": 1001}, {"text": "1", "close": 1001}),
    ],
)
def test_group_send_sends_a_frame_to_each_socket(consumer, arguments, message):
    Group("all").add("member")
    consumer.group_send("all", **arguments)
    assert channel_layers["default"].receive(["member"]) == ("member", message)
    channel_layers["default"].flush()


# Frames


@pytest.mark.parametrize("frame", [{"text": "a"}, {"bytes": b"a"}, {"text": ""}, {"bytes": b""}])
def test_frames_come_and_go_as_text_or_bytes(frame):
    assert Socket(Echo).does("receive", **frame) == [frame]


@pytest.mark.parametrize("text", ["NaN", '{"a": [-Infinity]}', "1e999", '{"a": -1e400}', ""])
def test_what_browsers_do_not_take_for_json_is_none(text, caplog):
    class Echoes(JsonWebsocketConsumer):
        def receive(self, content, **kwargs):
            self.send(content)

    assert Socket(Echoes).does("receive", text=text) == [{"close": 1008}]
    assert "it is no valid JSON" in caplog.text


def test_the_path_of_a_refused_frame_cannot_forge_a_line_of_the_log(caplog):
    Socket(JsonWebsocketConsumer).does("receive", text="{", path="/a\nERROR forged")
    (record,) = caplog.records
    assert record.getMessage().isprintable()


def test_a_frame_that_lacks_the_other_key_is_taken():
    socket = Socket(Echo)
    socket._dispatcher.dispatch(
        "websocket.receive", {"reply_channel": REPLY_CHANNEL, "path": "/", "bytes": b"a"}
    )
    assert socket.gets() == [{"bytes": b"a"}]


def test_nothing_cannot_be_sent(caplog):
    class Wrong(WebsocketConsumer):
        def receive(self, **kwargs):
            self.send()

    assert Socket(Wrong).does("receive", text="a") == []
    assert "give text or bytes, or call close()" in caplog.text


@pytest.mark.parametrize(("status", "close"), [((), True), ((4001,), 4001)])
def test_close_takes_a_code(status, close):
    class Closing(WebsocketConsumer):
        def receive(self, **kwargs):
            self.close(*status)

    assert Socket(Closing).does("receive", text="a") == [{"close": close}]


def test_a_frame_may_close_as_it_is_sent():
    class Closing(WebsocketConsumer):
        def receive(self, **kwargs):
            self.send("bye", close=1001)

    assert Socket(Closing).does("receive", text="a") == [{"text": "bye", "close": 1001}]


def test_a_message_that_came_from_no_socket_is_told(caplog):
    Socket(Echo)._dispatcher.dispatch("websocket.receive", {"text": "a"})
    assert "has no reply_channel" in caplog.text


def test_slight_ordering_is_refused(caplog):
    class Old(WebsocketConsumer):
        slight_ordering = True

    Socket(Old).does("connect")
    assert "use strict_ordering" in caplog.text


# JSON


@pytest.mark.parametrize("content", [{"a": [1, None, "ü"]}, [], "text", 1.5, None])
def test_json_is_decoded_and_encoded(content):
    (answer,) = Socket(JsonEcho).says(content)
    assert json.loads(answer["text"]) == content


def test_json_may_hold_what_django_knows():
    class Dated(JsonWebsocketConsumer):
        def receive(self, content, **kwargs):
            self.send({"day": datetime.date(2026, 1, 2), "price": decimal.Decimal("1.50")})

    assert Socket(Dated).says(1) == [{"text": '{"day": "2026-01-02", "price": "1.50"}'}]


def test_the_encoding_may_be_replaced():
    class Shouting(JsonEcho):
        @classmethod
        def decode_json(cls, text):
            return text.lower()

        @classmethod
        def encode_json(cls, content):
            return content.upper()

    assert Socket(Shouting).does("receive", text="Abc") == [{"text": "ABC"}]


BAD_FRAMES = {
    "bytes": {"bytes": b"{}"},
    "nothing": {},
    "no JSON": {"text": "{"},
    "empty": {"text": ""},
    "too deep": {"text": "[" * 65 + "]" * 65},
    "too deep to parse": {"text": "[" * 200_000},
    "deep objects": {"text": '{"a":' * 65 + "1" + "}" * 65},
}


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_frame_without_usable_json_closes_its_socket_with_one_line_in_the_log(frame, caplog):
    with caplog.at_level(logging.WARNING):
        assert Socket(JsonEcho).does("receive", **frame) == [{"close": 1008}]
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert "'/path/'" in record.getMessage() or "/path/" in record.getMessage()
    assert len(record.getMessage()) < 300


def test_depth_is_counted_by_nesting_not_by_brackets():
    for content in ([[]] * 100, "[" * 100, {"a": "{" * 100}):
        (answer,) = Socket(JsonEcho).says(content)
        assert json.loads(answer["text"]) == content
    deepest = "[" * 64 + "]" * 64
    assert Socket(JsonEcho).does("receive", text=deepest) == [{"text": deepest}]


def test_the_depth_is_a_setting_of_the_class():
    class Flat(JsonEcho):
        json_depth = 1

    assert Socket(Flat).says([1]) == [{"text": "[1]"}]
    assert Socket(Flat).says([[1]]) == [{"close": 1008}]


def test_a_bad_frame_is_a_value_error_for_those_who_call_the_consumer():
    assert issubclass(InvalidFrame, ValueError)
    assert issubclass(InvalidFrame, ChannelSocketException)


def test_a_consumer_may_answer_bad_frames_itself():
    class Forgiving(JsonEcho):
        def invalid_frame(self, error):
            self.send({"error": str(error)[:14]})

    assert Socket(Forgiving).does("receive", bytes=b"a") == [
        {"text": '{"error": "it has no text"}'}
    ]


# Exceptions


@pytest.mark.parametrize("event", ["connect", "receive"])
def test_a_socket_can_be_closed_from_anywhere(event):
    def deep():
        raise WebsocketCloseException(4002)

    class Closing(WebsocketConsumer):
        def connect(self, message, **kwargs):
            Channel("unrelated", channel_layer=message.channel_layer).send({})
            deep()

        def receive(self, **kwargs):
            deep()

    assert Socket(Closing).does(event) == [{"close": 4002}]
