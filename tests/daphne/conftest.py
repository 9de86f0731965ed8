"""Servers on free ports in the run's one reactor, and channel layers for them."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channels.layers.inmemory import ChannelLayer
from daphne.connection import Connection
from daphne.deadlines import Deadlines
from daphne.dispatch import Dispatch
from daphne.http_protocol import HTTPFactory
from daphne.layers import adapt
from daphne.options import Options
from daphne.server import Server
from tests.daphne.clients import Application, HttpClient
from tests.daphne.cores import Script
from tests.reactor import in_reactor, reactor, start_reactor
from tests.waiting import wait_until


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

    @property
    def only(self) -> Connection:
        """The server's side of the one connection."""
        (connection,) = self.factory._connections
        return connection

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


class RunningServer:
    """A server in the run's reactor, an application in a thread, and clients."""

    def __init__(self, layer: Any, **options: Any) -> None:
        options.setdefault("endpoints", ["tcp:0:interface=127.0.0.1"])
        options.setdefault("shutdown_timeout", 1)
        options.setdefault("drain", 0)
        self.layer = layer
        self.logged: list[tuple[str, str, dict[str, Any]]] = []
        self.server = Server(
            layer,
            action_logger=lambda *entry: self.logged.append(entry),
            signal_handlers=False,
            **options,
        )
        self._applications: list[Application] = []
        self._clients: list[HttpClient] = []
        in_reactor(self.server.start)
        wait_until(lambda: len(self.server.addresses) == len(self.server.endpoints))

    @property
    def port(self) -> int:
        """The port of the first endpoint."""
        port: int = in_reactor(lambda: self.server.addresses[0].port)
        return port

    @property
    def url(self) -> str:
        """Where WebSocket clients connect to."""
        return f"ws://127.0.0.1:{self.port}"

    def application(self, **handlers: Callable[[dict[str, Any]], Any]) -> Application:
        """Answer messages of channels, named with underscores for dots."""
        self._applications.append(Application(self.layer, **handlers))
        return self._applications[-1]

    def client(
        self, address: Any = None, family: int = socket.AF_INET, **kwargs: Any
    ) -> HttpClient:
        """A connection."""
        address = ("127.0.0.1", self.port) if address is None else address
        self._clients.append(HttpClient(address, family, **kwargs))
        return self._clients[-1]

    def connections(self) -> int:
        """Open connections as the server counts them."""
        count: int = in_reactor(lambda: len(self.server.factory))
        return count

    def close(self) -> None:
        """End all of it."""
        for client in self._clients:
            client.close()
        in_reactor(self.server.shut_down)
        for application in self._applications:
            application.stop()


@pytest.fixture
def serve(layer: ChannelLayer) -> Iterator[Callable[..., RunningServer]]:
    """Makes servers over the in-memory layer, or another one."""
    made: list[RunningServer] = []

    def make(layer: Any = layer, **options: Any) -> RunningServer:
        made.append(RunningServer(layer, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
