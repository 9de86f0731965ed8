"""Masters watched by Sentinels: the conformance kit, arguments, and failovers."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channels.exceptions import LayerUnavailable
from channels.layers.conformance import ChannelLayerConformance
from channels.layers.conformance.kit import Background
from channels.layers.redis import RedisSentinelChannelLayer
from channels.layers.redis.sentinel import Sentinels
from tests.layers.redis.hooks import RedisHooks
from tests.layers.redis.lent import fresh_prefix, lent_sentinels, lent_servers
from tests.reactor import in_reactor
from tests.servers.ports import free_port
from tests.servers.sentinel import ELECTION, SentinelSet
from tests.waiting import wait_until

pytestmark = pytest.mark.compiled_only


class TestTwoServices(RedisHooks, ChannelLayerConformance):
    """Every demand of the kit, over two services."""

    layer_type = RedisSentinelChannelLayer
    new_channel_names = 2_000
    keeps_order = False

    def place(self) -> dict[str, Any]:
        sentinels = lent_sentinels()
        return {"hosts": sentinels.hosts, "services": list(sentinels.services)}


# Arguments


@pytest.mark.parametrize("services", [None, [], "mymaster", [""], [1], ["one", "one"]])
def test_services_without_sense_are_refused(services: Any) -> None:
    with pytest.raises(ValueError, match="services"):
        RedisSentinelChannelLayer(services=services)


@pytest.mark.parametrize(
    "hosts", [[], "localhost", ["redis://localhost:26379"], [("localhost",)], [{"host": "a"}]]
)
def test_sentinels_are_pairs_of_host_and_port(hosts: Any) -> None:
    with pytest.raises(ValueError, match="host"):
        RedisSentinelChannelLayer(hosts=hosts, services=["mymaster"])


@pytest.mark.parametrize("interval", [-1, float("nan")])
def test_refresh_intervals_without_sense_are_refused(interval: float) -> None:
    with pytest.raises(ValueError, match="sentinel_refresh_interval"):
        RedisSentinelChannelLayer(services=["one"], sentinel_refresh_interval=interval)


def test_by_default_the_sentinel_of_this_machine_is_asked() -> None:
    layer = RedisSentinelChannelLayer(services=["mymaster"])
    assert str(layer) == (
        "RedisSentinelChannelLayer(services=mymaster, hosts=localhost:26379, prefix=asgi:)"
    )


# Looking masters up


def layer_of(sentinels: SentinelSet, *services: str, **arguments: Any) -> RedisSentinelChannelLayer:
    return RedisSentinelChannelLayer(
        **{"hosts": sentinels.hosts, "capacity": 10_000, **arguments},
        services=services or ["mymaster"],
    )


def test_an_unknown_service_is_named() -> None:
    layer = layer_of(lent_sentinels(), "three")
    with pytest.raises(LayerUnavailable, match="no Sentinel of .* knows a master of 'three'"):
        layer.send("one", {})


def test_sentinels_that_are_away_are_named() -> None:
    port = free_port()
    layer = RedisSentinelChannelLayer(hosts=[("127.0.0.1", port)], services=["mymaster"])
    with pytest.raises(LayerUnavailable, match=f"127.0.0.1:{port}"):
        layer.send("one", {})


def test_a_server_that_is_no_sentinel_is_named() -> None:
    port = int(lent_servers(1)[0].rsplit(":", 1)[1].split("/")[0])
    layer = RedisSentinelChannelLayer(hosts=[("127.0.0.1", port)], services=["mymaster"])
    with pytest.raises(LayerUnavailable, match="no Sentinel"):
        layer.send("one", {})


def test_one_sentinel_that_answers_is_enough_and_asked_first_next_time() -> None:
    sentinels = lent_sentinels()
    good = sentinels.hosts[0]
    hosts = [("127.0.0.1", free_port()), ("127.0.0.1", free_port()), good]
    layer = layer_of(sentinels, "one", "two", hosts=hosts, **fresh_prefix())
    for number in range(8):
        layer.send(f"serv{number}!a", {"n": number})
        assert layer.receive([f"serv{number}!"])[1] == {"n": number}
    assert str(layer).count(f"hosts={good[0]}:{good[1]}, ") == 1
    layer.close()


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The services that Sentinels were asked for."""
    asked: list[str] = []
    master = Sentinels.master

    def counted(self: Sentinels, service: str) -> tuple[str, int]:
        asked.append(service)
        return master(self, service)

    monkeypatch.setattr(Sentinels, "master", counted)
    return asked


