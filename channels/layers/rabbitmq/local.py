"""Normal channels through shared memory, everything else through RabbitMQ."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from channels import codec
from channels.layers.composite import CompositeChannelLayer
from channels.layers.ipc import IPCChannelLayer
from channels.layers.rabbitmq.layer import TIMEOUT, RabbitmqChannelLayer

__all__ = ["RabbitmqLocalChannelLayer"]


class RabbitmqLocalChannelLayer(CompositeChannelLayer):
    """Requests stay on the machine that received them; replies and groups reach every machine.

    The arguments are those of ``RabbitmqChannelLayer``. ``prefix`` is that of the shared memory
    too: the processes of one machine that have it in common are one layer.
    """

    def __init__(
        self,
        url: str | Collection[str],
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        symmetric_encryption_keys: Collection[str | bytes] | None = None,
        prefix: str = "asgi",
        *,
        timeout: float = TIMEOUT,
        message_limit: int = codec.DEFAULT_LIMIT,
        drop_rate: float = 0.0,
    ) -> None:
        common: dict[str, Any] = {
            "expiry": expiry,
            "group_expiry": group_expiry,
            "capacity": capacity,
            "channel_capacity": channel_capacity,
            "prefix": prefix,
            "message_limit": message_limit,
            "drop_rate": drop_rate,
        }
        remote = RabbitmqChannelLayer(
            url, symmetric_encryption_keys=symmetric_encryption_keys, timeout=timeout, **common
        )
        super().__init__(IPCChannelLayer(**common), remote)
