"""What interface servers in asyncio use of our layers: deliveries, sends, rooms and names."""

import asyncio
from collections.abc import Awaitable, Iterator
from typing import Any

import pytest

from channels.layers.base import BaseChannelLayer
from channels.layers.entries import Delivery
from channels.layers.inmemory import ChannelLayer
from channels.layers.ipc import IPCChannelLayer
from channels.layers.rabbitmq import RabbitmqChannelLayer
from channels.layers.redis import RedisChannelLayer, listening, session, waits
from tests.layers.ipc import segments
from tests.layers.rabbitmq import brokers
from tests.layers.redis.lent import end_servers, fresh_prefix, lent_servers
from tests.reactor import in_reactor

#: Seconds within which whatever should happen has happened.
PATIENCE = 20


class Store:
    """One store, and clients of it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.clients: list[Any] = []
        self.arguments: dict[str, Any] = {}
        if kind == "ipc":
            self.arguments = {"prefix": segments.fresh_prefix()}
        elif kind.startswith("redis"):
            self.arguments = {"hosts": lent_servers(int(kind[-1])), **fresh_prefix()}
        elif kind == "rabbitmq":
            self.arguments = {"url": brokers.broker().url, "prefix": brokers.fresh_prefix()}

    def client(self, **arguments: Any) -> BaseChannelLayer:
        """Another client; of a layer that lives in one process there is but one."""
        if self.kind == "inmemory" and self.clients:
            client: BaseChannelLayer = self.clients[0]
            return client
        classes: dict[str, Any] = {
            "inmemory": ChannelLayer,
            "ipc": IPCChannelLayer,
            "rabbitmq": RabbitmqChannelLayer,
        }
        made = classes.get(self.kind, RedisChannelLayer)(**self.arguments, **arguments)
        self.clients.append(made)
        return made

    def close(self) -> None:
        for client in self.clients:
            client.close()
        if self.kind == "ipc":
            segments.remove(self.arguments["prefix"])


@pytest.fixture(
    params=[
        "inmemory",
        pytest.param("ipc", marks=segments.needs_extension),
        "redis1",
        "redis3",
        pytest.param("rabbitmq", marks=pytest.mark.needs("rabbitmq-server")),
    ]
)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    made = Store(request.param)
    yield made
    made.close()


@pytest.fixture(scope="module", autouse=True)
def lent_servers_end() -> Iterator[None]:
    yield
    end_servers()


async def soon(awaitable: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(awaitable, PATIENCE)


async def received(layer: BaseChannelLayer, channel: str, count: int) -> list[Delivery]:
    """At least ``count`` deliveries."""
    found: list[Delivery] = []
    while len(found) < count:
        found += await soon(layer.receive_deliveries_async([channel]))
    return found


def test_deliveries_come_in_order_and_wake_who_waits(store):
    layer, sender = store.client(), store.client()

    async def run() -> list[Delivery]:
        waiting = asyncio.ensure_future(received(layer, "serv!", 20))
        await asyncio.sleep(0)
        for number in range(20):
            await soon(sender.send_async("serv!a", {"n": number}))
        return await soon(waiting)

    assert asyncio.run(run()) == [Delivery("serv!", ("a",), {"n": n}) for n in range(20)]


def test_a_message_from_another_thread_wakes_the_loop(store):
    layer, sender = store.client(), store.client()

    async def run() -> list[Delivery]:
        waiting = asyncio.ensure_future(received(layer, "serv!", 1))
        await asyncio.sleep(0)
        await asyncio.to_thread(sender.send, "serv!a", {"n": 1})
        return await soon(waiting)

    for _ in range(3):
        assert asyncio.run(run()) == [Delivery("serv!", ("a",), {"n": 1})]


def test_a_group_message_is_one_delivery(store):
    layer = store.client()
    members = {str(number) for number in range(300)}
    for member in members:
        layer.group_add("everybody", f"serv!{member}")
    layer.send_group("everybody", {"n": 1})

    (delivery,) = asyncio.run(received(layer, "serv!", 1))

    assert set(delivery.targets) == members
    assert len(delivery.targets) == 300


def test_a_cancelled_receive_takes_no_message_with_it(store):
    layer, sender = store.client(), store.client()

    async def run(number: int) -> list[Delivery]:
        task = asyncio.ensure_future(layer.receive_deliveries_async(["serv!"]))
        await asyncio.sleep(0)
        sending = asyncio.ensure_future(asyncio.to_thread(sender.send, "serv!a", {"n": number}))
        await asyncio.sleep(number % 5 / 1000)
        task.cancel()
        await soon(asyncio.gather(task, sending, return_exceptions=True))
        return await received(layer, "serv!", 1) if task.cancelled() else task.result()

    async def all_of_them() -> list[list[Delivery]]:
        return [await run(number) for number in range(30)]

    found = asyncio.run(all_of_them())
    assert found == [[Delivery("serv!", ("a",), {"n": n})] for n in range(30)]


@pytest.mark.parametrize("turns", range(5))
def test_a_wait_for_room_is_cancelled_whatever_wakes_it_at_the_same_time(turns):
    layer = ChannelLayer(capacity=1)
    layer.send("one", {})

    async def run() -> bool:
        waiting = asyncio.ensure_future(layer.room_async("one"))
        while not layer._blocked:
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)  # it waits
        layer.interrupt()  # which wakes it, though there is no room
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting], timeout=1)
        return waiting.cancelled()

    assert asyncio.run(run())
    assert not layer._blocked


def test_an_interrupt_gives_nothing(store):
    layer = store.client()

    async def run() -> list[Delivery]:
        waiting = asyncio.ensure_future(layer.receive_deliveries_async(["serv!"]))
        await asyncio.sleep(0)
        await asyncio.to_thread(layer.interrupt)
        return await soon(waiting)

    assert asyncio.run(run()) == []


def test_sends_raise_what_send_raises(store):
    layer = store.client(capacity=1)

    async def run() -> None:
        await soon(layer.send_async("one", {"n": 1}))
        with pytest.raises(layer.ChannelFull):
            await soon(layer.send_async("one", {"n": 2}))
        with pytest.raises(TypeError):
            await soon(layer.send_async("one two", {}))

    asyncio.run(run())
    assert layer.receive(["one"]) == ("one", {"n": 1})


def test_room_is_waited_for(store):
    layer, reader = store.client(capacity=1), store.client(capacity=1)

    async def run() -> None:
        await soon(layer.room_async("one"))
        await soon(layer.send_async("one", {}))
        waiting = asyncio.ensure_future(layer.room_async("one"))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert (await asyncio.to_thread(reader.receive, ["one"]))[0] == "one"
        await soon(waiting)

    asyncio.run(run())


def test_room_comes_by_expiry_too(store):
    layer = store.client(capacity=1, expiry=0.4)

    async def run() -> None:
        await soon(layer.send_async("one", {}))
        await soon(layer.room_async("one"))

    asyncio.run(run())


def test_names_are_made(store):
    layer = store.client()

    names = {asyncio.run(layer.new_channel_async("body?")) for _ in range(3)}

    assert len(names) == 3
    assert all(name.startswith("body?") and len(name) > 20 for name in names)
    with pytest.raises(TypeError):
        asyncio.run(layer.new_channel_async("body"))


@pytest.mark.parametrize(
    "store",
    ["inmemory", pytest.param("ipc", marks=segments.needs_extension), "redis1"],
    indirect=True,
)
def test_a_store_that_was_emptied_by_others_ends_a_receive(store, monkeypatch):
    for module, name in (
        (listening, "BLOCK_SECONDS"),
        (waits, "BLOCK_SECONDS"),
        (session, "_LOOK"),
    ):
        monkeypatch.setattr(module, name, 1)  # until a layer over Redis looks
    layer, other = store.client(), store.client()

    async def run() -> tuple[str, list[Delivery], str]:
        before = layer.generation("serv!")
        await soon(layer.send_async("elsewhere", {}))
        waiting = asyncio.ensure_future(layer.receive_deliveries_async(["serv!"]))
        await asyncio.sleep(0)
        await asyncio.to_thread(other.flush)
        found = await soon(waiting)
        return before, found, layer.generation("serv!")

    before, found, after = asyncio.run(run())
    assert found == []
    assert before != after


@pytest.mark.parametrize(
    "store", ["inmemory", pytest.param("ipc", marks=segments.needs_extension)], indirect=True
)
@pytest.mark.parametrize("form", ["asyncio", "twisted"])
def test_a_process_channel_that_was_evicted_ends_a_receive(store, form):
    """It has to be woken while its own thread was held up, as by SIGSTOP."""
    layer, other = store.client(expiry=0.05), store.client(expiry=0.05)

    def hold_up() -> None:
        other.send("serv!a", {"n": 1})
        while other.channels():
            pass

    async def run() -> list[Delivery]:
        waiting = asyncio.ensure_future(layer.receive_deliveries_async(["serv!"]))
        await asyncio.sleep(0)
        hold_up()
        return await soon(waiting)

    def run_in_reactor() -> Any:
        waiting = layer.receive_deliveries_twisted(["serv!"])
        hold_up()
        return waiting

    assert (asyncio.run(run()) if form == "asyncio" else in_reactor(run_in_reactor)) == []


@pytest.mark.parametrize(
    "store", ["inmemory", pytest.param("ipc", marks=segments.needs_extension)], indirect=True
)
def test_a_store_that_was_emptied_by_others_ends_a_receive_in_the_reactor(store):
    layer, other = store.client(), store.client()

    def run() -> Any:
        waiting = layer.receive_deliveries_twisted(["serv!"])
        other.flush()
        return waiting

    assert in_reactor(run) == []
