"""Connections in an event loop: how commands leave, and that their replies find their callers."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from twisted.internet.defer import DeferredList

from channels.exceptions import ChannelFull
from channels.layers.redis import RedisChannelLayer
from tests.reactor import in_reactor
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server of its own: what it counts is counted."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def layer(server: RedisServer) -> Iterator[RedisChannelLayer]:
    layer = RedisChannelLayer(hosts=[server.url], prefix="streams:", capacity=100)
    in_reactor(layer.send_twisted, "first", {})  # it is connected now
    yield layer
    layer.flush()
    layer.close()


def send_all(layer: RedisChannelLayer, number: int) -> list[Any]:
    """Send numbers in one turn of the reactor; whether each was taken, or why not."""

    def send() -> Any:
        sends = [layer.send_twisted("numbers", {"number": each}) for each in range(number)]
        return DeferredList(sends, consumeErrors=True)

    return [True if done else result.type for done, result in in_reactor(send)]


def received(layer: RedisChannelLayer) -> Iterator[int]:
    while (message := layer.receive(["numbers"])[1]) is not None:
        yield message["number"]


def test_commands_of_one_turn_leave_together_and_in_order(server, layer):
    with redis.Redis.from_url(server.url) as client:
        before = client.info("stats")
        assert send_all(layer, 100) == [True] * 100
        after = client.info("stats")

    assert after["total_commands_processed"] - before["total_commands_processed"] > 100
    assert after["total_reads_processed"] - before["total_reads_processed"] < 20
    assert list(received(layer)) == list(range(100))


def test_each_caller_gets_the_reply_to_its_own_command(layer):
    assert send_all(layer, 103) == [True] * 100 + [ChannelFull] * 3


def test_more_than_the_socket_takes_at_once_arrives_whole(layer):
    blob = bytes(range(256)) * 4_000

    def send() -> Any:
        return DeferredList([layer.send_twisted("blobs", {"blob": blob}) for _ in range(20)])

    assert all(done for done, _ in in_reactor(send))
    for _ in range(20):
        assert layer.receive(["blobs"])[1] == {"blob": blob}
