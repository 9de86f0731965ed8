"""Lines of waiters, and whose turn it is."""

import math
import threading

from channels.layers.waiting import Listening, ThreadWaiter, Waiter, WaitingLine


def test_turns_go_round_after_the_queue_that_was_served() -> None:
    listening = Listening(["a", "b", "c", "a"])
    assert listening.queues == listening.in_turn() == ("a", "b", "c")
    listening.served(0)
    assert listening.in_turn() == ("b", "c", "a")
    listening.served(1)
    assert listening.in_turn() == ("a", "b", "c")
    listening.served(2)
    assert listening.in_turn() == ("a", "b", "c")


def test_a_line_serves_in_order_and_takes_out_of_all_lines() -> None:
    line = WaitingLine()
    first, second = Waiter(), Waiter()
    line.add(first, ("a", "b"))
    line.add(second, ("b",))
    assert sorted(line.lines) == ["a", "b"]
    assert line.next("b") is first
    assert first.owed == "b"
    assert line.next("a") is None
    assert line.next("b") is second
    assert line.next("b") is None
    assert not line.lines


def test_a_waiter_keeps_its_place_when_it_asks_again() -> None:
    line = WaitingLine()
    first, second = Waiter(), Waiter()
    line.add(first, ("a",))
    line.add(second, ("a",))
    line.add(first, ("a",))
    assert line.next("a") is first


def test_a_waiter_that_leaves_tells_of_a_wake_up_it_did_not_use() -> None:
    line = WaitingLine()
    waiter = Waiter()
    line.add(waiter, ("a", "b"))
    assert line.remove(waiter) is None
    line.add(waiter, ("a", "b"))
    line.next("a")
    assert line.remove(waiter) == "a"
    assert line.remove(waiter) is None


def test_a_thread_waiter_blocks_until_notified() -> None:
    waiter = ThreadWaiter()
    thread = threading.Thread(target=waiter.wait, args=(math.inf,), daemon=True)
    thread.start()
    assert waiter.notify()
    thread.join(10)
    assert not thread.is_alive()


def test_a_thread_waiter_that_was_notified_before_does_not_block() -> None:
    waiter = ThreadWaiter()
    for _ in range(3):
        waiter.notify()
    waiter.wait(math.inf)


def test_a_thread_waiter_waits_no_longer_than_it_was_told() -> None:
    waiter = ThreadWaiter()
    thread = threading.Thread(target=waiter.wait, args=(0.01,), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    waiter.wait(-1)
