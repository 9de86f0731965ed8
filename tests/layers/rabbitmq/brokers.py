"""The broker that the tests of this package share, started when it is first needed."""

import atexit
import functools
import secrets
from typing import Any

from channels.layers.rabbitmq import RabbitmqChannelLayer
from tests.servers.rabbitmq import Broker

__all__ = ["broker", "fresh_layer", "fresh_prefix", "same_store"]


@functools.cache
def broker() -> Broker:
    """The one broker of the run; it ends with the run."""
    started = Broker()
    atexit.register(started.close)
    started.start()
    return started


def fresh_prefix() -> str:
    """A prefix that nobody has used: an empty store."""
    return f"test-{secrets.token_hex(6)}"


def fresh_layer(**arguments: Any) -> RabbitmqChannelLayer:
    """A layer with an empty store."""
    return RabbitmqChannelLayer(broker().url, prefix=fresh_prefix(), **arguments)


def same_store(layer: RabbitmqChannelLayer) -> RabbitmqChannelLayer:
    """Another client of the store of ``layer``."""
    return RabbitmqChannelLayer(
        broker().url,
        layer.expiry,
        layer.group_expiry,
        layer.capacity,
        dict(layer.channel_capacity),
        prefix=layer.prefix,
    )
