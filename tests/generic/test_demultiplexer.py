"""Tests of several streams over one socket."""

import json
import logging

import pytest

from channels import Group
from channels.asgi import channel_layers
from channels.exceptions import ConsumeLater, DenyConnection, SendNotAvailableOnDemultiplexer
from channels.generic.websockets import (
    JsonWebsocketConsumer,
    WebsocketConsumer,
    WebsocketDemultiplexer,
    WebsocketMultiplexer,
)
from tests.generic.sockets import REPLY_CHANNEL, Socket


def payloads(messages):
    """Stream and payload of each frame that was sent."""
    contents = [json.loads(message["text"]) for message in messages]
    assert all(content.keys() == {"stream", "payload"} for content in contents)
    return [(content["stream"], content["payload"]) for content in contents]


class Echo(JsonWebsocketConsumer):
    def connect(self, message, multiplexer, **kwargs):
        multiplexer.send({"connected": multiplexer.stream})

    def receive(self, content, multiplexer, **kwargs):
        multiplexer.send({"echo": content, "kwargs": kwargs})

    def disconnect(self, message, multiplexer, **kwargs):
        message.channel_layer.send("gone", {"stream": multiplexer.stream})


class Default(JsonWebsocketConsumer):
    """Overrides nothing."""


class Demultiplexer(WebsocketDemultiplexer):
    consumers = {"echo": Echo, "default": Default, "second": Echo}


def test_a_socket_is_accepted_once_and_each_stream_connected():
    accept, *others = Socket(Demultiplexer).does("connect")
    assert accept == {"accept": True}
    assert payloads(others) == [
        ("echo", {"connected": "echo"}),
        ("second", {"connected": "second"}),
    ]


def test_a_payload_goes_to_its_stream_with_what_the_routing_captured():
    socket = Socket(Demultiplexer, path="^/(?P<name>[a-z]+)/")
    answers = socket.says({"stream": "second", "payload": {"n": 1}})
    assert payloads(answers) == [("second", {"echo": {"n": 1}, "kwargs": {"name": "path"}})]


def test_each_stream_is_told_of_the_disconnect():
    socket = Socket(Demultiplexer)
    socket.does("disconnect")
    found = [socket.layer.receive(["gone"])[1] for _ in range(3)]
    assert found == [{"stream": "echo"}, {"stream": "second"}, None]


def test_the_stream_sees_a_message_as_of_a_socket_of_its_own():
    seen = []

    def function(message, multiplexer, **kwargs):
        seen.append((message.channel.name, dict(message.content), multiplexer.stream))
        assert multiplexer.demultiplexer.message is message

    class Demultiplexer(WebsocketDemultiplexer):
        consumers = {"function": function}

    socket = Socket(Demultiplexer)
    socket.says({"stream": "function", "payload": {"n": 1}})
    expected = {"reply_channel": REPLY_CHANNEL, "path": "/path/", "order": 0}
    (channel, content, stream) = seen[0]
    assert (channel, stream) == ("websocket.receive", "function")
    assert content == {**expected, "text": '{"n": 1}', "bytes": None}


# Frames that cannot be taken

BAD_FRAMES = {
    "no object": [1],
    "no stream": {"payload": {}},
    "no payload": {"stream": "echo"},
    "unknown stream": {"stream": "unknown", "payload": {}},
    "long stream": {"stream": "x" * 10_000, "payload": {}},
    "stream that is no name": {"stream": ["echo"], "payload": {}},
    "payload that is no object": {"stream": "echo", "payload": "text"},
    "payload that is a list": {"stream": "echo", "payload": [1]},
    "no payload at all": {"stream": "echo", "payload": None},
    "no number": {"stream": "echo", "payload": {"n": float("nan")}},
    "no finite number": {"stream": "echo", "payload": {"n": float("inf")}},
}


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_bad_frame_closes_its_socket_with_one_line_in_the_log(frame, caplog):
    with caplog.at_level(logging.WARNING):
        assert Socket(Demultiplexer).says(frame) == [{"close": 1008}]
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert len(record.getMessage()) < 300


def test_a_demultiplexer_may_answer_bad_frames_itself():
    class Forgiving(Demultiplexer):
        def invalid_frame(self, error):
            self.message.reply_channel.send(self.encode("errors", {"error": str(error)}))

    answers = Socket(Forgiving).says({"stream": "unknown", "payload": {}})
    assert payloads(answers) == [("errors", {"error": "there is no stream 'unknown'"})]


