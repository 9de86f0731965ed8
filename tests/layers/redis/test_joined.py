"""A send in one write with the blocking receive after it."""

from collections.abc import Iterator
from typing import Any

import pytest

from channels.exceptions import LayerUnavailable
from channels.layers.conformance.kit import Background
from channels.layers.redis import RedisChannelLayer
from tests.servers.redis import RedisServer
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    shared.ask("FLUSHALL")
    return shared


@pytest.fixture
def layer(server: RedisServer) -> Iterator[RedisChannelLayer]:
    layer = RedisChannelLayer(hosts=[server.url], capacity=2)
    layer.receive(["one"], True, 0.001)  # from now on it has a connection to block on
    yield layer
    layer.close()


def test_both_reach_the_server_in_one_read(server: RedisServer, layer: RedisChannelLayer) -> None:
    with server.client() as client:
        client.ping()

        def reads_of(call: Any) -> int:
            before = client.info("stats")["total_reads_processed"]
            call()
            return int(client.info("stats")["total_reads_processed"] - before - 1)

        assert reads_of(lambda: layer.send_and_receive("one", {}, ["one"])) == 1
        assert reads_of(lambda: (layer.send("one", {}), layer.receive(["one"], True))) == 2


def test_scripts_that_the_server_forgot_are_loaded_and_the_message_sent(
    server: RedisServer, layer: RedisChannelLayer
) -> None:
    server.ask("SCRIPT", "FLUSH")
    assert layer.send_and_receive("one", {"n": 1}, ["one"]) == (None, "one", {"n": 1})


def test_a_message_that_came_with_a_forgotten_script_is_received_and_the_other_sent(
    server: RedisServer, layer: RedisChannelLayer
) -> None:
    layer.send("two", {"n": 2})
    layer.receive(["two", "none"])
    layer.send("two", {"n": 2})
    server.ask("SCRIPT", "FLUSH")
    assert layer.send_and_receive("one", {"n": 1}, ["two", "none"]) == (None, "two", {"n": 2})
    assert layer.receive(["one"]) == ("one", {"n": 1})


def test_an_idle_connection_that_ended_is_not_written_to(
    server: RedisServer, layer: RedisChannelLayer
) -> None:
    (commands,) = layer._commands
    (connection,) = commands._connections.values()
    server.ask("CLIENT", "KILL", "ID", connection.client_id)
    wait_until(lambda: not connection.is_sound())
    assert layer.send_and_receive("one", {"n": 1}, ["one"]) == (None, "one", {"n": 1})


def test_a_connection_that_breaks_while_it_blocks_is_made_anew(
    server: RedisServer, layer: RedisChannelLayer
) -> None:
    blocked = Background(layer.send_and_receive, "one", {"n": 1}, ["two"])
    with server.client() as client:
        wait_until(lambda: client.info("clients")["blocked_clients"] == 1)
        (victim,) = [one["id"] for one in client.client_list() if one["cmd"] == "blpop"]
        client.client_kill_filter(_id=victim)
    RedisChannelLayer(hosts=[server.url]).send("two", {"n": 2})
    assert blocked.result(30) == (None, "two", {"n": 2})
    assert layer.receive(["one"]) == ("one", {"n": 1})


def test_an_error_of_the_server_is_told_and_the_layer_goes_on(
    server: RedisServer, layer: RedisChannelLayer
) -> None:
    layer.send("two", {"n": 2})
    server.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        failure, channel, message = layer.send_and_receive("one", {"n": 1}, ["two"])
    finally:
        server.ask("CONFIG", "SET", "maxmemory", "0")
    assert isinstance(failure, LayerUnavailable)
    assert "memory is full" in str(failure)
    received = (channel, message) if channel else layer.receive(["two"], True, 10)
    assert received == ("two", {"n": 2})
    assert layer.receive(["one"]) == (None, None)
    assert layer.send_and_receive("one", {"n": 3}, ["one"]) == (None, "one", {"n": 3})


def test_a_refusal_is_told_while_nothing_comes(
    server: RedisServer, layer: RedisChannelLayer
) -> None:
    layer.send("one", {"n": 1})
    layer.send("one", {"n": 2})
    blocked = Background(layer.send_and_receive, "one", {"n": 3}, ["two"])
    failure, *received = blocked.result(30)
    assert isinstance(failure, layer.ChannelFull)
    assert received == [None, None]
    with server.client() as client:
        assert client.info("clients")["blocked_clients"] == 0


def test_a_server_that_is_gone_is_told() -> None:
    with RedisServer() as server:
        layer = RedisChannelLayer(hosts=[server.url])
        layer.receive(["one"], True, 0.001)
        server.stop()
        failure, *received = layer.send_and_receive("one", {"n": 1}, ["one"])
        assert isinstance(failure, LayerUnavailable)
        assert received == [None, None]
        server.start()
        assert layer.send_and_receive("one", {"n": 2}, ["one"]) == (None, "one", {"n": 2})
        layer.close()


def test_an_interrupt_hands_out_a_message_that_came_at_the_same_moment(
    server: RedisServer, layer: RedisChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer.send("two", {"n": 2})
    (commands,) = layer._commands
    join = commands.join

    def joined(*arguments: Any) -> Any:
        reply = join(*arguments)
        layer.interrupt()
        return reply

    monkeypatch.setattr(commands, "join", joined)
    assert layer.send_and_receive("one", {"n": 1}, ["two"]) == (None, "two", {"n": 2})
    assert layer.receive(["one"]) == ("one", {"n": 1})


def test_threads_take_connections_of_their_own(layer: RedisChannelLayer) -> None:
    blocked = [Background(layer.send_and_receive, "one", {"n": n}, [f"end-{n}"]) for n in (1, 2)]
    received = [layer.receive(["one"], True, 10)[1] for _ in blocked]
    assert sorted(received, key=str) == [{"n": 1}, {"n": 2}]
    for number in (1, 2):
        layer.send(f"end-{number}", {"n": number})
    assert [one.result(30)[1] for one in blocked] == ["end-1", "end-2"]
