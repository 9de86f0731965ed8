"""Redis Cluster: the conformance kit, buckets, slots that move, and masters that die."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channels.exceptions import LayerUnavailable
from channels.layers.conformance import ChannelLayerConformance
from channels.layers.conformance.kit import Background
from channels.layers.redis import RedisClusterChannelLayer
from channels.layers.redis.cluster import Bucket, bucket_tag
from tests.layers.redis.hooks import RedisHooks
from tests.layers.redis.lent import fresh_prefix, lent_cluster, lent_servers
from tests.reactor import in_reactor
from tests.servers.cluster import Cluster
from tests.servers.ports import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.compiled_only


class TestCluster(RedisHooks, ChannelLayerConformance):
    """Every demand of the kit, over three masters."""

    layer_type = RedisClusterChannelLayer
    new_channel_names = 2_000

    def place(self) -> dict[str, Any]:
        return {"hosts": lent_cluster().hosts[:1]}


@pytest.fixture
def layer() -> Iterator[RedisClusterChannelLayer]:
    layer = RedisClusterChannelLayer(hosts=lent_cluster().hosts, capacity=10_000, **fresh_prefix())
    yield layer
    layer.close()


def home(layer: RedisClusterChannelLayer, queue: str) -> Bucket:
    shard = layer.topology.home(queue)
    assert isinstance(shard, Bucket)
    return shard


# Arguments and buckets


@pytest.mark.parametrize("buckets", [0, -1, 1001, "12", 1.5, None])
def test_numbers_of_buckets_without_sense_are_refused(buckets: Any) -> None:
    with pytest.raises(ValueError, match="buckets must be a number from 1 to 1000"):
        RedisClusterChannelLayer(buckets=buckets)


@pytest.mark.parametrize("name", ["prefix", "stats_prefix"])
def test_prefixes_with_braces_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be without braces"):
        RedisClusterChannelLayer(**{name: "{mine}:"})


@pytest.mark.parametrize("count", [1, 2, 3, 12, 50])
def test_buckets_are_spread_evenly_over_the_slots(count: int) -> None:
    for number in range(count):
        tag = bucket_tag("asgi:", number, count)
        assert tag.startswith(f"asgi:{number:02}")
        assert Cluster.slot(f"{{{tag}}}".encode()) * count // 16384 == number


def test_the_tags_of_earlier_days_are_the_same() -> None:
    """Another tag would be another place for the keys of a running system."""
    assert [bucket_tag("asgi:", number, 12) for number in (0, 7, 9)] == [
        "asgi:00.12",
        "asgi:07.15",
        "asgi:09",
    ]


def test_every_master_has_buckets(layer: RedisClusterChannelLayer) -> None:
    cluster = lent_cluster()
    owners = {cluster.owner(home(layer, f"queue{n}").slot).port for n in range(100)}
    assert owners == {node.port for node in cluster.masters}


def test_all_keys_of_a_queue_are_in_the_slot_of_its_bucket(layer: RedisClusterChannelLayer) -> None:
    for queue in ("one", "two?x", "three!"):
        bucket = home(layer, queue)
        keys = [*bucket.queue_keys(queue), bucket.counts_key(queue), bucket.global_counts]
        assert {Cluster.slot(key) for key in keys} == {bucket.slot}


def test_one_node_is_enough_to_find_the_others() -> None:
    for host in lent_cluster().hosts:
        layer = RedisClusterChannelLayer(hosts=[host], **fresh_prefix())
        for number in range(20):
            layer.send(f"queue{number}", {"n": number})
            assert layer.receive([f"queue{number}"]) == (f"queue{number}", {"n": number})
        assert len(layer.topology.endpoints()) == 3
        layer.close()


def test_a_node_that_is_away_keeps_nobody_from_the_others() -> None:
    hosts = [("127.0.0.1", free_port()), *lent_cluster().hosts]
    layer = RedisClusterChannelLayer(hosts=hosts, **fresh_prefix())
    layer.send("one", {"n": 1})
    assert layer.receive(["one"]) == ("one", {"n": 1})
    layer.close()


def test_a_server_that_is_no_cluster_is_named() -> None:
    layer = RedisClusterChannelLayer(hosts=lent_servers(1))
    with pytest.raises(LayerUnavailable, match="cluster support disabled"):
        layer.send("one", {})
    layer.close()


def test_a_group_send_uses_one_connection_for_each_master(layer: RedisClusterChannelLayer) -> None:
    for number in range(60):
        layer.group_add("everybody", f"serv{number}!a")
    layer.close()
    layer.send_group("everybody", {"n": 1})
    assert all(len(node._idle) <= 1 for node in layer.topology.endpoints())
    received = {layer.receive([f"serv{number}!"])[0] for number in range(60)}
    assert received == {f"serv{number}!a" for number in range(60)}


# Slots that move


@pytest.fixture
def moving(layer: RedisClusterChannelLayer) -> Iterator[Callable[[str], Any]]:
    """Moves the slot of a queue to another master, and back at the end."""
    cluster = lent_cluster()
    moved = []

    def move(queue: str) -> Any:
        slot = home(layer, queue).slot
        source = cluster.owner(slot)
        target = next(node for node in cluster.masters if node is not source)
        moved.append((slot, source))
        cluster.move(slot, target)
        return target

    yield move
    for slot, source in reversed(moved):
        cluster.move(slot, source)
        wait_until(lambda s=slot, m=source: cluster.owner(s) is m)


def test_messages_and_groups_move_with_their_slot(
    layer: RedisClusterChannelLayer, moving: Callable[[str], Any]
) -> None:
    layer.send("serv!a", {"n": 1})
    layer.group_add("everybody", "serv!a")
    before = layer.generation("serv!")
    moving("serv!")
    layer.send("serv!a", {"n": 2})
    layer.send_group("everybody", {"n": 3})
    assert [layer.receive(["serv!"])[1] for _ in range(3)] == [{"n": n} for n in (1, 2, 3)]
    assert layer.generation("serv!") == before


def test_what_blocks_is_woken_after_its_slot_moved(
    layer: RedisClusterChannelLayer, moving: Callable[[str], Any]
) -> None:
    blocked = [
        Background(layer.receive, ["one"], True),
        Background(lambda: in_reactor(layer.receive_twisted, ["one"])),
    ]
    moving("one")
    for number in range(2):
        layer.send("one", {"n": number})
    received = [one.result(20)[1]["n"] for one in blocked]
    assert sorted(received) == [0, 1]


def test_a_reactor_that_waits_for_deliveries_follows_the_slot(
    layer: RedisClusterChannelLayer, moving: Callable[[str], Any]
) -> None:
    layer.send("serv!a", {"n": 0})
    in_reactor(layer.receive_deliveries_twisted, ["serv!"])
    waiting = Background(in_reactor, layer.receive_deliveries_twisted, ["serv!"])
    wait_until(lambda: any(receive._direct for receive in layer._reactor_session.receives))
    moving("serv!")
    layer.send("serv!a", {"n": 1})
    assert [delivery.message for delivery in waiting.result(20)] == [{"n": 1}]


def test_commands_wait_while_a_slot_is_moving(layer: RedisClusterChannelLayer) -> None:
    """In the middle of a move the nodes serve no command with several keys."""
    cluster = lent_cluster()
    slot = home(layer, "one").slot
    layer.send("one", {"n": 1})
    source = cluster.owner(slot)
    target = next(node for node in cluster.masters if node is not source)
    cluster.begin_move(slot, target)
    try:
        sending = Background(layer.send, "one", {"n": 2})
        receiving = Background(layer.receive, ["one"], True)
        deferred = Background(in_reactor, layer.send_twisted, "one", {"n": 3})
        cluster.move_keys(slot, source, target)
    finally:
        cluster.end_move(slot, target)
    sending.result(10)
    deferred.result(10)
    received = [receiving.result(10), *(layer.receive(["one"], True, 10) for _ in range(2))]
    assert sorted(message["n"] for _, message in received) == [1, 2, 3]
    cluster.move(slot, source)


def test_nothing_is_lost_or_doubled_while_slots_move_under_load(
    layer: RedisClusterChannelLayer, moving: Callable[[str], Any]
) -> None:
    queues = ["one", "two?x", "three!"]
    names = ["one", "two?x", "three!a"]
    total, received = 600, []
    done = threading.Event()

    def send(channel: str) -> None:
        for number in range(total):
            layer.send(channel, {"n": number})

    def receive() -> None:
        while not done.is_set():
            channel, message = layer.receive(queues, True, 0.2)
            if message is not None:
                received.append((channel, message["n"]))

    receivers = [Background(receive) for _ in range(2)]
    senders = [Background(send, name) for name in names]
    for _ in range(3):
        for queue in queues:
            moving(queue)
    for sender in senders:
        sender.result(60)
    wait_until(lambda: len(received) >= total * len(names), 30)
    done.set()
    for receiver in receivers:
        receiver.result(20)
    assert sorted(received) == sorted((name, n) for name in names for n in range(total))


# Masters that die


def test_a_replica_takes_over_from_a_master_that_died() -> None:
    with Cluster(with_replica=True) as cluster:
        layer = RedisClusterChannelLayer(hosts=cluster.hosts, capacity=10_000)
        kept, awaited = [
            name
            for name in (f"queue{number}" for number in range(100))
            if cluster.owner(home(layer, name).slot) is cluster.masters[0]
        ][:2]
        layer.send(kept, {"n": 1})
        size = cluster.masters[0].ask("DBSIZE")
        wait_until(lambda: cluster.replica.ask("DBSIZE") == size > 0)
        blocked = Background(_insistent, layer, ["other", awaited])
        cluster.masters[0].stop(9)
        _insist(layer.send, awaited, {"n": 2})
        assert blocked.result(30) == (awaited, {"n": 2})
        assert layer.receive([kept], True, 10) == (kept, {"n": 1})
        in_reactor(_retried, layer, kept)
        assert layer.receive([kept], True, 10) == (kept, {"n": 3})
        layer.close()


def _insist(function: Callable[..., Any], *args: Any) -> Any:
    """The result, once the layer is there again."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return function(*args)
        except LayerUnavailable:
            assert time.monotonic() < deadline


def _insistent(layer: Any, channels: list[str]) -> Any:
    """The next message, whatever fails meanwhile."""
    while (received := _insist(layer.receive, channels, True))[0] is None:
        pass
    return received


def _retried(layer: Any, channel: str) -> Any:
    """A send in the reactor, repeated at once until it succeeds."""
    deferred = layer.send_twisted(channel, {"n": 3})
    return deferred.addErrback(lambda _: _retried(layer, channel))
