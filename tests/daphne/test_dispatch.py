"""The way between cores and the channel layer: order, turns, failures, and emptied layers."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from channels.exceptions import ChannelFull, LayerUnavailable
from channels.layers.entries import Delivery
from channels.layers.inmemory import ChannelLayer
from daphne.dispatch import Dispatch
from daphne.layers import NativeLayer, adapt
from tests.reactor import in_reactor, reactor
from tests.waiting import wait_until

CHANNEL = "daphne.response.dispatch!"


class Receiver:
    """Keeps what it is given."""

    def __init__(self, action: Callable[..., None] | None = None) -> None:
        self.received: list[tuple[str, Any, dict[Any, Any]]] = []
        self.answers: list[tuple[Any, ...]] = []
        self._action = action

    def deliver(self, local: str, message: Any, shared: dict[Any, Any]) -> None:
        self.received.append((local, message, shared))
        if self._action is not None:
            self._action()

    def sent(self, core: Any, key: object) -> None:
        self.answers.append(("sent", core, key))

    def send_failed(self, core: Any, key: object, error: Exception) -> None:
        self.answers.append(("send_failed", core, key, error))

    def channel_made(self, core: Any, key: object, name: str) -> None:
        self.answers.append(("channel_made", core, key, name))

    def room(self, core: Any, key: object) -> None:
        self.answers.append(("room", core, key))


class StubLayer:
    """A layer as the reactor sees it, whose receives a test answers."""

    def __init__(self) -> None:
        self.receives: list[Deferred[list[Delivery]]] = []
        self.prepared: list[Any] = []
        self.generation_value = "1"
        self.sends: list[tuple[str, Any]] = []
        self.send_result: Callable[[], Any] = lambda: succeed(None)
        self.stopped = False

    def receive(self, channel: str) -> Any:
        if self.prepared:
            return self.prepared.pop(0)
        self.receives.append(Deferred())
        return self.receives[-1]

    def send(self, channel: str, message: Any) -> Any:
        self.sends.append((channel, message))
        return self.send_result()

    def new_channel(self, pattern: str) -> Any:
        return succeed(pattern + "name")

    def room(self, channel: str) -> Any:
        return succeed(None)

    def generation(self, channel: str) -> str:
        return self.generation_value

    def has_listener(self, channel: str) -> bool:
        return channel != "unheard"

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def make() -> Iterator[Callable[..., Dispatch]]:
    made: list[Dispatch] = []

    def dispatch(layer: Any, shed: Callable[[str], None] = lambda reason: None) -> Dispatch:
        made.append(Dispatch(reactor, layer, CHANNEL, shed))
        return made[-1]

    yield dispatch
    for one in made:
        in_reactor(one.stop)


@pytest.fixture
def stub() -> StubLayer:
    return StubLayer()


def to(*targets: str, **message: Any) -> Delivery:
    return Delivery(CHANNEL, targets, message)


def test_messages_reach_the_receiver_of_their_local_part(make):
    layer = ChannelLayer()
    one = make(adapt(layer, reactor))
    receiver, other = Receiver(), Receiver()
    in_reactor(one.register, "a", receiver)
    in_reactor(one.register, "b", other)
    in_reactor(one.start)
    layer.send(CHANNEL + "a", {"n": 1})
    layer.send(CHANNEL + "nobody", {"n": 2})
    layer.send(CHANNEL + "a", {"n": 3})
    wait_until(lambda: len(receiver.received) == 2)
    assert [(local, message) for local, message, _ in receiver.received] == [
        ("a", {"n": 1}),
        ("a", {"n": 3}),
    ]
    assert other.received == []


def test_the_beginning_of_a_local_part_says_who_receives(make, stub):
    one = make(stub)
    named, short = Receiver(), Receiver()
    in_reactor(one.register, "0123456789abcdef", named)
    in_reactor(one.register, "0", short)
    in_reactor(one.start)
    locals_ = ["0123456789abcdef", "0123456789abcdef17", "0123456789abcde", "01", "0", ""]
    in_reactor(stub.receives[0].callback, [to(*locals_)])
    assert [local for local, _, _ in named.received] == locals_[:2]
    assert [local for local, _, _ in short.received] == ["0"]


def test_a_fan_out_shares_one_dictionary_among_its_targets(make, stub):
    one = make(stub)
    receivers = [Receiver(), Receiver()]
    in_reactor(one.register, "a", receivers[0])
    in_reactor(one.register, "b", receivers[1])
    in_reactor(one.start)
    in_reactor(stub.receives[0].callback, [to("a", "b", n=1), to("a", n=2)])
    first, second = receivers[0].received
    assert first[2] is receivers[1].received[0][2]
    assert first[2] is not second[2]


def test_one_turn_of_the_reactor_serves_500_and_order_is_kept(make, stub):
    one = make(stub)
    receiver = Receiver()
    counts: list[int] = []

    def start() -> None:
        for number in range(2000):
            one.register(str(number), receiver)
        one.start()
        names = [str(number) for number in range(2000)]
        stub.receives[0].callback([to(*names[:1200]), to(*names[1200:]), to("0", last=True)])
        counts.append(len(receiver.received))
        for _ in range(3):
            reactor.callLater(0, lambda: counts.append(len(receiver.received)))

    in_reactor(start)
    wait_until(lambda: len(receiver.received) == 2001)
    assert counts[0] == 500
    assert counts[1] <= 1000
    assert [local for local, _, _ in receiver.received] == [*map(str, range(2000)), "0"]
    assert len(stub.receives) == 2  # it asked for more only after all of that


def test_a_busy_layer_does_not_keep_the_reactor_from_its_sockets(make, stub):
    one = make(stub)
    in_reactor(one.register, "a", Receiver())
    turns: list[int] = []

    def start() -> None:
        stub.prepared = [succeed([to("a")]) for _ in range(2000)]
        reactor.callLater(0, lambda: turns.append(len(stub.prepared)))
        one.start()

    in_reactor(start)
    wait_until(lambda: stub.receives)
    assert turns and turns[0] > 0


def test_a_delivery_may_unregister_later_targets(make, stub):
    one = make(stub)
    second = Receiver()
    in_reactor(one.register, "a", Receiver(lambda: one.unregister("b")))
    in_reactor(one.register, "b", second)
    in_reactor(one.start)
    in_reactor(stub.receives[0].callback, [to("a", "b")])
    assert second.received == []
    assert len(one) == 1


def test_being_woken_for_nothing_asks_again(make, stub):
    one = make(stub)
    in_reactor(one.start)
    in_reactor(stub.receives[0].callback, [])
    assert len(stub.receives) == 2


def test_a_streamer_whose_client_is_gone_is_told(make, stub):
    one = make(stub)
    in_reactor(one.start)
    in_reactor(
        stub.receives[0].callback,
        [to("gone", content=b"x", more_content=True), to("gone", content=b"x")],
    )
    assert stub.sends == [("daphne.response.dispatch?gone", {"closed": True})]


def test_an_emptied_layer_sheds_the_sockets_once(make):
    layer, reasons = ChannelLayer(), []
    one = make(adapt(layer, reactor), reasons.append)
    in_reactor(one.start)
    layer.flush()
    wait_until(lambda: reasons)
    receiver = Receiver()
    in_reactor(one.register, "a", receiver)
    layer.send(CHANNEL + "a", {})
    wait_until(lambda: receiver.received)
    assert len(reasons) == 1
    assert "emptied" in reasons[0]


def test_a_layer_emptied_while_messages_are_delivered_is_noticed(make, stub):
    reasons: list[str] = []

    def emptied() -> None:
        stub.generation_value = "2"  # wakes nobody, since nobody waits at this moment

    one = make(stub, reasons.append)
    in_reactor(one.register, "a", Receiver(emptied))
    in_reactor(one.start)
    in_reactor(stub.receives[0].callback, [to("a")])
    assert len(reasons) == 1


def test_a_generation_that_becomes_known_sheds_nothing(make, stub):
    reasons: list[str] = []
    stub.generation_value = ""
    one = make(stub, reasons.append)
    in_reactor(one.start)
    for value, sheds in (("1", 0), ("1", 0), ("2", 1)):
        stub.generation_value = value
        in_reactor(stub.receives[-1].callback, [to("a")])
        assert len(reasons) == sheds


def test_a_single_failure_is_retried_without_shedding(make, stub, caplog):
    reasons: list[str] = []
    one = make(stub, reasons.append)
    in_reactor(one.start)
    in_reactor(stub.receives[0].errback, LayerUnavailable("the store is away"))
    wait_until(lambda: len(stub.receives) == 2)
    assert reasons == []
    assert "the store is away" in caplog.text


def test_a_lost_layer_sheds_once_and_is_waited_for(make, stub):
    reasons: list[str] = []
    one = make(stub, reasons.append)
    receiver = Receiver()
    in_reactor(one.register, "a", receiver)
    in_reactor(one.start)
    for number in range(3):
        wait_until(lambda number=number: len(stub.receives) == number + 1)
        in_reactor(stub.receives[number].errback, LayerUnavailable("away"))
    wait_until(lambda: len(stub.receives) == 4)
    assert reasons == ["the channel layer does not answer"]
    in_reactor(stub.receives[3].callback, [to("a")])
    assert len(receiver.received) == 1


def test_a_receive_that_raises_is_waited_for_too(make, stub):
    one = make(stub)
    failing = [LayerUnavailable("away")]
    receive = stub.receive

    def raising(channel: str) -> Any:
        if failing:
            raise failing.pop()
        return receive(channel)

    stub.receive = raising
    in_reactor(one.start)
    wait_until(lambda: stub.receives)


def test_waits_grow_while_the_layer_is_away(make, stub, caplog):
    one = make(stub)
    stub.prepared = [fail(LayerUnavailable("away")) for _ in range(3)]
    in_reactor(one.start)
    wait_until(lambda: stub.receives)
    waits = [record.args[2] for record in caplog.records if "failed" in record.message]
    assert len(waits) == 3
    assert waits[0] <= 0.2 and waits[1] <= 0.4 and waits[2] <= 0.8
    assert waits[2] > waits[0]


def test_stopping_cancels_the_receive_and_loses_nothing(make):
    layer = ChannelLayer()
    one = make(adapt(layer, reactor))
    in_reactor(one.start)
    in_reactor(one.stop)
    layer.send(CHANNEL + "a", {"n": 1})
    assert layer.receive([CHANNEL]) == (CHANNEL + "a", {"n": 1})


def test_stopping_stops_the_layers_threads(make, stub):
    one = make(stub)
    in_reactor(one.start)
    in_reactor(one.stop)
    assert stub.stopped


def test_the_outcome_of_sends_is_reported(make, stub):
    one, receiver = make(stub), Receiver()
    core = object()
    in_reactor(one.send, receiver, core, "a", {"n": 1}, 1, True)
    in_reactor(one.send, receiver, core, "a", {"n": 1}, 0)
    stub.send_result = lambda: fail(ChannelFull())
    in_reactor(one.send, receiver, core, "a", {"n": 2}, 2)
    stub.send_result = lambda: 1 / 0
    in_reactor(one.send, receiver, core, "a", {"n": 3}, 3)
    assert receiver.answers[0] == ("sent", core, 1)
    assert receiver.answers[1][:3] == ("send_failed", core, 2)
    assert isinstance(receiver.answers[1][3], ChannelFull)
    assert isinstance(receiver.answers[2][3], ZeroDivisionError)


def test_failures_that_nobody_hears_of_are_logged_at_a_limited_rate(make, stub, caplog):
    """A lost layer fails the last message of every socket."""
    one = make(stub)
    stub.send_result = lambda: fail(LayerUnavailable("away"))
    for _ in range(500):
        in_reactor(one.send, Receiver(), None, "websocket.disconnect", {}, None)
    lines = [record.getMessage() for record in caplog.records if "Sending" in record.getMessage()]
    assert lines == ["Sending to 'websocket.disconnect' failed: LayerUnavailable: away"]


def test_settled_waits_for_sends_under_way(make, stub):
    one, receiver = make(stub), Receiver()
    pending: list[Deferred[None]] = []
    stub.send_result = lambda: pending.append(Deferred()) or pending[-1]
    in_reactor(one.send, receiver, None, "a", {}, 1, True)
    in_reactor(one.send, receiver, None, "a", {}, 2)
    in_reactor(one.send, receiver, None, "a", {})
    settled: list[bool] = []
    in_reactor(lambda: one.settled().addCallback(lambda _: settled.append(True)) and None)
    in_reactor(pending[0].callback, None)
    assert settled == [] and receiver.answers == [("sent", None, 1)]
    in_reactor(pending[1].callback, None)
    assert settled == [] and receiver.answers == [("sent", None, 1)]
    in_reactor(pending[2].errback, ChannelFull())
    assert settled == [True]


def test_who_listens_is_the_layers_to_say(make, stub, caplog):
    one = make(stub)
    assert one.has_listener("heard")
    assert not one.has_listener("unheard")
    stub.has_listener = lambda channel: 1 / 0
    assert one.has_listener("unheard")
    assert "ZeroDivisionError" in caplog.text


def test_a_layer_of_ours_is_called_directly():
    assert isinstance(adapt(ChannelLayer(), reactor), NativeLayer)
