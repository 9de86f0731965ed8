"""A layer made of two: what goes where, receives from both, and the kit."""

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from channels.exceptions import LayerUnavailable
from channels.layers.composite import CompositeChannelLayer
from channels.layers.conformance import ChannelLayerConformance
from channels.layers.conformance.kit import Background
from channels.layers.entries import Received
from channels.layers.inmemory import ChannelLayer
from tests.reactor import in_reactor
from tests.waiting import wait_until

pytestmark = pytest.mark.compiled_only

MIXED = ["near", "far?", "far!"]


def composite(**arguments: Any) -> CompositeChannelLayer:
    return CompositeChannelLayer(ChannelLayer(**arguments), ChannelLayer(**arguments))


@pytest.fixture
def layer() -> CompositeChannelLayer:
    return composite()


class TestCompositeLayer(ChannelLayerConformance):
    """Every demand of the kit; clients share the two parts."""

    idle_wakeups = 0

    def make_layer(self, **arguments: Any) -> CompositeChannelLayer:
        return composite(**arguments)

    def second_client(self, layer: Any) -> CompositeChannelLayer:
        return CompositeChannelLayer(layer.local, layer.remote)

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        return in_reactor(function, *args)


# What goes where


def test_normal_channels_are_local_and_others_remote(layer: CompositeChannelLayer) -> None:
    for channel in ("near", "far?x", "far!x"):
        layer.send(channel, {})
        in_reactor(layer.send_twisted, channel, {})
    assert layer.local.channels() == ["near"]
    assert sorted(layer.remote.channels()) == ["far!", "far?x"]
    assert sorted(layer.channels()) == ["far!", "far?x", "near"]


def test_names_are_checked_by_the_part_they_go_to(layer: CompositeChannelLayer) -> None:
    for name in ("a b", "a?b?", "a b!", b"a", None, 5, ["a"]):
        with pytest.raises(TypeError, match="channel name"):
            layer.send(name, {})  # type: ignore[arg-type]


def test_normal_channels_are_members_on_their_own_machine() -> None:
    shared = ChannelLayer()
    here, there = (CompositeChannelLayer(ChannelLayer(), shared) for _ in range(2))
    for member in ("near", "far?x", "far!x"):
        here.group_add("everybody", member)
    assert sorted(there.group_channels("everybody")) == ["far!x", "far?x"]
    assert sorted(here.group_channels("everybody")) == ["far!x", "far?x", "near"]
    there.send_group("everybody", {"n": 1})
    assert here.receive(["near"]) == (None, None)
    here.send_group("everybody", {"n": 2})
    assert here.receive(["near"]) == ("near", {"n": 2})
    assert [here.receive(["far!"])[1] for _ in range(2)] == [{"n": 1}, {"n": 2}]


def test_attributes_are_those_of_the_remote_layer() -> None:
    remote = ChannelLayer(expiry=5, group_expiry=6, capacity=7, channel_capacity={"far*": 2})
    layer = CompositeChannelLayer(ChannelLayer(capacity=3), remote)
    assert (layer.expiry, layer.group_expiry, layer.capacity) == (5, 6, 7)
    assert [layer.get_capacity(name) for name in ("near", "other!x", "far!x")] == [3, 7, 2]
    assert not layer.is_local


def test_a_layer_has_the_extensions_that_both_have() -> None:
    class Groupless(ChannelLayer):
        provides = ("flush", "twisted", "asyncio")

    layer = CompositeChannelLayer(Groupless(), ChannelLayer())
    assert list(layer.extensions) == ["flush", "twisted", "asyncio"]


def test_statistics_are_those_of_both_together(layer: CompositeChannelLayer) -> None:
    for channel in ("near", "near", "far!x"):
        layer.send(channel, {})
    found = layer.global_statistics()
    assert (found["messages_count"], found["messages_pending"]) == (3, 3)
    ages = [part.global_statistics()["messages_max_age"] for part in (layer.local, layer.remote)]
    assert max(ages) <= layer.global_statistics()["messages_max_age"] < sum(ages) + 10
    assert layer.channel_statistics("far!")["messages_count"] == 1
    assert layer.channel_statistics("near")["messages_count"] == 2


def test_drops_of_both_are_counted() -> None:
    layer = composite(capacity=1)
    for member in ("near", "far!x"):
        layer.group_add("everybody", member)
    for _ in range(3):
        layer.send_group("everybody", {})
    assert layer.drops == 4


