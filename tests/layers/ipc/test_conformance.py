"""The conformance kit, run over the shared-memory layer."""

from collections.abc import Callable
from typing import Any

from channels.layers.conformance import ChannelLayerConformance
from channels.layers.ipc import IPCChannelLayer
from tests.layers.ipc.segments import fresh_prefix, needs_extension, remove
from tests.reactor import in_reactor

pytestmark = needs_extension


class TestIPCLayer(ChannelLayerConformance):
    """Every demand of the kit; the second client has a mapping of its own."""

    def make_layer(self, **arguments: Any) -> IPCChannelLayer:
        return IPCChannelLayer(fresh_prefix(), **arguments)

    def second_client(self, layer: Any) -> IPCChannelLayer:
        return IPCChannelLayer(layer.prefix, capacity=layer.capacity, expiry=layer.expiry)

    def close_layer(self, layer: Any) -> None:
        assert layer._segment.check() is None
        layer.close()
        remove(layer.prefix)

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        return in_reactor(function, *args)
