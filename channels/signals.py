"""The signals that workers send.

``consumer_started`` and ``consumer_finished`` surround each consumer on its own thread, with the
worker's class as sender and the argument ``environ``, an empty dict. ``worker_ready`` is sent by
each worker thread before it takes its first message, with the worker as sender;
``worker_process_ready`` once by a ``runworker`` process.
"""

from django.db import close_old_connections
from django.dispatch import Signal

__all__ = ["consumer_finished", "consumer_started", "worker_process_ready", "worker_ready"]

consumer_started = Signal(use_caching=True)
consumer_finished = Signal(use_caching=True)
worker_ready = Signal()
worker_process_ready = Signal()

# As Django does around each request: connections past their age are closed before the consumer,
# which may have been waited for through a long idle time, and after it. Inside a transaction, as in
# tests, this does nothing.
consumer_started.connect(close_old_connections)
consumer_finished.connect(close_old_connections)
