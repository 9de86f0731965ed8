"""One reactor for the whole run, in a thread of its own: a process can run only one, once."""

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.threads import blockingCallFromThread

from daphne.reactor import reactor

__all__ = ["in_reactor", "reactor", "start_reactor"]

_lock = threading.Lock()
_thread: threading.Thread | None = None


def _daemon(*args: Any, **kwargs: Any) -> threading.Thread:
    return threading.Thread(*args, daemon=True, **kwargs)


def start_reactor() -> Any:
    """The running reactor. Its threads are daemons, so nothing has to be stopped at the end."""
    global _thread
    with _lock:
        if _thread is None:
            running = threading.Event()
            reactor.getThreadPool().threadFactory = _daemon
            reactor.callWhenRunning(running.set)
            _thread = threading.Thread(
                target=reactor.run, args=(False,), name="reactor", daemon=True
            )
            _thread.start()
            if not running.wait(10):
                raise AssertionError("the reactor did not start")
    return reactor


def in_reactor(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call in the reactor's thread; wait for a Deferred. Returns or raises what comes of it."""
    return blockingCallFromThread(start_reactor(), function, *args, **kwargs)
