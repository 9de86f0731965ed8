"""Delay servers that are not told of messages: there was no room for it, or no layer."""

import functools
import threading

import pytest
from django.db import transaction

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.delay import send_later
from channels.delay.waking import NEVER
from channels.exceptions import LayerUnavailable
from channels.layers.inmemory import ChannelLayer
from tests.delay.databases import ALIAS
from tests.waiting import wait_until


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


def test_what_was_stored_while_the_layer_was_away_is_sent_when_it_is_back(
    run, layer, monkeypatch, caplog
):
    run()
    away = threading.Event()
    away.set()

    def fails(*args, **options):
        if away.is_set():
            raise LayerUnavailable("the store is away")
        return originals[args[0]](*args[1:], **options)

    originals = {name: getattr(layer.channel_layer, name) for name in ("receive", "send_group")}
    for name in originals:
        monkeypatch.setattr(layer.channel_layer, name, functools.partial(fails, name))
    layer.interrupt()
    wait_until(lambda: "failed; trying again" in caplog.text)
    send_later("now", {}, delay=0)
    away.clear()

    assert layer.receive(["now"], block=True, timeout=20) == ("now", {})


def test_a_server_that_was_alone_has_one_that_joins_look_once_more(run, layer):
    run()
    layer.group_add("channels.delay", "delay.new!all")

    layer.send_group("channels.delay", {"due": NEVER, "joined": "delay.new!"})

    told = [layer.receive(["delay.new!"], block=True, timeout=20)[1] for _ in range(2)]
    assert told == [{"due": NEVER, "joined": "delay.new!"}, {"due": 0}]
