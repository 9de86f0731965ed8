"""``python -m daphne.child``: one of the processes of ``daphne --processes N``.

Only ``daphne.processes`` starts it. It serves as the command does that has one process, but listens
on sockets of its parent, tells it when it listens, and stops when told so or when the parent is
gone.
"""

from daphne.reactor import reactor  # isort: skip  (installs the reactor, so it comes first)

import json
import logging
import os
import signal
import socket
import sys
from typing import Any

from twisted.internet.protocol import Factory, Protocol

from daphne.cli import CommandLineInterface
from daphne.processes import ABORT
from daphne.server import Server

__all__ = ["Line"]

logger = logging.getLogger("daphne.processes")


class Line(Protocol):
    """The child's end of the line to its parent."""

    #: Twisted's, here always there.
    transport: Any

    def __init__(self, server: Server, text: str) -> None:
        """``text`` is said as soon as the line is open."""
        self._server = server
        self._text = text

    def connectionMade(self) -> None:  # noqa: N802
        """Say that the server listens."""
        self.transport.write(self._text.replace("\n", " ").encode() + b"\n")

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """The parent says that it is time to stop."""
        self._server.stop()
        if ABORT in data:
            self._server.abort()

    def connectionLost(self, reason: object = None) -> None:  # noqa: N802
        """The parent is gone, whose sockets these are: let others bind them."""
        if not self._server.stopping:
            logger.error("The parent process is gone: stopping")
            self._server.stop()


def open_line(number: int, server: Server, text: str) -> None:
    """Open the line with the descriptor ``number``, in the reactor's thread."""
    factory = Factory.forProtocol(lambda: Line(server, text))
    factory.noisy = False
    reactor.adoptStreamConnection(number, socket.AF_UNIX, factory)
    os.close(number)


def main() -> int:
    """Serve; the exit code."""
    handed_over = json.loads(sys.argv[1])
    number = handed_over["line"]
    os.set_blocking(number, False)
    os.set_inheritable(number, False)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it is the parent's affair
    command = CommandLineInterface()
    return command.run_child(
        sys.argv[2:],
        handed_over,
        lambda server, text: open_line(number, server, text),
    )


if __name__ == "__main__":
    sys.exit(main())
