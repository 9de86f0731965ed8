"""What a worker has in hand, and what it has sent without an answer so far."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from channels.exceptions import LayerUnavailable
from channels.layers.conformance.kit import Background
from channels.layers.redis import RedisChannelLayer, RedisClusterChannelLayer, prefetch
from channels.layers.redis.prefetch import RedisPrefetch
from tests.servers.redis import RedisServer
from tests.waiting import wait_until

NOTHING = (None, None)


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
    layer = RedisChannelLayer(hosts=[server.url], channel_capacity={"narrow": 1})
    layer.receive(["task"], True, 0.001)  # from now on it has a connection to block on
    yield layer
    layer.close()


class Worker:
    """What a worker does with what it has in hand."""

    def __init__(self, layer: RedisChannelLayer, *channels: str, limit: int = 10) -> None:
        self.layer = layer
        self.channels = channels or ("task",)
        self.failures: list[tuple[Any, Exception]] = []
        made = layer.prefetch(self.channels, self._failed)
        assert made is not None
        self.prefetch: RedisPrefetch = made
        self.prefetch.limit = limit

    def _failed(self, token: Any, error: Exception) -> None:
        self.failures.append((token, error))

    def receive(self, timeout: float = 10) -> Any:
        return self.layer.receive(self.channels, True, timeout, prefetch=self.prefetch)


@pytest.fixture
def worker(layer: RedisChannelLayer) -> Worker:
    return Worker(layer)


def send(layer: RedisChannelLayer, *numbers: int, channel: str = "task") -> None:
    for number in numbers:
        layer.send(channel, {"n": number})


def rest_of(layer: RedisChannelLayer, channel: str = "task") -> list[int]:
    """The numbers of the messages that wait on a channel; none waits any more."""
    found = []
    while (message := layer.receive([channel])[1]) is not None:
        found.append(message["n"])
    return found


def count_of(server: RedisServer, command: str) -> int:
    with server.client() as client:
        return int(client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


def test_several_messages_are_taken_by_one_command(
    server: RedisServer, layer: RedisChannelLayer, worker: Worker
) -> None:
    send(layer, *range(12))
    before = count_of(server, "blmpop")
    assert worker.receive() == ("task", {"n": 0})
    assert [worker.prefetch.next()[1] for _ in range(9)] == [{"n": n} for n in range(1, 10)]
    assert worker.prefetch.next() == NOTHING
    assert count_of(server, "blmpop") == before + 1
    assert worker.receive() == ("task", {"n": 10})
    assert len(worker.prefetch) == 1


def test_a_server_without_the_command_gives_one_at_a_time(
    layer: RedisChannelLayer, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    (endpoint,) = layer.topology.endpoints()
    monkeypatch.setattr(endpoint, "version", (6, 2))
    send(layer, 1, 2)
    assert worker.receive() == ("task", {"n": 1})
    assert len(worker.prefetch) == 0


def test_busy_channels_take_turns(layer: RedisChannelLayer) -> None:
    worker = Worker(layer, "one", "two", limit=3)
    for channel in ("one", "two"):
        send(layer, *range(6), channel=channel)
    found = []
    for _ in range(4):
        found.append(worker.receive()[0])
        while (received := worker.prefetch.next()) != NOTHING:
            found.append(received[0])
    assert found == [*["one"] * 3, *["two"] * 3] * 2


def test_what_is_in_hand_goes_back_to_the_front_in_order(
    layer: RedisChannelLayer, worker: Worker
) -> None:
    send(layer, 1, 2, 3)
    assert worker.receive() == ("task", {"n": 1})
    send(layer, 4)
    worker.prefetch.give_back()
    assert len(worker.prefetch) == 0
    assert rest_of(layer) == [2, 3, 4]


def test_what_is_in_hand_goes_back_at_the_end(layer: RedisChannelLayer, worker: Worker) -> None:
    send(layer, 1, 2, 3)
    worker.receive()
    worker.prefetch.close()
    assert rest_of(layer) == [2, 3]


def test_what_expires_in_hand_is_not_handed_out(
    server: RedisServer, layer: RedisChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = RedisChannelLayer(hosts=[server.url], expiry=0.2)
    worker = Worker(layer)
    send(brief, 1, 2)
    send(layer, 3)
    assert worker.receive() == ("task", {"n": 1})
    (endpoint,) = layer.topology.endpoints()
    last = endpoint.now() + 200
    wait_until(lambda: endpoint.now() > last)
    assert worker.prefetch.next() == ("task", {"n": 3})
    brief.close()


def test_damaged_messages_in_hand_are_dropped_and_counted(
    server: RedisServer, layer: RedisChannelLayer, worker: Worker
) -> None:
    send(layer, 1)
    server.ask("RPUSH", layer.topology.shards[0].queue_keys("task")[0], b"\x01damaged")
    send(layer, 2)
    assert worker.receive() == ("task", {"n": 1})
    assert worker.prefetch.next() == ("task", {"n": 2})
    assert layer.drops == 1


def test_an_interrupted_receive_leaves_nothing_behind(
    layer: RedisChannelLayer, worker: Worker
) -> None:
    blocked = Background(worker.receive, 30)
    wait_until(lambda: layer._blocked)
    layer.interrupt()
    assert blocked.result(30) == NOTHING
    send(layer, 1)
    assert rest_of(layer) == [1]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No send leaves because it has waited for long."""
    monkeypatch.setattr(prefetch, "_WAIT", 1000.0)


