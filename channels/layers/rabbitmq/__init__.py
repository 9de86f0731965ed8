"""The RabbitMQ layer: channels for processes on any number of machines, over a RabbitMQ broker."""

try:
    import pika as _pika  # noqa: F401
except ImportError as error:
    raise ImportError(
        "the RabbitMQ channel layer needs pika: pip install channels-batteries[rabbitmq]"
    ) from error

import logging

from channels.layers.rabbitmq.layer import RabbitmqChannelLayer
from channels.layers.rabbitmq.local import RabbitmqLocalChannelLayer

# The layer says itself what goes wrong, once in a while. pika says it with each attempt to connect,
# and warns of each question about a queue that is gone, which is nothing unusual here.
if logging.getLogger("pika").level == logging.NOTSET:
    logging.getLogger("pika").setLevel(logging.CRITICAL)

__all__ = ["RabbitmqChannelLayer", "RabbitmqLocalChannelLayer"]
