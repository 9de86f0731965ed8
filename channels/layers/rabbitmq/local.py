"""``RabbitmqLocalChannelLayer``: shared memory for normal channels, RabbitMQ for all others."""

from typing import Any

from channels.layers.ipc.local import LocalChannelLayer, takes_arguments_of
from channels.layers.rabbitmq.layer import RabbitmqChannelLayer

__all__ = ["RabbitmqLocalChannelLayer"]


class RabbitmqLocalChannelLayer(LocalChannelLayer):
    """Requests stay on the machine that received them; replies and groups go through RabbitMQ.

    The arguments are those of ``RabbitmqChannelLayer``. ``prefix``, without colons, is that of the
    shared memory too. See ``LocalChannelLayer``.
    """

    @takes_arguments_of(RabbitmqChannelLayer.__init__)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        remote = RabbitmqChannelLayer(*args, **kwargs)
        super().__init__(remote, remote.prefix)