def test_a_send_that_has_waited_leaves_without_its_answer_being_read(
    server: RedisServer, layer: RedisChannelLayer, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "_WAIT", 0.0)
    for number in range(3):
        worker.prefetch.send(f"end-{number}", {"n": number}, number)
    other = RedisChannelLayer(hosts=[server.url])
    for number in range(3):
        assert other.receive([f"end-{number}"], True, 10)[1] == {"n": number}
    other.close()
    worker.prefetch.close()
    assert worker.failures == []


def test_sends_leave_together(
    server: RedisServer, layer: RedisChannelLayer, worker: Worker, patient: None
) -> None:
    other = RedisChannelLayer(hosts=[server.url])
    worker.prefetch.send("one", {"n": 1}, 1)
    worker.prefetch.send("two", {"n": 2}, 2)
    assert other.receive(["one", "two"]) == NOTHING
    with server.client() as client:
        before = client.info("stats")["total_reads_processed"]
        worker.prefetch.settle()
        assert client.info("stats")["total_reads_processed"] == before + 2  # this question's too
    assert [other.receive([name])[1] for name in ("one", "two")] == [{"n": 1}, {"n": 2}]
    other.close()


def test_sends_to_one_server_are_one_script_call(
    server: RedisServer, layer: RedisChannelLayer, worker: Worker, patient: None
) -> None:
    calls = count_of(server, "evalsha")
    for number in range(20):
        worker.prefetch.send(f"serv!{number}", {"n": number}, number)
    worker.prefetch.settle()
    assert count_of(server, "evalsha") == calls + 1
    assert worker.failures == []
    assert rest_of(layer, "serv!") == list(range(20))


def test_refusals_of_one_call_are_told_one_by_one(
    layer: RedisChannelLayer, worker: Worker, patient: None
) -> None:
    for number in range(103):
        worker.prefetch.send(f"serv!{number}", {"n": number}, number)
    worker.prefetch.settle()
    assert [(token, type(error)) for token, error in worker.failures] == [
        (number, layer.ChannelFull) for number in (100, 101, 102)
    ]


def test_many_bytes_leave_at_once(
    server: RedisServer, layer: RedisChannelLayer, worker: Worker, patient: None
) -> None:
    other = RedisChannelLayer(hosts=[server.url])
    worker.prefetch.send("one", {"n": bytes(100_000)}, 1)
    assert other.receive(["one"], True, 10)[1] == {"n": bytes(100_000)}
    other.close()


def test_sends_leave_before_the_last_message_in_hand_is_handled(
    server: RedisServer, layer: RedisChannelLayer, worker: Worker, patient: None
) -> None:
    """Which may take long, and nobody looks after who has nothing in hand."""
    other = RedisChannelLayer(hosts=[server.url])
    send(layer, 1, 2, 3)
    worker.receive()
    worker.prefetch.send("one", {"n": 1}, 1)
    assert worker.prefetch.next() == ("task", {"n": 2})
    assert other.receive(["one"]) == NOTHING
    assert worker.prefetch.next() == ("task", {"n": 3})
    assert other.receive(["one"], True, 10) == ("one", {"n": 1})
    other.close()


