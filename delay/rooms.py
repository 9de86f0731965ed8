"""Channels that are full: their messages stay where they are until there is room, or after a while.

A channel that refused a message is left alone. Nothing is written for the others that are due for
it: they keep their order, and are not looked at. It is tried again as soon as the layer tells of
room, or when a delay has passed, which grows.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from channels import names
from channels.outage import Backoff

__all__ = ["WATCHED", "Rooms"]

#: Channels whose room is waited for at a time, each by a thread; others are tried by time alone.
WATCHED = 32

#: Seconds until the second try of a full channel, and the most that this grows to.
FIRST, MOST = 0.1, 30.0


class _Full:
    """A queue that refused."""

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.backoff = Backoff(FIRST, MOST)
        #: When it is tried again, on the monotonic clock.
        self.until = 0.0


class Rooms:
    """The queues of ``layer`` that are full.

    ``tell`` is called, by any thread, when one of them is worth a try. All methods may be called by
    any thread.
    """

    def __init__(self, layer: Any, tell: Callable[[], None]) -> None:
        self._layer = layer
        self._tell = tell
        self._full: dict[str, _Full] = {}
        self._watched: set[str] = set()
        self._lock = threading.Lock()

    def seconds_full(self, channel: str) -> float:
        """For how long nothing went into the queue of ``channel``."""
        with self._lock:
            full = self._full.get(names.queue_name(channel))
            return 0.0 if full is None else time.monotonic() - full.since

    def refused(self, channel: str) -> None:
        """Note that ``channel`` was full just now."""
        queue = names.queue_name(channel)
        with self._lock:
            full = self._full.setdefault(queue, _Full())
            delay = full.backoff.next_delay()
            full.until = time.monotonic() + delay
            if queue in self._watched or len(self._watched) >= WATCHED:
                return
            self._watched.add(queue)
        threading.Thread(
            target=self._watch, args=(queue, channel, delay), name="delay-room", daemon=True
        ).start()

    def took(self, channel: str) -> None:
        """Note that ``channel`` took a message."""
        if self._full:
            with self._lock:
                self._full.pop(names.queue_name(channel), None)

    def closed(self) -> tuple[list[str], list[str]]:
        """What is to be left alone: channels, and beginnings of the names of process channels.

        Forgets queues that nobody has tried since they might be: nothing waits for them any more.
        """
        now = time.monotonic()
        with self._lock:
            for queue in [name for name, full in self._full.items() if full.until + MOST < now]:
                del self._full[queue]
            queues = [queue for queue, full in self._full.items() if full.until > now]
        plain = [queue for queue in queues if not names.is_process_channel(queue)]
        return plain, [queue for queue in queues if names.is_process_channel(queue)]

    def seconds_closed(self) -> float | None:
        """Seconds until the first of them is to be tried again; None where there is none."""
        now = time.monotonic()
        with self._lock:
            ends = [full.until for full in self._full.values() if full.until > now]
        return min(ends) - now if ends else None

    def _watch(self, queue: str, channel: str, delay: float) -> None:
        """Wait for room, for ``delay`` seconds at most."""
        try:
            has_room = self._layer.wait_for_room(channel, delay)
        except Exception:
            # The layer fails, or knows no such wait: then the time alone counts.
            has_room = False
        with self._lock:
            self._watched.discard(queue)
            full = self._full.get(queue)
            if has_room and full is not None:
                full.until = time.monotonic()
        if has_room:
            self._tell()
