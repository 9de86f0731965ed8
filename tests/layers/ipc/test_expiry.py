"""Processes whose layers have different expiries share one segment."""

from collections.abc import Iterator
from typing import Any

import pytest

from channels.layers.ipc import IPCChannelLayer
from tests.layers.ipc.segments import made_layer, needs_extension
from tests.waiting import wait_until

pytestmark = needs_extension


@pytest.fixture
def patient() -> Iterator[IPCChannelLayer]:
    with made_layer(expiry=60, capacity=1000) as layer:
        yield layer


@pytest.fixture
def hasty(patient: IPCChannelLayer) -> Iterator[IPCChannelLayer]:
    layer = IPCChannelLayer(patient.prefix, expiry=0.2, capacity=1000)
    yield layer
    layer.close()


def dead(layer: Any, group: str) -> None:
    """See that the members of ``group`` leave it, though nobody touches their channels."""
    wait_until(lambda: layer.group_channels(group) == [], timeout=5)


def test_a_message_that_expires_sooner_than_an_earlier_one_that_was_read(patient, hasty):
    channel = patient.new_channel("server.one!")
    patient.group_add("group", channel)
    patient.send(channel, {})
    assert patient.receive(["server.one!"])[0] == channel

    hasty.send(channel, {})

    dead(patient, "group")


def test_a_message_that_expires_sooner_than_the_one_before_it(patient, hasty):
    channel = patient.new_channel("server.two!")
    patient.group_add("group", channel)
    patient.send(channel, {})
    hasty.send(channel, {})

    assert patient.receive(["server.two!"])[0] == channel

    dead(patient, "group")


def test_a_membership_that_ends_sooner_than_the_one_before_it():
    """Processes may have different group expiries."""
    with made_layer(group_expiry=1000) as patient:
        hasty = IPCChannelLayer(patient.prefix, group_expiry=0.2)
        patient.group_add("group", "server.one!a")
        hasty.group_add("group", "server.one!b")

        wait_until(lambda: patient.group_channels("group") == ["server.one!a"])

        assert not patient._exists("server.one!b")
        assert patient._exists("server.one!a")
        hasty.close()


def test_an_eviction_is_remembered_though_its_channel_is_forgotten():
    with made_layer(expiry=0.05) as layer:
        before = layer.generation("server.one!")
        layer.send("server.one!a", {})
        wait_until(lambda: layer.generation("server.one!") != before)
        evicted = layer.generation("server.one!")

        for number in range(10_001):
            layer.send(f"channel.{number}", {})
            layer.receive([f"channel.{number}"])

        assert layer.channel_statistics("server.one!a")["messages_count"] == 0, "not forgotten"
        assert layer.generation("server.one!") == evicted
