"""Delay servers that are told of more messages than they have room for."""

import pytest
from django.db import transaction

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.delay import send_later
from channels.layers.inmemory import ChannelLayer
from tests.delay.databases import ALIAS


@pytest.fixture
def layer():
    """A layer with little room, as that of one machine has by default."""
    layer = ChannelLayerWrapper(ChannelLayer(capacity=10), "default", {})
    old = channel_layers.set("default", layer)
    yield layer
    channel_layers.set("default", old)


@pytest.mark.parametrize("number", [30, 60, 90])
def test_the_last_of_many_that_are_committed_together_is_sent_when_it_is_due(run, layer, number):
    run()

    with transaction.atomic(using=ALIAS):
        for _ in range(number):
            send_later("later", {}, delay=3_600_000)
        send_later("now", {}, delay=100)

    assert layer.receive(["now"], block=True, timeout=20) == ("now", {})
