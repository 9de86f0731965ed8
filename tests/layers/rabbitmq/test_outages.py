"""What happens to a layer whose RabbitMQ stops, is killed, is paused, or drops what it has."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from twisted.internet.defer import Deferred

from channels.exceptions import LayerUnavailable
from channels.layers.conformance.kit import Background
from channels.layers.rabbitmq import RabbitmqChannelLayer
from tests.layers.rabbitmq.brokers import broker, fresh_prefix
from tests.reactor import in_reactor
from tests.servers.rabbitmq import Broker
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs("rabbitmq-server"), pytest.mark.compiled_only]

PATIENCE = 30.0


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """The broker, which a test may break."""
    yield broker()
    if not broker().is_running():
        broker().start()


class Layers:
    """Makes clients of one store."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.prefix = fresh_prefix()
        self.made: list[RabbitmqChannelLayer] = []

    def make(self, query: str = "", **arguments: Any) -> RabbitmqChannelLayer:
        arguments = {"timeout": 2.0, "prefix": self.prefix, **arguments}
        self.made.append(RabbitmqChannelLayer(self.broker.url + query, **arguments))
        return self.made[-1]


@pytest.fixture
def layers(own_broker: Broker) -> Iterator[Layers]:
    made = Layers(own_broker)
    yield made
    for layer in made.made:
        layer.close()


def _sends(layer: RabbitmqChannelLayer, channel: str, message: dict[str, Any]) -> bool:
    """Whether a send succeeds now."""
    try:
        layer.send(channel, message)
    except LayerUnavailable:
        return False
    return True


