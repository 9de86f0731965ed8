"""Redis servers that the tests of this folder share; each test takes a prefix of its own."""

import itertools

from tests.servers.redis import RedisServer

__all__ = ["end_servers", "fresh_prefix", "lent_servers"]

_running: list[RedisServer] = []
_numbers = itertools.count()


def lent_servers(count: int) -> list[str]:
    """URLs of ``count`` servers, started when first asked for. Nobody may stop them."""
    while len(_running) < count:
        server = RedisServer()
        server.start()
        _running.append(server)
    return [server.url for server in _running[:count]]


def fresh_prefix() -> dict[str, str]:
    """Arguments of a layer whose keys nobody else has."""
    number = next(_numbers)
    return {"prefix": f"test{number}:", "stats_prefix": f"test-meta{number}:"}


def end_servers() -> None:
    """Stop what was started."""
    while _running:
        _running.pop().__exit__(None, None, None)
