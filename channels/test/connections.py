"""Keeping the database connections of a test open.

Around each request and each consumer, connections past their age are closed. With the default
``CONN_MAX_AGE`` of 0 that is every connection that is in no transaction: a test that commits would
lose its own.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from channels.signals import consumer_finished, consumer_started

__all__ = ["keep_connections"]

#: The signals at which connections are closed.
_SIGNALS = (request_started, request_finished, consumer_started, consumer_finished)

_lock = threading.Lock()
_kept = threading.local()
_count = 0


@contextmanager
def keep_connections() -> Iterator[None]:
    """A context in which no connection of the calling thread is closed by a signal.

    Those of other threads, of a worker that a test starts, say, are closed as ever.
    """
    _begin()
    _kept.depth = getattr(_kept, "depth", 0) + 1
    try:
        yield
    finally:
        _kept.depth -= 1
        _end()


def _begin() -> None:
    global _count
    with _lock:
        _count += 1
        for signal in _SIGNALS:
            # Each time: Django's test client puts its receivers back after each of its requests.
            signal.disconnect(close_old_connections)
            signal.connect(_close_unless_kept)


def _end() -> None:
    global _count
    with _lock:
        _count -= 1
        if _count == 0:
            for signal in _SIGNALS:
                signal.disconnect(_close_unless_kept)
                signal.connect(close_old_connections)


def _close_unless_kept(**kwargs: Any) -> None:
    if not getattr(_kept, "depth", 0):
        close_old_connections(**kwargs)
