"""Several servers: who holds what, who is served, and what goes on where one is down."""

import threading
import time
from signal import SIGCONT, SIGSTOP

import pytest

from channels.exceptions import LayerUnavailable
from channels.layers.redis import RedisChannelLayer, hosts
from tests.layers.redis.lent import fresh_prefix, lent_servers
from tests.servers.redis import RedisServer
from tests.waiting import wait_until


@pytest.fixture
def layer():
    layer = RedisChannelLayer(hosts=lent_servers(4), capacity=20, **fresh_prefix())
    yield layer
    layer.close()


@pytest.fixture
def servers():
    servers = [RedisServer() for _ in range(3)]
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.__exit__(None, None, None)


def queue_at(layer, number, pattern="serv.{}!"):
    """A queue whose home is the shard of that number."""
    names = (pattern.format(count) for count in range(1000))
    return next(name for name in names if layer.topology.home(name).number == number)


def lengths(layer, queue):
    """How many entries of a queue lie on each shard."""
    return [
        int(shard.call(b"*2\r\n$4\r\nLLEN\r\n$%d\r\n%b\r\n" % (len(key), key)))
        for shard in layer.topology.shards
        for key in [shard.queue_keys(queue)[0]]
    ]


def test_normal_channels_use_every_shard_and_others_one(layer):
    for _ in range(8):
        layer.send("one", {})
        layer.send("two?x", {})
        layer.send("three!y", {})
    assert lengths(layer, "one") == [2, 2, 2, 2]
    assert sorted(lengths(layer, "two?x")) == [0, 0, 0, 8]
    assert sorted(lengths(layer, "three!")) == [0, 0, 0, 8]


def test_the_capacity_of_all_shards_is_that_of_the_channel(layer):
    for capacity in (1, 2, 3, 7):
        layer.capacity = capacity
        queue = f"holds.{capacity}"
        for _ in range(capacity):
            layer.send(queue, {})
        with pytest.raises(layer.ChannelFull):
            layer.send(queue, {})
        assert sum(lengths(layer, queue)) == capacity
        assert layer.channel_statistics(queue)["channel_full_count"] == 1


def test_one_worker_serves_the_messages_of_every_shard_at_once(layer):
    worker = RedisChannelLayer(
        hosts=lent_servers(4), prefix=layer.prefix, stats_prefix=layer.stats_prefix
    )
    for number in range(4):
        shard = layer.topology.shards[number]
        for _ in range(20):
            received = []
            thread = threading.Thread(
                target=lambda found=received: found.append(worker.receive(["one"], True, 10))
            )
            thread.start()
            layer._turns["one"] = (number - layer.topology.home("one").number) % 4
            begin = time.monotonic()
            layer.send("one", {"n": number})
            thread.join(10)
            assert received == [("one", {"n": number})]
            assert time.monotonic() - begin < 5
        assert shard.failure is None
    worker.close()


def test_no_shard_is_starved_by_a_busy_one(layer):
    busy, quiet = queue_at(layer, 0), queue_at(layer, 1)
    layer.send(quiet + "x", {})
    served = []
    while quiet + "x" not in served:
        layer.send(busy + "x", {})
        served.append(layer.receive([busy, quiet], True)[0])
        assert len(served) <= 5


def test_a_blocked_receive_leaves_what_others_sent_meanwhile(layer):
    queues = [queue_at(layer, number) for number in range(4)]
    for _ in range(50):
        received = []
        thread = threading.Thread(
            target=lambda found=received: found.append(layer.receive(queues, True, 10))
        )
        thread.start()
        for queue in queues:
            layer.send(queue + "x", {})
        thread.join(10)
        while (found := layer.receive(queues))[0] is not None:
            received.append(found)
        assert sorted(name for name, _ in received) == sorted(f"{queue}x" for queue in queues)


def test_the_others_serve_while_one_is_down(servers):
    layer = RedisChannelLayer(hosts=[server.url for server in servers], capacity=300)
    for number in range(3):
        layer.group_add("group", queue_at(layer, number) + "x")
    servers[1].stop()
    for number in range(30):
        layer.send("one", {"n": number})
    received = [layer.receive(["one"], True, 10)[1]["n"] for _ in range(30)]
    assert sorted(received) == list(range(30))
    layer.send_group("group", {"n": 1})
    assert layer.drops == 1
    for number in (0, 2):
        assert layer.receive([queue_at(layer, number)], True) == (
            queue_at(layer, number) + "x",
            {"n": 1},
        )
    with pytest.raises(LayerUnavailable, match=str(servers[1].port)):
        layer.send(queue_at(layer, 1) + "x", {})
    servers[1].start()
    down = layer.topology.shards[1]
    wait_until(lambda: layer.send("one", {}) or lengths(layer, "one")[1])
    assert down.failure is None
    layer.close()


def test_a_blocked_receive_lives_through_the_end_of_one_server(servers):
    layer = RedisChannelLayer(hosts=[server.url for server in servers])
    queues = [queue_at(layer, number) for number in range(3)]
    received = []
    thread = threading.Thread(target=lambda: received.append(layer.receive(queues, True, 20)))
    thread.start()
    wait_until(lambda: layer._blocked)
    servers[0].stop()
    wait_until(lambda: layer.topology.shards[0].failure)
    layer.send(queues[2] + "x", {"n": 1})
    thread.join(10)
    assert received == [(f"{queues[2]}x", {"n": 1})]
    layer.close()


def test_a_server_that_hangs_does_not_stop_a_receive_from_the_others(servers, monkeypatch):
    monkeypatch.setattr(hosts, "_LEAST_TIMEOUT", 2)
    layer = RedisChannelLayer(
        hosts=[server.url for server in servers], connection_kwargs={"socket_timeout": 2}
    )
    queues = [queue_at(layer, number) for number in range(3)]
    received = []
    thread = threading.Thread(target=lambda: received.append(layer.receive(queues, True, 60)))
    thread.start()
    with servers[0].client() as client:
        wait_until(lambda: client.info("clients")["blocked_clients"] == 1)
    servers[0].signal(SIGSTOP)
    try:
        layer.send(queues[1] + "x", {"n": 1})
        # ending the command that hangs takes as long as a reply may
        thread.join(30)
        assert received == [(f"{queues[1]}x", {"n": 1})]
    finally:
        servers[0].signal(SIGCONT)
    layer.close()


def test_all_servers_down_is_an_error(servers):
    layer = RedisChannelLayer(hosts=[server.url for server in servers])
    layer.send("one", {})
    for server in servers:
        server.stop()
    for call in (
        lambda: layer.send("one", {}),
        lambda: layer.receive(["one"]),
        lambda: layer.receive(["one"], True),
        lambda: layer.wait_for_room("one", 1),
        lambda: layer.send_group("group", {}),
    ):
        with pytest.raises(LayerUnavailable):
            call()
    layer.close()