def test_a_number_that_is_too_great_closes_its_socket(caplog):
    frame = '{"stream": "echo", "payload": {"n": 1e999}}'
    assert Socket(Demultiplexer).does("receive", text=frame) == [{"close": 1008}]
    assert "1e999 is more than a number can be" in caplog.text


# Nesting


def test_a_demultiplexer_as_a_stream_is_refused_as_it_is_defined():
    with pytest.raises(ValueError, match="Demultiplexer, a demultiplexer, is the stream 'inner'"):

        class Outer(WebsocketDemultiplexer):
            consumers = {"inner": Demultiplexer}

    with pytest.raises(ValueError, match="is the stream 'inner' of WebsocketDemultiplexer"):
        WebsocketDemultiplexer.as_route(attrs={"consumers": {"inner": Demultiplexer}})


def test_a_demultiplexer_that_is_hidden_behind_another_one_is_refused(caplog):
    def function(message, **kwargs):
        Demultiplexer(message, **kwargs)

    class Outer(WebsocketDemultiplexer):
        consumers = {"inner": function}

    Socket(Outer).says({"stream": "inner", "payload": {}})
    assert "Demultiplexer, a demultiplexer, is behind another one" in caplog.text


# Denying


class Denying(JsonWebsocketConsumer):
    groups = ["denied"]

    def connect(self, message, **kwargs):
        raise DenyConnection


@pytest.mark.parametrize("streams", [("echo", "denying"), ("denying", "echo")])
def test_one_stream_denies_the_socket_whatever_others_sent(streams):
    class Mixed(WebsocketDemultiplexer):
        consumers = {stream: {"echo": Echo, "denying": Denying}[stream] for stream in streams}

    assert Socket(Mixed).does("connect") == [{"close": True}]


def test_a_stream_that_fails_at_the_connect_leaves_the_others_what_they_sent(caplog):
    class Failing(JsonWebsocketConsumer):
        def connect(self, message, **kwargs):
            raise ZeroDivisionError

    class Mixed(WebsocketDemultiplexer):
        consumers = {"echo": Echo, "failing": Failing}

    accept, sent = Socket(Mixed).does("connect")
    assert accept == {"accept": True}
    assert payloads([sent]) == [("echo", {"connected": "echo"})]
    assert "ZeroDivisionError" in caplog.text


def test_a_connect_that_is_put_off_sends_what_streams_send_once():
    class Late(JsonWebsocketConsumer):
        tries = 0

        def connect(self, message, **kwargs):
            Late.tries += 1
            if Late.tries == 1:
                raise ConsumeLater

    class Streams(WebsocketDemultiplexer):
        consumers = {"echo": Echo, "late": Late}

    accept, *others = Socket(Streams).does("connect")
    assert accept == {"accept": True}
    assert payloads(others) == [("echo", {"connected": "echo"})]


def test_every_stream_is_disconnected_though_others_fail(caplog):
    class Failing(JsonWebsocketConsumer):
        def disconnect(self, message, **kwargs):
            raise ZeroDivisionError(self.kwargs["multiplexer"].stream)

    class Mixed(WebsocketDemultiplexer):
        consumers = {"first": Failing, "second": Failing, "echo": Echo}

    socket = Socket(Mixed)
    socket.does("disconnect")
    assert socket.layer.receive(["gone"]) == ("gone", {"stream": "echo"})
    assert "ZeroDivisionError: first" in caplog.text
    assert "at the disconnect of a stream: second" in caplog.text


def test_a_consumer_that_sends_at_once_while_connecting_accepts():
    class Hasty(JsonWebsocketConsumer):
        def connect(self, message, multiplexer, **kwargs):
            multiplexer.send({"n": 1})
            message.reply_channel.send({"text": "now"}, immediately=True)
            multiplexer.send({"n": 2})

    class Mixed(WebsocketDemultiplexer):
        consumers = {"hasty": Hasty}

    messages = Socket(Mixed).does("connect")
    assert {"text": "now"} in messages
    assert {"accept": True} in messages
    assert len(messages) == 4


def test_a_stream_that_accepts_by_itself_accepts_once():
    class Accepting(JsonWebsocketConsumer):
        def connect(self, message, **kwargs):
            message.reply_channel.send({"accept": True})

    class Mixed(WebsocketDemultiplexer):
        consumers = {"one": Accepting, "two": Accepting}

    assert Socket(Mixed).does("connect") == [{"accept": True}]


