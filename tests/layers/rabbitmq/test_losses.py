"""Nothing is lost or doubled while the broker is up: between processes, by count."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from channels.layers.rabbitmq import RabbitmqChannelLayer
from tests.layers.rabbitmq.brokers import broker, fresh_layer
from tests.layers.traffic import Process
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs("rabbitmq-server"), pytest.mark.compiled_only]

SENDERS = WORKERS = 4


@contextmanager
def processes(role: str, layer: RabbitmqChannelLayer, *each: tuple[Any, ...]) -> Iterator[Any]:
    """Processes, one with each of these arguments, that end with the block."""
    arguments = {"url": broker().url, "prefix": layer.prefix, "expiry": 600, "timeout": 30.0}
    started = [Process(role, layer, arguments, *numbers) for numbers in each]
    try:
        yield started
    finally:
        for process in started:
            process.kill()


def exchange(messages: int) -> Counter[int]:
    """How often each of ``messages`` messages was received."""
    layer = fresh_layer(expiry=600)
    received: Counter[int] = Counter()
    share = messages // SENDERS
    parts = [(number * share, share) for number in range(SENDERS)]
    with (
        processes("work", layer, *[()] * WORKERS) as workers,
        processes("send", layer, *parts) as senders,
    ):
        for worker in workers:
            worker.wait_until_ready()
        for sender in senders:
            sender.succeeds(600)
        wait_until(lambda: layer.global_statistics()["messages_pending"] == 0, 60)
        for worker in workers:
            received.update(worker.numbers())
    layer.close()
    return received


def test_between_processes_nothing_is_lost_or_doubled() -> None:
    assert exchange(2_000) == Counter(range(2_000))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_between_processes_nothing_of_many_messages_is_lost_or_doubled() -> None:
    assert exchange(200_000) == Counter(range(200_000))


@pytest.mark.parametrize(
    "messages", [10, pytest.param(1_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_members_that_stay_get_every_message_while_others_come_and_go(messages: int) -> None:
    stable = [f"single{number}" for number in range(40)]
    stable += [f"server{number % 4}!{number}" for number in range(200)]
    layer = fresh_layer(expiry=600, capacity=1_000, channel_capacity={"server*": 10_000})
    for member in stable:
        layer.group_add("everybody", member)
    listened = [*{member.partition("!")[0] + "!" * ("!" in member) for member in stable}]
    received: Counter[tuple[str | None, int]] = Counter()

    def receive(timeout: float = 0) -> bool:
        channel, message = layer.receive(listened, timeout > 0, timeout)
        if message is not None:
            received[channel, message["n"]] += 1
        return message is not None

    with processes("churn", layer, ("left",), ("right",)) as churning:
        for process in churning:
            process.wait_until_ready()
        for number in range(messages):
            layer.send_group("everybody", {"n": number})
            while receive():
                continue
        assert all(process.numbers()[0] > 1 for process in churning)
    expected = Counter({(member, n): 1 for member in stable for n in range(messages)})
    while received.total() < expected.total() and receive(20):
        continue  # what the broker has not handed out so far
    assert received == expected
    layer.close()
