"""What a consumer sends leaves when it ends; everything else leaves at once."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from channels import Channel, Group
from channels.layers.inmemory import ChannelLayer
from channels.message import pending_message_store
from channels.pending import PendingMessageStore
from channels.signals import consumer_finished, consumer_started
from tests.waiting import wait_until


@contextmanager
def consuming() -> Iterator[None]:
    """What a worker does around a consumer."""
    consumer_started.send(sender=consuming, environ={})
    try:
        yield
    finally:
        consumer_finished.send(sender=consuming)


@pytest.fixture
def layer() -> ChannelLayer:
    return ChannelLayer()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full channel is given up soon."""
    monkeypatch.setattr(pending_message_store, "retry_time", 0.05)


def drain(layer: Any, *channels: str) -> list[Any]:
    """Every message of the channels."""
    found = []
    while (received := layer.receive(channels))[0] is not None:
        found.append(received[1])
    return found


def test_sends_leave_in_order_when_the_consumer_ends(layer: ChannelLayer) -> None:
    channel = Channel("task", channel_layer=layer)
    with consuming():
        for number in range(3):
            channel.send({"number": number})
        assert drain(layer, "task") == []
    assert drain(layer, "task") == [{"number": 0}, {"number": 1}, {"number": 2}]


def test_group_sends_leave_when_the_consumer_ends(layer: ChannelLayer) -> None:
    group = Group("room", channel_layer=layer)
    group.add("member")
    with consuming():
        group.send({"text": "hello"})
        assert drain(layer, "member") == []
    assert drain(layer, "member") == [{"text": "hello"}]


def test_immediate_sends_do_not_wait(layer: ChannelLayer) -> None:
    group = Group("room", channel_layer=layer)
    group.add("member")
    with consuming():
        Channel("task", channel_layer=layer).send({"now": 1}, immediately=True)
        group.send({"now": 2}, immediately=True)
        assert drain(layer, "task") == [{"now": 1}]
        assert drain(layer, "member") == [{"now": 2}]


def test_an_immediate_send_to_a_full_channel_raises_at_once() -> None:
    layer = ChannelLayer(capacity=1)
    channel = Channel("task", channel_layer=layer)
    with consuming():
        channel.send({"number": 1}, immediately=True)
        with pytest.raises(layer.ChannelFull):
            channel.send({"number": 2}, immediately=True)
    assert drain(layer, "task") == [{"number": 1}]


def test_sends_leave_although_the_consumer_raised(layer: ChannelLayer) -> None:
    with pytest.raises(ZeroDivisionError), consuming():
        Channel("task", channel_layer=layer).send({"number": 1})
        raise ZeroDivisionError
    assert drain(layer, "task") == [{"number": 1}]
    assert not pending_message_store.active


def test_a_message_leaves_as_it_was_when_sent(layer: ChannelLayer) -> None:
    content: dict[str, Any] = {"list": [1, {"deep": (1, 2)}], "text": "a"}
    with consuming():
        Channel("task", channel_layer=layer).send(content)
        content["text"] = "b"
        content["list"][1]["deep"] = None
        content["list"].append(2)
    assert drain(layer, "task") == [{"list": [1, {"deep": [1, 2]}], "text": "a"}]


def test_a_consumer_within_a_consumer_sends_when_it_ends_itself(layer: ChannelLayer) -> None:
    channel = Channel("task", channel_layer=layer)
    with consuming():
        channel.send({"by": "outer"})
        with consuming():
            channel.send({"by": "inner"})
        assert drain(layer, "task") == [{"by": "inner"}]
        assert pending_message_store.active
    assert drain(layer, "task") == [{"by": "outer"}]


def test_other_threads_are_not_held_back(layer: ChannelLayer) -> None:
    with consuming():
        thread = threading.Thread(target=Channel("task", channel_layer=layer).send, args=({},))
        thread.start()
        thread.join()
        assert drain(layer, "task") == [{}]


def test_appending_outside_of_a_consumer_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no consumer runs on this thread"):
        PendingMessageStore().append(Channel("task"), {})


def test_flushing_outside_of_a_consumer_does_nothing() -> None:
    PendingMessageStore().send_and_flush()
    PendingMessageStore().flush()


def test_a_flush_within_a_consumer_sends_what_it_has_left_so_far(layer: ChannelLayer) -> None:
    channel = Channel("task", channel_layer=layer)
    with consuming():
        channel.send({"number": 1})
        pending_message_store.flush()
        assert drain(layer, "task") == [{"number": 1}]
        channel.send({"number": 2})
        assert drain(layer, "task") == []
    assert drain(layer, "task") == [{"number": 2}]


