"""The conformance kit, run over the RabbitMQ layer."""

from collections.abc import Callable
from typing import Any

import pytest

from channels.layers.base import BaseChannelLayer
from channels.layers.conformance import ChannelLayerConformance
from channels.layers.rabbitmq import RabbitmqChannelLayer
from tests.layers.rabbitmq.brokers import fresh_layer, same_store
from tests.reactor import in_reactor


@pytest.mark.needs("rabbitmq-server")
class TestRabbitmqLayer(ChannelLayerConformance):
    """Every demand of the kit; each client has a connection of its own."""

    shares_counts = False
    short_expiry = 1.0

    def make_layer(self, **arguments: Any) -> RabbitmqChannelLayer:
        return fresh_layer(**arguments)

    def second_client(self, layer: BaseChannelLayer) -> RabbitmqChannelLayer:
        assert isinstance(layer, RabbitmqChannelLayer)
        return same_store(layer)

    def close_layer(self, layer: BaseChannelLayer) -> None:
        layer.close()

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        return in_reactor(function, *args)
