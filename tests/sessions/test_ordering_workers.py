"""Tests of the order of messages under eight workers at once, over several layers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.core.cache import cache
from django.test import override_settings

from channels.asgi import import_backend
from channels.layers.inmemory import ChannelLayer
from channels.sessions import channel_session, enforce_ordering
from tests.deployment.layers import LAYERS, SharedLayer
from tests.layers.ipc.segments import fresh_prefix, remove
from tests.layers.rabbitmq.brokers import broker
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


@pytest.fixture(
    params=[pytest.param(each, id=name, marks=each.marks) for name, each in LAYERS.items()]
)
def made(request: pytest.FixtureRequest) -> Iterator[Callable[[], Any]]:
    """What makes objects of one and the same layer, for each kind of shared layer."""
    shared: SharedLayer = request.param
    prefix, options = fresh_prefix(), {}
    with ExitStack() as stack:
        values = {"prefix": prefix}
        if "redis-server" in shared.programs:
            values["redis"] = stack.enter_context(RedisServer()).url
        if "rabbitmq-server" in shared.programs:
            values["rabbitmq"] = broker().url
            options["timeout"] = 60  # of a broker that all tests have in common, on a busy machine
        config = shared.settings(**values)
        backend = import_backend("default", config["BACKEND"])
        yield lambda: backend(**config["CONFIG"], **options)
    remove(prefix)


@pytest.mark.parametrize("frames", [100, pytest.param(FRAMES, marks=pytest.mark.slow)])
def test_in_processes(journal, files, made, frames):
    layer = made()
    traffic = Traffic(layer, sockets=2, messages=frames)
    with processes(made, routing_of(journal), journal):
        traffic.run()
        check(traffic, journal)
    layer.close()
