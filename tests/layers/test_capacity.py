"""Capacities by channel name."""

import re
from typing import Any

import pytest

from channels.layers.capacity import check_capacity, compile_capacities, match_capacity


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("http.request", 200),
        ("http.request.more", 7),
        ("http.response.ab!", 50),
        ("other", 7),
        ("websocket.send", 30),
        ("a.websocket.send", 7),
        ("body?abc", 9),
    ],
)
def test_the_first_pattern_that_matches_counts(name: str, expected: int) -> None:
    compiled = compile_capacities(
        {
            "http.request": 200,
            "http.response*": 50,
            re.compile(r"websocket\."): 30,
            "websocket.*": 1,
            "body[?]*": 9,
        }
    )
    assert match_capacity(name, compiled, default=7) == expected


def test_no_capacities_leave_the_default() -> None:
    assert compile_capacities(None) == []
    assert match_capacity("any", [], default=3) == 3


@pytest.mark.parametrize("capacity", [0, -1, 1.5, "10", None, True])
def test_a_capacity_is_a_positive_int(capacity: Any) -> None:
    with pytest.raises(ValueError, match="channel_capacity.*at least 1"):
        compile_capacities({"http.*": capacity})
    with pytest.raises(ValueError, match="^capacity must be"):
        check_capacity(capacity, "capacity")


@pytest.mark.parametrize("key", [5, None, b"http.*", re.compile(rb"http")])
def test_a_key_is_a_glob_or_a_pattern(key: Any) -> None:
    with pytest.raises(TypeError, match="glob or a compiled"):
        compile_capacities({key: 5})
