"""Workers take several messages at once where consumers are quick, and hold nothing back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from channels import Channel
from channels.asgi import ChannelLayerWrapper
from channels.layers.inmemory import ChannelLayer
from channels.layers.redis import RedisChannelLayer, prefetch
from channels.message import pending_message_store
from channels.pending import Held
from channels.routing import route
from channels.worker import Worker, WorkerGroup
from channels.worker.jobs import Job, Watch
from channels.worker.prefetch import Pace
from tests.servers.redis import RedisServer
from tests.waiting import wait_until
from tests.worker.workers import make_layer, running


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def layer(shared: RedisServer) -> Iterator[RedisChannelLayer]:
    shared.ask("FLUSHALL")
    layer = RedisChannelLayer(
        hosts=[shared.url], capacity=1000, channel_capacity={"narrow": 1, "wide": 100}
    )
    yield layer
    layer.close()


@pytest.fixture
def ten_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever consumers take."""
    monkeypatch.setattr(Pace, "limit", 10)


class Consumer:
    """Notes the numbers of its messages; those below zero it notes once ``go_on`` is released."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.hangs = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def __call__(self, message: Any) -> None:
        if message["n"] < 0:
            self.hangs.release()
            assert self.go_on.acquire(timeout=30)
        self.numbers.append(message["n"])


def send(layer: Any, *numbers: int) -> None:
    for number in numbers:
        layer.send("task", {"n": number})


def worker_of(wrapper: ChannelLayerWrapper, prefetch: int = 16) -> Worker:
    return Worker(wrapper, signal_handlers=False, prefetch=prefetch)


@contextmanager
def taking_at_once(worker: Worker, consumer: Consumer, *numbers: int) -> Iterator[threading.Thread]:
    """Run a worker, and have it find these messages all there when it receives again."""
    send(worker.channel_layer, -1)
    with running(worker) as thread:
        assert consumer.hangs.acquire(timeout=10)
        send(worker.channel_layer, *numbers)
        consumer.go_on.release()
        yield thread


def rest_of(layer: Any) -> list[int]:
    found = []
    while (message := layer.receive(["task"])[1]) is not None:
        found.append(message["n"])
    return found


def test_the_pace_begins_with_one_and_follows_the_consumers() -> None:
    pace = Pace(16)
    assert pace.limit == 1
    for _ in range(40):
        pace.took(0.00001)
    assert pace.limit == 16
    pace.took(0.05)
    assert pace.limit == 1
    for _ in range(100):
        pace.took(0.0005)
    assert pace.limit in (3, 4)
    for _ in range(100):
        pace.took(0.0)
    assert pace.limit == 16


def test_quick_consumers_have_several_messages_fetched_by_one_command(
    layer: RedisChannelLayer, shared: RedisServer
) -> None:
    consumer = Consumer()
    wrapper = make_layer([route("task", consumer)], layer)
    send(layer, *range(400))
    worker = worker_of(wrapper)
    with running(worker):
        wait_until(lambda: len(consumer.numbers) == 400)
    assert consumer.numbers == [*range(400)]
    with shared.client() as client:
        commands = client.info("commandstats")
    pops = sum(commands.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("blpop", "blmpop"))
    assert pops < 300


def test_messages_behind_a_consumer_that_takes_long_go_to_others(
    layer: RedisChannelLayer, ten_at_once: None
) -> None:
    consumer = Consumer()
    wrapper = make_layer([route("task", consumer)], layer)
    with taking_at_once(worker_of(wrapper), consumer, -2, 1, 2, 3):
        assert consumer.hangs.acquire(timeout=10)
        others = [layer.receive(["task"], True, 10)[1] for _ in range(3)]
        assert others == [{"n": n} for n in (1, 2, 3)]
        consumer.go_on.release()
        wait_until(lambda: consumer.numbers == [-1, -2])
        send(layer, 4)
        wait_until(lambda: consumer.numbers == [-1, -2, 4])


def test_what_consumers_have_sent_does_not_wait_for_one_that_takes_long(
    layer: RedisChannelLayer, ten_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "_WAIT", 1000.0)
    hanging = Consumer()

    def consumer(message: Any) -> None:
        Channel("wide", channel_layer=wrapper).send({"n": message["n"]})
        hanging(message)

    wrapper = make_layer([route("task", consumer)], layer)
    with taking_at_once(worker_of(wrapper), hanging, 1, 2, -2, 3):
        assert hanging.hangs.acquire(timeout=10)
        answers = [layer.receive(["wide"], True, 10)[1]["n"] for _ in range(3)]
        assert answers == [-1, 1, 2]
        assert layer.receive(["task"], True, 10)[1] == {"n": 3}
        hanging.go_on.release()
        assert layer.receive(["wide"], True, 10)[1]["n"] == -2


def test_threads_of_a_group_give_back_too(layer: RedisChannelLayer, ten_at_once: None) -> None:
    consumer = Consumer()
    wrapper = make_layer([route("task", consumer)], layer)
    send(layer, -1, -1)
    with running(WorkerGroup(wrapper, signal_handlers=False, n_threads=2, prefetch=16)):
        for _ in range(2):
            assert consumer.hangs.acquire(timeout=10)
        send(layer, -2, 1, 2, 3)
        consumer.go_on.release()
        assert consumer.hangs.acquire(timeout=10)
        consumer.go_on.release()  # of the other thread, or of this one if that was quicker
        wait_until(lambda: sorted(consumer.numbers)[-3:] == [1, 2, 3])
        consumer.go_on.release()
        wait_until(lambda: sorted(consumer.numbers) == [-2, -1, -1, 1, 2, 3])


def test_a_worker_that_stops_leaves_what_it_has_in_hand_to_others(
    layer: RedisChannelLayer, ten_at_once: None
) -> None:
    consumer = Consumer()
    worker = worker_of(make_layer([route("task", consumer)], layer))
    with taking_at_once(worker, consumer, -2, 1, 2) as thread:
        assert consumer.hangs.acquire(timeout=10)
        worker.stop()
        consumer.go_on.release()
        thread.join(10)
    assert consumer.numbers == [-1, -2]
    assert rest_of(layer) == [1, 2]


def test_the_watch_hears_how_many_are_in_hand(layer: RedisChannelLayer, ten_at_once: None) -> None:
    class Noting(Job):
        def begin(self, channel: str, content: Any, further: int = 0) -> None:
            noted.append((content["n"], further))

        def alone(self) -> None:
            alone.set()

    class Noted(Watch):
        @contextmanager
        def job(self) -> Iterator[Job]:
            yield Noting()

    alone = threading.Event()
    noted: list[tuple[int, int]] = []
    consumer = Consumer()
    worker = worker_of(make_layer([route("task", consumer)], layer))
    worker.watch = Noted()
    with taking_at_once(worker, consumer, 0, 1, 2, -2, 3):
        wait_until(alone.is_set)
        consumer.go_on.release()
        wait_until(lambda: len(noted) == 6)
    assert noted == [(-1, 0), (0, 4), (1, 3), (2, 2), (-2, 1), (3, 0)]


def test_what_consumers_send_arrives_in_order(layer: RedisChannelLayer, ten_at_once: None) -> None:
    def consumer(message: Any) -> None:
        for place in range(message["n"] % 3):
            Channel("wide", channel_layer=wrapper).send({"n": [message["n"], place]})

    wrapper = make_layer([route("task", consumer)], layer)
    send(layer, *range(60))
    with running(worker_of(wrapper)):
        found = [layer.receive(["wide"], True, 10)[1]["n"] for _ in range(60)]
    assert found == [[n, place] for n in range(60) for place in range(n % 3)]


def test_a_full_channel_is_waited_for_and_the_order_stays(
    layer: RedisChannelLayer, ten_at_once: None
) -> None:
    def consumer(message: Any) -> None:
        Channel("narrow", channel_layer=wrapper).send({"n": message["n"]})

    wrapper = make_layer([route("task", consumer)], layer)
    send(layer, 1, 2, 3, 4)
    with running(worker_of(wrapper)):
        wait_until(lambda: layer.channel_statistics("narrow")["channel_full_count"])
        assert [layer.receive(["narrow"], True, 10)[1]["n"] for _ in range(4)] == [1, 2, 3, 4]


def test_a_channel_that_stays_full_is_logged_and_the_worker_goes_on(
    layer: RedisChannelLayer,
    ten_at_once: None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pending_message_store, "retry_time", 0.01)
    message = "Cannot send a message of a finished consumer: %s"
    done = []

    def consumer(message: Any) -> None:
        done.append(message["n"])
        Channel("narrow", channel_layer=wrapper).send({})

    wrapper = make_layer([route("task", consumer)], layer)
    layer.send("narrow", {})
    send(layer, 1, 2, 3)
    with running(worker_of(wrapper)):
        wait_until(lambda: [str(one.msg) for one in caplog.records].count(message) == 3)
    assert done == [1, 2, 3]


def test_a_worker_that_stops_tries_refused_sends_again_for_as_long_as_one(
    layer: RedisChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_of(make_layer([], layer))
    patience: list[float | None] = []
    monkeypatch.setattr(worker, "_send_held", lambda held, _: patience.append(held.patience))
    held = Held(Channel("narrow", channel_layer=worker.channel_layer), {})
    worker._send_failed(held, layer.ChannelFull())
    worker.termed = True
    monkeypatch.setattr(pending_message_store, "retry_time", 0.05)
    worker._send_failed(held, layer.ChannelFull())
    wait_until(lambda: worker._send_failed(held, layer.ChannelFull()) or patience[-1] == 0)
    assert patience[0] is None
    assert patience[1:] == sorted(patience[1:], reverse=True)


def test_by_default_it_takes_one_at_a_time(layer: RedisChannelLayer, ten_at_once: None) -> None:
    consumer = Consumer()
    wrapper = make_layer([route("task", consumer)], layer)
    with taking_at_once(Worker(wrapper, signal_handlers=False), consumer, -2, 1):
        assert consumer.hangs.acquire(timeout=10)
        assert layer.channel_statistics("task")["messages_pending"] == 1
        consumer.go_on.release()
        wait_until(lambda: consumer.numbers == [-1, -2, 1])


def test_less_than_one_is_refused() -> None:
    with pytest.raises(ValueError, match="prefetch must be from 1 to 100, not 0"):
        Worker(make_layer([], ChannelLayer()), prefetch=0)
