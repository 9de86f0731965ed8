"""The signals that workers send.

``consumer_started`` and ``consumer_finished`` surround each consumer on its own thread, with the
worker's class as sender and the argument ``environ``, an empty dict. ``worker_ready`` is sent by
each worker thread before it takes its first message, with the worker as sender;
``worker_process_ready`` once by a ``runworker`` process.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import close_old_connections, connections
from django.db.backends.signals import connection_created
from django.dispatch import Signal

__all__ = [
    "ConsumerSignal",
    "close_connections_if_any",
    "consumer_finished",
    "consumer_started",
    "worker_process_ready",
    "worker_ready",
]


class ConsumerSignal(Signal):
    """A signal around each consumer. It costs as much as a small consumer, so that workers do
    without where nobody but the receivers of this package would hear it.
    """

    def __init__(self) -> None:
        super().__init__(use_caching=True)
        self._own: list[Any] = []

    def connect_own(self, receiver: Callable[..., Any], dispatch_uid: str | None = None) -> None:
        """Connect a receiver of this package."""
        self.connect(receiver, dispatch_uid=dispatch_uid)
        self._own.append(self.receivers[-1])

    @property
    def has_own_only(self) -> bool:
        """Whether all receivers of this package are connected, and no others."""
        return bool(self.receivers == self._own)


consumer_started = ConsumerSignal()
consumer_finished = ConsumerSignal()
worker_ready = Signal()
worker_process_ready = Signal()

# As Django does around each request: connections past their age are closed before the consumer,
# which may have been waited for through a long idle time, and after it. Inside a transaction, as in
# tests, this does nothing.
consumer_started.connect_own(close_old_connections)
consumer_finished.connect_own(close_old_connections)

#: Whether a connection to a database was opened in this process, or may have been.
_connected = settings.configured and bool(connections.all(initialized_only=True))


def _note_connection(**kwargs: Any) -> None:
    global _connected
    _connected = True
    connection_created.disconnect(_note_connection)


connection_created.connect(_note_connection)


def close_connections_if_any() -> None:
    """``close_old_connections``, which costs something where there are none, too."""
    if _connected:
        close_old_connections()
