"""Connections in an event loop: how commands leave, and that their replies find their callers."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from twisted.internet.defer import DeferredList

from channels._speedups import resp
from channels.exceptions import ChannelFull
from channels.layers.conformance.kit import Background
from channels.layers.redis import RedisChannelLayer
from channels.layers.redis.connection import NotDone
from channels.layers.redis.outbox import Outbox, PushHead
from channels.names import queue_name
from tests.reactor import in_reactor
from tests.servers.redis import RedisServer
from tests.waiting import wait_until

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


def send_all(layer: RedisChannelLayer, number: int, channel: str = "numbers") -> list[Any]:
    """Send numbers in one turn of the reactor; whether each was taken, or why not."""

    def send() -> Any:
        sends = [layer.send_twisted(channel, {"number": each}) for each in range(number)]
        return DeferredList(sends, consumeErrors=True)

    return [True if done else result.type for done, result in in_reactor(send)]


def received(layer: RedisChannelLayer, channel: str = "numbers") -> Iterator[int]:
    while (message := layer.receive([queue_name(channel)])[1]) is not None:
        yield message["number"]


def script_calls(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])


def test_sends_of_one_turn_leave_together_and_in_order(server, layer):
    calls = script_calls(server)
    with redis.Redis.from_url(server.url) as client:
        before = client.info("stats")
        assert send_all(layer, 100) == [True] * 100
        after = client.info("stats")

    assert after["total_reads_processed"] - before["total_reads_processed"] < 20
    assert script_calls(server) - calls == 5  # the first one, and the others by 32 or fewer
    assert list(received(layer)) == list(range(100))


@pytest.mark.parametrize("channel", ["numbers", "serv!numbers", "numbers?one"])
def test_each_caller_gets_the_reply_to_its_own_send(layer, channel):
    assert send_all(layer, 103, channel) == [True] * 100 + [ChannelFull] * 3
    statistics = layer.channel_statistics(channel)
    assert statistics["messages_count"] == statistics["messages_pending"] == 100
    assert statistics["channel_full_count"] == 3
    assert list(received(layer, channel)) == list(range(100))


def test_readers_that_wait_make_room_for_sends_of_one_turn(server, layer):
    narrow = RedisChannelLayer(hosts=[server.url], prefix="streams:", capacity=3)
    in_reactor(narrow.send_twisted, "first", {})
    readers = [Background(layer.receive, ["numbers"], True, 30) for _ in range(8)]
    with server.client() as client:
        wait_until(lambda: client.info("clients")["blocked_clients"] == 8)

    assert send_all(narrow, 8) == [True] * 8
    assert sorted(reader.result(30)[1]["number"] for reader in readers) == list(range(8))
    narrow.close()


def test_sends_to_several_channels_keep_their_order(layer):
    def send() -> Any:
        channels = ["serv!a"] * 40 + ["numbers"] * 40 + ["serv!b"] * 40
        sends = [layer.send_twisted(each, {"number": n}) for n, each in enumerate(channels)]
        return DeferredList(sends)

    in_reactor(send)
    assert list(received(layer)) == list(range(40, 80))
    assert list(received(layer, "serv!")) == [*range(40), *range(80, 120)]


def test_what_expired_makes_room_for_what_is_sent_together(server, layer):
    layer.send("numbers", {"number": -1})
    with redis.Redis.from_url(server.url) as client:
        (key,) = client.keys("streams:q:numbers")
        entry = client.lpop(key)
        client.rpush(key, *[entry[:1] + bytes(8) + entry[9:]] * 90)

    assert send_all(layer, 101) == [True] * 100 + [ChannelFull]
    assert list(received(layer)) == list(range(100))


def test_sends_are_repeated_where_the_server_forgot_the_script(server, layer):
    server.ask("SCRIPT", "FLUSH")

    assert send_all(layer, 50) == [True] * 50
    assert sorted(received(layer)) == list(range(50))


def test_each_caller_hears_of_an_error_of_the_server(server, layer):
    server.ask("SET", "streams:q:numbers", "no list")
    assert send_all(layer, 50) == [NotDone] * 50
    server.ask("DEL", "streams:q:numbers")


def head_of(key: str, capacity: int = 100) -> PushHead:
    packed = resp.pack(("RPUSH", key, b"")).removesuffix(b"$0\r\n\r\n")
    return PushHead(packed, capacity)


def test_no_call_pushes_more_than_there_may_be():
    outbox = Outbox()
    assert [outbox.push(head_of("key", 2), b"1") for _ in range(5)] == [
        *(False, True),
        *(False, True),
        False,
    ]
    assert outbox.take().count(b"RPUSH") == 3


def test_no_call_pushes_many_bytes():
    outbox = Outbox()
    head = head_of("key")
    joined = [outbox.push(head, bytes(20_000)) for _ in range(5)]

    assert joined == [False, True, True, False, True]
    assert 100_000 <= len(outbox) < 200_000
    three, two = (resp.pack(("RPUSH", "key", *[bytes(20_000)] * number)) for number in (3, 2))
    assert outbox.take() == three + two
    assert not outbox and not len(outbox)


def test_a_command_between_two_pushes_keeps_its_place():
    outbox = Outbox()
    heads = [head_of(key) for key in "ab"]
    outbox.push(heads[0], b"1")
    outbox.command(b"PING\r\n")

    assert [outbox.push(head, b"2") for head in (heads[0], heads[1], heads[1])] == [
        False,
        False,
        True,
    ]
    assert outbox.take() == b"".join(
        [
            resp.pack(("RPUSH", "a", "1")),
            b"PING\r\n",
            resp.pack(("RPUSH", "a", "2")),
            resp.pack(("RPUSH", "b", "2", "2")),
        ]
    )


def test_more_than_the_socket_takes_at_once_arrives_whole(layer):
    blob = bytes(range(256)) * 4_000

    def send() -> Any:
        return DeferredList([layer.send_twisted("blobs", {"blob": blob}) for _ in range(20)])

    assert all(done for done, _ in in_reactor(send))
    for _ in range(20):
        assert layer.receive(["blobs"])[1] == {"blob": blob}
