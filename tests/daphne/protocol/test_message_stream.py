"""Messages of one socket to the application, one at a time."""

from typing import Any

import pytest

from channels.exceptions import ChannelFull, MessageTooLarge
from channels.spec import websocket_connect
from daphne.protocol.message_stream import MessageStream
from daphne.protocol.operations import AwaitRoom, Operation, Send


class Layer:
    """A stream and what it asked for."""

    def __init__(self, connected: bool = True) -> None:
        self.operations: list[Operation] = []
        self.stream = MessageStream(self.operations.append, "reply!1", "/")
        self.stream.connect(websocket_connect("reply!1", "/", []))
        if connected:
            self.stream.sent()
            self.take()

    def take(self) -> list[tuple[str, Any]]:
        """Channel and what tells a message from others, of the sends since the last call."""
        operations, self.operations[:] = list(self.operations), []
        return [self._name(operation) for operation in operations]

    def _name(self, operation: Operation) -> tuple[str, Any]:
        if isinstance(operation, AwaitRoom):
            return ("room", operation.channel)
        assert isinstance(operation, Send)
        message = operation.message
        name = operation.channel.removeprefix("websocket.")
        content = message.get("text") or message.get("bytes") or message.get("code")
        return (name, (message["order"], content))


def test_frames_go_one_by_one() -> None:
    layer = Layer()
    for content in ("a", b"b", "c"):
        layer.stream.receive(content)
    assert layer.take() == [("receive", (1, "a"))]
    layer.stream.sent()
    assert layer.take() == [("receive", (2, b"b"))]
    layer.stream.sent()
    assert layer.take() == [("receive", (3, "c"))]
    layer.stream.sent()
    assert layer.take() == []


def test_the_end_comes_after_the_frames() -> None:
    layer = Layer()
    layer.stream.receive("a")
    layer.stream.end(1001)
    layer.stream.end(1006)
    assert layer.take() == [("receive", (1, "a"))]
    layer.stream.sent()
    assert layer.take() == [("disconnect", (2, 1001))]


def test_the_end_is_sent_without_waiting_for_an_answer() -> None:
    layer = Layer()
    layer.stream.end(1000)
    (operation,) = layer.operations
    assert isinstance(operation, Send) and operation.key is None
    layer.stream.receive("late")
    layer.stream.end(1000)
    assert len(layer.operations) == 1


def test_the_end_waits_for_connect() -> None:
    layer = Layer(connected=False)
    layer.stream.end(1006)
    assert layer.take() == [("connect", (0, None))]
    layer.stream.sent()
    assert layer.take() == [("disconnect", (1, 1006))]


def test_nothing_follows_a_connect_that_failed() -> None:
    layer = Layer(connected=False)
    assert layer.stream.connecting
    layer.stream.receive("early")
    layer.stream.failed(ChannelFull())
    layer.stream.end(1006)
    assert layer.take() == [("connect", (0, None))]
    assert not layer.stream.connecting and not layer.stream.waiting


def test_a_full_channel_is_waited_for_with_the_order_kept() -> None:
    layer = Layer()
    layer.stream.receive("a")
    layer.stream.receive("b")
    layer.stream.failed(ChannelFull())
    assert layer.stream.waiting
    assert layer.take() == [("receive", (1, "a")), ("room", "websocket.receive")]
    layer.stream.room()
    layer.stream.sent()
    assert layer.take() == [("receive", (1, "a")), ("receive", (2, "b"))]


@pytest.mark.parametrize("error", [MessageTooLarge(), RuntimeError()])
def test_frames_are_dropped_with_one_that_fails(error: Exception) -> None:
    layer = Layer()
    layer.stream.receive("a")
    layer.stream.receive("b")
    layer.stream.failed(error)
    layer.stream.end(1011)
    assert layer.take() == [("receive", (1, "a")), ("disconnect", (1, 1011))]


def test_frames_that_wait_are_sent_before_the_end() -> None:
    layer = Layer()
    layer.stream.receive("a")
    layer.stream.failed(ChannelFull())
    layer.take()
    layer.stream.end(1006)
    assert layer.take() == [] and not layer.stream.over
    layer.stream.room()
    layer.stream.sent()
    assert layer.take() == [("receive", (1, "a")), ("disconnect", (2, 1006))]
    assert layer.stream.over


def test_frames_that_are_given_up_do_not_count() -> None:
    layer = Layer()
    layer.stream.receive("a")
    layer.stream.receive("b")
    layer.stream.end(1006)
    layer.stream.failed(ChannelFull())
    layer.take()
    layer.stream.drop()
    assert layer.take() == [("disconnect", (1, 1006))]
    layer.stream.room()
    assert layer.take() == []


def test_the_backlog_counts_contents_and_frames() -> None:
    layer = Layer()
    assert layer.stream.backlog == 0
    layer.stream.receive("under way")
    assert layer.stream.backlog == 0
    layer.stream.receive("12345")
    layer.stream.receive("")
    filled = layer.stream.backlog
    assert filled > 5
    layer.stream.sent()
    layer.stream.sent()
    assert layer.stream.backlog == 0
