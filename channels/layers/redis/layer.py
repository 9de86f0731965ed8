"""``RedisChannelLayer``, put together from its parts."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from channels import codec
from channels.layers.redis.blocking import RedisWaits
from channels.layers.redis.groups import RedisGroups
from channels.layers.redis.knowledge import RedisKnowledge

__all__ = ["RedisChannelLayer"]


class RedisChannelLayer(RedisWaits, RedisGroups, RedisKnowledge):
    """A layer over one Redis server, or several that share the channels.

    ``hosts``: the servers, as URLs (``redis://``, ``rediss://`` for TLS, ``unix://``), pairs of
    host and port, or dicts of redis-py's connection arguments; by default the one on this machine.
    ``prefix`` and ``stats_prefix`` stand in front of every key; layers with the same prefixes and
    hosts are one. ``symmetric_encryption_keys``: the first one encrypts, all decrypt.
    ``connection_kwargs``: arguments of redis-py's connections. The others are those of
    ``BaseChannelLayer``.

    Raises ``ValueError`` for arguments out of range. What talks to a server raises
    ``LayerUnavailable`` where it does not answer, or refuses.
    """

    def __init__(
        self,
        expiry: float = 60,
        hosts: Collection[Any] | None = None,
        prefix: str = "asgi:",
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        symmetric_encryption_keys: Collection[str | bytes] | None = None,
        stats_prefix: str = "asgi-meta:",
        connection_kwargs: Mapping[str, Any] | None = None,
        *,
        message_limit: int = codec.DEFAULT_LIMIT,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__(
            expiry,
            hosts,
            prefix,
            group_expiry,
            capacity,
            channel_capacity,
            symmetric_encryption_keys,
            stats_prefix,
            connection_kwargs,
            message_limit=message_limit,
            drop_rate=drop_rate,
        )
        self._start_waits()
        self._start_groups()
        self._start_knowledge()

    def close(self) -> None:
        """Close the connections; the next use makes new ones."""
        while self._wakeups:
            self._wakeups.pop().close()
        super().close()

    def _after_fork(self) -> None:
        super()._after_fork()
        self._start_waits()
        self._start_groups()
        self._start_knowledge()

    def __str__(self) -> str:
        hosts = ", ".join(endpoint.text for endpoint in self.topology.endpoints())
        return f"{type(self).__name__}(hosts={hosts}, prefix={self.prefix})"