def test_a_thread_sends_nothing_before_what_is_under_way(
    layer: RedisChannelLayer, worker: Worker
) -> None:
    (shard,) = layer.topology.shards
    for number in range(0, 300, 3):
        worker.prefetch.send("end", {"n": number}, None)
        assert shard.under_way
        layer.send("end", {"n": number + 1})
        assert not shard.under_way
        worker.prefetch.send("end", {"n": number + 2}, None)
        assert rest_of(layer, "end") == [number, number + 1, number + 2]


def test_a_group_is_not_sent_to_before_what_is_under_way(
    layer: RedisChannelLayer, worker: Worker
) -> None:
    layer.group_add("all", "end")
    worker.prefetch.send("end", {"n": 1}, None)
    layer.send_group("all", {"n": 2})
    assert not layer.topology.shards[0].under_way
    assert rest_of(layer, "end") == [1, 2]


def test_a_refusal_is_told_before_anything_else_goes_to_the_channel(
    layer: RedisChannelLayer, worker: Worker
) -> None:
    send(layer, 0, channel="narrow")
    worker.prefetch.send("narrow", {"n": 1}, "first")
    worker.prefetch.send("end", {"n": 2}, "other")
    assert worker.failures == []
    worker.prefetch.send("narrow", {"n": 3}, "second")
    ((token, error),) = worker.failures
    assert token == "first" and isinstance(error, layer.ChannelFull)
    worker.prefetch.close()
    assert [token for token, _ in worker.failures] == ["first", "second"]
    assert rest_of(layer, "end") == [2]


def test_the_answers_are_read_with_the_next_receive(
    layer: RedisChannelLayer, worker: Worker
) -> None:
    send(layer, 0, channel="narrow")
    worker.prefetch.send("narrow", {}, "full")
    send(layer, 1)
    assert worker.receive() == ("task", {"n": 1})
    assert [token for token, _ in worker.failures] == ["full"]
    worker.prefetch.send("narrow", {}, "again")
    send(layer, 2)
    exchanged = layer.send_and_receive("end", {"n": 3}, ["task"], 10, prefetch=worker.prefetch)
    assert exchanged == (None, "task", {"n": 2})
    assert [token for token, _ in worker.failures] == ["full", "again"]


def test_what_cannot_be_sent_is_told(layer: RedisChannelLayer, worker: Worker) -> None:
    worker.prefetch.send("bad name", {}, 1)
    worker.prefetch.send("end", {"n": object()}, 2)
    assert [(token, type(error)) for token, error in worker.failures] == [
        (1, TypeError),
        (2, TypeError),
    ]


def test_scripts_that_the_server_forgot_are_loaded_and_the_messages_sent(
    server: RedisServer, layer: RedisChannelLayer, worker: Worker
) -> None:
    server.ask("SCRIPT", "FLUSH")
    for number in (1, 2):
        worker.prefetch.send(f"end-{number}", {"n": number}, number)
    worker.prefetch.close()
    assert worker.failures == []
    assert [rest_of(layer, f"end-{number}") for number in (1, 2)] == [[1], [2]]


def test_a_connection_that_breaks_has_its_sends_told_and_is_made_anew(
    server: RedisServer, layer: RedisChannelLayer, worker: Worker
) -> None:
    worker.prefetch.send("end", {"n": 1}, 1)
    assert worker.prefetch._commands is not None
    (connection,) = worker.prefetch._commands._connections.values()
    server.ask("CLIENT", "KILL", "ID", connection.client_id)
    wait_until(lambda: connection._poll.poll(0))
    worker.prefetch.send("other", {"n": 2}, 2)
    worker.prefetch.send("third", {"n": 3}, 3)
    worker.prefetch.close()
    assert all(isinstance(error, LayerUnavailable) for _, error in worker.failures)
    failed = {token for token, _ in worker.failures}
    sent = rest_of(layer, "other") + rest_of(layer, "third")
    assert failed.isdisjoint(sent) and failed | {*sent} | {1} == {1, 2, 3}
    send(layer, 4)
    assert worker.receive() == ("task", {"n": 4})


def test_a_server_that_is_gone_is_told() -> None:
    with RedisServer() as server:
        layer = RedisChannelLayer(hosts=[server.url])
        layer.receive(["task"], True, 0.001)
        worker = Worker(layer)
        send(layer, 1, 2)
        worker.receive()
        worker.prefetch.send("end", {}, 1)
        server.stop()
        worker.prefetch.send("other", {}, 2)
        worker.prefetch.close()
        assert 2 in [token for token, _ in worker.failures]
        assert layer.drops == 1  # what was in hand could not be put back
        server.start()
        send(layer, 3)
        assert worker.receive() == ("task", {"n": 3})
        layer.close()