# Groups


def test_a_socket_is_in_the_groups_of_demultiplexer_and_streams():
    class Grouped(JsonWebsocketConsumer):
        groups = ["of-stream"]

    class Mixed(WebsocketDemultiplexer):
        groups = ["of-socket"]
        consumers = {"one": Grouped}

    socket = Socket(Mixed)
    socket.does("connect")
    members = [socket.layer.group_channels(name) for name in ("of-stream", "of-socket")]
    assert members == [[REPLY_CHANNEL]] * 2
    socket.does("disconnect")
    members = [socket.layer.group_channels(name) for name in ("of-stream", "of-socket")]
    assert members == [[], []]


# Sending


def test_send_is_not_for_consumers_behind_a_demultiplexer(caplog):
    class Sending(JsonWebsocketConsumer):
        def receive(self, content, **kwargs):
            self.send(content)

    class Mixed(WebsocketDemultiplexer):
        consumers = {"one": Sending}

    assert Socket(Mixed).says({"stream": "one", "payload": {}}) == []
    assert "send by the multiplexer" in caplog.text
    assert "SendNotAvailableOnDemultiplexer" in caplog.text
    assert Socket(Sending).says({}) == [{"text": "{}"}]  # by itself it may


def test_send_is_not_for_demultiplexers(caplog):
    class Sending(Demultiplexer):
        def receive(self, content, **kwargs):
            self.send(content)

    assert Socket(Sending).says({"stream": "one", "payload": {}}) == []
    assert "SendNotAvailableOnDemultiplexer" in caplog.text
    with pytest.raises(SendNotAvailableOnDemultiplexer, match="WebsocketMultiplexer.group_send"):
        Demultiplexer.group_send("group", "echo", {})


def test_frames_are_encoded_by_the_multiplexer_class():
    class Upper(WebsocketMultiplexer):
        @classmethod
        def encode_json(cls, content):
            return super().encode_json(content).upper()

    class Loud(Demultiplexer):
        multiplexer_class = Upper

    assert Loud.encode("a", {"b": 1}) == {"text": '{"STREAM": "A", "PAYLOAD": {"B": 1}}'}
    answers = Socket(Loud).says({"stream": "echo", "payload": {"n": 1}})
    assert answers == [{"text": '{"STREAM": "ECHO", "PAYLOAD": {"ECHO": {"N": 1}, "KWARGS": {}}}'}]


@pytest.mark.parametrize("close", [False, True, 1001])
def test_group_send_sends_on_a_stream_to_each_socket(close):
    layer = channel_layers["default"]
    Group("all").add("member")
    WebsocketMultiplexer.group_send("all", "news", {"n": 1}, close=close)
    expected = {"text": '{"stream": "news", "payload": {"n": 1}}'}
    assert layer.receive(["member"]) == (
        "member",
        {**expected, **({"close": close} if close else {})},
    )
    layer.flush()


def test_ordering_of_a_stream_is_that_of_its_socket():
    class Ordered(JsonWebsocketConsumer):
        strict_ordering = True

        def receive(self, content, multiplexer, **kwargs):
            multiplexer.send(content)

    class Plain(WebsocketConsumer):
        pass

    class Mixed(WebsocketDemultiplexer):
        consumers = {"ordered": Ordered, "plain": Plain}

    socket = Socket(Mixed)
    socket.does("connect")
    socket.says({"stream": "plain", "payload": {}})
    answers = socket.says({"stream": "ordered", "payload": {"n": 1}})
    assert payloads(answers) == [("ordered", {"n": 1})]


def test_messages_of_a_socket_that_come_out_of_order_are_put_in_order():
    class Ordered(JsonWebsocketConsumer):
        strict_ordering = True

        def receive(self, content, multiplexer, **kwargs):
            multiplexer.send(content)

    class Mixed(WebsocketDemultiplexer):
        consumers = {"one": Ordered, "two": Echo}

    socket = Socket(Mixed)
    socket.does("connect")

    def says(order, stream):
        text = json.dumps({"stream": stream, "payload": {"n": order}})
        return payloads(socket.does("receive", text=text, order=order))

    assert says(2, "two") == []
    assert says(3, "one") == []
    assert [payload.get("n") or payload["echo"]["n"] for _, payload in says(1, "one")] == [1, 2, 3]
