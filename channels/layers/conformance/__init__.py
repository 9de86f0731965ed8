"""The test kit for channel layers: what the reference and this project demand of every one of them.

Subclass ``ChannelLayerConformance`` under pytest, or together with ``unittest.TestCase``, and say
how a layer with an empty store is made::

    class TestMyLayer(ChannelLayerConformance):
        def make_layer(self, **arguments):
            return MyLayer(fresh_store(), **arguments)

        def second_client(self, layer):
            return MyLayer(layer.store)

``Kit`` says what else a subclass may set. The kit needs nothing but the layer; the Twisted tests
need Twisted. Under pytest, ``pytest.register_assert_rewrite("channels.layers.conformance")`` before
the import makes failures tell their values.
"""

from channels.layers.conformance.asynchronous import AsyncioConformance, TwistedConformance
from channels.layers.conformance.blocking import BlockingConformance
from channels.layers.conformance.concurrency import ConcurrencyConformance
from channels.layers.conformance.expiry import ExpiryConformance
from channels.layers.conformance.flush import FlushConformance
from channels.layers.conformance.groups import GroupConformance
from channels.layers.conformance.joined import JoinedConformance
from channels.layers.conformance.kit import Kit
from channels.layers.conformance.messages import MessageConformance
from channels.layers.conformance.queues import QueueConformance
from channels.layers.conformance.room import RoomConformance
from channels.layers.conformance.statistics import StatisticsConformance

__all__ = ["ChannelLayerConformance", "Kit"]


class ChannelLayerConformance(
    MessageConformance,
    QueueConformance,
    RoomConformance,
    GroupConformance,
    ExpiryConformance,
    FlushConformance,
    StatisticsConformance,
    BlockingConformance,
    JoinedConformance,
    TwistedConformance,
    AsyncioConformance,
    ConcurrencyConformance,
    Kit,
):
    """Every test of the kit."""
