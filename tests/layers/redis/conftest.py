"""Ends the shared servers with the run."""

from collections.abc import Iterator

import pytest

from tests.layers.redis.lent import end_servers


@pytest.fixture(scope="session", autouse=True)
def lent_servers_end() -> Iterator[None]:
    yield
    end_servers()
