"""What is particular to the RabbitMQ layer: its arguments, what it needs, what it leaves behind."""

import gc
import subprocess
import sys
import textwrap
import time
from typing import Any

import pika
import pytest

from channels.layers.conformance.kit import Background
from channels.layers.rabbitmq import RabbitmqChannelLayer
from channels.layers.rabbitmq import journal as journal_module
from channels.layers.rabbitmq import topology as topology_module
from channels.layers.rabbitmq.replica import Replica
from tests.layers.rabbitmq.brokers import broker, fresh_layer, fresh_prefix, same_store
from tests.waiting import wait_until

URL = "amqp://guest:guest@127.0.0.1/"


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": []},
        {"url": [5]},
        {"url": "http://host/"},
        {"url": "amqp://user@host/"},
        {"url": "amqp://host:port/"},
        {"url": URL, "prefix": ""},
        {"url": URL, "prefix": "a b"},
        {"url": URL, "prefix": "a:b"},
        {"url": URL, "prefix": "x" * 41},
        {"url": URL, "timeout": 0},
        {"url": URL, "symmetric_encryption_keys": "key"},
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        RabbitmqChannelLayer(**arguments)


def test_nothing_is_connected_before_it_is_used() -> None:
    layer = RabbitmqChannelLayer("amqp://host.invalid/")
    assert layer._thread is None
    layer.close()


