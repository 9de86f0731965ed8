"""Twisted's reactor: epoll where there is one. Import the reactor from here.

Twisted installs a reactor when somebody first imports ``twisted.internet.reactor``. This module is
imported before any that does, so that the choice is ours and does not depend on the order in which
an application's modules happen to be loaded. A reactor that is installed already is kept.

Twisted times its delayed calls by the wall clock, so that a correction of the system's time would
stall every deadline or let all of them pass at once. The reactor that is installed here goes by
the monotonic clock.
"""

import importlib
import sys
import time
from typing import Any

__all__ = ["coalesce", "install", "reactor"]

#: The reactors to try, in order: epoll on Linux, kqueue on macOS and BSD, poll elsewhere.
_CHOICES = ("daphne.epoll", "twisted.internet.kqreactor", "twisted.internet.pollreactor")


def install() -> Any:
    """The reactor that is installed, or the best one, which is installed now."""
    installed = "twisted.internet.reactor" in sys.modules
    if not installed:
        _install_best()
    # A plain import statement at the top would install Twisted's default first.
    reactor: Any = importlib.import_module("twisted.internet.reactor")
    if not installed:
        reactor.seconds = time.monotonic
    return reactor


def _install_best() -> None:
    for choice in _CHOICES:
        try:
            importlib.import_module(choice).install()
        except ImportError:  # not on this platform
            continue
        return


#: The process's reactor.
reactor: Any = install()


def coalesce(seconds: float) -> None:
    """Have what comes within ``seconds`` handled together when the process is busy; 0: not.

    Nothing happens where the reactor is not of ``daphne.epoll``.
    """
    coalescing = getattr(reactor, "coalescing", None)
    if coalescing is not None:
        coalescing.window = seconds
