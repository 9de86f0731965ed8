"""Encrypted messages over Redis: what is stored, and who can read it."""

from typing import Any

from channels._speedups import resp
from channels.layers.redis import RedisChannelLayer
from tests.layers.redis.lent import fresh_prefix, lent_servers
from tests.layers.sealed import SealedLayerTests


class TestSealedRedis(SealedLayerTests):
    """What every layer that encrypts has to show."""

    def fresh_prefix(self) -> dict[str, str]:
        return fresh_prefix()

    def make_layer(self, prefix: Any, keys: tuple[str, ...] | None) -> RedisChannelLayer:
        return RedisChannelLayer(hosts=lent_servers(1), symmetric_encryption_keys=keys, **prefix)

    def stored(self, layer: Any, queue: str) -> bytes:
        shard = layer.topology.home(queue)
        entry: bytes = shard.call(resp.pack(("LINDEX", shard.queue_keys(queue)[0], 0)))
        return entry
