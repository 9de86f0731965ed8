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


def test_after_the_first_signal_the_system_ends_the_process_at_the_second():
    stopped = threading.Event()

    with StopSignals(stopped.set):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.wait(10)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_it_can_be_used_again():
    stops: list[int] = []
    signals = StopSignals(lambda: stops.append(1))

    for expected in (1, 2):
        with signals:
            os.kill(os.getpid(), signal.SIGTERM)
            wait_until(lambda n=expected: len(stops) == n)


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
