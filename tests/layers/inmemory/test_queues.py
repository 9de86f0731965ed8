"""One queue: entries, targets, bytes."""

import pytest

from channels.layers.inmemory import queues
from channels.layers.inmemory.queues import Counters, Queue


def _queue(name: str = "serv!", capacity: int = 3) -> Queue:
    return Queue(name, capacity, Counters())


def test_entries_leave_in_order_and_bytes_return_to_zero() -> None:
    queue = _queue()
    for number in range(3):
        assert queue.offer(float(number), (f"{number}", "x"), bytes(number))
    assert queue.due() == 0.0
    assert [queue.pop() for _ in range(3)] == [
        (0.0, ("0", "x"), b""),
        (1.0, ("1", "x"), b"\0"),
        (2.0, ("2", "x"), b"\0\0"),
    ]
    assert (queue.due(), queue.bytes) == (None, 0)


def test_targets_leave_one_by_one() -> None:
    queue = _queue()
    queue.offer(1.0, ("a", "b", "c"), b"body")
    queue.offer(2.0, (), b"next")
    assert [queue.pop_target() for _ in range(4)] == [
        (1.0, ("a",), b"body"),
        (1.0, ("b",), b"body"),
        (1.0, ("c",), b"body"),
        (2.0, (), b"next"),
    ]
    assert queue.bytes == 0
    assert not queue.entries


def test_an_entry_that_lost_targets_leaves_with_the_rest() -> None:
    queue = _queue()
    queue.offer(1.0, ("a", "b", "c"), b"body")
    queue.pop_target()
    assert queue.pop() == (1.0, ("b", "c"), b"body")
    assert queue.bytes == 0


def test_capacity_counts_entries_not_targets() -> None:
    queue = _queue(capacity=2)
    assert queue.offer(1.0, tuple(map(str, range(2000))), b"")
    assert not queue.is_full()
    assert queue.offer(1.0, ("a",), b"")
    assert queue.is_full()
    assert not queue.offer(1.0, ("a",), b"")
    assert queue.clear() == 2
    assert (queue.is_full(), queue.bytes) == (False, 0)


def test_a_process_channel_is_full_of_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "PROCESS_CHANNEL_BYTES", 1000)
    process, normal = _queue("serv!", 100), _queue("serv", 100)
    for queue in (process, normal):
        assert queue.offer(1.0, (), bytes(999))
        assert not queue.is_full()
        assert queue.offer(1.0, (), bytes(5000))
    assert process.is_full()
    assert not process.offer(1.0, (), b"")
    assert normal.offer(1.0, (), b"")
    process.pop()
    assert process.is_full()
    process.pop()
    assert process.offer(1.0, (), b"")
