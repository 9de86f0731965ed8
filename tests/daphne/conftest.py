"""Servers on free ports in the run's one reactor, and channel layers for them."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channels.layers.inmemory import ChannelLayer
from daphne.deadlines import Deadlines
from daphne.dispatch import Dispatch
from daphne.http_protocol import HTTPFactory
from daphne.layers import adapt
from daphne.options import Options
from tests.daphne.cores import Script
from tests.reactor import in_reactor, reactor, start_reactor


@pytest.fixture
def layer() -> ChannelLayer:
    return ChannelLayer()


class Shell:
    """A factory that listens, without a server around it; ``connect`` gives a client's socket."""

    channel = "daphne.response.shell!"

    def __init__(self, layer: Any, script: Script, **options: Any) -> None:
        self.script = script
        self.logged: list[tuple[str, str, dict[str, Any]]] = []
        self.deadlines = Deadlines(reactor)
        self.factory = HTTPFactory(
            reactor,
            Options(**options),
            script,
            self.channel,
            self.deadlines,
            lambda *entry: self.logged.append(entry),
        )
        self.dispatch = Dispatch(reactor, adapt(layer, reactor), self.channel, self.factory.shed)
        self.factory.attach(self.dispatch)
        self.port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.dispatch.start()
        self.clients: list[socket.socket] = []

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(10)
        client.connect(("127.0.0.1", self.port.getHost().port))
        self.clients.append(client)
        return client

    def close(self) -> Any:
        for client in self.clients:
            client.close()
        self.dispatch.stop()
        self.deadlines.stop()
        self.factory.abort()
        return self.port.stopListening()


@pytest.fixture
def shell(layer: ChannelLayer) -> Iterator[Callable[..., Shell]]:
    """Makes shells around scripted cores."""
    start_reactor()
    made: list[Shell] = []

    def make(script: Script, layer: Any = layer, **options: Any) -> Shell:
        made.append(in_reactor(Shell, layer, script, **options))
        return made[-1]

    yield make
    for one in made:
        in_reactor(one.close)
