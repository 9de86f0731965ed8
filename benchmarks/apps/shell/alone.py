"""Daphne's connections and protocol alone: each request is answered as it is sent to the layer.

Argument: the port.
"""

import sys
from typing import Any

from daphne.reactor import reactor  # isort: skip  (installs the reactor, so it comes first)

from daphne.deadlines import Deadlines
from daphne.http_protocol import HTTPFactory
from daphne.options import Options
from daphne.protocol.core import NAME_LENGTH
from daphne.protocol.http1 import Http1Core

RESPONSE = {
    "status": 200,
    "headers": [[b"Content-Type", b"text/plain"], [b"Content-Length", b"13"]],
    "content": b"Hello, world!",
}


class Answering:
    """What stands for ``daphne.dispatch``: nothing is between it and an application."""

    def __init__(self) -> None:
        self._receivers: dict[str, Any] = {}

    def register(self, name: str, receiver: Any) -> None:
        """Who gets the responses."""
        self._receivers[name] = receiver

    def unregister(self, name: str) -> None:
        """The connection has ended."""
        self._receivers.pop(name, None)

    def has_listener(self, channel: str) -> bool:
        """Nobody reads what is sent after a response."""
        return channel == "http.request"

    def send(
        self,
        requester: Any,
        core: Any,
        channel: str,
        message: Any,
        key: object,
        confirmed: bool,
    ) -> None:
        """Answer a request."""
        local = message["reply_channel"].partition("!")[2]
        self._receivers[local[:NAME_LENGTH]].deliver(local, RESPONSE, {})


factory = HTTPFactory(reactor, Options(), Http1Core, "daphne.response.alone!", Deadlines(reactor))
dispatch: Any = Answering()
factory.attach(dispatch)
reactor.listenTCP(int(sys.argv[1]), factory, interface="127.0.0.1")
reactor.run()
