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

from channels.readiness import Readiness
from daphne.cli import CommandLineInterface
from daphne.processes import ABORT, READY
from daphne.server import Server

__all__ = ["Line", "ParentsView"]

logger = logging.getLogger("daphne.processes")


class Line(Protocol):
    """The child's end of the line to its parent."""

    #: Twisted's, here always there.
    transport: Any

    def __init__(self, server: Server) -> None:
        self._server = server

    def say(self, text: str) -> None:
        """Say one thing."""
        self.transport.write(text.replace("\n", " ").encode() + b"\n")

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


class ParentsView(Readiness):
    """What the parent hears of the child, which tells nobody else."""

    def __init__(self, number: int) -> None:
        """``number`` is the descriptor of the child's end of the line."""
        super().__init__(environ={})
        self._number = number
        self._line: Line | None = None

    @property
    def is_watched(self) -> bool:
        """The parent watches."""
        return True

    def listens(self, server: Server, text: str) -> None:
        """Open the line, in the reactor's thread, and say ``text``."""
        line = self._line = Line(server)
        factory = Factory.forProtocol(lambda: line)
        factory.noisy = False
        reactor.adoptStreamConnection(self._number, socket.AF_UNIX, factory)
        os.close(self._number)
        line.say(text)

    def ready(self, status: str = "") -> None:
        """The layer answers."""
        if self._line is not None:
            self._line.say(READY)


def main() -> int:
    """Serve; the exit code."""
    handed_over = json.loads(sys.argv[1])
    number = handed_over["line"]
    os.set_blocking(number, False)
    os.set_inheritable(number, False)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it is the parent's affair
    parent = ParentsView(number)
    return CommandLineInterface().run_child(sys.argv[2:], handed_over, parent.listens, parent)


if __name__ == "__main__":
    sys.exit(main())