@pytest.mark.parametrize("part", ["local", "remote"])
@pytest.mark.parametrize("channel", [None, "near", "far!"])
def test_the_generation_tells_of_either_layer(
    layer: CompositeChannelLayer, part: str, channel: str | None
) -> None:
    before = layer.generation(channel)
    getattr(layer, part).flush()
    assert layer.generation(channel) != before


@pytest.mark.parametrize("channel", [None, "near", "far!"])
def test_the_generation_is_unknown_while_that_of_either_layer_is(channel: str | None) -> None:
    class Unconnected(ChannelLayer):
        """Knows no generation yet, as a client does whose connection is being made."""

        def generation(self, channel: str | None = None) -> str:
            return ""

    assert CompositeChannelLayer(ChannelLayer(), Unconnected()).generation(channel) == ""
    assert CompositeChannelLayer(Unconnected(), ChannelLayer()).generation(channel) == ""


def test_each_layer_hears_of_its_own_listeners(layer: CompositeChannelLayer) -> None:
    layer.announce_listening("worker", ["near", "far!"])
    assert not layer.local.has_listener("far!x")
    assert not layer.remote.has_listener("near")
    assert layer.has_listener("near") and layer.has_listener("far!x")
    assert not layer.has_listener("other") and not layer.has_listener("other!x")
    layer.announce_listening("worker", [])
    assert layer.has_listener("other") and layer.has_listener("other!x")


def test_closing_closes_both() -> None:
    class Closing(ChannelLayer):
        closed = False

        def close(self) -> None:
            self.closed = True

    layer = CompositeChannelLayer(Closing(), Closing())
    layer.close()
    assert layer.local.closed and layer.remote.closed  # type: ignore[attr-defined]


def test_the_calls_below_the_public_ones_say_whom_to_ask(layer: CompositeChannelLayer) -> None:
    for call in (layer._take_one, lambda listening: layer._take(listening, 1), layer._withdraw):
        with pytest.raises(NotImplementedError, match="ask its local or its remote"):
            call(layer._listening(["near"]))


# Receives from both


def test_a_receive_from_both_serves_them_in_turn(layer: CompositeChannelLayer) -> None:
    for _ in range(10):
        layer.send("near", {})
        layer.send("far!x", {})
    served = [layer.receive(MIXED)[0] for _ in range(20)]
    assert served[::2] == ["near"] * 10 or served[1::2] == ["near"] * 10


@pytest.mark.parametrize("channel", ["near", "far!x", "far?"])
def test_a_blocked_receive_from_both_ends_with_a_message_of_either(
    layer: CompositeChannelLayer, channel: str
) -> None:
    for number in range(20):
        blocked = Background(layer.receive, MIXED, True)
        layer.send(channel, {"n": number})
        assert blocked.result(10) == (channel, {"n": number})


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_a_receive_from_both_ends_with_its_timeout(
    layer: CompositeChannelLayer, timeout: float
) -> None:
    assert layer.receive(MIXED, True, timeout) == (None, None)


def test_a_receive_from_both_is_interrupted(layer: CompositeChannelLayer) -> None:
    for wake in (layer.interrupt, layer.flush, layer.local.flush, layer.remote.flush):
        blocked = Background(layer.receive, MIXED, True)
        while blocked.is_alive():
            wake()  # again, should the thread not have been blocked yet
        assert blocked.result(10) == (None, None)
    token = layer.interruption
    layer.interrupt()
    for channels in (MIXED, ["near"], ["far!"]):
        assert layer.receive(channels, True, interruption=token) == (None, None)


def test_a_signal_handler_may_interrupt_a_receive_from_both(layer: CompositeChannelLayer) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: layer.interrupt())
    main = threading.main_thread().ident
    ended = threading.Event()

    def ring() -> None:
        wait_until(lambda: signal.pthread_kill(main, signal.SIGUSR1) or ended.is_set())

    try:
        ringing = Background(ring)
        assert layer.receive(MIXED, True, 10) == (None, None)
        ended.set()
        ringing.result(10)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_messages_from_both_at_the_same_time_are_all_received(
    layer: CompositeChannelLayer,
) -> None:
    received: list[Any] = []

    def receive() -> None:
        while len(received) < 400:
            channel, message = layer.receive(MIXED, True, 0.05)
            if message is not None:
                received.append((channel, message["n"]))

    receivers = [Background(receive) for _ in range(3)]
    senders = [
        Background(lambda c=channel: [_insist(layer, c, n) for n in range(200)])
        for channel in ("near", "far!x")
    ]
    for thread in [*senders, *receivers]:
        thread.result(60)
    assert sorted(received) == [(c, n) for c in ("far!x", "near") for n in range(200)]


