"""One loop for all clients: what is readable or writable, and what is due."""

import heapq
import itertools
import selectors
import socket
import time
from collections.abc import Callable

__all__ = ["Loop"]

_EVENTS = {"read": selectors.EVENT_READ, "write": selectors.EVENT_WRITE}


class Loop:
    """Sockets with a callback each, and timers."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def at(self, when: float, call: Callable[[], object]) -> None:
        """Have ``call`` called at ``when``, in seconds of the monotonic clock."""
        heapq.heappush(self._timers, (when, next(self._numbers), call))

    def watch(self, which: socket.socket, event: str, call: Callable[[], object]) -> None:
        """Have ``call`` called whenever the socket can be read or written."""
        if which in self._selector.get_map():
            self._selector.modify(which, _EVENTS[event], call)
        else:
            self._selector.register(which, _EVENTS[event], call)

    def close(self, which: socket.socket) -> None:
        """Close a socket, and watch it no more."""
        if which.fileno() >= 0 and which in self._selector.get_map():
            self._selector.unregister(which)
        which.close()

    def turn(self, patience: float) -> None:
        """Call what is due; wait at most ``patience`` seconds for it."""
        due = self._timers[0][0] - time.monotonic() if self._timers else patience
        for key, _ in self._selector.select(max(0.0, min(due, patience))):
            if key.fileobj in self._selector.get_map():  # not closed by an earlier call
                key.data()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def end(self) -> None:
        """Close every socket."""
        for key in [*self._selector.get_map().values()]:
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
