"""Encrypted messages over RabbitMQ: what the broker sees, and who can read it."""

from collections.abc import Callable, Iterator

import pika
import pytest

from channels.layers.rabbitmq import RabbitmqChannelLayer
from tests.layers.rabbitmq.brokers import broker, fresh_prefix

pytestmark = pytest.mark.needs("rabbitmq-server")

Make = Callable[..., RabbitmqChannelLayer]


@pytest.fixture
def layers() -> Iterator[Make]:
    """Makes layers with the given keys; they share a prefix."""
    made: list[RabbitmqChannelLayer] = []
    prefix = fresh_prefix()

    def make(*keys: str) -> RabbitmqChannelLayer:
        layer = RabbitmqChannelLayer(
            broker().url, symmetric_encryption_keys=keys or None, prefix=prefix
        )
        made.append(layer)
        return layer

    yield make
    for layer in made:
        layer.close()


def _stored(layer: RabbitmqChannelLayer, queue: str) -> bytes:
    """What the broker has in the queue of a channel; it stays there."""
    connection = pika.BlockingConnection(pika.URLParameters(broker().url))
    try:
        _, _, body = connection.channel().basic_get(layer.topology.queue(queue, 0))
    finally:
        connection.close()
    return bytes(body)


def test_messages_are_sealed_and_open_with_any_key(layers: Make) -> None:
    old, new = layers("old"), layers("new", "old")
    old.group_add("chat", "serv!a")
    old.send("one", {"text": "hidden-text"})
    old.send_group("chat", {"text": "hidden-text"})
    for queue in ("one", "serv!"):
        assert b"hidden" not in _stored(old, queue)
        assert new.receive([queue], block=True)[1] == {"text": "hidden-text"}
    new.send("one", {"text": "of the new key"})
    assert old.receive(["one"], block=True, timeout=0.1) == (None, None)
    assert old.drops == 1


def test_messages_in_clear_are_refused_by_a_layer_with_keys(
    layers: Make, caplog: pytest.LogCaptureFixture
) -> None:
    layers("other").send("one", {"n": 1})
    layers().send("one", {"n": 2})
    layer = layers("key")
    layer.send("one", {"n": 3})
    assert layer.receive(["one"], block=True) == ("one", {"n": 3})
    assert layer.drops == 2
    assert "no key of symmetric_encryption_keys opens it" in caplog.text


def test_a_message_that_was_moved_to_another_channel_does_not_open(layers: Make) -> None:
    layer = layers("key")
    layer.send("from", {"n": 1})
    layer.send("to", {"n": 2})
    body = _stored(layer, "from")
    connection = pika.BlockingConnection(pika.URLParameters(broker().url))
    connection.channel().basic_publish("", layer.topology.queue("to", 0), body)
    connection.close()
    assert layer.receive(["to"], block=True) == ("to", {"n": 2})
    assert layer.receive(["to"], block=True, timeout=0.5) == (None, None)
    assert layer.drops == 1
