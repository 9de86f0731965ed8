"""How parents speak of a child that has ended; the rest is tested with the parents."""

import signal

import pytest

from channels.children import ending


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-signal.SIGKILL, "SIGKILL"),
        (-(signal.SIGRTMIN + 6), f"signal {signal.SIGRTMIN + 6}"),  # has no name of its own
    ],
)
def test_every_ending_of_a_child_has_words(code, words):
    assert ending(code) == words
