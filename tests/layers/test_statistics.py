"""Tallies and the log of drops."""

import logging

import pytest

from channels.layers import statistics
from channels.layers.statistics import DropCounter, Tally, count_in


def _counted(times: list[float]) -> Tally:
    tally, other = Tally(), Tally()
    for now in times:
        count_in(now, tally, other)
    assert other.total() == tally.total()
    return tally


def test_a_tally_counts_in_all_and_in_the_last_second() -> None:
    tally = _counted([10.0, 10.05, 10.5, 11.2, 11.21])
    assert tally.total() == 5
    assert tally.per_second(11.21) == 3
    assert tally.per_second(12.1) == 2
    assert tally.per_second(12.5) == 0
    assert tally.total() == 5


def test_a_tally_that_counted_nothing_is_zero() -> None:
    assert Tally().total() == Tally().per_second(123.0) == 0


def test_a_tally_stays_small() -> None:
    tally = _counted([number / 100 for number in range(10_000)])
    assert tally.total() == 10_000
    assert 90 <= tally.per_second(99.99) <= 100
    assert len(tally._recent) <= 10


def test_drops_are_counted_and_logged_once_for_a_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    drops = DropCounter()
    with caplog.at_level(logging.WARNING, "channels.layers"):
        for _ in range(100):
            drops.add("chat!", 3, "it was full")
        drops.add("other", 1, "it was full")
    assert drops.total == 301
    assert [record.getMessage() for record in caplog.records] == [
        "Dropped 3 message(s) to channel 'chat!': it was full (3 dropped by this layer so far)",
        "Dropped 1 message(s) to channel 'other': it was full (301 dropped by this layer so far)",
    ]
    caplog.clear()
    monkeypatch.setattr(statistics, "DROP_LOG_INTERVAL", 0.0)
    with caplog.at_level(logging.WARNING, "channels.layers"):
        drops.add("chat!", 1, "it was full")
    assert "302 dropped" in caplog.text


def test_the_log_limit_does_not_grow_with_channels() -> None:
    drops = DropCounter()
    logging.getLogger("channels.layers").disabled = True
    try:
        for number in range(3000):
            drops.add(f"channel.{number}", 1, "it was full")
    finally:
        logging.getLogger("channels.layers").disabled = False
    assert len(drops._logged) <= 1000
