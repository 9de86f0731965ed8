"""Tests of the table in which a worker notes what it does, for its keeper."""

import os
import time
from collections.abc import Iterator

import pytest

from channels.worker.jobs import IDLE_WATCH, JobTable


@pytest.fixture
def tables() -> Iterator[tuple[JobTable, JobTable]]:
    """A worker's view of a table for two threads, and its keeper's."""
    keeper, descriptor = JobTable.make(2)
    worker = JobTable(descriptor)
    os.close(descriptor)
    yield worker, keeper
    worker.close()
    keeper.close()


def test_the_other_side_sees_what_runs_and_since_when(tables):
    worker, keeper = tables
    before = time.monotonic()

    with worker.slot() as first, worker.slot() as second:
        assert keeper.running() == []
        first.begin("http.request", {"reply_channel": "daphne.response.a!b"})
        second.begin("tasks", {}, 4)
        one, other = keeper.running()
        second.alone()
        assert [job.further for job in keeper.running()] == [0, 0]
        second.end()
        assert keeper.running() == [one]
        first.begin("x", {})

        assert [job.text for job in keeper.running()] == ["x"]

    assert (one.text, other.text) == ("http.request of daphne.response.a!b", "tasks")
    assert (one.further, other.further) == (0, 4)
    assert before <= one.started <= other.started <= time.monotonic()
    assert keeper.running() == []
    assert keeper.seen() == 3


def test_a_place_is_given_to_the_next_thread_and_its_count_goes_on(tables):
    worker, keeper = tables

    for _ in range(5):
        with worker.slot() as slot:
            slot.begin("tasks", {})

    assert keeper.seen() == 5


def test_its_room_is_taken_at_once():
    """Or a note could find the disk full, which kills who writes it."""
    keeper, descriptor = JobTable.make(20)
    os.fsync(descriptor)
    room = os.fstat(descriptor).st_blocks * 512
    os.close(descriptor)
    keeper.close()

    assert room >= 20 * 512


@pytest.mark.parametrize(
    ("channel", "content"), [("c" * 5000, {}), ("€" * 400, {"reply_channel": "x" * 5000}), ("a", 1)]
)
def test_whatever_names_a_message_fits(tables, channel, content):
    worker, keeper = tables

    with worker.slot() as first, worker.slot() as second:
        second.begin("second", {})
        first.begin(channel, content)
        texts = [job.text for job in keeper.running()]

    assert texts[0] == "second"
    assert texts[1][:100] == channel[:100]


def test_where_nobody_watches_nothing_is_noted():
    with IDLE_WATCH.job() as job:
        job.begin("tasks", {})
        job.end()
