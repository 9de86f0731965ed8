"""The conformance kit, run over the RabbitMQ layer."""

from collections.abc import Callable
from typing import Any

import pytest

from channels.layers.base import BaseChannelLayer
from channels.layers.conformance import ChannelLayerConformance
from channels.layers.rabbitmq import RabbitmqChannelLayer
from tests.layers.rabbitmq.brokers import fresh_layer, same_store
from tests.reactor import in_reactor

pytestmark = pytest.mark.compiled_only


@pytest.mark.needs("rabbitmq-server")
class TestRabbitmqLayer(ChannelLayerConformance):
    """Every demand of the kit; each client has a connection of its own."""

    shares_counts = False
    short_expiry = 1.0
    stress_messages = 150

    def make_layer(self, **arguments: Any) -> RabbitmqChannelLayer:
        return fresh_layer(**arguments)

    def second_client(self, layer: BaseChannelLayer) -> RabbitmqChannelLayer:
        assert isinstance(layer, RabbitmqChannelLayer)
        return same_store(layer)

    def close_layer(self, layer: BaseChannelLayer) -> None:
        layer.close()

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        return in_reactor(function, *args)


@pytest.mark.slow
@pytest.mark.needs("rabbitmq-server")
@pytest.mark.parametrize(
    "test",
    [
        "test_many_readers_and_writers_lose_and_repeat_nothing",
        "test_readers_that_give_up_all_the_time_lose_and_repeat_nothing",
        "test_interruptions_in_traffic_lose_and_repeat_nothing",
    ],
)
def test_heavy_traffic_loses_and_repeats_nothing(test: str) -> None:
    suite = TestRabbitmqLayer()
    suite.stress_messages = 5_000
    suite.patience = 100.0
    try:
        getattr(suite, test)()
    finally:
        suite.teardown_method()
