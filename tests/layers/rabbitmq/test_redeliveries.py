"""Messages of process channels are handed out at once, and once, whatever the broker repeats."""

import asyncio
import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from channels.exceptions import LayerUnavailable
from channels.layers.conformance.kit import Background
from channels.layers.rabbitmq import RabbitmqChannelLayer, engine, receiving
from tests.layers.rabbitmq.brokers import broker, fresh_prefix
from tests.reactor import in_reactor
from tests.servers.proxy import Proxy
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs("rabbitmq-server"), pytest.mark.compiled_only]

PATIENCE = 30.0

#: What ends a receiver.
LAST = {"n": "last"}


class Clients:
    """``near`` reads over ``proxy``, which loses acknowledgements; ``far`` sends."""

    def __init__(self) -> None:
        self.proxy = Proxy(broker().port)
        prefix = fresh_prefix()
        url = f"amqp://guest:guest@127.0.0.1:{self.proxy.port}/%2F"
        self.near = RabbitmqChannelLayer(url, prefix=prefix, capacity=10_000)
        self.far = RabbitmqChannelLayer(broker().url, prefix=prefix, capacity=10_000)

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self.far.send("serv!a", {"n": number})

    def engine(self) -> Any:
        return self.near._reactor_engine or self.near._engine_thread().engine

    def has_consumer(self, queue: str) -> bool:
        consumer = self.engine()._receiving._consumers.get(queue)
        return consumer is not None and consumer.state == receiving.ACTIVE

    def cut(self, *, unseen: bool = False) -> None:
        """Have ``near`` lose its connection, ``unseen`` by the broker, and make another one."""
        engine = self.engine()
        lost = engine.session
        if unseen:
            self.proxy.desert()
        else:
            self.proxy.cut()
        wait_until(lambda: engine.session not in (None, lost), PATIENCE)

    def take(self, count: int) -> list[Any]:
        """The numbers of the next ``count`` messages."""
        return [_number(self.near.receive(["serv!"], True, PATIENCE)) for _ in range(count)]

    def close(self) -> None:
        for layer in (self.near, self.far):
            layer.close()
        self.proxy.close()


@pytest.fixture
def clients() -> Iterator[Clients]:
    made = Clients()
    yield made
    made.close()


def _number(received: tuple[str | None, Any]) -> Any:
    assert received[0] == "serv!a"
    return received[1]["n"]


# Ways to receive; each gives some messages, or none.


def blocking(layer: RabbitmqChannelLayer) -> list[Any]:
    return [layer.receive(["serv!"], True, PATIENCE)]


def polling(layer: RabbitmqChannelLayer) -> list[Any]:
    try:
        channel, message = layer.receive(["serv!"])
    except LayerUnavailable:
        return []
    return [(channel, message)] if message else []


def with_asyncio(layer: RabbitmqChannelLayer) -> list[Any]:
    return [asyncio.run(layer.receive_async(["serv!"]))]


def with_twisted(layer: RabbitmqChannelLayer) -> list[Any]:
    return [in_reactor(layer.receive_twisted, ["serv!"])]


def several_with_twisted(layer: RabbitmqChannelLayer) -> list[Any]:
    deliveries = in_reactor(layer.receive_deliveries_twisted, ["serv!"])
    return [(one.channel + one.targets[0], one.message) for one in deliveries]


class Receiver:
    """Receives in a thread until the last message; ``numbers`` are those of what came."""

    def __init__(
        self, layer: RabbitmqChannelLayer, receive: Callable[[RabbitmqChannelLayer], list[Any]]
    ) -> None:
        self._layer = layer
        self._receive = receive
        self.numbers: list[Any] = []
        self.thread = Background(self._run)

    def _run(self) -> None:
        while not self.is_done():
            self.numbers += map(_number, self._receive(self._layer))

    def is_done(self) -> bool:
        return self.numbers[-1:] == [LAST["n"]]


@pytest.mark.parametrize("receive", [blocking, with_asyncio, with_twisted, several_with_twisted])
def test_a_message_is_handed_out_before_the_broker_confirms_it(
    clients: Clients, receive: Callable[[RabbitmqChannelLayer], list[Any]]
) -> None:
    receiver = Receiver(clients.near, receive)
    clients.send(1)
    wait_until(lambda: receiver.numbers, PATIENCE)  # there is a consumer, and the next receive
    clients.proxy.hold_after(0)
    clients.send(*range(2, 20))
    clients.far.send("serv!a", LAST)
    receiver.thread.result(PATIENCE)
    assert receiver.numbers == [*range(1, 20), LAST["n"]]
    wait_until(lambda: clients.proxy.withheld > 0)
    clients.proxy.cut()


def test_a_message_that_others_may_read_is_handed_out_when_the_broker_confirms_it(
    clients: Clients,
) -> None:
    blocked = Background(clients.near.receive, ["one"], True)
    clients.far.send("one", {"n": 1})
    assert blocked.result(PATIENCE) == ("one", {"n": 1})
    blocked = Background(clients.near.receive, ["one"], True)
    wait_until(lambda: clients.engine()._receiving._lines.get("one"))
    wait_until(lambda: clients.has_consumer("one"))
    clients.proxy.hold_after(0)
    clients.far.send("one", {"n": 2})
    wait_until(lambda: clients.proxy.withheld > 0)
    assert blocked.is_alive()
    clients.proxy.cut()
    assert blocked.result(PATIENCE) == ("one", {"n": 2})
    assert clients.near.drops == 1  # the broker might have read that it was taken


