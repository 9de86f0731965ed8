"""Tests of SIGTERM and SIGINT to processes that run workers."""

import json
import subprocess
import sys
from typing import Any

import pytest


def run(scenario: str, count: int, timeout: float = 100) -> list[dict[str, Any]]:
    """The results of ``count`` processes; see the program ``signalled``."""
    program = [sys.executable, "-m", "tests.worker.signalled", scenario, str(count)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=timeout)
    assert ended.returncode == 0, ended.stderr
    results = json.loads(ended.stdout)
    assert len(results) == count
    return results


def check_nothing_lost(count: int, timeout: float = 100) -> None:
    for result in run("random_instants", count, timeout):
        assert result["exit"] == 0, result
        everything = sorted(result["handled"] + result["left"])
        assert everything == list(range(result["sent"])), result
        assert result["flushed"] == result["handled"], result


def test_signals_at_random_instants_lose_nothing():
    check_nothing_lost(100)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_many_signals_at_random_instants_lose_nothing():
    check_nothing_lost(1000, timeout=350)


def test_an_idle_worker_leaves_in_order():
    for result in run("idle", 10):
        assert (result["exit"], result["left"]) == (0, [])


def test_a_busy_worker_finishes_its_consumer_and_leaves_the_next_message():
    for result in run("busy", 4):
        assert result["exit"] == 0
        assert (result["handled"], result["flushed"], result["left"]) == ([0], [0], [1])


def test_a_worker_without_a_layer_leaves_in_order():
    for result in run("lost_layer", 4):
        assert result["exit"] == 0


def test_a_signal_that_is_passed_on_at_once_counts_as_the_same():
    for result in run("passed_on", 4):
        assert (result["exit"], result["handled"]) == (0, [1])


def test_a_second_signal_ends_a_worker_whose_consumer_never_returns():
    for result in run("stuck", 4):
        assert result["exit"] == 128 + result["signal"]
