"""What a client may send over its WebSocket, on average."""

import pytest

from daphne.options import Options
from daphne.protocol.budget import Budget


def budget(messages: float | None = 10.0, size: int | None = 1000) -> Budget:
    return Budget(Options(websocket_message_rate=messages, websocket_byte_rate=size), 500.0)


def test_ten_seconds_worth_may_come_at_once() -> None:
    one = budget()
    assert all(one.spend(1, 100, 500.0) == "" for _ in range(100))
    assert one.spend(1, 0, 500.0) == "websocket_message_rate"
    assert budget().spend(100, 10_000, 500.0) == ""
    assert budget().spend(101, 1, 500.0) == "websocket_message_rate"
    assert budget().spend(1, 10_001, 500.0) == "websocket_byte_rate"


def test_the_budget_fills_up_again_as_time_passes() -> None:
    one = budget()
    assert one.spend(100, 0, 500.0) == ""
    assert one.spend(10, 0, 501.0) == ""
    assert one.spend(1, 0, 501.05) == "websocket_message_rate"


def test_the_rate_itself_can_be_kept_up_for_ever() -> None:
    one = budget()
    for second in range(1000):
        assert one.spend(10, 1000, 500.0 + second) == ""


def test_what_was_not_used_is_not_saved_up_beyond_ten_seconds() -> None:
    one = budget()
    assert one.spend(100, 0, 1_000_000.0) == ""
    assert one.spend(1, 0, 1_000_000.0) != ""


@pytest.mark.parametrize("messages, size", [(None, 1000), (10.0, None), (None, None)])
def test_none_is_no_limit(messages: float | None, size: int | None) -> None:
    one = budget(messages, size)
    assert one.spend(10**9 if messages is None else 1, 10**15 if size is None else 1, 500.0) == ""
