"""Conformance: the Twisted and asyncio forms of receiving, sending and waiting for room."""

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

from channels.layers.base import BaseChannelLayer
from channels.layers.conformance.kit import Background, Kit, needs, refused
from channels.layers.conformance.wakeups import quietest, scheduled
from channels.layers.entries import Delivery

__all__ = ["AsyncioConformance", "TwistedConformance"]


class _Pending:
    """A Deferred made in the reactor's thread, and what it came to."""

    def __init__(self, kit: Kit, function: Callable[..., Any], *args: Any) -> None:
        self._kit = kit
        self.outcome: list[Any] = []
        self.deferred: Any = None
        kit.in_reactor(self._start, function, args)

    def _start(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.deferred = function(*args)
        self.deferred.addBoth(self.outcome.append)

    def cancel(self) -> None:
        self._kit.in_reactor(self.deferred.cancel)

    def result(self) -> Any:
        self._kit.eventually(lambda: self.outcome)
        return self.outcome[0]


@needs("twisted")
class TwistedConformance(Kit):
    """ASGI spec, Specification Details: the twisted extension, and what interface servers use."""

    def test_the_twisted_extension_is_stated(self) -> None:
        assert "twisted" in self.layer.extensions

    def test_a_deferred_receive_gives_what_waits_already(self) -> None:
        self.layer.send("one!a", {"n": 1})
        assert self.in_reactor(self.layer.receive_twisted, ["one!"]) == ("one!a", {"n": 1})

    def test_a_deferred_receive_is_woken_by_a_message_from_elsewhere(self) -> None:
        client = self.other_client(self.layer)
        for number in range(20):
            pending = _Pending(self, self.layer.receive_twisted, ["none", "one!"])
            assert not pending.outcome
            client.send("one!a", {"n": number})
            assert pending.result() == ("one!a", {"n": number})

    def test_a_deferred_receive_is_woken_by_a_message_from_the_reactor(self) -> None:
        pending = _Pending(self, self.layer.receive_twisted, ["one"])
        self.in_reactor(self.layer.send_twisted, "one", {"n": 1})
        assert pending.result() == ("one", {"n": 1})

    def test_a_cancelled_deferred_receive_takes_no_message_with_it(self) -> None:
        for number in range(30):
            pending = _Pending(self, self.layer.receive_twisted, ["one"])
            sending = Background(self.layer.send, "one", {"n": number})
            pending.cancel()
            sending.result(self.patience)
            found = pending.result()
            if not isinstance(found, tuple):
                found = self.receives(self.layer, ["one"])
            assert found == ("one", {"n": number})

    def test_a_cancelled_deferred_receive_leaves_its_wake_up_to_another(self) -> None:
        for number in range(20):
            first = _Pending(self, self.layer.receive_twisted, ["one"])
            second = _Pending(self, self.layer.receive_twisted, ["one"])
            self.in_reactor(self._send_and_cancel, {"n": number}, first.deferred)
            if isinstance(first.result(), tuple):  # the message was faster than the cancellation
                self.layer.send("one", {"n": number})
            assert second.result() == ("one", {"n": number})

    def _send_and_cancel(self, message: dict[str, Any], deferred: Any) -> None:
        self.layer.send("one", message)
        deferred.cancel()

    @needs("groups")
    def test_a_group_message_is_one_delivery_for_a_process(self) -> None:
        members = {f"{number}" for number in range(300)}
        for member in members:
            self.layer.group_add("everybody", f"serv!{member}")
        self.layer.send("serv!x", {"n": 0})
        self.layer.send_group("everybody", {"n": 1})
        deliveries: list[Delivery] = []
        while len(deliveries) < 2:
            deliveries += self.in_reactor(self.layer.receive_deliveries_twisted, ["serv!"])
        assert deliveries[0] == Delivery("serv!", ("x",), {"n": 0})
        assert deliveries[1].channel == "serv!"
        assert set(deliveries[1].targets) == members
        assert deliveries[1].message == {"n": 1}
        assert self.layer.receive(["serv!"]) == (None, None)

    @needs("groups")
    def test_a_delivery_has_2000_targets_at_most(self) -> None:
        members = {f"{number}" for number in range(2_500)}
        for member in members:
            self.layer.group_add("everybody", f"serv!{member}")
        self.layer.send_group("everybody", {"n": 1})
        targets: list[str] = []
        while len(targets) < len(members):
            for delivery in self.in_reactor(self.layer.receive_deliveries_twisted, ["serv!"]):
                assert 0 < len(delivery.targets) <= 2000
                targets += delivery.targets
        assert len(targets) == len(members)
        assert set(targets) == members

    def test_deliveries_of_other_channels_have_no_targets(self) -> None:
        pending = _Pending(self, self.layer.receive_deliveries_twisted, ["one", "two?x"])
        self.layer.send("two?x", {"n": 1})
        assert pending.result() == [Delivery("two?x", (), {"n": 1})]

    @needs("groups")
    def test_the_rest_of_a_group_message_goes_to_the_next_receiver(self) -> None:
        members = {"a", "b", "c"}
        for member in members:
            self.layer.group_add("everybody", f"serv!{member}")
        self.layer.send_group("everybody", {"n": 1})
        channel, _ = self.layer.receive(["serv!"])
        assert channel is not None
        (rest,) = self.in_reactor(self.layer.receive_deliveries_twisted, ["serv!"])
        assert {channel.partition("!")[2], *rest.targets} == members
        assert len(rest.targets) == 2

    @needs("flush")
    def test_a_flush_and_an_interrupt_wake_deferred_receives(self) -> None:
        for wake in (self.layer.flush, self.layer.interrupt):
            plain = _Pending(self, self.layer.receive_twisted, ["one"])
            deliveries = _Pending(self, self.layer.receive_deliveries_twisted, ["two!"])
            wake()
            assert plain.result() == (None, None)
            assert deliveries.result() == []

    def test_a_deferred_send_fails_with_what_send_raises(self) -> None:
        layer = self.made(capacity=1)
        assert self.in_reactor(layer.send_twisted, "one", {"n": 1}) is None
        with refused(layer.ChannelFull):
            self.in_reactor(layer.send_twisted, "one", {"n": 2})
        with refused(TypeError):
            self.in_reactor(layer.send_twisted, "one two", {})
        assert self.everything(layer, ["one"]) == [("one", {"n": 1})]

    def test_deferred_sends_of_one_sender_keep_their_order(self) -> None:
        layer = self.made(capacity=50)
        sends = [_Pending(self, layer.send_twisted, "one?x", {"n": n}) for n in range(50)]
        for send in sends:
            assert send.result() is None
        received = self.everything(layer, ["one?x"])
        assert [message["n"] for _, message in received if message] == list(range(50))

    def test_room_is_deferred_until_there_is_some(self) -> None:
        layer = self.made(capacity=1)
        assert self.in_reactor(layer.room_twisted, "one") is None
        layer.send("one", {})
        pending = _Pending(self, layer.room_twisted, "one")
        assert not pending.outcome
        self.other_client(layer).receive(["one"])
        assert pending.result() is None

    def test_room_comes_by_expiry_too(self) -> None:
        layer = self.made(capacity=1, expiry=self.short_expiry)
        layer.send("one", {})
        assert _Pending(self, layer.room_twisted, "one").result() is None

    @needs("flush")
    def test_a_flush_makes_room_for_deferred_waits(self) -> None:
        layer = self.made(capacity=1)
        layer.send("one", {})
        pending = _Pending(self, layer.room_twisted, "one")
        layer.flush()
        assert pending.result() is None

    def test_deferred_waits_do_not_wake_the_reactor_for_nothing(self) -> None:
        layer = self.made(capacity=1)
        layer.send("full", {})
        pending = [
            _Pending(self, layer.receive_twisted, ["quiet"]),
            _Pending(self, layer.receive_deliveries_twisted, ["still!"]),
            _Pending(self, layer.room_twisted, "full"),
        ]
        thread = self.in_reactor(threading.get_native_id)
        self.busy_elsewhere(layer)  # what the start of all this makes the reactor do comes first
        pause = functools.partial(self.busy_elsewhere, layer)
        wakeups = quietest(lambda: scheduled(thread), pause, self.idle_wakeups)
        for channel in ("quiet", "still!x"):
            layer.send(channel, {})
        layer.receive(["full"])
        assert all(one.result() is not None for one in pending[:2])
        assert pending[2].result() is None
        assert wakeups <= self.idle_wakeups, f"{wakeups} wake-ups in {self.idle_window} s at idle"

    def test_a_cancelled_wait_leaves_the_room_to_another(self) -> None:
        layer = self.made(capacity=2)
        for _ in range(10):
            while layer.wait_for_room("one", 0):
                layer.send("one", {})
            first = _Pending(self, layer.room_twisted, "one")
            second = _Pending(self, layer.room_twisted, "one")
            self.in_reactor(self._receive_and_cancel, layer, first.deferred)
            assert second.result() is None

    def _receive_and_cancel(self, layer: BaseChannelLayer, deferred: Any) -> None:
        layer.receive(["one"])
        deferred.cancel()

    def test_new_channels_are_made_in_the_reactor(self) -> None:
        name = self.in_reactor(self.layer.new_channel_twisted, "serv!")
        assert name.startswith("serv!")
        assert len(name) > 20
        with refused(TypeError):
            self.in_reactor(self.layer.new_channel_twisted, "serv")


@needs("asyncio")
class AsyncioConformance(Kit):
    """ASGI spec, Specification Details: the async extension."""

    def test_the_asyncio_extension_is_stated_in_both_spellings(self) -> None:
        assert "asyncio" in self.layer.extensions
        assert "async" in self.layer.extensions
        assert self.layer.supports("async")

    def test_a_coroutine_receives_what_waits_already(self) -> None:
        self.layer.send("one!a", {"n": 1})
        assert asyncio.run(self.layer.receive_async(["one!"])) == ("one!a", {"n": 1})

    def test_a_coroutine_is_woken_by_a_message_from_another_thread(self) -> None:
        client = self.other_client(self.layer)

        async def receive() -> tuple[Any, Any]:
            task = asyncio.ensure_future(self.layer.receive_async(["none", "one"]))
            await asyncio.sleep(0)
            await asyncio.to_thread(client.send, "one", {"n": 1})
            return await asyncio.wait_for(task, self.patience)

        for _ in range(5):
            assert asyncio.run(receive()) == ("one", {"n": 1})

    def test_a_cancelled_coroutine_takes_no_message_with_it(self) -> None:
        async def receive() -> None:
            task = asyncio.ensure_future(self.layer.receive_async(["one"]))
            await asyncio.sleep(0)
            sending = asyncio.to_thread(self.layer.send, "one", {"n": 1})
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, sending, return_exceptions=True)
            if task.cancelled():
                assert self.receives(self.layer, ["one"]) == ("one", {"n": 1})

        for _ in range(20):
            asyncio.run(receive())

    @needs("flush")
    def test_a_flush_and_an_interrupt_wake_coroutines(self) -> None:
        async def receive(wake: Callable[[], None]) -> tuple[Any, Any]:
            task = asyncio.ensure_future(self.layer.receive_async(["one"]))
            await asyncio.sleep(0)
            await asyncio.to_thread(wake)
            return await asyncio.wait_for(task, self.patience)

        for wake in (self.layer.flush, self.layer.interrupt):
            assert asyncio.run(receive(wake)) == (None, None)