def test_a_full_channel_is_waited_for() -> None:
    # Given a consumer that sent to a full channel
    layer = ChannelLayer(capacity=1)
    layer.send("task", {"number": 1})

    def consume() -> None:
        with consuming():
            Channel("task", channel_layer=layer).send({"number": 2})

    thread = threading.Thread(target=consume)
    thread.start()
    # When somebody reads from it
    assert layer.receive(["task"], block=True, timeout=10)[1] == {"number": 1}
    # Then its message arrives
    assert layer.receive(["task"], block=True, timeout=10)[1] == {"number": 2}
    thread.join()


@pytest.mark.usefixtures("impatient")
def test_a_channel_that_stays_full_is_an_error_and_the_others_get_theirs() -> None:
    layer = ChannelLayer(capacity=1)
    layer.send("full", {})
    with pytest.raises(RuntimeError, match="'full' stayed full.*run more workers"):
        with consuming():
            Channel("full", channel_layer=layer).send({"lost": True})
            Channel("task", channel_layer=layer).send({"number": 1})
    assert drain(layer, "task") == [{"number": 1}]
    assert drain(layer, "full") == [{}]


@pytest.mark.usefixtures("impatient")
def test_many_messages_to_full_channels_wait_once_for_each(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    layer = ChannelLayer(capacity=1)
    full = [Channel(name, channel_layer=layer) for name in ("one", "two")]
    for channel in full:
        channel.send({})
    waits = []

    def counted(channel: str, timeout: float | None = None) -> bool:
        waits.append(channel)
        return ChannelLayer.wait_for_room(layer, channel, timeout)

    monkeypatch.setattr(layer, "wait_for_room", counted)
    with caplog.at_level(logging.ERROR, "django.channels"), pytest.raises(RuntimeError):
        with consuming():
            for number in range(50):
                full[number % 2].send({"number": number})
    assert waits == ["one", "two"]
    assert len(caplog.records) == 49  # the first is raised, the others are logged


def test_a_message_that_the_layer_refuses_does_not_hold_back_the_others(
    layer: ChannelLayer,
) -> None:
    with pytest.raises(TypeError) as raised, consuming():
        Channel("task", channel_layer=layer).send({"value": object()})
        Channel("task", channel_layer=layer).send({"number": 2})
    assert raised.value.__notes__ == ["A consumer had sent this message to Channel('task')."]
    assert drain(layer, "task") == [{"number": 2}]


def test_a_message_that_holds_itself_is_refused_as_outside_of_consumers(
    layer: ChannelLayer,
) -> None:
    content: dict[str, Any] = {"number": 1}
    content["once"] = content["twice"] = [content]
    channel = Channel("task", channel_layer=layer)
    with pytest.raises(TypeError) as outside:
        channel.send(content)
    with pytest.raises(TypeError) as inside, consuming():
        channel.send(content)
        channel.send({"number": 2})
    assert str(inside.value) == str(outside.value)
    assert drain(layer, "task") == [{"number": 2}]


class PlainLayer:
    """A third party's layer, which nobody can wait on."""

    class ChannelFull(Exception):
        pass

    def __init__(self) -> None:
        self.tries = 0
        self.room_after = 3
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, channel: str, message: dict[str, Any]) -> None:
        self.tries += 1
        if self.tries <= self.room_after:
            raise self.ChannelFull
        self.sent.append((channel, message))


def test_a_layer_that_cannot_be_waited_on_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_message_store, "retry_interval", 0.001)
    layer = PlainLayer()
    with consuming():
        Channel("task", channel_layer=layer).send({"number": 1})
    assert layer.sent == [("task", {"number": 1})]


@pytest.mark.usefixtures("impatient")
def test_a_layer_that_cannot_be_waited_on_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_message_store, "retry_interval", 0.01)
    layer = PlainLayer()
    layer.room_after = 1_000_000
    with pytest.raises(RuntimeError, match="stayed full"), consuming():
        Channel("task", channel_layer=layer).send({})
    assert layer.tries > 1


def test_a_blocked_flush_holds_back_no_other_thread() -> None:
    layer = ChannelLayer(capacity=1)
    layer.send("full", {})
    done = threading.Event()

    def consume() -> None:
        with consuming():
            Channel("full", channel_layer=layer).send({"number": 2})
        done.set()

    thread = threading.Thread(target=consume)
    thread.start()
    with consuming():
        Channel("task", channel_layer=layer).send({})
    assert drain(layer, "task") == [{}]
    assert layer.receive(["full"])[1] == {}
    wait_until(done.is_set)
    thread.join()
