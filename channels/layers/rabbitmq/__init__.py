"""The RabbitMQ layer: channels for processes on any number of machines, over a RabbitMQ broker."""

try:
    import pika as _pika  # noqa: F401
except ImportError as error:
    raise ImportError(
        "the RabbitMQ channel layer needs pika: pip install channels-batteries[rabbitmq]"
    ) from error

from channels.layers.rabbitmq.layer import RabbitmqChannelLayer
from channels.layers.rabbitmq.local import RabbitmqLocalChannelLayer

__all__ = ["RabbitmqChannelLayer", "RabbitmqLocalChannelLayer"]
