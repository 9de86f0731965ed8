"""Fixtures of the live server's tests: a database in a file, and a layer on a Redis server."""

from collections.abc import Iterator
from typing import Any

import pytest

from channels.names import random_part
from tests.databases import made_databases
from tests.servers.redis import RedisServer


@pytest.fixture(scope="module", autouse=True)
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The test database, in a file, so that other processes reach it."""
    with made_databases(tmp_path_factory.mktemp("database") / "test.sqlite3"):
        yield


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """A server for all tests of a module."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def layers(redis_server: RedisServer) -> dict[str, Any]:
    """CHANNEL_LAYERS; its CONFIG leads nowhere."""
    return {
        "default": {
            "BACKEND": "channels.layers.redis.RedisChannelLayer",
            "ROUTING": "tests.test.live.project.channel_routing",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"]},
            "TEST_CONFIG": {"hosts": [redis_server.url], "prefix": f"{random_part()}:"},
        }
    }
