"""Redis servers that the tests of this folder share; each test takes a prefix of its own."""

import itertools
from typing import Any

from tests.servers.cluster import Cluster
from tests.servers.redis import RedisServer
from tests.servers.sentinel import SentinelSet

__all__ = ["end_servers", "fresh_prefix", "lent_cluster", "lent_sentinels", "lent_servers"]

_running: list[RedisServer] = []
_sets: dict[type, Any] = {}
_numbers = itertools.count()


def lent_servers(count: int) -> list[str]:
    """URLs of ``count`` servers, started when first asked for. Nobody may stop them."""
    while len(_running) < count:
        server = RedisServer()
        server.start()
        _running.append(server)
    return [server.url for server in _running[:count]]


def lent_cluster() -> Cluster:
    """A cluster of three masters; all slots have to be where they were, all nodes alive."""
    if Cluster not in _sets:
        _sets[Cluster] = Cluster().__enter__()
    return _sets[Cluster]


def lent_sentinels() -> SentinelSet:
    """Sentinels of two services, "one" and "two". Nobody may have them fail over."""
    if SentinelSet not in _sets:
        _sets[SentinelSet] = SentinelSet("one", "two").__enter__()
    return _sets[SentinelSet]


def fresh_prefix() -> dict[str, str]:
    """Arguments of a layer whose keys nobody else has."""
    number = next(_numbers)
    return {"prefix": f"test{number}:", "stats_prefix": f"test-meta{number}:"}


def end_servers() -> None:
    """Stop what was started."""
    while _running:
        _running.pop().__exit__(None, None, None)
    while _sets:
        _sets.popitem()[1].__exit__(None, None, None)
