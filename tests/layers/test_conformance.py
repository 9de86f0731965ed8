"""The conformance kit finds what it is there to find: layers with one defect each fail in it."""

import inspect
import itertools
import random
import subprocess
import sys
import time
import unittest
from collections.abc import Collection
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from channels import codec
from channels.layers import conformance
from channels.layers.conformance import ChannelLayerConformance
from channels.layers.conformance.groups import GroupConformance
from channels.layers.entries import Received, Stored
from channels.layers.inmemory import ChannelLayer
from channels.layers.waiting import Listening, Waiter
from tests.reactor import in_reactor


class Polling(ChannelLayer):
    """Looks every 20 ms for a message, instead of waiting for it."""

    def receive(
        self,
        channels: Collection[str],
        block: bool = False,
        timeout: float | None = None,
        *,
        interruption: object | None = None,
    ) -> Received:
        while (received := super().receive(channels))[0] is None and block:
            time.sleep(0.02)
        return received


class WakingAll(ChannelLayer):
    """Wakes every receiver at each message, whatever it listens to."""

    def _push(self, queue: str, targets: tuple[str, ...], body: bytes) -> bool:
        pushed = super()._push(queue, targets, body)
        for waiter in list(self._blocked):
            waiter.notify()
        return pushed


class Repeating(ChannelLayer):
    """Delivers now and then a message twice."""

    def _take_one(self, listening: Listening, waiter: Waiter | None = None) -> Stored | None:
        stored = super()._take_one(listening, waiter)
        if stored is not None and random.random() < 0.1:
            super()._push(*stored)
        return stored


class Forgetful(ChannelLayer):
    """Lets a receiver that gives up keep the wake-up that was meant for whoever comes next."""

    def _withdraw(self, waiter: Waiter) -> None:
        if waiter.line is not None:
            with self._section:
                waiter.line.remove(waiter)


class Unordered(ChannelLayer):
    """Serves the newest message first."""

    def _append(self, name: str, targets: tuple[str, ...], body: bytes, now: float) -> bool:
        appended = super()._append(name, targets, body, now)
        self._store[name].entries.rotate(1)
        return appended


class Boundless(ChannelLayer):
    """Has no capacity."""

    def get_capacity(self, channel: str) -> int:
        return 10**9


class Shallow(ChannelLayer):
    """Shares messages between sender and receivers."""

    messages: dict[bytes, dict[str, Any]] = {}

    def _encode(self, message: dict[str, Any], name: str) -> bytes:
        body = super()._encode(message, name)
        self.messages[body] = message
        return body

    def receive(self, *args: Any, **kwargs: Any) -> Received:
        channel, message = super().receive(*args, **kwargs)
        if channel is None or message is None:
            return None, None
        return channel, self.messages[codec.encode(message)]


class Starving(ChannelLayer):
    """Looks at the channels in the order in which they are given."""

    def _next_queue(self, listening: Listening) -> Any:
        listening.served(len(listening.queues) - 1)
        return super()._next_queue(Listening(listening.queues))


class Lasting(ChannelLayer):
    """Lets memberships outlive messages that expired unread."""

    def _expire(self, now: float) -> None:
        evict, self._groups.evict = self._groups.evict, lambda queue: None  # type: ignore[method-assign]
        super()._expire(now)
        self._groups.evict = evict  # type: ignore[method-assign]


class Unrenewing(ChannelLayer):
    """Counts the membership from the first add."""

    def _group_add(self, group: str, queue: str, targets: tuple[str, ...]) -> None:
        if not self._groups.has_member(queue, "".join(targets)):
            super()._group_add(group, queue, targets)


class Raising(ChannelLayer):
    """Raises ``ChannelFull`` at a group send."""

    def send_group(self, group: str, message: dict[str, Any]) -> None:
        for channel in self.group_channels(group):
            self.send(channel, message)


class Counting(ChannelLayer):
    """Numbers its new channels instead of drawing them, each client for itself."""

    numbers = itertools.cycle(range(1000))

    def new_channel(self, pattern: str) -> str:
        return f"{pattern}{next(self.numbers):017}"


class Nameless(ChannelLayer):
    """Gives the name listened to instead of the channel that was sent to."""

    def receive(self, *args: Any, **kwargs: Any) -> Received:
        channel, message = super().receive(*args, **kwargs)
        if channel is None or message is None:
            return None, None
        return self.non_local_name(channel), message


