"""Tests of the limits of a worker process, and of how they are written."""

import pytest

from channels.worker.limits import Limits, seconds, size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000", 1000),
        ("1k", 1024),
        ("300M", 300 * 1024**2),
        ("1.5G", 1536 * 1024**2),
        ("2 GiB", 2 * 1024**3),
        ("512mb", 512 * 1024**2),
        ("10B", 10),
    ],
)
def test_sizes_are_read(text, expected):
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "M", "300T", "1,5G", "nan", "infG", "3 0M0"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError):
        size(text)


@pytest.mark.parametrize("text", ["", "soon", "inf", "nan", "5s"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError):
        seconds(text)


@pytest.mark.parametrize("name", ["consumer_timeout", "max_memory", "max_messages"])
@pytest.mark.parametrize("value", [0, -1])
def test_limits_of_nothing_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be more than 0, not {value}"):
        Limits(**{name: value})


def test_without_limits_there_are_none():
    assert not Limits().any
    assert Limits().messages_of_one() is None
    assert Limits(max_memory=1).any


def test_processes_that_were_started_together_take_different_numbers_of_messages():
    limits = Limits(max_messages=1000)

    numbers = {limits.messages_of_one() for _ in range(200)}

    assert len(numbers) > 10
    assert min(numbers) >= 900
    assert max(numbers) <= 1000


def test_few_messages_are_taken_as_they_are():
    assert {Limits(max_messages=9).messages_of_one() for _ in range(50)} == {9}
