"""Tests of sockets whose messages wait for one that was lost."""

import math
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.cache import cache
from django.test import override_settings

from channels.asgi import ChannelLayerWrapper
from channels.layers.inmemory import ChannelLayer
from channels.layers.ipc import IPCChannelLayer
from channels.message import Message
from channels.routing import route
from channels.sessions import (
    enforce_ordering,
    leases,
    ordering,
    session_for_reply_channel,
    wait_channel_name,
)
from channels.sessions.ends import GIVEN_UP, how_it_ended
from channels.sessions.leases import last_beat
from channels.sessions.watching import watcher
from channels.worker import Worker
from tests.layers.ipc.segments import fresh_prefix, needs_extension, remove
from tests.sessions.crews import REPLIES, Journal, Traffic, processes, threads
from tests.sessions.sockets import Socket
from tests.waiting import wait_until
from tests.worker.workers import running

CACHED = override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache")


@pytest.fixture(autouse=True)
def sessions() -> Iterator[None]:
    cache.clear()
    with CACHED:
        yield


@pytest.fixture
def consumed() -> list[int]:
    return []


@pytest.fixture
def layer(consumed) -> ChannelLayerWrapper:
    """A layer whose messages expire soon, and whose consumers note what they consume."""

    @enforce_ordering
    def consume(message):
        consumed.append(message["order"])

    routing = [route(f"websocket.{name}", consume) for name in ("connect", "receive", "disconnect")]
    return ChannelLayerWrapper(ChannelLayer(expiry=0.5, capacity=1000), "default", routing)


def send(socket: Socket, *messages: Message) -> None:
    for message in messages:
        socket.layer.send(message.channel.name, message.content)


def reply(socket: Socket, timeout: float = 20) -> dict[str, Any] | None:
    return socket.layer.receive(["daphne.response.tests!"], block=True, timeout=timeout)[1]


def test_a_socket_is_closed_when_a_message_is_lost_and_its_last_one_is_consumed(
    layer, consumed, caplog
):
    socket = Socket(layer=layer)
    with running(Worker(layer, signal_handlers=False)):
        send(socket, socket.connect(), socket.receive(1), socket.receive(3), socket.receive(4))
        assert reply(socket) == {"close": 1011}
        assert how_it_ended(layer, socket.name) == GIVEN_UP
        send(socket, socket.disconnect())
        wait_until(lambda: consumed[-1] == 5)
        wait_until(lambda: not session_for_reply_channel(socket.name).keys())
    assert consumed == [0, 1, 5]
    assert layer.receive([wait_channel_name(socket.name)]) == (None, None)
    assert "It was the turn of order 2" in caplog.text
    assert "2 messages that waited were dropped" in caplog.text


def test_a_last_message_that_waits_is_consumed_then(layer, consumed):
    socket = Socket(layer=layer)
    with running(Worker(layer, signal_handlers=False)):
        send(socket, socket.connect(), socket.receive(2), socket.message(*LAST))
        wait_until(lambda: consumed == [0, 3], timeout=20)
        wait_until(lambda: not session_for_reply_channel(socket.name).keys())


LAST = ("websocket.disconnect", 3)


def test_a_connection_that_is_lost_holds_up_the_last_message_no_longer(layer, consumed):
    socket = Socket(layer=layer)
    with running(Worker(layer, signal_handlers=False)):
        send(socket, socket.disconnect())
        wait_until(lambda: consumed == [1], timeout=20)


def test_a_message_that_comes_late_but_before_the_expiry_costs_nothing(layer, consumed):
    socket = Socket(layer=layer)
    with running(Worker(layer, signal_handlers=False)):
        send(socket, socket.connect(), socket.receive(2))
        wait_until(lambda: socket.name in watcher._watches)
        send(socket, socket.receive(1))
        wait_until(lambda: consumed == [0, 1, 2])
        wait_until(lambda: socket.name not in watcher._watches, timeout=20)
        assert reply(socket, timeout=0) is None


def test_a_socket_that_moves_is_not_given_up_however_long_it_takes(layer, consumed):
    socket = Socket(layer=layer)
    with running(Worker(layer, signal_handlers=False)):
        send(socket, socket.connect(), socket.receive(9))
        for order in range(1, 6):
            # Whenever the watch looks, the socket has gone on since.
            watch = wait_until(lambda: watcher._watches.get(socket.name))
            deadline = watch.deadline
            send(socket, socket.receive(order))
            wait_until(lambda order=order: consumed[-1] == order)
            wait_until(lambda deadline=deadline: renewed(socket, deadline), timeout=20)
        assert how_it_ended(layer, socket.name) is None