def test_without_pika_the_remedy_is_said() -> None:
    program = """
        import sys
        sys.modules["pika"] = None
        try:
            import channels.layers.rabbitmq
        except ImportError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "pip install channels-batteries[rabbitmq]" in done.stdout


@pytest.mark.needs("rabbitmq-server")
def test_another_capacity_of_another_client_is_no_error() -> None:
    layer = fresh_layer(capacity=2)
    other = RabbitmqChannelLayer(broker().url, prefix=layer.prefix, capacity=5)
    layer.send("one", {"n": 1})
    other.send("one", {"n": 2})
    with pytest.raises(other.ChannelFull):
        other.send("one", {"n": 3})
    for one in (layer, other):
        one.close()


@pytest.mark.needs("rabbitmq-server")
def test_the_log_is_replaced_by_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_LOGGED", 50)
    layer = fresh_layer()
    members = {f"serv!{number}" for number in range(300)}
    for member in members:
        layer.group_add("everybody", member)
    connection = pika.BlockingConnection(pika.URLParameters(broker().url))
    channel = connection.channel()

    def length() -> int:
        found = channel.queue_declare(layer.topology.log, passive=True)
        return int(found.method.message_count)

    wait_until(lambda: length() < 150)
    connection.close()
    late = same_store(layer)
    assert set(late.group_channels("everybody")) == members
    for one in (layer, late):
        one.close()


@pytest.mark.needs("rabbitmq-server")
def test_a_log_that_cannot_be_replaced_is_left_to_others() -> None:
    layer = fresh_layer()
    layer.group_add("everybody", "serv!a")
    connection = pika.BlockingConnection(pika.URLParameters(broker().url))
    connection.channel().queue_purge(layer.topology.log)
    connection.close()
    layer._ask(lambda engine: engine.session.journal.compact())
    late = same_store(layer)
    late.group_add("everybody", "serv!b")
    wait_until(lambda: layer.group_channels("everybody") == ["serv!b"])
    for one in (layer, late):
        one.close()


@pytest.mark.needs("rabbitmq-server")
def test_room_by_bytes_comes_when_a_message_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology_module, "PROCESS_CHANNEL_BYTES", 100_000)
    layer = fresh_layer()
    other = same_store(layer)
    message = {"content": b"x" * 30_000}
    for _ in range(3):
        layer.send("serv!a", message)
    with pytest.raises(layer.ChannelFull):
        layer.send("serv!a", message)
    assert not layer.wait_for_room("serv!a", 0.1)
    waiting = Background(layer.wait_for_room, "serv!a", 30.0)
    replica = layer._engine_thread().engine.session.journal.replica  # type: ignore[union-attr]
    wait_until(lambda: replica.wanting("serv!"))
    assert waiting.is_alive()
    assert other.receive(["serv!"]) == ("serv!a", message)
    assert waiting.result(30.0) is True
    layer.send("serv!a", message)
    for one in (layer, other):
        one.close()


def test_what_killed_clients_waited_for_and_listened_to_is_forgotten() -> None:
    replica, past = Replica(), time.time() - 1
    replica.apply({"do": "want", "queue": "one", "client": "killed", "until": past})
    replica.apply({"do": "announce", "listener": "killed", "channels": ["a"], "until": past})
    until = time.time() + 60
    replica.apply({"do": "want", "queue": "two", "client": "alive", "until": until})
    replica.apply({"do": "announce", "listener": "alive", "channels": ["b"], "until": until})
    assert list(replica.wanted) == ["two"]
    assert list(replica.listeners) == ["alive"]


@pytest.mark.needs("rabbitmq-server")
def test_groups_outlive_the_clients_that_made_them() -> None:
    layer = fresh_layer()
    generation = layer.generation()
    layer.group_add("everybody", "one")
    layer.group_add("everybody", "serv!a")
    layer.group_discard("everybody", "one")
    layer.close()
    late = same_store(layer)
    assert late.group_channels("everybody") == ["serv!a"]
    assert late.generation() == generation
    late.close()


@pytest.mark.needs("rabbitmq-server")
def test_a_message_at_hand_that_nobody_asks_for_goes_to_another_client() -> None:
    busy, idle = fresh_layer(), None
    for number in range(2):
        busy.send("one", {"n": number})
    assert busy.receive(["one"], True) == ("one", {"n": 0})
    idle = same_store(busy)  # ``busy`` works on the first message for a while
    assert idle.receive(["one"], True, 10) == ("one", {"n": 1})
    for one in (busy, idle):
        one.close()


@pytest.mark.needs("rabbitmq-server")
def test_prefixes_are_layers_of_their_own() -> None:
    one, other = fresh_layer(), fresh_layer()
    one.send("name", {})
    one.group_add("everybody", "name")
    assert other.receive(["name"]) == (None, None)
    assert other.group_channels("everybody") == []
    other.flush()
    assert one.receive(["name"]) == ("name", {})
    for layer in (one, other):
        layer.close()


@pytest.mark.needs("rabbitmq-server")
def test_a_finaliser_in_the_middle_of_an_operation_is_refused() -> None:
    layer = fresh_layer()
    layer.send("one", {})
    errors: list[BaseException] = []

    def intrude() -> None:
        for call in (lambda: layer.send("two", {}), lambda: layer.receive(["one"], True)):
            try:
                call()
            except RuntimeError as error:
                errors.append(error)

    layer._engine_thread().call(intrude)
    wait_until(lambda: len(errors) == 2)
    assert layer.receive(["one"], True) == ("one", {})
    layer.close()
    gc.collect()


@pytest.mark.needs("rabbitmq-server")
def test_the_permissions_of_the_documentation_are_enough() -> None:
    prefix = fresh_prefix()
    control = broker().control
    control("add_user", prefix, "secret")
    names = rf"^{prefix}[.:].*"
    control("set_permissions", prefix, names, rf"^({prefix}[.:].*|amq\.default)$", names)
    url = broker().url.replace("guest:guest", f"{prefix}:secret")
    layer = RabbitmqChannelLayer(url, prefix=prefix, expiry=0.5)
    layer.group_add("everybody", "serv!a")
    layer.send_group("everybody", {"n": 1})
    assert layer.receive(["serv!"], True, 10) == ("serv!a", {"n": 1})
    layer.send("serv!a", {})
    wait_until(lambda: layer.group_channels("everybody") == [])
    layer.flush()
    layer.close()


@pytest.mark.needs("rabbitmq-server")
def test_what_is_known_of_names_that_are_used_once_is_forgotten() -> None:
    layer = fresh_layer(expiry=0.1)
    layer.topology.queue_lifetime = 0.5
    for number in range(20):
        layer.send(f"body?{number}", {})
    replica = layer._engine_thread().engine.session.journal.replica  # type: ignore[union-attr]
    end = time.monotonic() + 0.6
    wait_until(lambda: time.monotonic() > end)
    layer.send("body?last", {})
    assert list(replica.queues) == ["body?last"]
    layer.close()


@pytest.mark.slow
@pytest.mark.needs("rabbitmq-server")
def test_what_nobody_uses_any_more_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology_module, "STATE_LIFETIME", 2.0)
    monkeypatch.setattr(topology_module, "QUEUE_LIFETIME", 2.0)
    layer = fresh_layer(expiry=0.5)
    layer.group_add("everybody", "serv!a")
    layer.send_group("everybody", {})
    layer.send("one", {})
    assert layer.global_statistics()["messages_pending"] == 2
    layer.close()
    wait_until(lambda: not _names_on_the_broker(layer.prefix), 60)


def _names_on_the_broker(prefix: str) -> set[str]:
    """The queues and exchanges of a layer."""
    listed = broker().control("list_queues", "name") + broker().control("list_exchanges", "name")
    return {name for name in listed.splitlines() if name.startswith(prefix)}
