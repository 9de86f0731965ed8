"""Worker threads beside the server, in one process with it (``--workers``).

The workers are Django's side of the house, which this package does not know: the module that makes
them is imported by its name, and only where they are wanted, as the channel layer is.
"""

import importlib
import threading
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from channels.exceptions import ChannelsError
from daphne.exceptions import StartError

__all__ = ["Workers"]

#: The module and its function, which takes a layer and a number of threads.
_MAKER = ("channels.management.threads", "beside")


class Workers:
    """Some worker threads, from the moment when the server listens until it has stopped."""

    def __init__(self, layer: Any, count: int) -> None:
        """Import what they run. Raises ``StartError``, and what is wrong with the routing."""
        module, name = _MAKER
        try:
            self._workers = getattr(importlib.import_module(module), name)(layer, count)
        except ChannelsError as error:
            raise StartError(f"--workers: {error}") from error
        self._count = count

    def __str__(self) -> str:
        return f"{self._count} worker thread(s)"

    def start(self) -> None:
        """Begin to take messages."""
        self._workers.start()

    def finish(self, reactor: Any, timeout: float) -> "Deferred[bool]":
        """Let running consumers finish, for ``timeout`` seconds; whether they did.

        Cancelling gives up the waiting.
        """
        waiting: Deferred[bool] = Deferred()

        def wait() -> None:
            try:
                result: Any = self._workers.finish(timeout)
            except Exception:
                result = Failure()
            reactor.callFromThread(waiting.callback, result)

        # Not of the reactor's pool, for which the end of the process would wait.
        threading.Thread(target=wait, name="workers-finish", daemon=True).start()
        return waiting
