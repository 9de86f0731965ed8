"""How often a call goes to the server and back, by what the server sees of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from channels.layers.redis import RedisChannelLayer
from tests.servers.redis import RedisServer


@pytest.fixture(scope="module", params=[1, 4])
def servers(request: pytest.FixtureRequest) -> Iterator[list[RedisServer]]:
    """Servers that nobody else uses."""
    with ExitStack() as stack:
        yield [stack.enter_context(RedisServer()) for _ in range(request.param)]


@pytest.fixture
def layer(servers: list[RedisServer]) -> Iterator[RedisChannelLayer]:
    layer = RedisChannelLayer(hosts=[server.url for server in servers], capacity=1000)
    layer.flush()
    yield layer
    layer.close()


def seen(servers: list[RedisServer], function: Callable[[], Any]) -> list[list[str]]:
    """The commands that each server gets while ``function`` runs, without those of its scripts."""
    with ExitStack() as stack:
        monitors = [
            stack.enter_context(stack.enter_context(server.client()).monitor())
            for server in servers
        ]
        function()
        for server in servers:
            server.ask("ECHO", "end")
        return [_until_the_end(monitor) for monitor in monitors]


def _until_the_end(monitor: Any) -> list[str]:
    commands = []
    while (one := monitor.next_command())["command"] != "ECHO end":
        # The test's own client introduces itself to servers that know how (Redis 7.2, Valkey).
        if one["client_type"] != "lua" and not one["command"].startswith("CLIENT SETINFO"):
            commands.append(one["command"])
    return commands


def test_a_send_is_one_command(servers: list[RedisServer], layer: RedisChannelLayer) -> None:
    for channel in ("one", "one?x", "serv!a"):
        layer.send(channel, {})  # loads the script
        counts = map(len, seen(servers, lambda c=channel: layer.send(c, {})))
        assert sorted(counts, reverse=True) == [1, 0, 0, 0][: len(servers)]


def test_a_blocking_receive_is_one_command(
    servers: list[RedisServer], layer: RedisChannelLayer
) -> None:
    layer.send("one?x", {})
    layer.receive(["one?x"], True)
    layer.send("one?x", {"n": 1})
    received = []
    counts = map(len, seen(servers, lambda: received.append(layer.receive(["one?x"], True))))
    assert sorted(counts, reverse=True) == [1, 0, 0, 0][: len(servers)]
    assert received == [("one?x", {"n": 1})]


def test_a_group_send_is_one_command_for_each_shard(
    servers: list[RedisServer], layer: RedisChannelLayer
) -> None:
    for number in range(1_000):
        layer.group_add("everybody", f"serv.{number % 10}!{number}")
    layer.send_group("everybody", {"n": 1})  # learns which queues there are
    counts = [*map(len, seen(servers, lambda: layer.send_group("everybody", {"n": 2})))]
    assert counts == [1] * len(servers)
    queues = [f"serv.{number}!" for number in range(10)]
    received: list[tuple[str, int]] = []
    while (found := layer.receive(queues))[0] is not None:
        received.append((found[0], found[1]["n"]))  # type: ignore[index]
    expected = [(f"serv.{number % 10}!{number}", n) for number in range(1_000) for n in (1, 2)]
    assert sorted(received) == sorted(expected)
