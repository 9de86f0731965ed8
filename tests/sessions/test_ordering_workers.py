"""Tests of the order of messages under eight workers at once, over several layers."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.cache import cache
from django.test import override_settings

from channels.layers.inmemory import ChannelLayer
from channels.layers.ipc import IPCChannelLayer
from channels.layers.redis import RedisChannelLayer
from channels.routing import route
from channels.sessions import channel_session, enforce_ordering, session_for_reply_channel
from tests.layers.ipc.segments import fresh_prefix, needs_extension, remove
from tests.servers.redis import RedisServer
from tests.sessions import counted
from tests.sessions.crews import Journal, Traffic, processes, threads
from tests.waiting import wait_until

#: The frames of a socket.
FRAMES = 1_000


@pytest.fixture
def journal(tmp_path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def files(tmp_path) -> Iterator[None]:
    """Sessions that all processes share."""
    folder = tmp_path / "sessions"
    folder.mkdir()
    with override_settings(
        SESSION_ENGINE="django.contrib.sessions.backends.file", SESSION_FILE_PATH=str(folder)
    ):
        yield


def routing_of(journal: Journal, connect=enforce_ordering, disconnect=enforce_ordering):
    """Consumers that count the frames in the session, write them down and answer."""

    def open_socket(message):
        message.channel_session["sent"] = 0
        journal.consumed(message)
        message.reply_channel.send({"accept": True})

    @enforce_ordering
    def receive(message):
        message.channel_session["sent"] += 1
        journal.consumed(message)
        message.reply_channel.send({"text": str(message.channel_session["sent"])})

    return [
        route("websocket.connect", connect(open_socket)),
        route("websocket.receive", receive),
        route("websocket.disconnect", disconnect(journal.consumed)),
    ]


def check(traffic: Traffic, journal: Journal) -> None:
    """Everything came in order, none was lost, none was tried in vain more than once."""
    expected = [{"text": str(number)} for number in range(1, traffic.messages + 1)]
    for name in traffic.names:
        assert traffic.replies[name] == expected
    traffic.disconnect()
    orders = list(range(traffic.messages + 2))
    wait_until(
        lambda: all(journal.orders("consumed")[name][-1:] == orders[-1:] for name in traffic.names)
    )
    for name in traffic.names:
        assert journal.orders("consumed")[name] == orders
    for name, given in journal.orders("given").items():
        assert max(Counter(given).values()) <= 2, name
    wait_until(lambda: not any(session_for_reply_channel(name).keys() for name in traffic.names))


@pytest.mark.parametrize("connect", [enforce_ordering, channel_session])
def test_in_threads(journal, connect):
    layer = ChannelLayer()
    with override_settings(SESSION_ENGINE="tests.sessions.counted"):
        cache.clear()
        counted.asked.clear()
        traffic = Traffic(layer, sockets=3, messages=FRAMES)
        with threads(layer, routing_of(journal, connect), journal):
            traffic.run()
            # Saved once for each message, whoever had to wait.
            assert counted.asked["save"] == 3 * (FRAMES + 1)
            check(traffic, journal)


def test_in_threads_with_little_room(journal):
    layer = ChannelLayer(capacity=10)
    with override_settings(SESSION_ENGINE="tests.sessions.counted"):
        traffic = Traffic(layer, sockets=1, messages=FRAMES)
        with threads(layer, routing_of(journal), journal):
            traffic.run()
            check(traffic, journal)


@contextmanager
def shared_memory() -> Iterator[Callable[[], Any]]:
    prefix = fresh_prefix()
    try:
        yield lambda: IPCChannelLayer(prefix=prefix)
    finally:
        remove(prefix)


@contextmanager
def redis() -> Iterator[Callable[[], Any]]:
    with RedisServer() as server:
        yield lambda: RedisChannelLayer(hosts=[server.url])


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param(shared_memory, marks=needs_extension),
        pytest.param(redis, marks=pytest.mark.needs("redis-server")),
    ],
    ids=lambda each: each.__name__,
)
def test_in_processes(journal, files, layers):
    with layers() as make:
        layer = make()
        traffic = Traffic(layer, sockets=2, messages=FRAMES)
        with processes(make, routing_of(journal), journal):
            traffic.run()
            check(traffic, journal)
        layer.close()
