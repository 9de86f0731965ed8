"""What happens in rare moments, or with unusual arguments, and must lose or double nothing."""

import asyncio
import os
import threading
import time

import pytest
import redis

from channels.exceptions import LayerUnavailable
from channels.layers.redis import RedisChannelLayer, blocking
from channels.layers.redis.listening import BLOCK_SECONDS
from tests.layers.redis.lent import fresh_prefix, lent_servers
from tests.waiting import wait_until


@pytest.fixture
def layer():
    layer = RedisChannelLayer(
        hosts=lent_servers(1), expiry=300, capacity=1, group_expiry=600, **fresh_prefix()
    )
    yield layer
    layer.close()


def connections(client):
    return client.info("clients")["connected_clients"]


# Waits


def test_a_time_out_that_is_over_when_the_command_is_sent_is_not_one_without_end(layer):
    layer.receive(["one"], True, 0.001)
    begin = time.monotonic()
    for number in range(1, 40):
        assert layer.receive(["one"], True, number * 2e-6) == (None, None)
    assert time.monotonic() - begin < BLOCK_SECONDS  # none waited for the server to end a command


def test_who_waits_for_room_is_known_as_long_as_it_waits(layer, client):
    layer.send("one", {"n": 1})
    found = []
    thread = threading.Thread(target=lambda: found.append(layer.wait_for_room("one", 30)))
    thread.start()
    key = f"{layer.prefix}i:one"
    wait_until(lambda: client.hget(key, "w") == b"1")
    assert client.pttl(key) > client.pttl(f"{layer.prefix}q:one")
    assert layer.receive(["one"]) == ("one", {"n": 1})
    thread.join()
    assert found == [True]


def test_an_entry_that_is_put_back_wakes_who_began_to_wait_meanwhile(layer, client):
    layer.send("one", {"n": 1})
    entry = client.lindex(f"{layer.prefix}q:one", 0)  # as a reader took it before
    found = []
    thread = threading.Thread(target=lambda: found.append(layer.wait_for_room("one", 30)))
    thread.start()
    wait_until(lambda: client.hget(f"{layer.prefix}i:one", "w") == b"1")
    client.delete(f"{layer.prefix}q:one")
    layer._give_back(layer.topology.shards[0], "one", entry)
    assert client.lindex(f"{layer.prefix}q:one", 0)[0] & 0x80, "not marked"
    assert layer.receive(["one"]) == ("one", {"n": 1})
    thread.join()
    assert found == [True]


def test_a_flush_wakes_who_began_to_wait_for_room_meanwhile(layer, client, monkeypatch):
    monkeypatch.setattr(blocking, "BLOCK_SECONDS", 60)
    layer.send("one", {"n": 1})
    found = []
    thread = threading.Thread(target=lambda: found.append(layer.wait_for_room("one", 30)))
    scan = layer.topology.scan

    def scan_and_wait(*kinds):
        portions = list(scan(*kinds))
        thread.start()
        wait_until(lambda: client.hget(f"{layer.prefix}i:one", "w") == b"1")
        wait_until(lambda: layer._blocked)
        return portions

    monkeypatch.setattr(layer.topology, "scan", scan_and_wait)
    layer.flush()
    thread.join(20)
    assert found == [True]


def test_those_whose_tokens_mean_no_room_any_more_are_counted_again(layer, client):
    layer.send("one", {"n": 1})
    client.rpush(f"{layer.prefix}t:one", "", "")
    shard = layer.topology.shards[0]
    shard.call(layer._room_frame(shard, "one", True))
    assert client.hget(f"{layer.prefix}i:one", "w") == b"3"
    assert not client.exists(f"{layer.prefix}t:one")


def test_a_failure_is_told_though_another_thread_found_the_shard_working(server, monkeypatch):
    layer = RedisChannelLayer(hosts=[server.url])
    (shard,) = layer.topology.shards
    failed = shard.failed

    def failed_and_worked(error):
        failed(error)
        shard.worked()

    monkeypatch.setattr(shard, "failed", failed_and_worked)
    server.stop()
    with pytest.raises(LayerUnavailable):
        layer.receive(["one"], True, 10)
    with pytest.raises(LayerUnavailable):
        layer.wait_for_room("one", 10)


def test_what_was_taken_with_an_expired_entry_is_kept_when_the_server_is_lost(server):
    layer = RedisChannelLayer(hosts=[server.url])
    short = RedisChannelLayer(hosts=[server.url], expiry=0.05)
    short.send("one", {"n": 1})
    layer.send("one", {"n": 2})
    with redis.Redis.from_url(server.url) as client:
        entries = client.lrange("asgi:q:one", 0, -1)
    (shard,) = layer.topology.shards
    deadline = int.from_bytes(entries[0][1:9], "big")
    wait_until(lambda: deadline <= shard.endpoint().now())
    server.stop()
    stored = layer._accepted_all(shard, "one", entries)
    assert [layer._opened(one) for one in stored] == [("one", {"n": 2})]


