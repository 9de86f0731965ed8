"""The last message of a consumer leaves together with the worker's next receive."""

import threading
from typing import Any

import pytest

from channels import Channel, Group
from channels.asgi import ChannelLayerWrapper
from channels.layers.conformance.kit import Background
from channels.layers.inmemory import ChannelLayer
from channels.message import pending_message_store
from channels.routing import route
from channels.worker import Worker
from channels.worker.dispatch import Dispatcher
from tests.waiting import wait_until
from tests.worker.workers import make_layer, running


class RecordingLayer(ChannelLayer):
    """Keeps the names that were sent to by themselves, and together with a receive."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.alone: list[str] = []
        self.joined: list[str] = []

    def send(self, channel: str, message: dict[str, Any]) -> None:
        self.alone.append(channel)
        super().send(channel, message)

    def send_and_receive(self, channel: str, *arguments: Any, **options: Any) -> Any:
        self.joined.append(channel)
        joined = super().send_and_receive(channel, *arguments, **options)
        self.alone.remove(channel)  # the joined send is made of both calls here
        return joined


def worker_of(wrapper: ChannelLayerWrapper) -> Worker:
    return Worker(wrapper, signal_handlers=False)


def received(layer: Any, *channels: str) -> Any:
    return layer.receive(channels, True, 10)


def test_only_the_last_message_of_a_consumer_is_joined():
    layer = RecordingLayer()

    def consumer(message):
        for name in ("first", "second", "last"):
            Channel(name, channel_layer=wrapper).send({})

    wrapper = make_layer([route("task", consumer)], layer)
    layer.send("task", {})
    with running(worker_of(wrapper)):
        assert [received(layer, name)[0] for name in ("first", "second", "last")]
    assert layer.joined == ["last"]
    assert layer.alone == ["task", "first", "second"]


class TracedChannel(Channel):
    """A channel that does more than to send."""

    traced: list[str] = []

    def send(self, content: dict[str, Any], immediately: bool = False) -> None:
        self.traced.append(self.name)
        super().send(content, immediately)


@pytest.mark.parametrize("kind", ["group", "other layer", "subclass"])
def test_what_is_more_than_a_send_of_the_workers_layer_leaves_by_itself(kind):
    layer, other = RecordingLayer(), ChannelLayer()
    sender: Any = {
        "group": lambda: Group("all", channel_layer=wrapper),
        "other layer": lambda: Channel("end", channel_layer=other),
        "subclass": lambda: TracedChannel("end", channel_layer=wrapper),
    }[kind]
    wrapper = make_layer([route("task", lambda message: sender().send({}))], layer)
    layer.group_add("all", "end")
    layer.send("task", {})
    with running(worker_of(wrapper)):
        assert received(other if kind == "other layer" else layer, "end") == ("end", {})
    assert layer.joined == []
    assert kind != "subclass" or TracedChannel.traced == ["end", "end"]


def test_a_full_channel_is_waited_for_and_the_order_stays():
    layer = ChannelLayer(channel_capacity={"end": 1})

    def consumer(message):
        for number in (1, 2):
            Channel("end", channel_layer=wrapper).send({"n": number})

    wrapper = make_layer([route("task", consumer)], layer)
    layer.send("task", {})
    with running(worker_of(wrapper)):
        wait_until(lambda: layer.channel_statistics("end")["channel_full_count"])
        assert [received(layer, "end")[1]["n"] for _ in range(2)] == [1, 2]


def test_a_channel_that_stays_full_is_logged_and_the_worker_goes_on(caplog, monkeypatch):
    monkeypatch.setattr(pending_message_store, "retry_time", 0.01)
    layer = ChannelLayer(channel_capacity={"end": 1})
    layer.send("end", {})
    done = []
    wrapper = make_layer(
        [
            route("task", lambda message: Channel("end", channel_layer=wrapper).send({})),
            route("other", lambda message: done.append(1)),
        ],
        layer,
    )
    layer.send("task", {})
    with running(worker_of(wrapper)):
        wait_until(lambda: "stayed full" in caplog.text)
        layer.send("other", {})
        wait_until(lambda: done)


def test_a_message_that_was_received_beside_a_refusal_is_handled():
    """A layer with a server learns of the refusal when the next message is there."""

    class LateLayer(ChannelLayer):
        def send_and_receive(self, channel: str, message: Any, channels: Any, *_: Any, **__: Any):
            joined = super().send_and_receive(channel, message, channels, 0)
            return joined._replace(channel="other", message={}) if joined.failure else joined

    layer = LateLayer(channel_capacity={"end": 1})
    layer.send("end", {"n": 0})
    done = threading.Event()
    wrapper = make_layer(
        [
            route("task", lambda message: Channel("end", channel_layer=wrapper).send({"n": 1})),
            route("other", lambda message: done.set()),
        ],
        layer,
    )
    layer.send("task", {})
    with running(worker_of(wrapper)):
        wait_until(lambda: layer.channel_statistics("end")["channel_full_count"])
        assert [received(layer, "end")[1]["n"] for _ in range(2)] == [0, 1]
        assert done.wait(10)


def test_a_worker_that_is_stopped_sends_what_it_holds():
    layer = RecordingLayer()

    def consumer(message):
        Channel("end", channel_layer=wrapper).send({"n": 1})
        worker.stop()

    wrapper = make_layer([route("task", consumer)], layer)
    layer.send("task", {})
    worker = worker_of(wrapper)
    Background(worker.run).result(10)
    assert layer.receive(["end"]) == ("end", {"n": 1})
    assert layer.joined == []


def test_what_cannot_be_sent_is_logged_with_its_sender(caplog):
    wrapper = make_layer(
        [route("task", lambda message: Channel("end", channel_layer=wrapper).send({"n": object()}))]
    )
    wrapper.send("task", {})
    with running(worker_of(wrapper)):
        wait_until(lambda: "Cannot send a message of a finished consumer" in caplog.text)
    (record,) = [one for one in caplog.records if "finished consumer" in one.getMessage()]
    assert record.exc_info and record.exc_info[1]
    assert record.exc_info[1].__notes__ == ["A consumer had sent this message to Channel('end')."]


def test_a_layer_that_cannot_join_sends_as_the_consumer_ends():
    class ForeignLayer:
        """As somebody else might write one."""

        def __init__(self) -> None:
            self.inner = ChannelLayer()

        def __getattr__(self, name: str) -> Any:
            if name == "send_and_receive":
                raise AttributeError(name)
            return getattr(self.inner, name)

    layer = ForeignLayer()
    wrapper = make_layer(
        [route("task", lambda message: Channel("end", channel_layer=wrapper).send({}))], layer
    )
    layer.send("task", {})
    with running(worker_of(wrapper)):
        assert received(layer, "end") == ("end", {})


def test_a_worker_that_ends_leaves_the_next_message_though_those_behind_it_cannot_wait(caplog):
    class FailingLayer(ChannelLayer):
        def send(self, channel: str, message: dict[str, Any]) -> None:
            if channel.startswith("__wait__"):
                raise ConnectionError("the store is away")
            super().send(channel, message)

    wrapper = make_layer([route("task", lambda message: None)], FailingLayer())
    dispatcher = Dispatcher(wrapper, Worker, accepts=lambda channel: True)
    assert dispatcher._follow("task", {"n": 1}, [{"reply_channel": "x!y", "order": 2}])
    worker_of(wrapper)._put_back(dispatcher)
    assert wrapper.receive(["task"]) == ("task", {"n": 1})
    assert "1 messages that wait for their turn were lost" in caplog.text
