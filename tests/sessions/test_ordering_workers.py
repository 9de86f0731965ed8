"""Tests of the order of messages under eight workers at once, over several layers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.cache import cache
from django.test import override_settings

from channels.layers.inmemory import ChannelLayer
from channels.layers.ipc import IPCChannelLayer
from channels.layers.redis import RedisChannelLayer
from channels.sessions import channel_session, enforce_ordering
from tests.layers.ipc.segments import fresh_prefix, needs_extension, remove
from tests.servers.redis import RedisServer
from tests.sessions import counted
from tests.sessions.crews import Journal, Traffic, processes, threads
from tests.sessions.ordered import check, routing_of

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