class HalfFlushed(ChannelLayer):
    """Keeps its groups and its generation at a flush."""

    def _clear(self) -> None:
        groups, epoch = self._groups, self._epoch
        super()._clear()
        self._groups, self._epoch = groups, epoch


class Deaf(ChannelLayer):
    """Notices neither room that comes by a receive nor room by a flush."""

    def wait_for_room(self, channel: str, timeout: float | None = None) -> bool:
        if self._room(channel):
            return True
        time.sleep(timeout or 0)
        return False


class RoomPolling(ChannelLayer):
    """Looks every 20 ms for room."""

    def wait_for_room(self, channel: str, timeout: float | None = None) -> bool:
        end = time.monotonic() + (60 if timeout is None else timeout)
        while not (has_room := super().wait_for_room(channel, 0)) and time.monotonic() < end:
            time.sleep(0.02)
        return has_room


class ReactorPolling(ChannelLayer):
    """Has the reactor look every 20 ms for messages."""

    def receive_twisted(self, channels: Collection[str]) -> Any:
        deferred: Any = Deferred()

        def look() -> None:
            received = self.receive(channels)
            if received[0] is not None:
                looking.stop()
                deferred.callback(received)

        looking = LoopingCall(look)
        looking.start(0.02)
        return deferred


class RoomForAll(ChannelLayer):
    """Wakes whoever waits for room at each receive, from whatever channel."""

    def _take_one(self, listening: Listening, waiter: Waiter | None = None) -> Stored | None:
        taken = super()._take_one(listening, waiter)
        for waiting in list(self._blocked):
            waiting.notify()
        return taken


class Uncounting(ChannelLayer):
    """Drops the messages of full members without counting."""

    def _push_group(self, group: str, body: bytes) -> list[tuple[str, int]]:
        super()._push_group(group, body)
        return []


DEFECTS = [
    (Polling, "test_a_blocked_receive_does_not_wake_up_for_nothing"),
    (WakingAll, "test_a_blocked_receive_does_not_wake_up_for_nothing"),
    (RoomPolling, "test_a_wait_for_room_does_not_wake_up_for_nothing"),
    (RoomForAll, "test_a_wait_for_room_does_not_wake_up_for_nothing"),
    (ReactorPolling, "test_deferred_waits_do_not_wake_the_reactor_for_nothing"),
    (RoomForAll, "test_deferred_waits_do_not_wake_the_reactor_for_nothing"),
    (Repeating, "test_many_readers_and_writers_lose_and_repeat_nothing"),
    (Forgetful, "test_a_cancelled_deferred_receive_leaves_its_wake_up_to_another"),
    (Forgetful, "test_a_cancelled_wait_leaves_the_room_to_another"),
    (Unordered, "test_messages_keep_their_order"),
    (Boundless, "test_a_channel_at_its_capacity_is_full_until_something_is_received"),
    (Shallow, "test_changes_by_the_sender_after_sending_stay_with_the_sender"),
    (Shallow, "test_changes_by_one_receiver_do_not_reach_another"),
    (Starving, "test_a_quiet_channel_is_served_beside_busy_ones"),
    (Lasting, "test_a_member_whose_message_expires_leaves_its_groups"),
    (Unrenewing, "test_a_membership_counts_from_the_latest_add"),
    (Raising, "test_a_group_never_raises_channel_full"),
    (Counting, "test_new_channel_never_repeats_a_name"),
    (Nameless, "test_a_process_channel_is_received_by_its_name_up_to_the_mark"),
    (HalfFlushed, "test_a_flush_leaves_no_group_for_any_client"),
    (HalfFlushed, "test_the_generation_changes_with_a_flush_and_with_nothing_else"),
    (Deaf, "test_a_receive_makes_room"),
    (Uncounting, "test_a_full_member_misses_the_message_and_others_get_it"),
]


def _suite(layer_class: type[ChannelLayer]) -> ChannelLayerConformance:
    """The kit over a class of layers, with less patience: its failure is what is waited for."""

    class Suite(ChannelLayerConformance):
        patience = 1.0
        new_channel_names = 3000
        stress_messages = 100

        def make_layer(self, **arguments: Any) -> ChannelLayer:
            return layer_class(**arguments)

        in_reactor = staticmethod(in_reactor)

    return Suite()


def _name(value: Any) -> str:
    return value if isinstance(value, str) else value.__name__


