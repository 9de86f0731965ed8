"""Tests of SIGTERM and SIGINT as a request to stop, inside the test process."""

import os
import signal
import threading

import pytest

from channels.worker.stopping import StopSignals
from tests.waiting import wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_calls_stop_in_another_thread(number):
    callers: list[threading.Thread] = []

    with StopSignals(lambda: callers.append(threading.current_thread())):
        os.kill(os.getpid(), number)
        wait_until(lambda: callers)

    assert callers[0] is not threading.main_thread()


def test_the_earlier_handlers_are_put_back():
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]

    with StopSignals(lambda: None):
        assert signal.getsignal(signal.SIGTERM) not in before

    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before


def test_signals_that_come_together_are_one():
    stops: list[int] = []

    with StopSignals(lambda: stops.append(1), grace=3600):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: stops)

    assert stops == [1]


def test_other_signals_are_not_its_business():
    stops, alarms = [], []
    earlier = signal.signal(signal.SIGUSR1, lambda *args: alarms.append(1))
    try:
        with StopSignals(lambda: stops.append(1)):
            os.kill(os.getpid(), signal.SIGUSR1)
            wait_until(lambda: alarms)
    finally:
        signal.signal(signal.SIGUSR1, earlier)

    assert not stops


def test_the_earlier_wakeup_descriptor_is_put_back():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing)
    try:
        with StopSignals(lambda: None):
            pass
        assert signal.set_wakeup_fd(before) == writing
    finally:
        os.close(reading)
        os.close(writing)


def test_it_can_be_used_again():
    stops: list[int] = []
    signals = StopSignals(lambda: stops.append(1))

    for expected in (1, 2):
        with signals:
            os.kill(os.getpid(), signal.SIGTERM)
            wait_until(lambda n=expected: len(stops) == n)


def test_a_process_that_a_consumer_forked_is_ended_as_if_there_were_no_worker():
    stops: list[int] = []

    with StopSignals(lambda: stops.append(1)):
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # it must not outlive a test that fails
            signal.pause()
            os._exit(7)
        os.kill(child, signal.SIGTERM)
        status = os.waitpid(child, 0)[1]

    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
    assert not stops


def test_another_thread_is_told_what_to_do_instead():
    errors: list[RuntimeError] = []

    def install() -> None:
        try:
            StopSignals(lambda: None).install()
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=install, name="elsewhere")
    thread.start()
    thread.join()

    assert "'elsewhere'" in str(errors[0])
    assert "signal_handlers=False" in str(errors[0])
