"""What the calls of a layer do while its server is away, hangs or refuses, and when it is back.

Whole deployments are tested in ``tests/deployment/test_redis_outages.py``.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from channels.exceptions import LayerUnavailable
from channels.layers.conformance.asynchronous import AsyncioConformance, TwistedConformance
from channels.layers.conformance.blocking import BlockingConformance
from channels.layers.conformance.kit import Background
from channels.layers.conformance.messages import MessageConformance
from channels.layers.redis import RedisChannelLayer, blocking, hosts, session, waits
from tests.layers.redis.lent import fresh_prefix
from tests.reactor import in_reactor
from tests.servers.authority import Authority
from tests.servers.redis import RedisServer
from tests.servers.redis_tls import TLSRedisServer
from tests.waiting import wait_until

pytestmark = pytest.mark.compiled_only

#: Seconds that a call may take where the server hangs: some try twice; each try connects and asks.
BOUND = 30

USER = ("--user", "anna", "on", ">secret", "~*", "&*", "+@all", "--user", "default", "off")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def layer(server: RedisServer) -> Iterator[RedisChannelLayer]:
    layer = RedisChannelLayer(hosts=[server.url], **fresh_prefix())
    yield layer
    layer.close()


def calls(layer: RedisChannelLayer) -> list[Callable[[], Any]]:
    """Each call that needs the server."""
    return [
        lambda: layer.send("one", {}),
        lambda: layer.receive(["one"]),
        lambda: layer.group_add("group", "one!a"),
        lambda: layer.group_channels("group"),
        lambda: layer.send_group("group", {}),
        lambda: layer.global_statistics(),
        lambda: layer.wait_for_room("one", 1),
        lambda: layer.new_channel("one!"),
        lambda: layer.announce_listening("worker", ["one"]),
        lambda: layer.flush(),
        lambda: in_reactor(layer.send_twisted, "one", {}),
        lambda: in_reactor(layer.new_channel_twisted, "one!"),
        lambda: in_reactor(layer.room_twisted, "one"),
        lambda: in_reactor(layer.receive_twisted, ["one"]),
        lambda: asyncio.run(layer.send_async("one", {})),
        lambda: asyncio.run(layer.receive_async(["one"])),
    ]


def test_backend_away_every_call_says_so(layer: RedisChannelLayer, server: RedisServer) -> None:
    layer.send("one", {})
    server.stop()
    for call in calls(layer):
        with pytest.raises(LayerUnavailable, match=f"127.0.0.1:{server.port}"):
            call()
    with pytest.raises(LayerUnavailable):
        layer.receive(["one"], block=True)
    server.start()
    layer.send("one", {"n": 1})
    assert layer.receive(["one"], block=True) == ("one", {"n": 1})
    assert in_reactor(layer.send_twisted, "one", {"n": 2}) is None
    assert in_reactor(layer.receive_twisted, ["one"]) == ("one", {"n": 2})


@pytest.mark.parametrize("channels", [["one"], ["one", "two?x"]])
def test_receives_that_fail_leave_nothing_open(
    layer: RedisChannelLayer, server: RedisServer, channels: list[str]
) -> None:
    def fail() -> int:
        with pytest.raises(LayerUnavailable):
            layer.receive(channels, block=True)
        return sum(os.readlink(f"/proc/self/fd/{one}").startswith("pipe:") for one in descriptors())

    layer.receive(channels)
    server.stop()
    before = fail()
    for _ in range(3):
        fail()
    assert fail() == before
    server.start()


def descriptors() -> list[str]:
    """Those of this process, without the one that reads them."""
    return [one for one in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{one}")]


@pytest.mark.parametrize("seconds", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_every_call_ends_in_time_where_the_server_hangs(
    server: RedisServer, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_LEAST_TIMEOUT", seconds)
    for name in ("_LOOK", "BLOCK_SECONDS"):
        monkeypatch.setattr(session, name, seconds)
    patience = {"connection_kwargs": {"socket_timeout": seconds}}
    layers = [
        RedisChannelLayer(hosts=[server.url], **patience, **fresh_prefix()) for _ in range(16)
    ]
    for layer in layers:
        layer.receive(["two"])
    server.signal(signal.SIGSTOP)
    try:
        running = [
            Background(call)
            for number, layer in enumerate(layers)
            for call in [calls(layer)[number]]
        ]
        for one in running:
            with pytest.raises(LayerUnavailable):
                one.result(BOUND)
    finally:
        server.signal(signal.SIGCONT)
    for layer in layers:
        layer.close()


def test_what_blocks_goes_on_when_the_server_is_back(
    layer: RedisChannelLayer, server: RedisServer
) -> None:
    """A single failure ends no receive; where the server stays away, its owner hears of it."""
    outcome: list[Any] = []

    def receive() -> "Deferred[Any]":
        return layer.receive_twisted(["two"]).addBoth(outcome.append)

    blocked = Background(layer.receive, ["one"], True)
    in_reactor(lambda: [receive()])
    wait_until(lambda: "blocked_clients:2" in server.ask("INFO", "clients").decode())
    server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_until(lambda: "blocked_clients:2" in server.ask("INFO", "clients").decode())
    assert blocked.is_alive() and not outcome
    layer.send("one", {"n": 1})
    layer.send("two", {"n": 2})
    assert blocked.result(10) == ("one", {"n": 1})
    wait_until(lambda: outcome)
    assert outcome == [("two", {"n": 2})]


def test_a_reader_that_is_killed_keeps_no_sender_from_room(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took the entry that told of waiting senders, and could not tell of the room."""
    for module in (blocking, waits):
        monkeypatch.setattr(module, "BLOCK_SECONDS", 1)
    layer = RedisChannelLayer(hosts=[server.url], capacity=1, **fresh_prefix())
    waiting = []
    for channel, wait in (("one?x", layer.wait_for_room), ("two?x", None)):
        layer.send(channel, {})
        waiting.append(Background(wait or (lambda c: in_reactor(layer.room_twisted, c)), channel))
    wait_until(lambda: "blocked_clients:2" in server.ask("INFO", "clients").decode())
    for channel in ("one?x", "two?x"):
        assert server.ask("LPOP", layer.topology.home(channel).queue_keys(channel)[0])
    assert [one.result(20) for one in waiting] == [True, None]
    layer.close()


