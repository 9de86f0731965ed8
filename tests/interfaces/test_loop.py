"""Layers as an event loop sees them: which way each is called, and that nothing blocks the loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from channels.interfaces.loop import NativeLayer, ThreadedLayer, adapt
from channels.layers.base import BaseChannelLayer
from channels.layers.entries import Delivery
from channels.layers.inmemory import ChannelLayer
from channels.layers.redis import RedisChannelLayer
from tests.waiting import wait_until


class Remote(ChannelLayer):
    """Stands for a layer that talks to a server, and knows Twisted but no asyncio."""

    def send_twisted(self, channel: str, message: dict[str, Any]) -> Any:
        raise AssertionError("not in asyncio")

    def send(self, channel: str, message: dict[str, Any]) -> None:
        assert threading.current_thread() is not threading.main_thread(), "it would block the loop"
        super().send(channel, message)


class RemoteWithCoroutine(Remote):
    """The same, with a way of its own to receive."""

    calls = 0

    async def receive_async(self, channels: Any) -> Any:
        self.calls += 1
        return await super().receive_async(channels)


class Foreign:
    """A layer of a third party with no more than the specification asks for."""

    class ChannelFull(Exception):
        """Not ours."""

    def __init__(self) -> None:
        self._layer = ChannelLayer(capacity=1)

    def send(self, channel: str, message: dict[str, Any]) -> None:
        try:
            self._layer.send(channel, message)
        except self._layer.ChannelFull as error:
            raise self.ChannelFull from error

    def receive(self, channels: list[str], block: bool = False) -> Any:
        return self._layer.receive(channels, block=False)

    def new_channel(self, pattern: str) -> str:
        return self._layer.new_channel(pattern)


KINDS: list[Callable[[], Any]] = [
    lambda: ChannelLayer(capacity=1),
    lambda: Remote(capacity=1),
    lambda: RemoteWithCoroutine(capacity=1),
    Foreign,
]


@pytest.fixture(params=KINDS, ids=["native", "threads", "coroutine", "foreign"])
def layer(request: pytest.FixtureRequest) -> Any:
    return request.param()


def run(layer: Any, test: Callable[[Any], Any]) -> Any:
    """What ``test`` returns for the adapted layer, within a time."""

    async def bounded() -> Any:
        adapted = adapt(layer)
        try:
            return await asyncio.wait_for(test(adapted), 20)
        finally:
            adapted.close()

    return asyncio.run(bounded())


def test_layers_that_never_block_and_those_with_coroutines_are_called_themselves():
    assert isinstance(adapt(ChannelLayer()), NativeLayer)
    assert isinstance(adapt(RedisChannelLayer()), NativeLayer)
    assert isinstance(adapt(Remote()), ThreadedLayer)
    assert isinstance(adapt(Foreign()), ThreadedLayer)


def test_messages_are_sent_and_received(layer):
    async def test(adapted: Any) -> list[Delivery]:
        receiving = asyncio.ensure_future(adapted.receive("serv!"))
        await asyncio.sleep(0)
        await adapted.send("serv!a", {"n": 1})
        return list(await receiving) or list(await adapted.receive("serv!"))

    assert run(layer, test) == [Delivery("serv!", ("a",), {"n": 1})]


def test_a_full_channel_raises_what_the_layer_raises(layer):
    async def test(adapted: Any) -> None:
        await adapted.send("one", {})
        with pytest.raises(adapted.full):
            await adapted.send("one", {})

    run(layer, test)


def test_room_is_waited_for_up_to_a_time(layer):
    async def test(adapted: Any) -> None:
        assert await adapted.room("one", 5)
        await adapted.send("one", {})
        if not isinstance(layer, Foreign):  # which cannot tell, and is asked again
            assert not await adapted.room("one", 0.05)
        waiting = asyncio.ensure_future(adapted.room("one", 10))
        await asyncio.sleep(0)
        await asyncio.to_thread(layer.receive, ["one"])
        assert await waiting

    run(layer, test)


def test_no_thread_waits_for_room_long_after_its_waiter_has_gone():
    asked: list[float] = []

    class Full(Remote):
        def wait_for_room(self, channel: str, timeout: float | None = None) -> bool:
            asked.append(timeout or 0)
            return False

    async def test(adapted: Any) -> None:
        waiting = asyncio.ensure_future(adapted.room("one", 3600))
        while len(asked) < 3:
            await asyncio.sleep(0.001)  # a turn of the loop
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(Full(), test)
    assert max(asked) <= 1


def test_names_are_made(layer):
    async def test(adapted: Any) -> str:
        return str(await adapted.new_channel("body?"))

    assert run(layer, test).startswith("body?")


def test_what_a_layer_does_not_tell_is_assumed():
    async def test(adapted: Any) -> Any:
        return await adapted.generation("serv!"), adapted.has_listener("http.disconnect")

    assert run(Foreign(), test) == ("", True)


def test_the_loop_runs_while_a_layer_blocks():
    class Slow(Remote):
        def send(self, channel: str, message: dict[str, Any]) -> None:
            wait_until(lambda: len(ticks) > 3)
            super().send(channel, message)

    ticks: list[int] = []

    async def test(adapted: Any) -> None:
        sending = asyncio.ensure_future(adapted.send("one", {}))
        while not sending.done():
            ticks.append(1)
            await asyncio.sleep(0.001)  # a turn of the loop
        await sending

    run(Slow(), test)
    assert len(ticks) > 3


def test_the_loop_asks_a_remote_layer_nothing_by_itself():
    class Asked(Remote):
        def generation(self, channel: str | None = None) -> str:
            assert threading.current_thread() is not threading.main_thread()
            return super().generation(channel)

        def has_listener(self, channel: str) -> bool:
            assert threading.current_thread() is not threading.main_thread()
            return super().has_listener(channel)

    layer = Asked()
    layer.announce_listening("a worker", ["http.request"])

    async def test(adapted: Any) -> None:
        assert await adapted.generation("serv!") == ChannelLayer.generation(layer, "serv!")
        assert adapted.has_listener("http.disconnect"), "not yet known"
        while adapted.has_listener("http.disconnect"):
            await asyncio.sleep(0.001)  # a turn of the loop
        layer.announce_listening("a worker", ["http.disconnect"])
        while not adapted.has_listener("http.disconnect"):
            await asyncio.sleep(0.001)  # a turn of the loop

    run(layer, test)


def test_the_loop_does_not_wait_for_a_connection_to_be_made():
    class Connecting(ChannelLayer):
        """Has coroutines, but has to wait for its server before it knows its own state."""

        known = False

        async def send_async(self, channel: str, message: dict[str, Any]) -> None:
            self.send(channel, message)

        def send_twisted(self, channel: str, message: dict[str, Any]) -> Any:
            raise AssertionError("not in asyncio")

        def _wait(self) -> None:
            if not self.known:
                assert threading.current_thread() is not threading.main_thread()
                self.known = True

        def generation(self, channel: str | None = None) -> str:
            self._wait()
            return super().generation(channel)

        def has_listener(self, channel: str) -> bool:
            self._wait()
            return super().has_listener(channel)

    layer = Connecting()
    layer.announce_listening("a worker", ["http.request"])

    async def test(adapted: Any) -> None:
        assert isinstance(adapted, NativeLayer)
        assert adapted.has_listener("http.disconnect"), "not yet known"
        assert await adapted.generation("serv!") == ChannelLayer.generation(layer, "serv!")
        assert not adapted.has_listener("http.disconnect")

    run(layer, test)


def test_a_layer_with_a_coroutine_of_its_own_waits_by_it():
    layer = RemoteWithCoroutine()

    async def test(adapted: Any) -> None:
        receiving = asyncio.ensure_future(adapted.receive("serv!"))
        while not layer.calls:
            await asyncio.sleep(0.001)  # a turn of the loop
        await adapted.send("serv!a", {})
        assert await receiving

    run(layer, test)


@pytest.mark.parametrize("kind", [Remote, RemoteWithCoroutine])
def test_a_group_message_does_not_come_one_target_at_a_time(kind):
    layer: BaseChannelLayer = kind()
    for number in range(100):
        layer.group_add("everybody", f"serv!{number}")
    layer.send_group("everybody", {})

    async def test(adapted: Any) -> int:
        found: list[str] = []
        receives = 0
        while len(found) < 100:
            receives += 1
            found += [t for delivery in await adapted.receive("serv!") for t in delivery.targets]
        return receives

    assert run(layer, test) == 1


def test_a_closed_layer_leaves_no_thread_behind(monkeypatch):
    monkeypatch.setattr("channels.interfaces.loop._RECEIVE_SLICE", 3600)
    layer = Remote()

    async def test(adapted: Any) -> None:
        receiving = asyncio.ensure_future(adapted.receive("serv!"))
        while not layer._blocked:
            await asyncio.sleep(0.001)  # a turn of the loop
        receiving.cancel()

    run(layer, test)

    wait_until(
        lambda: not any(t.name.startswith("channels-receive") for t in threading.enumerate())
    )
