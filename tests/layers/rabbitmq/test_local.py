"""Normal channels through shared memory and the rest through RabbitMQ: what goes where."""

import inspect
import secrets
from collections.abc import Iterator

import pytest

from channels import _speedups
from channels.layers.rabbitmq import RabbitmqChannelLayer, RabbitmqLocalChannelLayer
from tests.layers.rabbitmq.brokers import broker

pytestmark = [
    pytest.mark.needs("rabbitmq-server"),
    pytest.mark.compiled_only,
    pytest.mark.skipif(not _speedups.COMPILED, reason="shared memory needs the extension"),
]


@pytest.fixture
def layers() -> Iterator[list[RabbitmqLocalChannelLayer]]:
    prefix = f"test-{secrets.token_hex(6)}"
    made = [RabbitmqLocalChannelLayer(broker().url, prefix=prefix, capacity=7) for _ in range(2)]
    yield made
    made[0].flush()
    for layer in made:
        layer.close()


def test_each_channel_goes_to_its_part_and_reaches_every_client(
    layers: list[RabbitmqLocalChannelLayer],
) -> None:
    one, other = layers
    for name in ("near", "far?x", "far!y"):
        one.send(name, {"to": name})
    assert one.local.channels() == ["near"]
    assert sorted(one.remote.channels()) == ["far!", "far?x"]
    received = [other.receive(["near", "far?x", "far!"], True) for _ in range(3)]
    assert sorted(str(name) for name, _ in received) == ["far!y", "far?x", "near"]


def test_groups_are_remote(layers: list[RabbitmqLocalChannelLayer]) -> None:
    one, other = layers
    one.group_add("everybody", "serv!a")
    other.send_group("everybody", {"n": 1})
    assert one.receive(["serv!"], True) == ("serv!a", {"n": 1})


def test_both_parts_have_the_arguments(layers: list[RabbitmqLocalChannelLayer]) -> None:
    one = layers[0]
    assert one.local.capacity == one.remote.capacity == one.capacity == 7
    assert one.local.prefix == one.remote.prefix == one.prefix
    assert "RabbitmqLocalChannelLayer(IPCChannelLayer(prefix=" in str(one)


def test_the_signature_is_that_of_the_remote_layer() -> None:
    assert inspect.signature(RabbitmqLocalChannelLayer) == inspect.signature(RabbitmqChannelLayer)