@pytest.mark.parametrize(
    "receive", [blocking, polling, with_asyncio, with_twisted, several_with_twisted]
)
@pytest.mark.parametrize("cuts", [8, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("alike", [False, True], ids=["different", "alike"])
def test_connections_cut_at_any_moment_double_and_lose_nothing(
    clients: Clients,
    receive: Callable[[RabbitmqChannelLayer], list[Any]],
    cuts: int,
    alike: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choice = random.Random(f"{receive.__name__} {cuts} {alike}")
    # Else what is waited for after the bytes that are withheld may be the end of a consumer.
    consumers_stay = not alike and receive is not polling
    if consumers_stay:
        monkeypatch.setattr(receiving, "LINGER", 2 * PATIENCE)
    if alike:  # in all bytes: they expire in the same millisecond, too
        now = engine.time.time()
        monkeypatch.setattr(engine, "time", SimpleNamespace(time=lambda: now))
    sent: list[int] = []
    receiver = Receiver(clients.near, receive)

    def send() -> None:
        more = [0 if alike else number for number in range(len(sent), len(sent) + 80)]
        sent.extend(more)
        clients.send(*more)

    send()
    for _ in range(cuts):
        count = len(sent) - choice.randrange(60)
        wait_until(lambda: len(receiver.numbers) >= count, PATIENCE)  # noqa: B023
        wait_until(lambda: clients.has_consumer("serv!") or not consumers_stay, PATIENCE)
        clients.proxy.hold_after(choice.randrange(400))  # an acknowledgement has 21 bytes
        send()
        many = choice.randrange(200) if consumers_stay else 1
        wait_until(lambda: clients.proxy.withheld >= many, PATIENCE)  # noqa: B023
        clients.cut()
    clients.far.send("serv!a", LAST)
    receiver.thread.result(PATIENCE)
    assert receiver.numbers == [*sent, LAST["n"]]
    assert clients.near.drops == 0


def test_a_broker_that_hears_late_of_a_lost_connection_doubles_nothing(clients: Clients) -> None:
    clients.send(*range(120))
    assert clients.take(1) == [0]
    clients.proxy.hold_after(0)
    first = clients.take(10)
    clients.cut(unseen=True)
    # What the broker handed to the old connection it keeps; the new one gets what comes after it.
    after = clients.take(60)
    assert after[0] - first[-1] > 1
    clients.proxy.end_deserted()
    rest = clients.take(120 - 1 - 10 - 60)
    assert sorted([0, *first, *after, *rest]) == [*range(120)]
    assert clients.near.receive(["serv!"]) == (None, None)
    assert clients.near.drops == 0


def test_the_engines_of_a_layer_know_of_each_other(clients: Clients) -> None:
    clients.send(*range(30))
    assert clients.take(1) == [0]
    clients.proxy.hold_after(0)
    assert clients.take(10) == [*range(1, 11)]
    clients.proxy.cut()
    receiver = Receiver(clients.near, several_with_twisted)
    clients.far.send("serv!a", LAST)
    receiver.thread.result(PATIENCE)
    assert receiver.numbers == [*range(11, 30), LAST["n"]]


def test_messages_that_were_given_back_are_handed_out_later(clients: Clients) -> None:
    clients.send(1, 2, 3)
    assert clients.take(1) == [1]
    name = clients.near.topology.queue("serv!", 0)
    session = clients.far._engine_thread().engine.session
    assert session is not None
    wait_until(lambda: clients.far._ask(lambda _: session.count(name)) == (2, 0))
    assert clients.take(2) == [2, 3]
    assert clients.near.receive(["serv!"]) == (None, None)


@pytest.mark.parametrize("block", [False, True])
def test_of_several_channels_only_what_others_may_read_waits_for_the_broker(
    clients: Clients, block: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "LINGER", 2 * PATIENCE)  # so that both are at hand at once
    near = clients.near
    for channel in ("serv!a", "one"):
        clients.far.send(channel, {"n": 1})
        assert near.receive(["serv!", "one"], True, PATIENCE) == (channel, {"n": 1})
    for channel in ("serv!a", "one"):
        clients.far.send(channel, {"n": 2})
    wait_until(lambda: clients.engine().at_hand() == {"serv!": 1, "one": 1})
    clients.proxy.hold_after(0)
    listening = near._listening(["serv!", "one"])
    if block:
        taking = Background(near._deliveries, listening, None, 10)
    else:
        taking = Background(near._take, listening, 10)
    wait_until(lambda: clients.proxy.withheld > 0)
    assert taking.is_alive()
    clients.proxy.cut()
    taken = taking.result(PATIENCE)
    assert [one[:2] for one in taken] == [("serv!", ("a",))]
    assert near.drops == 1
    assert near.receive(["serv!", "one"], True, PATIENCE) == ("one", {"n": 2})
