"""Servers for a test's own use, and the end of those that tests share."""

from collections.abc import Iterator

import pytest
import redis

from tests.layers.redis.lent import end_servers, lent_servers
from tests.servers.redis import RedisServer


@pytest.fixture(scope="session", autouse=True)
def lent_servers_end() -> Iterator[None]:
    yield
    end_servers()


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    """A client of the first of the shared servers."""
    with redis.Redis.from_url(lent_servers(1)[0]) as client:
        yield client


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that nobody else uses."""
    with RedisServer() as server:
        yield server
