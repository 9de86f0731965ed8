"""Channel layers over Redis 6.2 and later, and Valkey.

A layer's keys lie on *shards*. A shard is what one script may touch: a key prefix, and a way to
find the server that has the keys now. Which shard has which channel, a *topology* knows. Scripts,
waits, groups and the Twisted part know shards only, so another arrangement of servers is another
topology (``shards``):

- ``Shard(number, prefix, stats_prefix)``. ``endpoint()`` gives the ``Endpoint`` (``connection``),
  the server that the shard is on now with its idle connections; several shards may give the same
  one. It blocks only while nothing is known. ``located()`` may block, and looks again where
  ``Endpoint.failures`` has grown. ``redirected(error, attempt)`` is called with each error that a
  server replies before it did anything (``MOVED``, ``READONLY``...), and says whether to try again;
  it never blocks. ``call`` is there to be overridden where a command needs more than that, such as
  ``ASKING``. Standalone servers: the endpoint never changes. Sentinel: ``located`` looks the master
  up. Cluster: a fixed number of shards, whose prefixes hold hash tags such as ``{asgi:07}``, with
  one endpoint for each master.
- ``Topology(shards)``. ``home(queue)`` is the shard of a ``?`` or ``!`` queue and of memberships,
  by consistent hashing; ``all_from(queue)`` are all shards that may hold entries of a queue, which
  for normal channels is every one. ``scatter`` sends to many shards at once, ``scan`` lists keys.

A layer class overrides ``_make_topology`` and may add arguments. A server that cannot be had is
``LayerUnavailable``, raised as ``NotDone`` (``connection``) where nothing was stored for certain.
"""

from channels.layers.redis.cluster import RedisClusterChannelLayer
from channels.layers.redis.layer import RedisChannelLayer
from channels.layers.redis.local import RedisLocalChannelLayer
from channels.layers.redis.sentinel import RedisSentinelChannelLayer

__all__ = [
    "RedisChannelLayer",
    "RedisClusterChannelLayer",
    "RedisLocalChannelLayer",
    "RedisSentinelChannelLayer",
]
