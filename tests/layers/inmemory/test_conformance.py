"""The conformance kit, run over the in-memory layer."""

from collections.abc import Callable
from typing import Any

from channels.layers.conformance import ChannelLayerConformance
from channels.layers.inmemory import ChannelLayer
from tests.reactor import in_reactor


class TestInMemoryLayer(ChannelLayerConformance):
    """Every demand of the kit; clients of this layer share its object."""

    def make_layer(self, **arguments: Any) -> ChannelLayer:
        return ChannelLayer(**arguments)

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        return in_reactor(function, *args)
