"""``RedisLocalChannelLayer``: shared memory for normal channels, Redis for all others."""

from typing import Any

from channels.layers.composite import CompositeChannelLayer
from channels.layers.ipc import IPCChannelLayer
from channels.layers.redis.layer import RedisChannelLayer

__all__ = ["RedisLocalChannelLayer"]


class RedisLocalChannelLayer(CompositeChannelLayer):
    """A layer that keeps requests on the machine that received them.

    Normal channels go through shared memory, so that each machine needs workers for all channels
    that are sent to on it; replies, single-reader channels and groups go through Redis, and reach
    every machine. See ``CompositeChannelLayer``.

    The arguments are those of ``RedisChannelLayer``. The shared memory has the same prefix without
    colons, and is not encrypted.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        remote = RedisChannelLayer(*args, **kwargs)
        self.prefix = remote.prefix
        local = IPCChannelLayer(
            remote.prefix.replace(":", ""),
            remote.expiry,
            remote.group_expiry,
            remote.capacity,
            dict(remote.channel_capacity),
            message_limit=remote.message_limit,
            drop_rate=remote.drop_rate,
        )
        super().__init__(local, remote)

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.local}, {self.remote})"