def _insist(layer: CompositeChannelLayer, channel: str, number: int) -> None:
    while True:
        try:
            return layer.send(channel, {"n": number})
        except layer.ChannelFull:
            assert layer.wait_for_room(channel, 10)


class Late(ChannelLayer):
    """A remote layer that has taken a message when the coroutine that receives is cancelled."""

    async def receive_async(self, channels: Any) -> Received:
        try:
            return await super().receive_async(channels)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            return "far!x", {"late": True}


def test_a_message_taken_when_the_local_layer_came_first_is_not_lost() -> None:
    layer = CompositeChannelLayer(ChannelLayer(), Late())
    blocked = Background(layer.receive, MIXED, True)
    wait_until(lambda: layer.local._blocked and layer.remote._blocked)
    layer.send("near", {"n": 1})
    assert blocked.result(10) == ("far!x", {"late": True})
    assert layer.receive(["near"]) == ("near", {"n": 1})


def test_a_message_taken_at_the_timeout_is_not_lost() -> None:
    layer = CompositeChannelLayer(ChannelLayer(), Late())
    assert layer.receive(MIXED, True, 0.02) == ("far!x", {"late": True})


def test_a_message_taken_at_a_cancellation_is_not_lost() -> None:
    async def cancelled(layer: CompositeChannelLayer) -> Received:
        task = asyncio.ensure_future(layer.receive_async(MIXED))
        while not layer.remote._blocked:
            await asyncio.sleep(0)
        task.cancel()
        return await task

    late = CompositeChannelLayer(ChannelLayer(), Late())
    assert asyncio.run(cancelled(late)) == ("far!x", {"late": True})
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled(composite()))


class Away(ChannelLayer):
    """A remote layer whose store does not answer."""

    async def receive_async(self, channels: Any) -> Received:
        raise LayerUnavailable("away")

    def receive_twisted(self, channels: Any) -> Any:
        return self.failing

    def __init__(self) -> None:
        super().__init__()
        self.failing: Deferred[Any] = Deferred()


def test_a_failure_of_the_remote_layer_reaches_whoever_waits_for_both() -> None:
    layer = CompositeChannelLayer(ChannelLayer(), Away())
    with pytest.raises(LayerUnavailable):
        layer.receive(MIXED, True)
    deferred = in_reactor(lambda: [layer.receive_twisted(MIXED)])[0]
    outcome: list[Any] = []
    in_reactor(lambda: [deferred.addErrback(outcome.append)])  # not to be waited for
    in_reactor(layer.remote.failing.errback, LayerUnavailable("away"))  # type: ignore[attr-defined]
    assert outcome[0].check(LayerUnavailable)
    assert not layer.local._blocked


# Twisted


def pending(layer: CompositeChannelLayer) -> tuple[Deferred[Any], list[Any]]:
    """A Deferred that waits for both layers, and what it comes to."""
    outcome: list[Any] = []
    deferred = in_reactor(lambda: [layer.receive_twisted(MIXED)])[0]
    in_reactor(lambda: [deferred.addBoth(outcome.append)])  # not to be waited for
    return deferred, outcome


@pytest.mark.parametrize("channel", ["near", "far!x"])
def test_a_deferred_receive_takes_from_one_layer_only(
    layer: CompositeChannelLayer, channel: str
) -> None:
    _, outcome = pending(layer)
    assert not outcome
    layer.send(channel, {"n": 1})
    wait_until(lambda: outcome)
    assert outcome == [(channel, {"n": 1})]
    assert not layer.local._blocked and not layer.remote._blocked
    for other in ("near", "far!x"):
        layer.send(other, {"n": 2})
    assert sorted(str(in_reactor(layer.receive_twisted, MIXED)[0]) for _ in range(2)) == [
        "far!x",
        "near",
    ]


def test_a_deferred_receive_of_both_is_cancelled_in_both(layer: CompositeChannelLayer) -> None:
    deferred, outcome = pending(layer)
    assert layer.local._blocked and layer.remote._blocked
    in_reactor(deferred.cancel)
    assert outcome[0].check(CancelledError)
    assert not layer.local._blocked and not layer.remote._blocked


@pytest.mark.parametrize("channel", ["near", "far!x"])
def test_what_is_there_already_leaves_nothing_waiting(
    layer: CompositeChannelLayer, channel: str
) -> None:
    for number in range(4):
        layer.send(channel, {"n": number})
        (delivery,) = in_reactor(layer.receive_deliveries_twisted, MIXED)
        assert delivery.message == {"n": number}
        assert not layer.local._blocked and not layer.remote._blocked