def test_a_paused_server_is_waited_for(layer: RedisChannelLayer, server: RedisServer) -> None:
    blocked = Background(layer.receive, ["one"], True)
    server.ask("CLIENT", "PAUSE", 700, "ALL")
    sending = [Background(layer.send, "one", {"n": 1})]
    sending.append(Background(in_reactor, layer.send_twisted, "one", {"n": 2}))
    for one in sending:
        one.result(10)
    received = [blocked.result(10), layer.receive(["one"], True, 10)]
    assert sorted(message["n"] for _, message in received) == [1, 2]


def test_a_full_memory_refuses_every_kind_of_send(
    layer: RedisChannelLayer, server: RedisServer
) -> None:
    layer.send("one", {"n": 1})
    layer.group_add("group", "two!a")
    server.ask("CONFIG", "SET", "maxmemory", 1)
    try:
        for send in (
            lambda: layer.send("one", {}),
            lambda: layer.send_group("group", {}),
            lambda: layer.group_add("group", "two!b"),
            lambda: in_reactor(layer.send_twisted, "one", {}),
            lambda: asyncio.run(layer.send_async("one", {})),
        ):
            with pytest.raises(LayerUnavailable, match="its memory is full"):
                send()
        assert layer.receive(["one"]) == ("one", {"n": 1})
    finally:
        server.ask("CONFIG", "SET", "maxmemory", 0)
    layer.send("one", {"n": 2})
    assert layer.receive(["one"]) == ("one", {"n": 2})


# TLS, users and passwords


@pytest.fixture(scope="module")
def tls_server() -> Iterator[TLSRedisServer]:
    with TLSRedisServer(*USER) as server:
        yield server


def over_tls(server: TLSRedisServer, **arguments: Any) -> RedisChannelLayer:
    """A layer of the user, with the arguments of its connections."""
    url = server.url.replace("rediss://", f"rediss://{arguments.pop('user', 'anna:secret')}@")
    return RedisChannelLayer(
        hosts=[url],
        connection_kwargs={"ssl_ca_certs": server.authority, **arguments.pop("connection", {})},
        **{**fresh_prefix(), **arguments},
    )


class TestTLS(MessageConformance, BlockingConformance, TwistedConformance, AsyncioConformance):
    """The demands of the kit on waits and on messages of every size, over TLS and as a user."""

    @pytest.fixture(autouse=True)
    def _server(self, tls_server: TLSRedisServer) -> None:
        self.server = tls_server

    def make_layer(self, **arguments: Any) -> RedisChannelLayer:
        layer = over_tls(self.server, **arguments)
        layer.arguments = {"prefix": layer.prefix, "stats_prefix": layer.stats_prefix, **arguments}
        return layer

    def second_client(self, layer: Any) -> RedisChannelLayer:
        return over_tls(self.server, **layer.arguments)

    def close_layer(self, layer: Any) -> None:
        layer.close()

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        return in_reactor(function, *args)


def test_a_certificate_of_another_authority_is_refused(
    tls_server: TLSRedisServer, tmp_path: Path
) -> None:
    other = Authority(tmp_path).certificate
    layer = over_tls(tls_server, connection={"ssl_ca_certs": str(other)})
    for send in (lambda: layer.send("one", {}), lambda: in_reactor(layer.send_twisted, "one", {})):
        with pytest.raises(LayerUnavailable, match="(?i)certificate"):
            send()


def test_a_certificate_for_another_host_is_refused() -> None:
    with TLSRedisServer(host="redis.example.org") as server:
        layer = RedisChannelLayer(
            hosts=[server.url],
            connection_kwargs={"ssl_ca_certs": server.authority},
            **fresh_prefix(),
        )
        with pytest.raises(LayerUnavailable, match="(?i)certificate"):
            layer.send("one", {})


@pytest.mark.parametrize("user", ["anna:wrong", "berta:secret", ":secret"])
def test_a_wrong_user_or_password_is_named_and_not_shown(
    tls_server: TLSRedisServer, user: str
) -> None:
    layer = over_tls(tls_server, user=user)
    for send in (lambda: layer.send("one", {}), lambda: in_reactor(layer.send_twisted, "one", {})):
        with pytest.raises(LayerUnavailable, match="user or password") as caught:
            send()
        assert "wrong" not in str(caught.value).replace("WRONGPASS", "")
        assert "secret" not in str(caught.value)


def test_a_user_who_may_not_do_all_is_told_what_is_missing() -> None:
    limited = ("--user", "anna", "on", ">secret", "~other:*", "+@all")
    with RedisServer(*limited) as server:
        url = server.url.replace("redis://", "redis://anna:secret@")
        layer = RedisChannelLayer(hosts=[url], **fresh_prefix())
        with pytest.raises(LayerUnavailable, match="lacks a permission"):
            layer.send("one", {})
