"""The conformance kit, run over the in-memory layer."""

from collections.abc import Callable
from typing import Any

import pytest

from channels.layers.conformance import ChannelLayerConformance
from channels.layers.inmemory import ChannelLayer
from tests.reactor import in_reactor


class TestInMemoryLayer(ChannelLayerConformance):
    """Every demand of the kit; clients of this layer share its object."""

    idle_wakeups = 0

    def make_layer(self, **arguments: Any) -> ChannelLayer:
        return ChannelLayer(**arguments)

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        return in_reactor(function, *args)


@pytest.mark.parametrize(
    "test",
    [
        "test_many_readers_and_writers_lose_and_repeat_nothing",
        "test_readers_that_give_up_all_the_time_lose_and_repeat_nothing",
        "test_interruptions_in_traffic_lose_and_repeat_nothing",
    ],
)
def test_heavy_traffic_loses_and_repeats_nothing(test: str) -> None:
    suite = TestInMemoryLayer()
    suite.stress_messages = 20_000
    suite.patience = 60.0
    getattr(suite, test)()
