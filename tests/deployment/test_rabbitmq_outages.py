"""What becomes of a deployment over RabbitMQ whose broker ends and comes back, or closes
connections: the same processes serve again, and no socket is left open that gets nothing."""

import secrets
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.deployment.conftest import OWN
from tests.deployment.outages import PATIENCE, at_work, echoes, is_shed, serves, status
from tests.deployment.site import Site
from tests.servers.rabbitmq import Broker
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.needs("rabbitmq-server"),
    pytest.mark.compiled_only,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Broker]:
    with closing(Broker()) as server:
        server.start()
        yield server


@pytest.fixture(scope="module")
def whole_site(server: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests of this file."""
    config = {"url": server.url, "prefix": f"outage{secrets.token_hex(4)}", "capacity": 1000}
    layer = {"BACKEND": "channels.layers.rabbitmq.RabbitmqChannelLayer", "CONFIG": config}
    site = Site(tmp_path_factory.mktemp("outages"), layer, OWN)
    yield site
    site.end()


@pytest.fixture
def site(whole_site: Site) -> Iterator[Site]:
    with at_work(whole_site) as site:
        yield site


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_broker_that_ends_and_comes_back(site: Site, server: Broker, end: str) -> None:
    daphne = site.daphnes[0]
    with daphne.websocket() as socket:
        assert echoes(socket)
        getattr(server, end)()
        assert status(daphne) == 503
        server.start()
        assert is_shed(socket)
    wait_until(lambda: serves(daphne), PATIENCE)
    with daphne.websocket() as socket:
        with pytest.raises(TimeoutError):
            socket.recv(timeout=7)
        assert echoes(socket)


def test_connections_that_the_broker_closes(site: Site, server: Broker) -> None:
    """Queues and groups outlive them, so sockets over which nothing came meanwhile stay."""
    with site.daphnes[0].websocket() as socket:
        assert echoes(socket)
        server.control("close_all_connections", "test")
        wait_until(lambda: serves(site.daphnes[0]), PATIENCE)
        assert echoes(socket)