def test_sentinels_are_asked_again_in_the_given_interval(lookups: list[str]) -> None:
    layer = layer_of(lent_sentinels(), "one", sentinel_refresh_interval=0.01, **fresh_prefix())
    wait_until(lambda: layer.send("one?x", {}) or len(lookups) > 5)
    layer.close()


def test_without_an_interval_sentinels_are_asked_once(lookups: list[str]) -> None:
    layer = layer_of(lent_sentinels(), "one", **fresh_prefix())
    for _ in range(50):
        layer.send("one?x", {})
    assert lookups == ["one"]
    layer.close()


# Failover


@pytest.fixture
def failing() -> Iterator[SentinelSet]:
    """Sentinels whose master may be killed."""
    with SentinelSet() as sentinels:
        yield sentinels


def test_a_failover_is_followed_by_everybody(failing: SentinelSet) -> None:
    layer = layer_of(failing)
    layer.send("kept?x", {"n": 1})
    layer.group_add("everybody", "serv!a")
    generation = layer.generation()
    wait_until(lambda: _is_replicated(failing))
    blocked = [
        Background(_insistent, lambda: layer.receive(["one"], True)),
        Background(_insistent, lambda: in_reactor(layer.receive_twisted, ["two"])),
    ]
    failing.fail_over()
    _insist(layer.send, "one", {"n": 2})
    _insist(in_reactor, layer.send_twisted, "two", {"n": 3})
    assert [one.result(ELECTION)[1] for one in blocked] == [{"n": 2}, {"n": 3}]
    assert layer.receive(["kept?x"], True, 10)[1] == {"n": 1}
    layer.send_group("everybody", {"n": 4})
    assert layer.receive(["serv!"], True, 10) == ("serv!a", {"n": 4})
    wait_until(lambda: layer.generation() != generation)
    layer.close()


def test_a_master_that_was_made_a_replica_is_left(failing: SentinelSet) -> None:
    """A switch by hand, where the old master lives on and closes no connection."""
    layer = layer_of(failing)
    layer.send("one?x", {"n": 1})
    wait_until(lambda: _is_replicated(failing))
    blocked = Background(_insistent, lambda: layer.receive(["two?x"], True))
    failing.hand_over()
    _insist(layer.send, "two?x", {"n": 2})
    _insist(layer.send, "one?x", {"n": 3})
    assert blocked.result(ELECTION)[1] == {"n": 2}
    assert [layer.receive(["one?x"], True, 10)[1] for _ in range(2)] == [{"n": 1}, {"n": 3}]
    assert layer.topology.endpoints()[0].text.endswith(f":{failing.master().port}")
    layer.close()


def _is_replicated(sentinels: SentinelSet) -> bool:
    """Whether the replica has the keys of the master."""
    sizes = {server.ask("DBSIZE") for server in sentinels.services["mymaster"].servers}
    return len(sizes) == 1 and sizes != {0}


def _insist(function: Callable[..., Any], *args: Any) -> Any:
    """The result, once the layer is there again, for which there has to be another master."""
    deadline = time.monotonic() + ELECTION
    while True:
        try:
            return function(*args)
        except LayerUnavailable:
            assert time.monotonic() < deadline


def _insistent(receive: Callable[[], Any]) -> Any:
    """The next message, whatever fails meanwhile."""
    while (received := _insist(receive))[0] is None:
        pass
    return received