def _delete(broker: Broker, queue: str) -> None:
    """Delete a queue of the broker, as an administrator would."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    connection.channel().queue_delete(queue)
    connection.close()


def test_a_broker_that_is_stopped_and_started_is_found_again(layers: Layers) -> None:
    worker, server = layers.make(), layers.make()
    generation = worker.generation()
    server.group_add("everybody", "serv!a")
    blocked = Background(worker.receive, ["one"], True)
    native: Deferred[Any] = in_reactor(lambda: [server.receive_deliveries_twisted(["serv!"])])[0]
    layers.broker.stop()
    begin = time.monotonic()
    assert not _sends(server, "one", {"n": 1})
    assert time.monotonic() - begin < server.timeout + 5
    assert blocked.is_alive() and not native.called
    layers.broker.start()
    wait_until(lambda: _sends(server, "one", {"n": 2}), PATIENCE)
    assert blocked.result(PATIENCE) == ("one", {"n": 2})
    wait_until(lambda: worker.generation() != generation, PATIENCE)
    assert worker.group_channels("everybody") == []
    wait_until(lambda: server.generation() == worker.generation(), PATIENCE)
    worker.send("serv!a", {"n": 3})
    wait_until(lambda: native.called, PATIENCE)


@pytest.mark.slow
def test_a_broker_that_is_killed_is_found_again(layers: Layers, caplog: Any) -> None:
    layer = layers.make()
    generation = layer.generation()
    layer.send("one", {"n": 1})
    layers.broker.kill()
    wait_until(lambda: not _sends(layer, "one", {"n": 2}))
    assert "No connection to RabbitMQ" in caplog.text
    layers.broker.start()
    wait_until(lambda: _sends(layer, "one", {"n": 3}), PATIENCE)
    assert layer.generation() != generation
    assert layer.receive(["one"], True, PATIENCE) == ("one", {"n": 3})


def test_a_broker_that_is_paused_makes_sends_fail_in_time(layers: Layers) -> None:
    worker, server = layers.make(), layers.make(timeout=1.0)
    generation = worker.generation()
    server.send("one", {"n": 0})
    assert worker.receive(["one"], True, PATIENCE) == ("one", {"n": 0})
    blocked = Background(worker.receive, ["two"], True)
    layers.broker.pause()
    try:
        begin = time.monotonic()
        with pytest.raises(
            LayerUnavailable, match=r"RabbitMQ at .*:\d+ did not answer within 1 s; see"
        ):
            server.send("one", {"n": 1})
        with pytest.raises(LayerUnavailable):
            in_reactor(server.send_twisted, "one", {"n": 1})
        assert time.monotonic() - begin < 10
        assert blocked.is_alive()
    finally:
        layers.broker.resume()
    wait_until(lambda: _sends(server, "two", {"n": 2}), PATIENCE)
    assert blocked.result(PATIENCE) == ("two", {"n": 2})
    assert worker.generation() == generation


def test_connections_that_the_broker_closes_are_made_again(layers: Layers) -> None:
    worker, server = layers.make(), layers.make()
    generation = worker.generation()
    server.group_add("everybody", "serv!a")
    server.send("waits", {"n": 1})
    blocked = Background(worker.receive, ["one"], True)
    client = server._engine_thread().engine.client
    layers.broker.control("close_all_connections", "a test")
    wait_until(lambda: _sends(server, "one", {"n": 2}), PATIENCE)
    # The broker may not know yet that a connection is lost, and keeps its queue for it alone.
    assert server._engine_thread().engine.client != client
    assert blocked.result(PATIENCE) == ("one", {"n": 2})
    assert worker.receive(["waits"], True, PATIENCE) == ("waits", {"n": 1})
    assert worker.group_channels("everybody") == ["serv!a"]
    assert worker.generation() == generation


@pytest.mark.parametrize("times", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_closed_connections_in_traffic_double_nothing(layers: Layers, times: int) -> None:
    """What was stored arrives once; what is lost was on its way to a receive, and is counted."""
    worker, server = layers.make(), layers.make()
    stopped = threading.Event()
    stored: list[int] = []
    received: list[int] = []

    def send() -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            try:
                server.send("one", {"n": number})
                stored.append(number)
            except (LayerUnavailable, server.ChannelFull):
                continue

    def receive() -> None:
        turns = 0
        while True:
            turns += 1
            try:
                _, message = worker.receive(["one"], turns % 2 == 0, 2.0)
            except LayerUnavailable:  # of a receive that does not wait
                continue
            if message is None and stopped.is_set() and turns % 2 == 0:
                return
            if message is not None:
                received.append(message["n"])

    threads = [Background(send), Background(receive)]
    for _ in range(times):
        count = len(stored)
        wait_until(lambda count=count: len(stored) > count + 50, PATIENCE)  # type: ignore[misc]
        layers.broker.control("close_all_connections", "a test")
    stopped.set()
    for thread in threads:
        thread.result(PATIENCE)
    assert max(Counter(received).values()) == 1
    assert len(set(stored) - set(received)) <= worker.drops


@pytest.mark.parametrize(
    "which",
    [
        "channel",
        "sequencer",
        "log",
        pytest.param("client", marks=pytest.mark.slow),
        "clients",
    ],
)
def test_a_queue_that_is_deleted_by_hand_is_made_again(layers: Layers, which: str) -> None:
    worker, server = layers.make(), layers.make()
    server.send("one", {"n": 0})
    assert worker.receive(["one"], True, PATIENCE) == ("one", {"n": 0})
    blocked = Background(worker.receive, ["one"], True)
    topology = server.topology
    name = {
        "channel": topology.queue("one", 0),
        "sequencer": topology.sequencer,
        "log": topology.log,
        "client": topology.client(worker._engine_thread().engine.client),
        "clients": topology.clients,
    }[which]
    if which == "client":  # it is exclusive: its connection goes, as the queue would
        layers.broker.control("close_all_connections", "a test")
    else:
        _delete(layers.broker, name)
    wait_until(lambda: _sends(server, "one", {"n": 1}), PATIENCE)
    assert blocked.result(PATIENCE) == ("one", {"n": 1})
    wait_until(lambda: _joins(server, worker), PATIENCE)
    worker.send_group("everybody", {"n": 2})
    assert server.receive(["serv!"], True, PATIENCE) == ("serv!a", {"n": 2})
    assert server.global_statistics()["messages_pending"] == 0


def _joins(server: RabbitmqChannelLayer, worker: RabbitmqChannelLayer) -> bool:
    try:
        server.group_add("everybody", "serv!a")
        return worker.group_channels("everybody") == ["serv!a"]
    except LayerUnavailable:
        return False


def test_a_message_that_comes_too_late_is_kept_for_the_next_receive(layers: Layers) -> None:
    layer = layers.make(timeout=0.5)
    wait_until(lambda: _sends(layer, "one", {"n": 1}), PATIENCE)
    layers.broker.pause()
    try:
        with pytest.raises(LayerUnavailable, match="did not answer within"):
            layer.receive(["one"])
    finally:
        layers.broker.resume()
    assert layer.receive(["one"], True, PATIENCE) == ("one", {"n": 1})
    assert layer.drops == 0


@pytest.mark.slow
def test_a_broker_short_of_memory_is_sent_nothing_until_it_reads_again(layers: Layers) -> None:
    layer = layers.make()
    layer.send("one", {"n": 0})
    limit = "2147483648"
    layers.broker.control("set_vm_memory_high_watermark", "absolute", "1")
    try:

        def is_refused() -> bool:
            try:
                layer.send("one", {"n": 1})
            except LayerUnavailable as error:
                return "short of memory" in str(error)
            return False

        wait_until(is_refused, PATIENCE)
    finally:
        layers.broker.control("set_vm_memory_high_watermark", "absolute", limit)
    wait_until(lambda: _sends(layer, "two", {"n": 2}), PATIENCE)
    assert layer.receive(["two"], True, PATIENCE) == ("two", {"n": 2})


def test_an_outage_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    layer = RabbitmqChannelLayer("amqp://guest:guest@127.0.0.1:9/%2F")
    with pytest.raises(LayerUnavailable):
        layer.send("one", {})
    engine = layer._engine_thread().engine
    wait_until(lambda: engine._attempt > 3)
    layer.close()
    assert len(caplog.records) == 1
    assert caplog.records[0].name == "channels.layers"
    assert "\n" not in caplog.text.strip()


def test_heartbeats_go_on_while_a_consumer_runs(layers: Layers) -> None:
    layer = layers.make("?heartbeat=1")
    layer.send("one", {})
    assert layer.receive(["one"], True, PATIENCE) == ("one", {})
    session = layer._engine_thread().engine.session
    end = time.monotonic() + 4.0  # the broker closes a connection that was silent for two
    wait_until(lambda: time.monotonic() > end)  # the consumer works, and does not call the layer
    layer.send("one", {})
    assert layer._engine_thread().engine.session is session


def test_the_child_of_a_fork_has_a_connection_of_its_own(layers: Layers) -> None:
    layer = layers.make()
    layer.send("one", {"n": 1})
    child = os.fork()
    if child == 0:  # pragma: no cover
        code = 1
        try:
            if layer.receive(["one"], True, PATIENCE) == ("one", {"n": 1}):
                layer.send("two", {"n": 2})
                code = 0
        finally:
            os._exit(code)
    assert layer.receive(["two"], True, PATIENCE) == ("two", {"n": 2})
    assert os.waitpid(child, 0)[1] == 0
    layer.send("one", {"n": 3})
    assert layer.receive(["one"]) == ("one", {"n": 3})


def test_nodes_of_a_cluster_are_tried_in_turn(layers: Layers) -> None:
    nobody = "amqp://guest:guest@127.0.0.1:9/%2F"
    layer = RabbitmqChannelLayer([nobody, layers.broker.url], prefix=layers.prefix)
    layers.made.append(layer)
    layer.send("one", {"n": 1})
    assert layer.receive(["one"]) == ("one", {"n": 1})


def test_a_broker_that_is_not_there_is_said_at_once() -> None:
    layer = RabbitmqChannelLayer("amqp://guest:guest@127.0.0.1:9/%2F")
    with pytest.raises(
        LayerUnavailable, match=r"RabbitMQ at .*:\d+ cannot be reached: .*; see whether"
    ):
        layer.send("one", {})
    layer.close()


def test_a_wrong_password_is_said(own_broker: Broker) -> None:
    url = own_broker.url.replace("guest:guest", "guest:secret")
    layer = RabbitmqChannelLayer(url)
    with pytest.raises(LayerUnavailable) as caught:
        layer.send("one", {})
    assert "secret" not in str(caught.value)
    layer.close()


def test_a_closed_layer_ends_its_receives_and_may_be_used_again(layers: Layers) -> None:
    layer = layers.make()
    layer.send("one", {})
    blocked = Background(layer.receive, ["two"], True)
    wait_until(lambda: layer._blocked)
    layer.close()
    assert blocked.result(PATIENCE) == (None, None)
    layer.send("three", {"n": 3})
    assert layer.receive(["three"]) == ("three", {"n": 3})


def test_a_closed_layer_ends_its_waits_for_room(layers: Layers) -> None:
    layer = layers.make(capacity=1)
    layer.send("one", {})
    waiting = Background(layer.wait_for_room, "one")
    rooms = layer._engine_thread().engine._rooms
    wait_until(lambda: rooms._lines)
    layer.close()
    assert waiting.result(PATIENCE) is True


def test_an_interface_server_is_woken_when_the_layer_was_emptied(layers: Layers) -> None:
    server, other = layers.make(), layers.make()
    other.send("serv!a", {})
    receive = server.receive_deliveries_twisted
    assert len(in_reactor(receive, ["serv!"])) == 1
    generation = in_reactor(server.generation, "serv!")
    waiting: Deferred[Any] = in_reactor(lambda: [receive(["serv!"])])[0]
    assert not waiting.called
    other.flush()
    wait_until(lambda: waiting.called, PATIENCE)
    assert waiting.result == []
    assert in_reactor(server.generation, "serv!") != generation
