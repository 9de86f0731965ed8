"""One site for each layer, for all tests over it, and the servers that the layers need.

In ``make test-matrix`` there is one for each pair of Pythons instead, all over Redis.
"""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deployment.layers import LAYERS, SharedLayer
from tests.deployment.matrix import OWN, PAIRS, Pair
from tests.deployment.site import Site
from tests.layers.ipc.segments import remove
from tests.layers.rabbitmq.brokers import broker
from tests.servers.redis import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server for the whole run."""
    with RedisServer() as server:
        yield server


def _sites() -> list[Any]:
    """The layers and interpreters of the sites, as parameters."""
    if PAIRS:
        return [pytest.param((LAYERS["redis"], pair), id=pair.name) for pair in PAIRS]
    return [
        pytest.param((layer, OWN), id=name, marks=layer.marks) for name, layer in LAYERS.items()
    ]


@pytest.fixture(scope="session", params=_sites())
def whole_site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Each site in turn."""
    layer: SharedLayer
    pair: Pair
    layer, pair = request.param
    values = {"prefix": f"deployment{secrets.token_hex(4)}"}
    if "redis-server" in layer.programs:
        values["redis"] = request.getfixturevalue("redis_server").url
    if "rabbitmq-server" in layer.programs:
        values["rabbitmq"] = broker().url
    site = Site(tmp_path_factory.mktemp("site"), layer.settings(**values), pair)
    yield site
    site.end()
    remove(values["prefix"])


@pytest.fixture
def site(whole_site: Site) -> Iterator[Site]:
    """A site with one worker, that has done nothing yet as far as a test can see."""
    whole_site.begin(workers=1)
    yield whole_site
    print(whole_site.outputs())  # shown where the test failed
    for daphne in whole_site.daphnes:
        daphne.close()
