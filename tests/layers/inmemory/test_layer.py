"""The in-memory layer under a clock of the test: expiry, bounds, cost, and a plain model of it."""

import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from channels.exceptions import ChannelFull
from channels.layers import inmemory
from channels.layers.inmemory import ChannelLayer, layer
from tests.reactor import in_reactor
from tests.waiting import wait_until


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_defaults_are_those_of_the_reference() -> None:
    layer = inmemory.channel_layer
    assert (layer.expiry, layer.group_expiry, layer.capacity) == (60, 86400, 10)
    assert layer.is_local
    assert layer.extensions == ["groups", "flush", "statistics", "twisted", "asyncio"]


def test_a_message_expires_to_the_instant(clock: Clock) -> None:
    layer = ChannelLayer(expiry=60, clock=clock)
    layer.send("one", {"n": 1})
    clock.now += 1
    layer.send("one", {"n": 2})
    clock.now += 58.9
    assert layer.channel_statistics("one")["messages_pending"] == 2
    clock.now += 0.1
    assert layer.receive(["one"]) == ("one", {"n": 2})
    layer.send("one", {"n": 3})
    clock.now += 59.9
    assert layer.receive(["one"]) == ("one", {"n": 3})


def test_abandoned_channels_are_removed_by_any_operation(clock: Clock) -> None:
    layer = ChannelLayer(expiry=60, clock=clock)
    for number in range(100):
        layer.send(f"dead.{number}!a", {})
        layer.group_add("all", f"dead.{number}!a")
    clock.now += 60
    layer.send("other", {})
    assert list(layer._store) == ["other"]
    assert layer._pending == 1
    assert layer.group_channels("all") == []


def test_an_eviction_is_told_by_the_generation_of_that_channel_only(clock: Clock) -> None:
    layer = ChannelLayer(expiry=60, clock=clock)
    before = {name: layer.generation(name) for name in ("dead!", "alive!", "chat")}
    for name in ("dead!a", "chat"):
        layer.send(name, {})
    clock.now += 60
    assert layer.generation("dead!") != before["dead!"]
    assert layer.generation("dead!x") == layer.generation("dead!")
    assert layer.generation("alive!") == before["alive!"]
    assert layer.generation("chat") == before["chat"]


def test_names_that_are_used_once_leave_nothing_behind(clock: Clock) -> None:
    layer = ChannelLayer(expiry=60, clock=clock)
    for number in range(30_000):
        channel = f"body?{number}"
        layer.send(channel, {})
        layer.receive([channel])
        clock.now += 0.001
    assert len(layer._store) == 0
    assert len(layer._agenda.heap) < 200
    assert len(layer._passing_counters) <= 10_000
    assert not layer._readers.lines


def test_queues_that_fell_silent_are_forgotten(clock: Clock) -> None:
    layer = ChannelLayer(expiry=60, clock=clock)
    for number in range(1000):
        layer.send(f"chat.{number}", {})
        layer.receive([f"chat.{number}"])
    clock.now += 60
    layer.receive(["other"])
    assert not layer._store
    assert not layer._agenda.heap
    assert layer.channel_statistics("chat.5")["messages_count"] == 1


def test_what_is_remembered_of_channels_is_bounded(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer, "_REMEMBERED", 100)
    tested = ChannelLayer(expiry=60, clock=clock)
    for number in range(1000):
        tested.send(f"dead.{number}!a", {})
    clock.now += 60
    assert tested.channels() == []
    assert len(tested._counters) <= 100
    assert len(tested._evictions) <= 100
    assert tested.generation("dead.999!") != tested.generation("dead.1!")


def test_new_channel_looks_whether_the_name_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["queued", "member", "local", "fresh"])
    tested = ChannelLayer()
    tested.send("a?queued", {})
    tested.group_add("group", "a?member")
    tested.send("b!queued", {})
    tested.group_add("group", "b!member")
    monkeypatch.setattr("channels.names.random_part", lambda: next(drawn))
    assert tested.new_channel("a?") == "a?local"
    drawn = iter(["queued", "member", "fresh"])
    assert tested.new_channel("b!") == "b!fresh"


def _calls(function: Callable[[], Any]) -> int:
    """Python and C calls that ``function`` makes."""
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event.endswith("call")

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_the_work_of_an_operation_does_not_depend_on_how_many_channels_exist() -> None:
    operations: list[Callable[[ChannelLayer], Any]] = [
        lambda layer: layer.send("one", {}),
        lambda layer: layer.receive(["one", "two!"]),
        lambda layer: layer.send("serv!a", {}),
        lambda layer: layer.receive(["serv!"]),
        lambda layer: layer.group_add("group", "serv!a"),
        lambda layer: layer.send_group("group", {}),
        lambda layer: layer.group_channels("group"),
        lambda layer: layer.group_discard("group", "serv!a"),
        lambda layer: layer.generation("serv!"),
        lambda layer: layer.global_statistics(),
        lambda layer: layer.channel_statistics("one"),
        lambda layer: layer.new_channel("serv!"),
    ]
    counts = []
    for others in (10, 20_000):
        layer = ChannelLayer(clock=lambda: 1000.0)
        for number in range(others):
            layer.send(f"other.{number}", {})
            layer.group_add(f"group.{number}", f"other!{number}")
        for operation in operations:
            operation(layer)  # fills the caches
        counts.append([_calls(lambda op=operation: op(layer)) for operation in operations])  # type: ignore[misc]  # noqa: B023
    assert counts[0] == counts[1]