def test_a_consumer_may_run_longer_than_messages_wait_and_none_behind_it_is_lost(consumed):
    started, go_on = threading.Event(), threading.Event()

    @enforce_ordering
    def consume(message):
        if message["order"] == 1:
            started.set()
            assert go_on.wait(60)
        consumed.append(message["order"])

    routing = [route(f"websocket.{name}", consume) for name in ("connect", "receive", "disconnect")]
    # Most of those that wait stand in channels of their own.
    # The expiry is so long that a busy machine does not keep the one who says that it runs from it.
    store = ChannelLayer(expiry=5, capacity=1000, channel_capacity={"__wait__.*": 2})
    layer = ChannelLayerWrapper(store, "default", routing)
    socket = Socket(layer=layer)
    workers = [running(Worker(layer, signal_handlers=False)) for _ in range(2)]
    with workers[0], workers[1]:
        send(socket, socket.connect(), socket.receive(1))
        assert started.wait(20)
        send(socket, *[socket.receive(order) for order in range(2, 10)])
        for _ in range(3):  # each is half of the expiry
            watch = wait_until(lambda: watcher._watches.get(socket.name))
            deadline = watch.deadline
            wait_until(lambda deadline=deadline: renewed(socket, deadline), timeout=20)
        assert how_it_ended(layer, socket.name) is None
        go_on.set()
        wait_until(lambda: consumed == list(range(10)))
        wait_until(lambda: last_beat(layer, socket.name) is None)


def test_a_consumer_of_a_layer_that_keeps_messages_for_less_time_says_in_time_that_it_runs():
    running, layers = leases.Leases(), [ChannelLayer(expiry=expiry) for expiry in (600, 1)]
    begun = [running.begin(layers[0], "long!1")]
    wait_until(lambda: running._looks_at < math.inf)  # for the one that is there
    begun.append(running.begin(layers[1], "short!1"))
    try:
        wait_until(lambda: leases.last_beat(layers[1], "short!1"))
    finally:
        for lease in begun:
            running.end(lease)


def test_of_several_marks_the_latest_counts_and_is_left(layer):
    for beat in (2, 3, 1):
        leases._leave(layer, leases._mark("a!b"), beat)
    assert [leases.last_beat(layer, "a!b", wait) for wait in (False, True)] == [3, 3]
    lease = leases.Lease(layer, "a!b")
    lease.renew()
    assert leases.last_beat(layer, "a!b") > 3
    lease.end()
    lease.renew()  # too late
    assert leases.last_beat(layer, "a!b", wait=True) is None


def renewed(socket: Socket, deadline: float) -> bool:
    watch = watcher._watches.get(socket.name)
    return watch is not None and watch.deadline > deadline


def test_a_client_that_sends_far_ahead_is_disconnected(layer, consumed, monkeypatch):
    monkeypatch.setattr(ordering, "AHEAD_LIMIT", 10)
    socket = Socket(layer=layer)
    with running(Worker(layer, signal_handlers=False)):
        send(socket, socket.connect(), socket.receive(2), socket.receive(12))
        assert reply(socket) == {"close": 1013}
        send(socket, socket.message("websocket.disconnect", 13))
        wait_until(lambda: consumed == [0, 13])


def test_a_worker_that_ends_hands_its_sockets_over(layer, consumed):
    socket = Socket(layer=layer)
    with running(Worker(layer, signal_handlers=False)):
        send(socket, socket.connect(), socket.receive(2), socket.receive(3))
        wait_until(lambda: getattr(watcher._watches.get(socket.name), "highest", 0) == 3)
    assert socket.name not in watcher._watches
    assert [layer.receive(["websocket.receive"])[1]["order"] for _ in range(2)] == [2, 3]

    with running(Worker(layer, signal_handlers=False)):
        send(socket, socket.receive(3), socket.receive(2), socket.receive(1))
        wait_until(lambda: consumed == [0, 1, 2, 3])


def test_a_worker_that_is_told_to_end_leaves_what_it_has_released_to_others(consumed):
    started, go_on = threading.Event(), threading.Event()

    @enforce_ordering
    def consume(message):
        consumed.append(message["order"])
        if message["order"] == 1:
            started.set()
            go_on.wait(20)

    routing = [route("websocket.receive", consume)]
    layer = ChannelLayerWrapper(ChannelLayer(), "default", routing)
    socket = Socket(layer=layer)
    for order in (2, 4, 3):
        consume(socket.receive(order))
    worker = Worker(layer, signal_handlers=False)
    with running(worker):
        send(socket, socket.receive(1))
        assert started.wait(20)
        worker.request_stop()
        go_on.set()
    assert consumed == [1]
    with running(Worker(layer, signal_handlers=False)):
        wait_until(lambda: consumed == [1, 2, 3, 4])