# Keys


def test_a_server_that_is_named_twice_is_refused():
    url = lent_servers(1)[0]
    with pytest.raises(ValueError, match="twice"):
        RedisChannelLayer(hosts=[url, url])
    RedisChannelLayer(hosts=[url, url.removesuffix("0") + "1"])


@pytest.mark.parametrize("more", ["more", "more:"])
def test_a_flush_spares_a_layer_whose_prefix_begins_with_its_own(more):
    hosts = lent_servers(1)
    start = fresh_prefix()["prefix"]
    other_prefixes = {"prefix": f"{start}{more}", "stats_prefix": f"{start}{more}stats"}
    layer = RedisChannelLayer(hosts=hosts, prefix=start, stats_prefix=f"{start}stats:")
    other = RedisChannelLayer(hosts=hosts, **other_prefixes)
    for one in (layer, other):
        one.send("one", {"n": 1})
        one.group_add("all", "one")
    layer.flush()
    assert layer.receive(["one"]) == (None, None)
    assert layer.group_channels("all") == []
    assert layer.global_statistics()["messages_count"] == 0
    assert other.receive(["one"]) == ("one", {"n": 1})
    assert other.group_channels("all") == ["one"]
    assert other.global_statistics()["messages_count"] == 1


@pytest.mark.parametrize("prefix", ["a*[b-c]?\\^:", "{tag}", "ü .$(x)|%s"])
def test_a_prefix_may_hold_any_characters(client, prefix):
    start = fresh_prefix()["prefix"] + prefix
    layer = RedisChannelLayer(
        hosts=lent_servers(1), prefix=start, stats_prefix=f"{start}stats:", capacity=5
    )
    layer.group_add("all", "one!x")
    layer.send_group("all", {"n": 1})
    layer.send("two", {"n": 2})
    assert layer.channels() == ["one!", "two"]
    assert layer.receive(["one!"]) == ("one!x", {"n": 1})
    layer.flush()
    left = [key for key in client.scan_iter(count=1000) if key.startswith(start.encode())]
    assert left == [f"{start}epoch".encode()]


def test_listeners_that_ended_without_a_word_are_forgotten(layer, client):
    key = f"{layer.prefix}listeners"
    client.hset(key, "ended", "1000 one")
    layer.announce_listening("present", ["two"])
    assert client.hkeys(key) == [b"present"]


# Forks


def test_the_child_of_a_fork_tries_shards_that_a_thread_of_the_parent_tried(layer):
    layer.receive(["one"], True, 0.001)
    (commands,) = layer._commands
    (shard,) = layer.topology.shards
    reading, writing = os.pipe()
    shard._trying.acquire()
    child = os.fork()
    if not child:  # pragma: no cover - another process
        try:
            assert shard._trying.acquire(blocking=False)
            try:
                os.fstat(commands.wakeup._writing)
            except OSError:
                os.write(writing, b"free")
        finally:
            os.close(writing)
            os._exit(0)
    shard._trying.release()
    os.close(writing)
    assert os.read(reading, 10) == b"free"
    assert os.waitpid(child, 0)[1] == 0
    os.close(reading)


# Event loops of asyncio


def test_loops_that_end_leave_no_connections(server):
    layer = RedisChannelLayer(hosts=[server.url])
    with redis.Redis.from_url(server.url) as client:
        asyncio.run(layer.send_async("one", {"n": 0}))
        before = connections(client)
        for number in range(1, 6):
            asyncio.run(layer.send_async("one", {"n": number}))
        wait_until(lambda: connections(client) <= before)
        layer.close()
        wait_until(lambda: connections(client) == 1)


def test_a_loop_that_ended_keeps_nothing_up_to_date(layer):
    asyncio.run(layer.send_async("one", {"n": 0}))
    before = layer.generation()
    other = RedisChannelLayer(
        hosts=lent_servers(1), prefix=layer.prefix, stats_prefix=layer.stats_prefix
    )
    other.flush()
    wait_until(lambda: layer.generation() != before)
    other.announce_listening("other", ["two"])
    wait_until(lambda: not layer.has_listener("one"))


def test_a_receive_may_be_cancelled_twice(layer):
    async def main():
        loop = asyncio.get_running_loop()
        complaints = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        for number in range(10):
            task = loop.create_task(layer.receive_async(["one"]))
            for _ in range(number):
                await asyncio.sleep(0.001)  # lets it come further each time
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not layer._asyncio_sessions
            layer.send("one", {"n": number})
            assert layer.receive(["one"]) == ("one", {"n": number})
        assert complaints == []

    asyncio.run(main())
