"""``RedisLocalChannelLayer``: shared memory for normal channels, Redis for all others."""

from typing import Any

from channels.layers.ipc.local import LocalChannelLayer, takes_arguments_of
from channels.layers.redis.layer import RedisChannelLayer

__all__ = ["RedisLocalChannelLayer"]


class RedisLocalChannelLayer(LocalChannelLayer):
    """Requests stay on the machine that received them; replies and groups go through Redis.

    The arguments are those of ``RedisChannelLayer``. ``prefix``, without its colons, is that of the
    shared memory too. See ``LocalChannelLayer``.
    """

    @takes_arguments_of(RedisChannelLayer.__init__)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        remote = RedisChannelLayer(*args, **kwargs)
        super().__init__(remote, remote.prefix)
