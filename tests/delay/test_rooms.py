"""Tests of what is known of full channels."""

import pytest

from channels.delay import rooms
from channels.delay.rooms import Rooms
from tests.waiting import wait_until


@pytest.fixture
def short(monkeypatch):
    """All delays are short."""
    monkeypatch.setattr(rooms, "FIRST", 0.01)
    monkeypatch.setattr(rooms, "MOST", 0.02)


def test_a_full_channel_that_nobody_tries_again_is_forgotten(short, layer):
    while layer.channel_statistics("later")["messages_pending"] < layer.get_capacity("later"):
        layer.send("later", {})
    known = Rooms(layer, lambda: None)

    known.refused("later")

    assert known.seconds_full("later") > 0
    wait_until(lambda: known.closed() == ([], []) and known.seconds_full("later") == 0)
