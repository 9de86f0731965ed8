"""How a server ends its connections: HTTP at once, WebSockets in turns.

What a connection does when it is told so is up to its core (``Core.shutdown``). The turns are
spread evenly over some seconds, so that the clients, which connect again, do not come all at once.
"""

from collections.abc import Iterable
from typing import Any

from daphne.connection import Connection

__all__ = ["Drain"]

#: Connections that are shut down in one turn of the reactor.
_PER_TURN = 500

#: Seconds between two turns, at least.
_SHORTEST = 0.01


class Drain:
    """One shut-down of many connections."""

    def __init__(self, reactor: Any, connections: Iterable[Connection], seconds: float) -> None:
        """Begin. Those that take turns do so within ``seconds``."""
        self._reactor = reactor
        self._seconds = seconds
        self._began: float = reactor.seconds()
        self._at_once: list[Connection] = []
        self._in_turn: list[Connection] = []
        for connection in connections:
            (self._in_turn if connection.takes_turns else self._at_once).append(connection)
        self._count = len(self._in_turn)
        #: What comes later has its turn at the end.
        self._late: list[Connection] = []
        self._call: Any = None
        self._turn()

    def add(self, connection: Connection) -> None:
        """Take up a connection whose core was replaced after ``Drain`` had begun."""
        (self._late if connection.takes_turns else self._at_once).append(connection)
        self.stop()
        self._sleep()

    def stop(self) -> None:
        """End nothing more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _turn(self) -> None:
        self._call = None
        self._shut_down(self._at_once, len(self._at_once))
        elapsed = self._reactor.seconds() - self._began
        if elapsed < self._seconds:
            done = self._count - len(self._in_turn)
            due = int(self._count * elapsed / self._seconds) + 1
            self._shut_down(self._in_turn, due - done)
        else:
            self._in_turn += self._late
            self._late = []
            self._shut_down(self._in_turn, len(self._in_turn))
        if self._at_once or self._in_turn or self._late:
            self._sleep()

    def _shut_down(self, connections: list[Connection], count: int) -> None:
        for _ in range(min(count, len(connections), _PER_TURN)):
            connections.pop().shutdown()

    def _sleep(self) -> None:
        self._call = self._reactor.callLater(self._next_turn(), self._turn)

    def _next_turn(self) -> float:
        """Seconds until there is something to do."""
        elapsed: float = self._reactor.seconds() - self._began
        if self._at_once or elapsed >= self._seconds:
            return 0.0
        done = self._count - len(self._in_turn)
        due = self._seconds * done / self._count if self._in_turn else self._seconds
        return max(_SHORTEST, min(due, self._seconds) - elapsed)
