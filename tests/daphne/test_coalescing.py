"""When the reactor lets events wait for others, against a clock of the test's."""

import pytest

from daphne.coalescing import Coalescing

WINDOW = 0.001


class Load:
    """Looks for events of a ``Coalescing``, with a clock that the test moves."""

    def __init__(self) -> None:
        self.coalescing = Coalescing(WINDOW)
        self.now = 100.0

    def look(self, events: int, after: float = 0.0, timeout: float | None = None) -> float:
        """Look for events ``after`` seconds of work; the pause before that."""
        self.now += after
        pause = self.coalescing.pause(self.now, timeout)
        self.now += pause
        self.coalescing.found(events)
        return pause


@pytest.fixture
def load() -> Load:
    return Load()


def test_an_idle_server_never_pauses(load):
    assert [load.look(1, after=0.05) for _ in range(100)] == [0.0] * 100


def test_many_events_in_a_millisecond_are_let_wait_for_others(load):
    pauses = [load.look(2, after=WINDOW / 10) for _ in range(10)]
    assert pauses[0] == pauses[1] == 0.0
    assert pauses[5] == pytest.approx(WINDOW * 0.9)


def test_two_looks_are_a_window_apart_however_long_the_work_took(load):
    while not load.look(5, after=WINDOW / 10):
        pass
    assert load.look(5, after=WINDOW / 4) == pytest.approx(WINDOW * 3 / 4)
    assert load.look(5, after=WINDOW * 2) == 0.0
    assert load.look(5, after=WINDOW / 4) == pytest.approx(WINDOW * 3 / 4)


def test_a_pause_is_no_longer_than_the_look_may_take(load):
    while not load.look(5, after=WINDOW / 10):
        pass
    assert load.look(5, timeout=WINDOW / 2) == WINDOW / 2
    assert load.look(5, timeout=0) == 0.0


def test_one_that_was_cut_short_makes_no_other_longer(load):
    """Delayed calls come often in a server with many sockets."""
    while not load.look(5, after=WINDOW / 10):
        pass
    for _ in range(1000):
        load.look(5, after=WINDOW / 20, timeout=WINDOW / 4)
    assert load.look(5, after=WINDOW / 20) < WINDOW


def test_pauses_end_where_few_events_come_of_them(load):
    while not load.look(5, after=WINDOW / 10):
        pass
    pauses = [load.look(1, after=WINDOW / 10) for _ in range(20)]
    assert pauses[-1] == 0.0


@pytest.mark.parametrize("events", [1, 2])
def test_a_single_client_waits_for_less_than_a_fiftieth_of_its_time(load, events):
    """However fast it is: its events come one or two at a time."""
    begin, paused = load.now, 0.0
    while load.now < begin + 10:
        paused += load.look(events, after=WINDOW / 10)
    assert 0 < paused < 10 / 50


def test_they_are_tried_again_later(load):
    """A server that had one client, and has many now."""
    for _ in range(5000):
        load.look(1, after=WINDOW / 10)
    for _ in range(5000):
        last = load.look(5, after=WINDOW / 10)
    assert last > 0


def test_without_a_window_there_are_none():
    load = Load()
    load.coalescing.window = 0.0
    assert {load.look(9) for _ in range(50)} == {0.0}