def test_a_worker_leaves_messages_of_channels_that_it_does_not_listen_to(layer, consumed):
    socket = Socket(layer=layer)
    some = Worker(layer, signal_handlers=False, exclude_channels=["websocket.disconnect"])
    with running(some):
        send(socket, socket.connect())
        wait_until(lambda: consumed == [0])
        layer.router.match(socket.message(*LAST))[0](socket.message("websocket.disconnect", 2))
        send(socket, socket.receive(1))
        wait_until(lambda: consumed == [0, 1])
        channel, content = layer.receive(["websocket.disconnect"], block=True, timeout=20)
    assert (channel, content["order"]) == ("websocket.disconnect", 2)


# -- workers that are killed, layers that lose messages -------------------------------------------


@contextmanager
def shared_memory(**options: Any) -> Iterator[Callable[[], Any]]:
    prefix = fresh_prefix()
    try:
        yield lambda: IPCChannelLayer(prefix=prefix, **options)
    finally:
        remove(prefix)


@pytest.mark.parametrize("runs_long", [False, True])
@pytest.mark.parametrize("layers", [pytest.param(shared_memory, marks=needs_extension)])
def test_a_message_that_its_worker_died_of_closes_the_socket(tmp_path, layers, runs_long):
    journal = Journal(tmp_path / "journal")

    @enforce_ordering
    def consume(message):
        if message["order"] == 5:
            if runs_long:  # so that others were told that it does
                wait_until(lambda: last_beat(message.channel_layer, message["reply_channel"]))
            os.kill(os.getpid(), signal.SIGKILL)
        journal.consumed(message)
        message.reply_channel.send({"accept": True})

    routing = [route(f"websocket.{name}", consume) for name in ("connect", "receive", "disconnect")]
    (tmp_path / "sessions").mkdir()
    with (
        override_settings(
            SESSION_ENGINE="django.contrib.sessions.backends.file",
            SESSION_FILE_PATH=str(tmp_path / "sessions"),
        ),
        layers(expiry=2) as make,
    ):
        layer = make()
        traffic = Traffic(layer, sockets=1, messages=20)
        (name,) = traffic.names
        with processes(make, routing, journal, killed=1):
            traffic.send("websocket.connect", name, 0)
            for order in range(1, 21):
                traffic.send("websocket.receive", name, order)
            replies: list[Any] = []
            while {"close": 1011} not in replies:
                found, content = layer.receive([REPLIES], block=True, timeout=30)
                assert found == name
                replies.append(content)
            traffic.disconnect()
            wait_until(lambda: journal.orders("consumed")[name][-1] == 21, timeout=20)
            assert journal.orders("consumed")[name] == [0, 1, 2, 3, 4, 21]
            wait_until(lambda: not session_for_reply_channel(name).keys())
        layer.close()


def test_order_is_kept_where_messages_are_lost_and_no_socket_is_left_waiting(tmp_path):
    journal = Journal(tmp_path / "journal")
    layer = ChannelLayer(expiry=1, drop_rate=0.01)
    random.seed(20)

    @enforce_ordering
    def consume(message):
        journal.consumed(message)

    routing = [route(f"websocket.{name}", consume) for name in ("connect", "receive", "disconnect")]
    traffic = Traffic(layer, sockets=40, messages=30)
    with threads(layer, routing, journal):
        for order in range(32):
            for name in traffic.names:
                channel = "connect" if order == 0 else "disconnect" if order == 31 else "receive"
                traffic.send(f"websocket.{channel}", name, order)
        names = set(traffic.names)
        wait_until(lambda: not names & set(watcher._watches), timeout=60)
        wait_until(lambda: settled(journal, traffic, layer), timeout=60)
    consumed = journal.orders("consumed")
    complete = [name for name in traffic.names if consumed[name] == list(range(32))]
    for name in set(traffic.names) - set(complete):
        frames = [order for order in consumed[name] if order != 31]
        assert frames == list(range(len(frames)))
    # A third to two thirds lose a message, by how often it waits and so passes the layer once more.
    assert 0 < len(complete) < 40
    assert sum(consumed[name][-1:] == [31] for name in traffic.names) >= 30  # few lose their end


def settled(journal: Journal, traffic: Traffic, layer: Any) -> bool:
    """Whether nothing is in a channel any more that a worker reads."""
    return not any(channel.startswith("websocket.") for channel in layer.channels())