@pytest.mark.parametrize(("layer_class", "test"), DEFECTS, ids=_name)
def test_a_defective_layer_fails(layer_class: type[ChannelLayer], test: str) -> None:
    """Each defect is found by the test that is meant to find it."""
    suite = _suite(layer_class)
    with pytest.raises(Exception) as failure:  # noqa: B017  (whatever the defect raises)
        getattr(suite, test)()
    suite.teardown_method()
    assert isinstance(failure.value, AssertionError | ChannelLayer.ChannelFull)


def test_no_test_of_the_kit_hides_another() -> None:
    """The kit is put together from mixins, where a name that is used twice would be lost."""
    parts = [part for part in ChannelLayerConformance.__mro__ if part.__module__ != "builtins"]
    names = [name for part in parts for name in vars(part) if name.startswith("test_")]
    assert len(names) == len(set(names)) > 90


def _collected(suite: type[ChannelLayerConformance]) -> set[str]:
    return {
        name for name in dir(suite) if name.startswith("test_") and callable(getattr(suite, name))
    }


def test_tests_of_extensions_that_a_layer_lacks_are_left_out() -> None:
    """Of that subclass only, and those alone that need the extension."""

    class Whole(ChannelLayerConformance):
        pass

    class Groupless(ChannelLayerConformance):
        extensions = ("flush", "statistics", "twisted", "asyncio")

    class Bare(ChannelLayerConformance):
        extensions = ()

    left_out = _collected(Whole) - _collected(Groupless)
    assert left_out >= {name for name in vars(GroupConformance) if name.startswith("test_")}
    assert "test_a_flush_leaves_no_group_for_any_client" in left_out
    assert "test_a_flush_leaves_nothing_for_any_client" not in left_out
    assert _collected(Bare) < _collected(Groupless)
    assert "test_messages_keep_their_order" in _collected(Bare)


def test_a_layer_that_claims_what_is_not_tested_fails() -> None:
    class Suite(ChannelLayerConformance):
        extensions = ("groups", "flush")

        def make_layer(self, **arguments: Any) -> ChannelLayer:
            return ChannelLayer(**arguments)

    with pytest.raises(AssertionError):
        Suite().test_the_layer_has_the_extensions_that_are_tested()


def test_the_kit_runs_under_unittest() -> None:
    """A test case that also is the kit finds its tests, runs and closes its layers."""
    closed = []

    class Case(ChannelLayerConformance, unittest.TestCase):
        def make_layer(self, **arguments: Any) -> ChannelLayer:
            return ChannelLayer(**arguments)

        def close_layer(self, layer: Any) -> None:
            closed.append(layer)

    names = ["test_messages_keep_their_order", "test_a_message_is_received_once"]
    result = unittest.TestResult()
    unittest.TestSuite(Case(name) for name in names).run(result)
    assert result.wasSuccessful()
    assert result.testsRun == len(closed) == 2


def test_the_kit_runs_a_reactor_where_nobody_does() -> None:
    """In a process of its own, since a process can run a reactor only once."""
    code = (
        "from channels.layers.conformance import ChannelLayerConformance\n"
        "from channels.layers.inmemory import ChannelLayer\n"
        "class Suite(ChannelLayerConformance):\n"
        "    make_layer = staticmethod(lambda **arguments: ChannelLayer(**arguments))\n"
        "Suite().test_a_deferred_receive_is_woken_by_a_message_from_elsewhere()\n"
        "Suite().test_a_flush_and_an_interrupt_wake_deferred_receives()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_kit_refuses_to_run_without_its_asserts() -> None:
    """Under ``-O`` it would pass whatever the layer does."""
    command = [sys.executable, "-O", "-c", "import channels.layers.conformance"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "run Python without -O" in found.stderr


def test_the_kit_asks_for_its_hooks() -> None:
    """A subclass that forgot them is told so."""
    with pytest.raises(NotImplementedError, match="make_layer"):
        ChannelLayerConformance().test_messages_keep_their_order()
    suite = _suite(ChannelLayer)
    remote = suite.layer
    remote.is_local = False
    with pytest.raises(NotImplementedError, match="second_client"):
        suite.second_client(remote)


def test_the_kit_knows_no_test_runner() -> None:
    """It is for every runner, so it imports none."""
    parts = [part for part in ChannelLayerConformance.__mro__ if "conformance" in part.__module__]
    sources = [inspect.getsource(inspect.getmodule(part)) for part in [*parts, conformance]]  # type: ignore[arg-type]
    assert not any("import pytest" in s or "import unittest" in s for s in sources)
