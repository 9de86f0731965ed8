"""Twisted's epoll reactor with events that may be handled together, and handled with less ado.

``doPoll`` is Twisted's but for the pause before it (``coalescing``), and for the log's context that
Twisted sets up around each event, which costs as much as reading a socket. It uses private names
of Twisted's reactor, here alone; ``tests/daphne`` pins them.
"""

import time

from twisted.internet import epollreactor
from twisted.internet.main import installReactor
from twisted.python import log

from daphne.coalescing import Coalescing

__all__ = ["EPollReactor", "install"]


class EPollReactor(epollreactor.EPollReactor):
    """The reactor of a server that is often busy."""

    def __init__(self) -> None:
        #: Its ``window`` is 0, no pauses, until a server sets it.
        self.coalescing = Coalescing()
        super().__init__()  # type: ignore[no-untyped-call]

    def doPoll(self, timeout: float | None) -> None:  # noqa: N802
        """Wait for events for ``timeout`` seconds at most, None: for ever, and handle them."""
        coalescing = self.coalescing
        if coalescing.window:
            pause = coalescing.pause(time.monotonic(), timeout)
            if pause:
                time.sleep(pause)
                timeout = None if timeout is None else timeout - pause
        selectables = self._selectables
        events = self._poller.poll(-1 if timeout is None else timeout, len(selectables))
        if coalescing.window:
            coalescing.found(len(events))
        for descriptor, event in events:
            selectable = selectables.get(descriptor)
            if selectable is None:  # an earlier event has closed it
                continue
            try:
                self._doReadOrWrite(selectable, descriptor, event)  # type: ignore[no-untyped-call]
            except Exception:
                log.err(None, "An event could not be handled")

    doIteration = doPoll  # noqa: N815


def install() -> None:
    """Install it as the process's reactor."""
    installReactor(EPollReactor())
