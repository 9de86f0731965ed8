"""Tests of the sleep between messages, and of what tells that the clock was set."""

import os
import threading
from pathlib import Path

import pytest

from channels.delay import instants
from channels.delay.alarm import Alarm
from channels.delay.clock import ClockWatch
from tests.waiting import wait_until

#: Nothing here has two forms.
pytestmark = pytest.mark.compiled_only


@pytest.fixture
def waiting():
    """An alarm that a thread waits for, and whether it still does."""
    alarm = Alarm()
    thread = threading.Thread(target=alarm.wait, args=(3600,), daemon=True)
    thread.start()
    yield alarm, thread
    alarm.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_date_that_is_set_before_the_wait_is_not_missed():
    alarm = Alarm()

    alarm.set(instants.now())

    alarm.wait(3600)


def test_an_earlier_date_shortens_the_wait(waiting):
    alarm, thread = waiting

    alarm.set(instants.now() + 3600 * 10**6)
    alarm.set(instants.now() + 10**4)

    wait_until(lambda: not thread.is_alive())


def test_the_longest_wait_ends_without_a_date():
    Alarm().wait(0.01)


def test_a_wait_after_the_stop_ends_at_once():
    alarm = Alarm()
    alarm.stop()

    alarm.wait(3600)


def test_a_clock_that_was_set_forward_ends_the_wait(waiting, monkeypatch):
    alarm, thread = waiting
    alarm.set(instants.now() + 1000 * 10**6)
    now = instants.now

    monkeypatch.setattr(instants, "now", lambda: now() + 2000 * 10**6)
    alarm.look_at_clock()

    wait_until(lambda: not thread.is_alive())


def test_a_clock_that_was_set_back_prolongs_it(monkeypatch):
    alarm, now = Alarm(), instants.now
    alarm.set(now() + 10**5)
    monkeypatch.setattr(instants, "now", lambda: now() - 3600 * 10**6)
    thread = threading.Thread(target=alarm.wait, args=(3600,), daemon=True)
    thread.start()

    thread.join(0.3)
    assert thread.is_alive()
    alarm.stop()
    thread.join(10)


def _timers() -> int:
    links = Path("/proc/self/fd").iterdir()
    return sum("timerfd" in os.readlink(link) for link in links if link.is_symlink())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux tells of the clock")
def test_the_watch_of_the_clock_has_a_timer_until_it_ends():
    before = _timers()
    stepped = []

    with ClockWatch(lambda: stepped.append(1)):
        assert _timers() == before + 1
    wait_until(lambda: _timers() == before)

    assert not stepped
    assert not [thread for thread in threading.enumerate() if thread.name == "clock-watch"]
