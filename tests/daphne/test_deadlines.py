"""Deadlines: what passes, what does not, and how often the reactor is asked to wake up."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from daphne.deadlines import Deadlines


class CountingClock(Clock):
    """Twisted's deterministic clock, which counts the calls that came due."""

    def __init__(self) -> None:
        super().__init__()
        self.wakeups = 0

    def callLater(self, delay: float, callable: Callable[..., object], *args, **kwargs):  # noqa: N802
        def called() -> None:
            self.wakeups += 1
            callable(*args, **kwargs)

        return super().callLater(delay, called)


@pytest.fixture
def clock() -> CountingClock:
    return CountingClock()


@pytest.fixture
def deadlines(clock: CountingClock) -> Deadlines:
    return Deadlines(clock)


def recorder(deadlines: Deadlines, passed: list[str], name: str):
    return deadlines.new(lambda: passed.append(name))


def test_a_deadline_passes_once_at_its_time(clock, deadlines):
    passed: list[str] = []
    recorder(deadlines, passed, "a").arm(5)
    clock.advance(4.9)
    assert passed == []
    clock.advance(0.1)
    assert passed == ["a"]
    clock.advance(100)
    assert passed == ["a"]


def test_deadlines_pass_in_the_order_of_their_times(clock, deadlines):
    passed: list[str] = []
    for name, at in (("c", 3), ("a", 1), ("b", 2)):
        recorder(deadlines, passed, name).arm(at)
    clock.advance(10)
    assert passed == ["a", "b", "c"]


def test_a_cancelled_deadline_does_not_pass(clock, deadlines):
    passed: list[str] = []
    deadline = recorder(deadlines, passed, "a")
    deadline.arm(5)
    deadline.cancel()
    assert deadline.at is None
    clock.advance(10)
    assert passed == []


def test_a_deadline_can_be_moved_both_ways(clock, deadlines):
    passed: list[str] = []
    earlier, later = recorder(deadlines, passed, "earlier"), recorder(deadlines, passed, "later")
    earlier.arm(10)
    earlier.arm(1)
    later.arm(1)
    later.arm(10)
    clock.advance(1)
    assert passed == ["earlier"]
    clock.advance(9)
    assert passed == ["earlier", "later"]


def test_a_deadline_in_the_past_passes_in_the_next_turn(clock, deadlines):
    passed: list[str] = []
    clock.advance(10)
    recorder(deadlines, passed, "a").arm(3)
    assert passed == []
    clock.advance(0)
    assert passed == ["a"]


def test_a_deadline_may_be_armed_again_by_its_own_action(clock, deadlines):
    passed: list[float] = []

    def tick() -> None:
        passed.append(clock.seconds())
        deadline.arm(clock.seconds() + 2)

    deadline = deadlines.new(tick)
    deadline.arm(2)
    for _ in range(6):
        clock.advance(1)
    assert passed == [2, 4, 6]


def test_an_action_that_raises_costs_no_other_deadline(clock, deadlines, caplog):
    passed: list[str] = []
    deadlines.new(lambda: 1 / 0).arm(1)
    recorder(deadlines, passed, "a").arm(1)
    clock.advance(1)
    assert passed == ["a"]
    assert "ZeroDivisionError" in caplog.text


def test_nothing_is_scheduled_while_no_deadline_is_armed(clock, deadlines):
    assert clock.getDelayedCalls() == []
    recorder(deadlines, [], "a").arm(1)
    clock.advance(1)
    assert clock.getDelayedCalls() == []


def test_moving_a_deadline_a_thousand_times_costs_no_wake_ups(clock, deadlines):
    deadline = recorder(deadlines, [], "a")
    for moment in range(1000):
        deadline.arm(1000 + moment)
    assert len(deadlines) == 1
    clock.advance(1000)
    assert clock.wakeups == 1


def test_cancelled_deadlines_cost_one_wake_up_in_all(clock, deadlines):
    for moment in range(100):
        deadline = recorder(deadlines, [], "a")
        deadline.arm(10 + moment)
        deadline.cancel()
    for _ in range(200):
        clock.advance(1)
    assert clock.wakeups == 1
    assert len(deadlines) == 0


def test_discarded_deadlines_do_not_pile_up(clock, deadlines):
    passed: list[str] = []
    kept = recorder(deadlines, passed, "kept")
    kept.arm(120)
    for _ in range(10_000):
        deadline = recorder(deadlines, passed, "discarded")
        deadline.arm(120)
        deadline.discard()
    assert len(deadlines) < 3000
    clock.advance(120)
    assert passed == ["kept"]


def test_stop_forgets_everything(clock, deadlines):
    passed: list[str] = []
    recorder(deadlines, passed, "a").arm(1)
    deadlines.stop()
    assert clock.getDelayedCalls() == []
    clock.advance(2)
    assert passed == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["arm", "cancel", "advance", "discard"]),
            st.integers(0, 4),
            st.integers(0, 20),
        ),
        max_size=60,
    )
)
def test_any_history_passes_what_a_plain_list_of_times_would(history):
    clock = CountingClock()
    deadlines = Deadlines(clock)
    passed: list[int] = []
    made = [deadlines.new(lambda number=number: passed.append(number)) for number in range(5)]
    times: dict[int, float] = {}
    expected: list[int] = []
    gone: set[int] = set()
    for action, number, amount in history:
        if action == "arm" and number not in gone:
            made[number].arm(clock.seconds() + amount)
            times[number] = clock.seconds() + amount
        elif action == "cancel":
            made[number].cancel()
            times.pop(number, None)
        elif action == "discard":
            made[number].discard()
            times.pop(number, None)
            gone.add(number)
        elif action == "advance":
            for _ in range(amount + 1):
                clock.advance(1)
                due = [n for n, at in times.items() if at <= clock.seconds()]
                expected += due
                for n in due:
                    del times[n]
    assert sorted(passed) == sorted(expected)
