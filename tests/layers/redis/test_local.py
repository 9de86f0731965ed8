"""Shared memory and Redis as one layer: the conformance kit, and what goes where."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channels.layers.conformance import ChannelLayerConformance
from channels.layers.ipc import IPCChannelLayer
from channels.layers.redis import RedisChannelLayer, RedisLocalChannelLayer
from tests.layers.ipc.segments import fresh_prefix as fresh_segment
from tests.layers.ipc.segments import needs_extension, remove
from tests.layers.redis.lent import fresh_prefix, lent_servers
from tests.reactor import in_reactor

pytestmark = needs_extension


def made(**arguments: Any) -> RedisLocalChannelLayer:
    arguments = {**fresh_prefix(), "prefix": f"{fresh_segment()}:", **arguments}
    return RedisLocalChannelLayer(hosts=lent_servers(1), **arguments)


def ended(layer: Any) -> None:
    layer.close()
    remove(layer.local.prefix)


class TestLocal(ChannelLayerConformance):
    """Every demand of the kit."""

    new_channel_names = 2_000

    def make_layer(self, **arguments: Any) -> RedisLocalChannelLayer:
        layer = made(**arguments)
        layer.arguments = arguments
        return layer

    def second_client(self, layer: Any) -> RedisLocalChannelLayer:
        remote = layer.remote
        return RedisLocalChannelLayer(
            hosts=lent_servers(1),
            prefix=layer.prefix,
            stats_prefix=remote.stats_prefix,
            **layer.arguments,
        )

    def close_layer(self, layer: Any) -> None:
        ended(layer)

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        return in_reactor(function, *args)


@pytest.fixture
def layer() -> Iterator[RedisLocalChannelLayer]:
    layer = made(capacity=7, expiry=5, group_expiry=6, channel_capacity={"few*": 2})
    yield layer
    ended(layer)


def test_the_arguments_are_those_of_both(layer: RedisLocalChannelLayer) -> None:
    assert isinstance(layer.local, IPCChannelLayer)
    assert isinstance(layer.remote, RedisChannelLayer)
    assert layer.local.prefix == layer.remote.prefix.replace(":", "")
    for part in (layer, layer.local, layer.remote):
        assert (part.expiry, part.group_expiry, part.capacity) == (5, 6, 7)
        assert [part.get_capacity(name) for name in ("many", "few.x", "few!x")] == [7, 2, 2]


def test_the_signature_is_that_of_the_remote_layer() -> None:
    assert inspect.signature(RedisLocalChannelLayer) == inspect.signature(RedisChannelLayer)


def test_normal_channels_are_in_shared_memory(layer: RedisLocalChannelLayer) -> None:
    for channel in ("one", "two?x", "three!a"):
        layer.send(channel, {"to": channel})
    assert layer.local.channels() == ["one"]
    assert sorted(layer.remote.channels()) == ["three!", "two?x"]
    received = {layer.receive(["one", "two?x", "three!"], True)[0] for _ in range(3)}
    assert received == {"one", "two?x", "three!a"}
    assert "RedisLocalChannelLayer(IPCChannelLayer(prefix=" in str(layer)
