"""Layers of every kind, as the reactor sees them."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from channels.exceptions import ChannelFull
from channels.layers.entries import Delivery
from channels.layers.inmemory import ChannelLayer
from daphne.layers import NativeLayer, ReactorLayer, ThreadedLayer, TwistedLayer, adapt
from tests.reactor import in_reactor, reactor
from tests.waiting import wait_until

CHANNEL = "daphne.response.layers!"


class BlockingLayer:
    """The least that a layer of another project may have: it blocks, and that is all."""

    def __init__(self, waits: bool = True) -> None:
        self.messages: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue(maxsize=3)
        self.sent: list[tuple[str, Any, str]] = []
        self.receives = 0
        self._waits = waits

    def send(self, channel: str, message: Any) -> None:
        self.sent.append((channel, message, threading.current_thread().name))
        try:
            self.messages.put_nowait((channel, message))
        except queue.Full:
            raise ChannelFull(channel) from None

    def receive(self, channels: list[str], block: bool = False) -> Any:
        self.receives += 1
        try:
            return self.messages.get(block and self._waits, timeout=5)
        except queue.Empty:
            return None, None

    def new_channel(self, pattern: str) -> str:
        return pattern + "made"


class TwistedExtensionLayer(BlockingLayer):
    """The same with the reference's ``twisted`` extension."""

    extensions = ["twisted"]

    def receive_twisted(self, channels: list[str]) -> "Deferred[Any]":
        deferred: Deferred[Any] = Deferred()
        reactor.callLater(0, lambda: deferred.callback(self.receive(channels)))
        return deferred


@pytest.fixture
def view() -> Iterator[Callable[..., ReactorLayer]]:
    made: list[ReactorLayer] = []

    def make(layer: Any, force_sync: bool = False) -> ReactorLayer:
        made.append(adapt(layer, reactor, force_sync))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.mark.parametrize(
    ("layer", "force_sync", "expected"),
    [
        (ChannelLayer, False, NativeLayer),
        (ChannelLayer, True, ThreadedLayer),
        (TwistedExtensionLayer, False, TwistedLayer),
        (TwistedExtensionLayer, True, ThreadedLayer),
        (BlockingLayer, False, ThreadedLayer),
    ],
)
def test_the_cheapest_way_is_chosen(view, layer, force_sync, expected):
    assert type(view(layer(), force_sync)) is expected


@pytest.mark.parametrize("force_sync", [False, True])
@pytest.mark.parametrize("kind", [ChannelLayer, TwistedExtensionLayer, BlockingLayer])
class TestEveryKind:
    def test_a_message_arrives_as_a_delivery(self, view, kind, force_sync):
        layer = kind()
        layer.send(CHANNEL + "a", {"n": 1})
        deliveries = in_reactor(view(layer, force_sync).receive, CHANNEL)
        assert deliveries == [Delivery(CHANNEL, ("a",), {"n": 1})]

    def test_sends_arrive(self, view, kind, force_sync):
        layer = kind()
        in_reactor(view(layer, force_sync).send, "a", {"n": 1})
        assert layer.receive(["a"]) == ("a", {"n": 1})

    def test_a_full_channel_fails(self, view, kind, force_sync):
        layer = kind()
        one = view(layer, force_sync)
        with pytest.raises(ChannelFull):
            for _ in range(100):
                in_reactor(one.send, "a", {})

    def test_names_are_made(self, view, kind, force_sync):
        name = in_reactor(view(kind(), force_sync).new_channel, "body?")
        assert name.startswith("body?") and len(name) > 5

    def test_room_comes(self, view, kind, force_sync):
        in_reactor(view(kind(), force_sync).room, "a")

    def test_the_generation_is_stable_and_listeners_unknown(self, view, kind, force_sync):
        one = view(kind(), force_sync)
        assert in_reactor(one.generation, CHANNEL) == in_reactor(one.generation, CHANNEL)
        assert in_reactor(one.has_listener, "a")


def test_a_blocking_layer_blocks_a_thread_and_not_the_reactor(view):
    layer = BlockingLayer()
    one = view(layer)
    results: list[Any] = []
    in_reactor(lambda: one.receive(CHANNEL).addCallback(results.append) and None)
    wait_until(lambda: layer.receives == 1)
    assert in_reactor(lambda: "the reactor goes on") == "the reactor goes on"
    layer.messages.put((CHANNEL + "a", {}))
    wait_until(lambda: results)
    assert results == [[Delivery(CHANNEL, ("a",), {})]]


def test_sends_of_a_blocking_layer_are_made_in_a_thread(view):
    layer = BlockingLayer()
    in_reactor(view(layer).send, "a", {})
    assert layer.sent[0][2] not in ("reactor", "MainThread")


def test_what_waits_already_comes_along_in_one_turn(view):
    layer = BlockingLayer()
    for number in range(3):
        layer.send(CHANNEL + "a", {"n": number})
    deliveries = in_reactor(view(layer).receive, CHANNEL)
    assert [delivery.message["n"] for delivery in deliveries] == [0, 1, 2]


def test_an_exception_of_a_receive_reaches_the_caller(view):
    layer = BlockingLayer()
    layer.receive = lambda channels, block=False: 1 / 0
    with pytest.raises(ZeroDivisionError):
        in_reactor(view(layer).receive, CHANNEL)


def test_a_layer_that_cannot_wait_is_looked_at_ever_less_often(view):
    one = view(BlockingLayer(waits=False))
    before = one._look
    for _ in range(6):
        assert in_reactor(one.receive, CHANNEL) == []
    assert one._look > before


def test_stopping_ends_the_thread_even_in_the_middle_of_a_receive(view):
    one = view(ChannelLayer(), force_sync=True)
    in_reactor(lambda: one.receive(CHANNEL) and None)
    wait_until(one._thread.is_alive)
    one.stop()
    wait_until(lambda: not one._thread.is_alive())


def test_no_stop_is_lost_that_comes_just_before_a_receive(view):
    layer, begun, stopped = ChannelLayer(), threading.Event(), threading.Event()
    receive = layer.receive

    def late(*args: Any, **options: Any) -> Any:
        begun.set()
        stopped.wait(10)
        return receive(*args, **options)

    layer.receive = late  # type: ignore[method-assign]
    one = view(layer, force_sync=True)
    in_reactor(lambda: one.receive(CHANNEL) and None)
    begun.wait(10)
    one.stop()
    stopped.set()
    wait_until(lambda: not one._thread.is_alive())