def test_a_process_channel_full_of_bytes_drops_counted_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("channels.layers.inmemory.queues.PROCESS_CHANNEL_BYTES", 10_000)
    layer = ChannelLayer(capacity=1000)
    for number in range(50):
        layer.group_add("all", f"serv!{number}")
    for _ in range(10):
        layer.send_group("all", {"text": "x" * 1000})
    assert layer.drops == 8 * 50
    assert len(caplog.records) == 1
    assert "Dropped 50 message(s) to channel 'serv!'" in caplog.text
    with pytest.raises(ChannelFull):
        layer.send("serv!a", {})
    assert not layer.wait_for_room("serv!", 0)


def test_room_for_one_ends_the_wait_of_one() -> None:
    """Or each receive from a full channel would wake every socket that waits to be read."""
    layer = ChannelLayer(capacity=2)
    for _ in range(2):
        layer.send("full", {})
    ended: list[Any] = []

    def wait() -> None:
        for _ in range(5):
            layer.room_twisted("full").addCallback(ended.append)

    in_reactor(wait)
    layer.receive(["full"])
    for _ in range(10):
        in_reactor(bool)  # a turn of the reactor for each wake-up that follows from another
    assert len(ended) == 1
    layer.flush()
    wait_until(lambda: len(ended) == 5)


class Model:
    """The same layer without any thought for cost: lists that are searched from end to end."""

    def __init__(self, clock: Clock, expiry: float, group_expiry: float, capacity: int) -> None:
        self.clock, self.capacity = clock, capacity
        self.expiry, self.group_expiry = expiry, group_expiry
        self.entries: list[tuple[float, str, list[str], int]] = []
        self.members: dict[tuple[str, str], float] = {}

    def settle(self) -> None:
        now = self.clock.now
        for deadline, queue, _, _ in list(self.entries):
            if deadline <= now:
                self.members = {
                    key: end for key, end in self.members.items() if self.queue(key[1]) != queue
                }
        dead = {queue for deadline, queue, _, _ in self.entries if deadline <= now}
        self.entries = [
            entry
            for entry in self.entries
            if entry[0] > now and not (entry[1] in dead and entry[1].endswith("!"))
        ]
        self.members = {key: end for key, end in self.members.items() if end > now}

    @staticmethod
    def queue(channel: str) -> str:
        return channel.partition("!")[0] + "!" if "!" in channel else channel

    def push(self, queue: str, channels: list[str], number: int) -> bool:
        if sum(entry[1] == queue for entry in self.entries) >= self.capacity:
            return False
        self.entries.append((self.clock.now + self.expiry, queue, channels, number))
        return True

    def send_group(self, group: str, number: int) -> None:
        queues: dict[str, list[str]] = {}
        for name, channel in self.members:
            if name == group:
                queues.setdefault(self.queue(channel), []).append(channel)
        for queue, channels in queues.items():
            self.push(queue, channels, number)

    def accepts(self, listened: list[str], channel: str | None, number: int | None) -> bool:
        """Whether the model could have given this too; takes it out."""
        heads: dict[str, tuple[float, str, list[str], int]] = {}
        for entry in self.entries:
            heads.setdefault(entry[1], entry)
        candidates = [heads[queue] for queue in listened if queue in heads]
        if channel is None:
            return not candidates
        for entry in candidates:
            if channel in entry[2] and number == entry[3]:
                entry[2].remove(channel)
                if not entry[2]:
                    self.entries.remove(entry)
                return True
        return False


CHANNELS = ["a", "b", "c?x", "d!1", "d!2", "d!3", "e!1"]
LISTENED = ["a", "b", "c?x", "d!", "e!"]


@pytest.mark.parametrize("seed", range(40))
def test_it_does_what_a_plain_model_does(seed: int, clock: Clock) -> None:
    chance = random.Random(seed)
    model = Model(clock, expiry=10, group_expiry=25, capacity=3)
    layer = ChannelLayer(expiry=10, group_expiry=25, capacity=3, clock=clock)
    for number in range(400):
        clock.now += chance.choice([0, 0, 0.5, 1, 3])
        model.settle()
        group, channel = chance.choice("gh"), chance.choice(CHANNELS)
        action = chance.random()
        if action < 0.3:
            accepted = model.push(model.queue(channel), [channel], number)
            try:
                layer.send(channel, {"n": number})
                assert accepted
            except ChannelFull:
                assert not accepted
        elif action < 0.55:
            listened = chance.sample(LISTENED, chance.randint(1, 4))
            found, message = layer.receive(listened)
            assert model.accepts(listened, found, message["n"] if message else None)
        elif action < 0.7:
            layer.group_add(group, channel)
            model.members[group, channel] = clock.now + 25
        elif action < 0.75:
            layer.group_discard(group, channel)
            model.members.pop((group, channel), None)
        elif action < 0.9:
            layer.send_group(group, {"n": number})
            model.send_group(group, number)
        assert sorted(layer.channels()) == sorted({entry[1] for entry in model.entries})
        assert layer.global_statistics()["messages_pending"] == len(model.entries)
        assert sorted(layer.group_channels(group)) == sorted(
            name for owner, name in model.members if owner == group
        )
