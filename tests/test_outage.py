"""Tests of waiting for a lost layer, and of the log about it."""

import logging

import pytest

from channels.outage import Backoff, FailureLog

logger = logging.getLogger("tests.outage")


def fail(log: FailureLog, reason: str) -> None:
    try:
        raise OSError(reason)
    except OSError:
        log.failed("the layer failed (%s)", reason)


def test_delays_grow_to_their_limit_and_start_over_after_a_success():
    backoff = Backoff(first=1.0, most=4.0)

    delays = [backoff.next_delay() for _ in range(4)]
    backoff.reset()

    for delay, ceiling in zip([*delays, backoff.next_delay()], [1, 2, 4, 4, 1], strict=True):
        assert ceiling / 2 <= delay <= ceiling


def test_delays_of_two_workers_differ():
    assert len({Backoff().next_delay() for _ in range(10)}) > 1


def test_failures_are_logged_once_in_an_interval_and_the_others_counted(caplog):
    log = FailureLog(logger, interval=3600)

    fail(log, "first")
    fail(log, "second")
    fail(log, "third")
    log._next_line = float("-inf")  # the interval is over
    fail(log, "fourth")
    log._next_line = float("-inf")
    fail(log, "fifth")

    assert [record.getMessage() for record in caplog.records] == [
        "the layer failed (first)",
        "the layer failed (fourth) (and 2 times since the last such line)",
        "the layer failed (fifth)",
    ]
    assert all(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("left_out", [False, True])
def test_recovery_is_logged_where_the_failure_was(caplog, left_out):
    caplog.set_level(logging.INFO)
    log = FailureLog(logger, interval=3600)
    fail(log, "away")
    if left_out:
        fail(log, "still away")

    log.recovered("back")

    assert not log.failing
    assert ("back" in caplog.messages) is not left_out


def test_a_log_may_go_without_tracebacks(caplog):
    for traceback in (True, False):
        fail(FailureLog(logger, traceback=traceback), "away")
    with_one, without = caplog.records
    assert with_one.exc_info and not without.exc_info
