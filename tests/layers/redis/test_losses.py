"""Nothing is lost or doubled while the servers are up: between processes, by count."""

import itertools
import threading
from collections import Counter

import pytest

from channels.layers.redis import RedisChannelLayer
from tests.layers.redis.lent import fresh_prefix, lent_servers
from tests.layers.traffic import LISTENED, Process
from tests.waiting import wait_until

SENDERS = WORKERS = 4


def count_messages(servers, messages, restart_workers=False):
    """How often each of ``messages`` messages was received."""
    arguments = {"hosts": lent_servers(servers), "expiry": 600, **fresh_prefix()}
    layer = RedisChannelLayer(**arguments)
    received = Counter()
    workers = [Process("work", layer, arguments) for _ in range(WORKERS)]
    share = messages // SENDERS
    senders = [
        Process("send", layer, arguments, number * share, share) for number in range(SENDERS)
    ]
    started = [*workers, *senders]
    try:
        for worker in workers:
            worker.wait_until_ready()
        while restart_workers and any(sender.is_alive() for sender in senders):
            workers.append(Process("work", layer, arguments))
            started.append(workers[-1])
            workers[-1].wait_until_ready()
            received.update(workers.pop(0).numbers())
        for sender in senders:
            sender.succeeds(600)
        wait_until(lambda: layer.global_statistics()["messages_pending"] == 0, 60)
        while workers:
            received.update(workers.pop().numbers())
        received.update(message["n"] for message in rest(layer))
    finally:
        for process in started:
            process.kill()
        layer.close()
    return received


def rest(layer):
    """What interrupted workers put back."""
    while (received := layer.receive(LISTENED))[1] is not None:
        yield received[1]


@pytest.mark.parametrize("servers", [1, 4])
def test_every_message_of_four_senders_reaches_one_of_four_workers_once(servers):
    assert count_messages(servers, 4_000) == Counter(range(4_000))


def test_workers_that_are_stopped_all_the_time_lose_no_message():
    assert count_messages(1, 4_000, restart_workers=True) == Counter(range(4_000))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("servers", [1, 4])
def test_of_200_000_messages_none_is_lost_or_doubled(servers):
    assert count_messages(servers, 200_000) == Counter(range(200_000))


@pytest.mark.parametrize("servers", [1, 4])
def test_members_that_stay_get_every_message_while_others_come_and_go(servers):
    layer = RedisChannelLayer(hosts=lent_servers(servers), capacity=10_000, **fresh_prefix())
    processes = [f"stays.{number}!" for number in range(4)]
    stable = {f"{process}{number}" for process in processes for number in range(250)}
    for member in stable:
        layer.group_add("everybody", member)
    stopped = threading.Event()

    def come_and_go(process):
        for number in itertools.cycle(range(400)):
            if stopped.is_set():
                return
            layer.group_add("everybody", f"{process}passing{number}")
            layer.group_discard("everybody", f"{process}passing{(number + 200) % 400}")
            layer.group_add("everybody", f"passing.{number % 5}!{number}")

    passing = [threading.Thread(target=come_and_go, args=(name,)) for name in processes[:2]]
    for thread in passing:
        thread.start()
    try:
        for number in range(100):
            layer.send_group("everybody", {"n": number})
    finally:
        stopped.set()
        for thread in passing:
            thread.join(60)
    received = {member: [] for member in stable}
    for process in processes:
        listening = layer._listening([process])
        while deliveries := layer._deliveries(listening, None, 100):
            for delivery in deliveries:
                for target in delivery.targets:
                    if process + target in received:
                        received[process + target].append(delivery.message["n"])
    layer.close()
    assert layer.drops == 0
    assert all(numbers == list(range(100)) for numbers in received.values())
