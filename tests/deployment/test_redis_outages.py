"""What becomes of a deployment over Redis while the server is away, slow, full or emptied.

The same processes have to serve again by themselves when it is back, and no socket may be left open
that gets nothing any more.
"""

import secrets
import signal
from collections.abc import Iterator

import pytest

from tests.deployment.conftest import OWN
from tests.deployment.outages import PATIENCE, at_work, echoes, is_shed, serves, status
from tests.deployment.site import Site
from tests.servers.redis import RedisServer
from tests.servers.sentinel import SentinelSet
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.compiled_only]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def whole_site(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests of this file."""
    config = {"hosts": [server.url], "prefix": f"outage{secrets.token_hex(4)}:", "capacity": 1000}
    layer = {"BACKEND": "channels.layers.redis.RedisChannelLayer", "CONFIG": config}
    site = Site(tmp_path_factory.mktemp("outages"), layer, OWN)
    yield site
    site.end()


@pytest.fixture
def site(whole_site: Site) -> Iterator[Site]:
    with at_work(whole_site) as site:
        yield site


def lines(site: Site) -> int:
    """How much its processes have written."""
    return site.outputs().count("\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_ends_and_comes_back(
    site: Site, server: RedisServer, number: signal.Signals
) -> None:
    daphne = site.daphnes[0]
    losses = daphne.metric("daphne_layer_losses_total")
    assert daphne.admin("/readyz").status == 200
    with daphne.websocket() as socket:
        assert echoes(socket)
        before = lines(site)
        server.stop(number)
        assert status(daphne) == 503
        wait_until(lambda: daphne.admin("/readyz").status == 503, PATIENCE)
        assert daphne.admin("/healthz").status == 200
        assert daphne.metric("daphne_layer_up") == 0
        assert is_shed(socket)
    assert daphne.metric("daphne_layer_losses_total") > losses
    assert daphne.metric('daphne_layer_failures_total{operation="receive"}') > 0
    written = lines(site) - before
    server.start()
    wait_until(lambda: serves(daphne), PATIENCE)
    wait_until(lambda: daphne.admin("/readyz").status == 200, PATIENCE)
    assert daphne.metric("daphne_layer_up") == 1
    assert 0 < written < 400, site.outputs()


def test_sockets_that_are_opened_after_a_restart_stay(site: Site, server: RedisServer) -> None:
    """The server's new start is known before they are, not at some later look at it."""
    server.stop(signal.SIGKILL)
    server.start()
    wait_until(lambda: serves(site.daphnes[0]), PATIENCE)
    with site.daphnes[0].websocket() as socket:
        with pytest.raises(TimeoutError):
            socket.recv(timeout=7)  # longer than the interval of those looks
        assert echoes(socket)


@pytest.mark.slow
def test_a_server_that_hangs_for_long(site: Site, server: RedisServer) -> None:
    """Requests are answered within the time that a client waits for a gateway."""
    daphne = site.daphnes[0]
    with daphne.websocket() as socket:
        server.signal(signal.SIGSTOP)
        try:
            assert status(daphne) == 503
            assert is_shed(socket)
        finally:
            server.signal(signal.SIGCONT)
    wait_until(lambda: serves(daphne), PATIENCE)


@pytest.mark.parametrize("how", ["SIGSTOP", "CLIENT PAUSE"])
def test_a_server_that_pauses_for_a_moment_loses_nothing(
    site: Site, server: RedisServer, how: str
) -> None:
    with site.daphnes[0].websocket() as socket:
        assert echoes(socket)
        if how == "SIGSTOP":
            server.signal(signal.SIGSTOP)
        else:
            server.ask("CLIENT", "PAUSE", 1000, "ALL")
        for number in range(20):
            socket.send(str(number))
        if how == "SIGSTOP":
            with pytest.raises(TimeoutError):
                socket.recv(timeout=1)
            server.signal(signal.SIGCONT)
        assert sorted(int(socket.recv(timeout=10)) for _ in range(20)) == list(range(20))


def test_connections_that_are_killed(site: Site, server: RedisServer) -> None:
    with site.daphnes[0].websocket() as socket:
        for _ in range(3):
            assert echoes(socket)
            server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            wait_until(lambda: echoes(socket), PATIENCE)


def test_a_layer_that_was_emptied_sheds_its_sockets(site: Site, server: RedisServer) -> None:
    with (
        site.daphnes[0].websocket("/room-all/") as one,
        site.daphnes[1].websocket("/room-all/") as other,
    ):
        one.send("hello")
        assert [socket.recv(timeout=10) for socket in (one, other)] == ["hello", "hello"]
        server.ask("FLUSHALL")
        assert is_shed(one) and is_shed(other)
    wait_until(lambda: serves(site.daphnes[0]), PATIENCE)
    with (
        site.daphnes[0].websocket("/room-all/") as one,
        site.daphnes[1].websocket("/room-all/") as other,
    ):
        one.send("again")
        assert other.recv(timeout=10) == "again"


def test_a_process_channel_that_was_evicted_sheds_its_sockets(
    site: Site, server: RedisServer
) -> None:
    """A Daphne that was stopped for longer than a message waits."""
    daphne, other = site.daphnes
    sender = site.make_layer(expiry=0.5)
    with daphne.websocket("/room-all/") as socket:
        daphne.process.signal(signal.SIGSTOP)
        try:
            # one of these finds that others have expired, and evicts
            wait_until(lambda: sender.send_group("room-all", {}) or not members(site), PATIENCE)
        finally:
            daphne.process.signal(signal.SIGCONT)
        assert is_shed(socket)
    wait_until(lambda: serves(daphne), PATIENCE)
    assert serves(other)


def members(site: Site) -> list[str]:
    found: list[str] = site.layer.group_channels("room-all")
    return found


def test_a_memory_that_is_full(site: Site, server: RedisServer) -> None:
    daphne = site.daphnes[0]
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.ask("CONFIG", "SET", "maxmemory", 1)
    try:
        assert status(daphne) == 503
        before = lines(site)
        for _ in range(20):
            assert status(daphne) == 503
        assert lines(site) - before < 200, "a line for each of so many failures"
    finally:
        server.ask("CONFIG", "SET", "maxmemory", 0)
    wait_until(lambda: serves(daphne), PATIENCE)
    assert "its memory is full" in site.outputs()


def test_a_password_that_changes_under_way(site: Site, server: RedisServer) -> None:
    daphne = site.daphnes[0]
    server.ask("CONFIG", "SET", "requirepass", "another")
    with server.client(password="another") as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_until(lambda: status(daphne) == 503, PATIENCE)
        client.execute_command("CONFIG", "SET", "requirepass", "")
    wait_until(lambda: serves(daphne), PATIENCE)
    assert "password" in site.outputs()


def test_a_failover_by_sentinels(tmp_path_factory: pytest.TempPathFactory) -> None:
    with SentinelSet() as sentinels:
        layer = {
            "BACKEND": "channels.layers.redis.RedisSentinelChannelLayer",
            "CONFIG": {"hosts": sentinels.hosts, "services": ["mymaster"], "capacity": 1000},
        }
        site = Site(tmp_path_factory.mktemp("failover"), layer, OWN)
        try:
            site.begin(workers=1)
            wait_until(lambda: serves(site.daphnes[0]), PATIENCE)
            with site.daphnes[0].websocket() as socket:
                sentinels.fail_over()
                assert is_shed(socket)
            wait_until(lambda: serves(site.daphnes[0]), PATIENCE)
            assert all(worker.running for worker in site.workers)
        finally:
            print(site.outputs())
            site.end()
