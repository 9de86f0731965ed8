"""A receive in a loop whose pop is all that there is to do, and everything that may come between.

``begun`` sees that this way is taken; each test then says what the receive has to give.
"""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from channels import codec
from channels.exceptions import LayerUnavailable
from channels.layers.entries import Delivery
from channels.layers.redis import RedisChannelLayer, connection
from channels.layers.redis.twisted import _session
from channels.layers.redis.waits import Receive
from tests.layers.redis.lent import fresh_prefix, lent_servers
from tests.reactor import in_reactor
from tests.servers.redis import RedisServer, version
from tests.servers.redis_tls import TLSRedisServer
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server of its own, since connections are killed and counted."""
    with RedisServer() as server:
        yield server


def prepared(url: str, **arguments: Any) -> RedisChannelLayer:
    """A layer that has received once, so that it has a connection for it."""
    layer = RedisChannelLayer(hosts=[url], **fresh_prefix(), **arguments)
    layer.send("serv!x", {"n": 0})
    assert in_reactor(layer.receive_deliveries_twisted, ["serv!"])[0].message == {"n": 0}
    return layer


@pytest.fixture
def layer(server: RedisServer) -> Iterator[RedisChannelLayer]:
    layer = prepared(server.url)
    yield layer
    layer.close()


def begun(layer: RedisChannelLayer) -> "Deferred[list[Delivery]]":
    """A receive that waits for its pop alone."""
    found: list[Deferred[list[Delivery]]] = []

    def begin() -> None:
        found.append(layer.receive_deliveries_twisted(["serv!"]))
        (receive,) = _session(layer).receives
        assert receive._direct is not None

    in_reactor(begin)
    return found[0]


def result(waiting: "Deferred[Any]") -> Any:
    wait_until(lambda: waiting.called)
    return waiting.result


def delivered(number: int) -> list[Delivery]:
    return [Delivery("serv!", ("x",), {"n": number})]


def key(layer: RedisChannelLayer) -> str:
    return f"{layer.prefix}q:serv!"


def wait_until_blocked(server: RedisServer) -> None:
    wait_until(lambda: server.info("clients")["blocked_clients"] == "1")


def nothing_is_left(layer: RedisChannelLayer) -> bool:
    return not _session(layer).receives and not layer._blocked


# The usual case


def test_a_message_is_handed_out_without_a_coroutine(layer: RedisChannelLayer) -> None:
    if version() < (7, 0):
        pytest.skip("this server has no BLMPOP, so there is more to ask")
    for number in range(5):
        waiting = begun(layer)
        (receive,) = _session(layer).receives
        layer.send("serv!x", {"n": number})
        assert result(waiting) == delivered(number)
        assert receive._taken_over is None
        assert nothing_is_left(layer)


def test_messages_that_are_there_come_at_once_and_in_order(layer: RedisChannelLayer) -> None:
    for number in range(5):
        layer.send("serv!x", {"n": number})
    assert result(begun(layer)) == [each for n in range(5) for each in delivered(n)]


def test_a_reply_that_arrives_in_parts_is_one(layer: RedisChannelLayer) -> None:
    blobs = [bytes(range(256)) * 2_000 for _ in range(3)]
    waiting = begun(layer)
    for blob in blobs:
        layer.send("serv!x", {"blob": blob})
    found = result(waiting)
    while len(found) < len(blobs):
        found = [*found, *result(begun(layer))]
    assert [delivery.message["blob"] for delivery in found] == blobs


def test_over_tls_replies_of_every_size_arrive() -> None:
    with TLSRedisServer() as server:
        layer = prepared(server.url, connection_kwargs={"ssl_ca_certs": server.authority})
        for size in (1, 16_000, 16_384, 17_000, 65_536, 1_000_000):
            waiting = begun(layer)
            layer.send("serv!x", {"blob": bytes(size)})
            assert result(waiting)[0].message == {"blob": bytes(size)}
        for _ in range(100):
            layer.send("serv!x", {"blob": bytes(3_000)})
        assert len(result(begun(layer))) == 100
        layer.close()


def test_of_several_shards_the_one_of_a_process_channel_is_asked() -> None:
    layer = RedisChannelLayer(hosts=lent_servers(2), **fresh_prefix())
    layer.send("serv!x", {"n": 0})
    assert in_reactor(layer.receive_deliveries_twisted, ["serv!"]) == delivered(0)
    waiting = begun(layer)
    layer.send("serv!x", {"n": 1})
    assert result(waiting) == delivered(1)
    for number in range(10):
        layer.send("one", {"n": number})
    found: list[int] = []
    while len(found) < 10:
        deliveries = in_reactor(layer.receive_deliveries_twisted, ["one"])
        found += [delivery.message["n"] for delivery in deliveries]
    assert sorted(found) == list(range(10))
    layer.close()


def test_in_asyncio_a_cancelled_receive_loses_nothing(layer: RedisChannelLayer) -> None:
    async def main() -> list[int]:
        found = []
        for number in range(30):
            task = asyncio.create_task(layer.receive_deliveries_async(["serv!"]))
            await layer.send_async("serv!x", {"n": number})
            task.cancel()
            try:
                deliveries = await task
            except asyncio.CancelledError:
                deliveries = await layer.receive_deliveries_async(["serv!"])
            found += [delivery.message["n"] for delivery in deliveries]
        return found

    assert asyncio.run(main()) == list(range(30))


# Connections and servers


def test_it_lives_through_the_end_of_its_connection(
    layer: RedisChannelLayer, server: RedisServer
) -> None:
    waiting = begun(layer)
    wait_until_blocked(server)
    server.ask("CLIENT", "KILL", "TYPE", "normal")
    wait_until_blocked(server)
    layer.send("serv!x", {"n": 1})
    assert result(waiting) == delivered(1)
    assert nothing_is_left(layer)


def test_the_end_of_a_connection_comes_after_the_replies_on_it(layer: RedisChannelLayer) -> None:
    """Both are there when the loop looks."""
    waiting = begun(layer)

    def cut() -> None:
        (receive,) = _session(layer).receives
        stream = receive._direct
        layer.send("serv!x", {"n": 1})
        while not stream.connection.has_buffered():
            stream.connection.gather()
        stream.connection.sock.shutdown(2)
        stream.readable()
        assert not stream.is_open

    in_reactor(cut)
    assert result(waiting) == delivered(1)
    layer.send("serv!x", {"n": 2})
    assert in_reactor(layer.receive_deliveries_twisted, ["serv!"]) == delivered(2)


def test_a_connection_that_broke_before_it_is_used_is_made_anew(
    layer: RedisChannelLayer, server: RedisServer
) -> None:
    def cut() -> Any:
        (streams,) = _session(layer)._idle.values()
        streams[0].connection.sock.shutdown(2)
        return layer.receive_deliveries_twisted(["serv!"])

    layer.send("serv!x", {"n": 1})
    assert in_reactor(cut) == delivered(1)


def test_a_server_that_ends_what_blocks_is_asked_again(
    layer: RedisChannelLayer, server: RedisServer
) -> None:
    """With an error, as it does when it becomes a replica."""
    waiting = begun(layer)
    (receive,) = _session(layer).receives
    wait_until_blocked(server)
    assert server.ask("CLIENT", "UNBLOCK", receive._direct.connection.client_id, "ERROR") == 1
    layer.send("serv!x", {"n": 1})
    assert result(waiting) == delivered(1)


def test_an_error_of_the_server_is_raised(layer: RedisChannelLayer, server: RedisServer) -> None:
    server.ask("SET", key(layer), "no list")
    waiting = begun(layer)
    failed: list[Any] = []
    in_reactor(waiting.addErrback, failed.append)
    wait_until(lambda: failed)
    assert failed[0].check(LayerUnavailable) and "WRONGTYPE" in failed[0].getErrorMessage()
    server.ask("DEL", key(layer))
    layer.send("serv!x", {"n": 1})
    assert in_reactor(layer.receive_deliveries_twisted, ["serv!"]) == delivered(1)


def test_a_server_without_blmpop_gives_the_rest_afterwards(
    layer: RedisChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_BLMPOP_VERSION", (99,))
    for number in range(5):
        layer.send("serv!x", {"n": number})
    assert result(begun(layer)) == [each for n in range(5) for each in delivered(n)]


# Ends of the wait


def test_a_cancelled_one_takes_no_message_with_it(
    layer: RedisChannelLayer, server: RedisServer
) -> None:
    for number in range(30):
        waiting = begun(layer)
        sending = threading.Thread(target=layer.send, args=("serv!x", {"n": number}))
        sending.start()
        in_reactor(waiting.cancel)
        sending.join()
        waiting.addErrback(lambda failure: failure.trap(CancelledError))
        if result(waiting) != delivered(number):
            wait_until(lambda: nothing_is_left(layer))
            assert in_reactor(layer.receive_deliveries_twisted, ["serv!"]) == delivered(number)
    wait_until(lambda: server.info("clients")["blocked_clients"] == "0")


def test_an_interrupt_and_a_flush_end_it(layer: RedisChannelLayer) -> None:
    for wake in (layer.interrupt, layer.flush):
        waiting = begun(layer)
        wake()
        assert result(waiting) == []
        assert nothing_is_left(layer)


def test_an_interrupt_before_it_is_known_to_wait_is_seen(layer: RedisChannelLayer) -> None:
    results: list[Any] = []

    def receive() -> None:
        listening = layer._listening(["serv!"])
        wait = Receive(_session(layer), listening, 100, layer._delivered, [], results.append)
        layer.interrupt()
        wait.start()

    in_reactor(receive)
    wait_until(lambda: results)
    assert results == [[]]


def test_closing_the_layer_ends_it(layer: RedisChannelLayer, server: RedisServer) -> None:
    waiting = begun(layer)
    session = _session(layer)
    layer.close()
    assert result(waiting) == []
    assert not session.receives and not session._streams
    wait_until(lambda: server.info("clients")["blocked_clients"] == "0")


# Entries that are more than messages


def entry(number: int, deadline: int = 1 << 50) -> bytes:
    return codec.pack_envelope(codec.encode({"n": number}), deadline, ("x",))


def test_an_expired_entry_is_not_handed_out(layer: RedisChannelLayer, server: RedisServer) -> None:
    waiting = begun(layer)
    server.ask("RPUSH", key(layer), entry(1, deadline=1), entry(2))
    assert result(waiting) == delivered(2)
    waiting = begun(layer)
    server.ask("RPUSH", key(layer), entry(3, deadline=1))
    server.ask("RPUSH", key(layer), entry(4))
    found = result(waiting) or in_reactor(layer.receive_deliveries_twisted, ["serv!"])
    assert found == delivered(4)


@pytest.mark.parametrize("damaged", [b"no entry", b"", entry(1)[:-3]])
def test_a_damaged_entry_is_dropped_and_counted(
    layer: RedisChannelLayer, server: RedisServer, damaged: bytes
) -> None:
    waiting = begun(layer)
    server.ask("RPUSH", key(layer), damaged)
    wait_until(lambda: layer.drops == 1)
    assert not waiting.called
    server.ask("RPUSH", key(layer), damaged, entry(2))
    assert result(waiting) == delivered(2)
    assert layer.drops == 2


def test_a_sender_who_waits_for_room_is_woken(server: RedisServer) -> None:
    layer = prepared(server.url, capacity=1)
    layer.send("serv!x", {"n": 1})
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(layer.wait_for_room("serv!x", 30)))
    thread.start()
    wait_until(lambda: server.ask("HGET", f"{layer.prefix}i:serv!", "w") == b"1")
    assert result(begun(layer)) == delivered(1)
    thread.join()
    assert found == [True]
    layer.close()
