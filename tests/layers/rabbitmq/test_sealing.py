"""Encrypted messages over RabbitMQ: what the broker sees, and who can read it."""

from typing import Any

import pika
import pytest

from channels.layers.rabbitmq import RabbitmqChannelLayer
from tests.layers.rabbitmq.brokers import broker, fresh_prefix
from tests.layers.sealed import Make, SealedLayerTests

pytestmark = pytest.mark.needs("rabbitmq-server")


class TestSealedRabbitmq(SealedLayerTests):
    """What every layer that encrypts has to show, and what a broker could do besides."""

    def fresh_prefix(self) -> str:
        return fresh_prefix()

    def make_layer(self, prefix: Any, keys: tuple[str, ...] | None) -> RabbitmqChannelLayer:
        return RabbitmqChannelLayer(broker().url, symmetric_encryption_keys=keys, prefix=prefix)

    def stored(self, layer: Any, queue: str) -> bytes:
        connection = pika.BlockingConnection(pika.URLParameters(broker().url))
        try:
            _, _, body = connection.channel().basic_get(layer.topology.queue(queue, 0))
        finally:
            connection.close()
        return bytes(body)

    def test_a_message_that_was_moved_to_another_channel_does_not_open(self, layers: Make) -> None:
        layer = layers("key")
        layer.send("from", {"n": 1})
        layer.send("to", {"n": 2})
        body = self.stored(layer, "from")
        connection = pika.BlockingConnection(pika.URLParameters(broker().url))
        connection.channel().basic_publish("", layer.topology.queue("to", 0), body)
        connection.close()
        assert layer.receive(["to"], block=True) == ("to", {"n": 2})
        assert layer.receive(["to"], block=True, timeout=0.5) == (None, None)
        assert layer.drops == 1
