"""A broker of several nodes: a layer with their URLs goes on when one of them is gone."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from channels.exceptions import LayerUnavailable
from channels.layers.conformance.kit import Background
from channels.layers.rabbitmq import RabbitmqChannelLayer
from tests.layers.rabbitmq.brokers import fresh_prefix
from tests.reactor import in_reactor
from tests.servers.rabbitmq import Broker
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.needs("rabbitmq-server"),
    pytest.mark.compiled_only,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

#: Seconds until a layer has found another node, at most.
FOUND = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[Broker]]:
    """Three nodes; the port mapper of the first serves all."""
    with ExitStack() as stack:
        first = stack.enter_context(closing(Broker()))
        yield [first, *(stack.enter_context(closing(Broker(cluster=first))) for _ in range(2))]


@pytest.fixture
def nodes(cluster: list[Broker]) -> list[Broker]:
    """The nodes, all of which run."""
    for node in cluster:
        if not node.is_running():
            node.start()
    wait_until(lambda: all(len(running(node)) == len(cluster) for node in cluster), FOUND)
    return cluster


def running(node: Broker) -> set[str]:
    """The names of the nodes that run, as ``node`` knows them."""
    asked = 'lists:foreach(fun(N) -> io:format("~s~n", [N]) end, rabbit_nodes:all_running()).'
    return {line for line in node.control("eval", asked).splitlines() if "@" in line}


def layer_of(nodes: list[Broker], prefix: str) -> RabbitmqChannelLayer:
    return RabbitmqChannelLayer([node.url for node in nodes], prefix=prefix, timeout=30)


def goes_on(sender: RabbitmqChannelLayer, receiver: RabbitmqChannelLayer, number: int) -> bool:
    """Whether a message, one to a group and one from the reactor come through."""
    with suppress(LayerUnavailable):
        while receiver.receive(["one", "serv!"])[0] is not None:
            pass  # what an earlier try left
        sender.send("one", {"n": number})
        receiver.group_add("group", "serv!a")
        sender.send_group("group", {"n": number})
        got = [receiver.receive([name], True, 10) for name in ("one", "serv!")]
        in_reactor(sender.send_twisted, "one", {"n": -number})
        got.append(receiver.receive(["one"], True, 10))
        return got == [("one", {"n": number}), ("serv!a", {"n": number}), ("one", {"n": -number})]
    return False


def test_clients_of_several_nodes_are_one_layer(nodes: list[Broker]) -> None:
    prefix = fresh_prefix()
    layers = [layer_of([node], prefix) for node in nodes]
    for number, layer in enumerate(layers):
        layer.group_add("group", f"serv{number}!a")
    layers[0].send_group("group", {})
    for number, layer in enumerate(layers):
        assert layer.receive([f"serv{number}!"], True, 30) == (f"serv{number}!a", {})
    layers[1].send("one", {"n": 1})
    assert layers[2].receive(["one"], True, 30) == ("one", {"n": 1})
    assert goes_on(layers[2], layers[0], 1)
    for layer in layers:
        layer.close()


def test_a_node_that_is_killed_is_left_for_another(nodes: list[Broker]) -> None:
    """All that the layer has is on the first node: so it begins anew, and says so."""
    prefix = fresh_prefix()
    first, second = layer_of(nodes, prefix), layer_of(nodes[1:], prefix)
    before = first.generation()
    assert goes_on(first, second, 1)
    blocked = Background(second.receive, ["late"], True, FOUND)
    nodes[0].kill()
    for number, (sender, receiver) in enumerate([(first, second), (second, first)], 2):
        wait_until(lambda s=sender, r=receiver, n=number: goes_on(s, r, n), FOUND)
    assert first.generation() == second.generation() != before
    first.send("late", {})
    assert blocked.result(FOUND) == ("late", {})
    for layer in (first, second):
        layer.close()


def test_what_another_node_has_outlives_a_node(nodes: list[Broker]) -> None:
    prefix = fresh_prefix()
    keeping, moving = layer_of(nodes[1:], prefix), layer_of(nodes, prefix)
    keeping.group_add("group", "serv!a")
    keeping.send("one", {"n": 1})
    generation = keeping.generation()
    assert moving.group_channels("group") == ["serv!a"]
    nodes[0].kill()
    wait_until(lambda: goes_on(moving, keeping, 2), FOUND)
    assert moving.generation() == generation
    moving.close()
    keeping.close()
