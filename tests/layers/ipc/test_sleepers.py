"""Who stands in which line, below the layer: sleepers and segments."""

import importlib
import time

import pytest

from channels.exceptions import LayerUnavailable
from channels.layers.ipc.segments import open_segment
from tests.layers.ipc.segments import fresh_prefix, made_layer, needs_extension, remove

pytestmark = needs_extension

MEMORY = 1024 * 1024


class Capacities(dict):
    """Capacities that may change; names with a "?" are asked for each time."""

    def of(self, queue):
        return self.get(queue, 1)


@pytest.fixture
def capacities():
    return Capacities()


@pytest.fixture
def segment(capacities):
    prefix = fresh_prefix()
    made = open_segment(prefix, MEMORY, MEMORY, 60, capacities.of, 3, create=True)
    yield made
    assert made.check() is None
    made.close()
    remove(prefix)


@pytest.fixture
def shm():
    return importlib.import_module("channels._speedups.shm")


def waiting(segment):
    found = segment.describe()
    return found["readers_waiting"], found["senders_waiting"]


def test_a_sleeper_stands_in_a_line_for_each_name_until_it_takes(segment, shm):
    names, sleeper = shm.Names(["a", "b", "c!"]), shm.Sleeper()
    assert segment.take_one(names, sleeper) is None
    assert segment.take_one(names, sleeper) is None
    assert waiting(segment) == (3, 0)
    segment.push("b", (), b"x")
    assert waiting(segment) == (0, 0)
    assert segment.take_one(names, sleeper) == ("b", (), b"x")
    assert waiting(segment) == (0, 0)


def test_a_sleeper_that_is_collected_or_withdrawn_leaves_its_lines(segment, shm):
    names, sleeper = shm.Names(["a", "b"]), shm.Sleeper()
    segment.take_one(names, sleeper)
    segment.withdraw(sleeper)
    segment.withdraw(sleeper)
    assert waiting(segment) == (0, 0)
    segment.take_one(names, sleeper)
    del sleeper
    assert waiting(segment) == (0, 0)


def test_room_that_was_found_without_a_wake_up_ends_the_wait(segment, shm, capacities):
    sleeper = shm.Sleeper()
    segment.push("a?", (), b"x")
    assert segment.room("a?", sleeper) > 0
    assert waiting(segment)[1] > 0
    capacities["a?"] = 2
    assert segment.room("a?", sleeper) is None
    assert waiting(segment) == (0, 0)


def test_a_wake_up_that_was_not_used_goes_to_the_next_where_it_is_worth_it(segment, shm):
    names = shm.Names(["a"])
    first, second = shm.Sleeper(), shm.Sleeper()
    for sleeper in (first, second):
        segment.take_one(names, sleeper)
    segment.push("a", (), b"x")
    assert waiting(segment) == (1, 0)
    segment.withdraw(first)
    assert waiting(segment) == (0, 0)
    segment.take_one(names, second)
    for sleeper in (first, second):
        segment.take_one(names, sleeper)
    segment.push("a", (), b"x")
    segment.take_one(names)  # by somebody else
    segment.withdraw(first)
    assert waiting(segment) == (1, 0)


def test_a_notified_sleeper_returns_with_nothing_taken(segment, shm):
    names, sleeper = shm.Names(["a"]), shm.Sleeper()
    sleeper.begin()
    sleeper.notify()
    segment.push("a", (), b"x")
    assert sleeper.interrupted
    assert segment.await_one(names, sleeper, time.monotonic() + 10) is None
    sleeper.begin()
    assert segment.await_one(names, sleeper, None) == ("a", (), b"x")


def test_a_bell_tells_who_was_woken(segment, shm):
    bell = shm.Bell(segment)
    first, second = shm.Sleeper(bell), shm.Sleeper(bell)
    segment.take_one(shm.Names(["a"]), first)
    segment.take_one(shm.Names(["b"]), second)
    assert bell.woken(False) == []
    segment.push("b", (), b"x")
    assert bell.woken(False) == [second]
    assert segment.take_one(shm.Names(["b"]), second) is not None
    assert bell.woken(False) == []
    bell.leave()
    bell.close()
    assert bell.woken(False) == []
    assert not bell.is_current()


def test_too_many_waits_are_an_error_and_mend(segment, shm):
    sleepers = [shm.Sleeper() for _ in range(20)]
    with pytest.raises(LayerUnavailable, match="no room for more waits"):
        for number, sleeper in enumerate(sleepers):
            segment.take_one(shm.Names([f"channel.{number}.{n}" for n in range(20_000)]), sleeper)
    assert segment.check() is None
    del sleepers, sleeper
    assert waiting(segment) == (0, 0)
    assert segment.take_one(shm.Names(["a"]), shm.Sleeper()) is None


def test_announcements_end_and_are_renewed(segment):
    segment.announce("worker.1", ["one", "two"], 0.2)
    segment.announce("worker.2", ["one"], 60)
    assert segment.is_listened_to("two")
    end = time.monotonic() + 10
    while segment.is_listened_to("two"):
        assert time.monotonic() < end
    assert segment.is_listened_to("one")
    assert segment.describe()["listeners"] <= 2
    segment.announce("worker.2", ["one"], 0)
    assert segment.is_listened_to("three")


def test_announcements_of_any_size_and_name():
    with made_layer() as layer:
        channels = [f"channel.{number}" for number in range(3000)]
        layer.announce_listening("wörker " + "x" * 500, channels)
        assert layer.has_listener("channel.2999")
        assert not layer.has_listener("channel.3000")
        layer.announce_listening("wörker " + "x" * 500, ())
        assert layer.has_listener("channel.3000")