def test_there_is_none_where_messages_may_be_held_back_from_others(server: RedisServer) -> None:
    with RedisServer() as other:
        sharded = RedisChannelLayer(hosts=[server.url, other.url])
        dropping = RedisChannelLayer(hosts=[server.url], drop_rate=0.5)
        plain = RedisChannelLayer(hosts=[server.url])
        for layer, channels in ((sharded, ["task"]), (dropping, ["task"]), (plain, ["mine!"])):
            assert layer.prefetch(channels, lambda token, error: None) is None
            layer.close()


def test_sealed_messages_are_opened(server: RedisServer) -> None:
    layer = RedisChannelLayer(hosts=[server.url], symmetric_encryption_keys=["secret"])
    layer.receive(["task"], True, 0.001)
    worker = Worker(layer)
    send(layer, 1, 2)
    assert worker.receive() == ("task", {"n": 1})
    assert worker.prefetch.next() == ("task", {"n": 2})
    worker.prefetch.send("end", {"n": 3}, None)
    worker.prefetch.close()
    assert rest_of(layer, "end") == [3]
    layer.close()


def test_what_the_server_does_not_take_back_stays_in_hand(
    server: RedisServer, layer: RedisChannelLayer, worker: Worker
) -> None:
    send(layer, 1, 2, 3)
    worker.receive()
    server.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        worker.prefetch.give_back()
    finally:
        server.ask("CONFIG", "SET", "maxmemory", "0")
    assert len(worker.prefetch) == 2
    assert layer.drops == 0
    worker.prefetch.give_back()
    assert rest_of(layer) == [2, 3]


def test_nothing_is_taken_before_what_goes_back_is_there(
    layer: RedisChannelLayer, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    call = layer.topology.shards[0].call

    def slow(frame: bytes) -> Any:
        begun.set()
        assert go_on.wait(30)
        return call(frame)

    send(layer, 1, 2, 3, 4)
    worker.prefetch.limit = 3
    worker.receive()
    with monkeypatch.context() as context:
        context.setattr(layer.topology.shards[0], "call", slow)
        giving = Background(worker.prefetch.give_back)
        assert begun.wait(10)
        receiving = Background(worker.receive)
        go_on.set()
        giving.result(30)
    assert receiving.result(30) == ("task", {"n": 2})
    assert [worker.prefetch.next()[1] for _ in range(2)] == [{"n": 3}, {"n": 4}]


def test_what_is_in_hand_goes_back_although_the_end_is_interrupted(
    layer: RedisChannelLayer,
) -> None:
    def interrupted(token: Any, error: Exception) -> None:
        raise KeyboardInterrupt

    made = layer.prefetch(["task"], interrupted)
    assert made is not None
    send(layer, 0, channel="narrow")
    send(layer, 1, 2, 3)
    made.limit = 10
    layer.receive(["task"], True, 10, prefetch=made)
    made.send("narrow", {}, None)
    with pytest.raises(KeyboardInterrupt):
        made.close()
    assert rest_of(layer) == [2, 3]


def test_the_child_of_a_fork_leaves_it_to_its_parent(
    layer: RedisChannelLayer, worker: Worker
) -> None:
    send(layer, 1, 2, 3)
    worker.receive()
    worker.prefetch.send("end", {"n": 4}, 1)
    child = os.fork()
    if not child:
        try:
            worker.prefetch.close()
        finally:
            os._exit(len(worker.prefetch))
    assert os.waitpid(child, 0)[1] == 0
    worker.prefetch.close()
    assert worker.failures == []
    assert rest_of(layer) == [2, 3]
    assert rest_of(layer, "end") == [4]


def test_a_send_that_is_joined_with_another_receive_comes_later_too(
    layer: RedisChannelLayer, worker: Worker
) -> None:
    worker.prefetch.send("end", {"n": 1}, None)
    assert layer.send_and_receive("end", {"n": 2}, ["end"], 10) == (None, "end", {"n": 1})
    assert rest_of(layer, "end") == [2]


def test_a_cluster_has_none(server: RedisServer) -> None:
    layer = RedisClusterChannelLayer(hosts=[server.url])
    assert layer.prefetch(["task"], lambda token, error: None) is None
