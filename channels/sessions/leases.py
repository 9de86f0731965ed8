"""Word that a consumer is still running, for those who watch over its socket's later messages.

While a consumer runs, its message is in no channel: to others it looks as if it were lost. So a
process that runs one for long leaves a mark in the layer, and another one from time to time. A
mark that stays the same is that of a process that has died. Consumers that end before the first
mark is due, which are nearly all, cost nothing but a note in this process.
"""

import contextlib
import logging
import math
import os
import threading
import time
from typing import Any

from channels.exceptions import ChannelFull

from .stores import channel_session_key

__all__ = ["Lease", "Leases", "expiry_of", "last_beat", "leases"]

logger = logging.getLogger("django.channels")

#: Seconds that a message may wait in a layer that does not say how long it keeps them.
_EXPIRY = 60.0

#: Seconds for which a mark is waited for that another process has taken to look at it, and the
#: most of the expiry, since many sockets may be looked at one after the other.
_AWAY, _MOST_AWAY = 0.1, 0.01


def expiry_of(layer: Any) -> float:
    """Seconds that a message may wait in ``layer``."""
    return float(getattr(layer, "expiry", _EXPIRY))


class Lease:
    """A consumer that runs: of a message of ``reply_channel`` in ``layer``."""

    def __init__(self, layer: Any, reply_channel: str) -> None:
        self._layer = layer
        self._reply_channel = reply_channel
        #: Seconds between two marks: whoever looks twice in an expiry sees two different ones.
        self.interval = expiry_of(layer) / 4
        self.due = time.monotonic() + self.interval
        self._lock = threading.Lock()
        self._marked = self._ended = False

    def renew(self) -> None:
        """Leave another mark in place of the last one."""
        self.due = time.monotonic() + self.interval
        with self._lock:
            if not self._ended:
                self._remove_mark()
                _leave(self._layer, _mark(self._reply_channel), time.time_ns())
                self._marked = True

    def end(self) -> None:
        """Take away the mark, if one was left."""
        with self._lock:
            self._ended = True
            if self._marked:
                self._remove_mark()

    def _remove_mark(self) -> None:
        _taken(self._layer, _mark(self._reply_channel))


class Leases:
    """Renews the leases of this process, in a thread that begins with the first one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: set[Lease] = set()
        #: When the thread looks at them next, on the monotonic clock.
        self._looks_at = math.inf
        self._thread: threading.Thread | None = None

    def begin(self, layer: Any, reply_channel: str) -> Lease:
        """Note that a consumer begins."""
        lease = Lease(layer, reply_channel)
        self._running.add(lease)
        if lease.due < self._looks_at:  # not so where another consumer ran a moment ago
            self._wake()
        return lease

    def end(self, lease: Lease) -> None:
        """Note that it has ended."""
        self._running.discard(lease)
        lease.end()

    def _wake(self) -> None:
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            for lease in self._due():
                try:
                    lease.renew()
                except Exception:
                    logger.exception("Cannot say that a consumer still runs; trying again later:")

    def _due(self) -> list[Lease]:
        """Those whose time has come, once there is one."""
        with self._changed:
            while True:
                # In this order: a lease that begins meanwhile is seen here, or sees that it is so.
                self._looks_at = math.inf
                running = list(self._running)
                if not running:
                    self._changed.wait()
                    continue
                self._looks_at = min(lease.due for lease in running)
                now = time.monotonic()
                due = [lease for lease in running if lease.due <= now]
                if due:
                    return due
                self._changed.wait(self._looks_at - now)


def last_beat(layer: Any, reply_channel: str, wait: bool = False) -> int | None:
    """What tells the latest mark from others; None where there is none.

    ``wait``: for a moment, since others that look at it have taken it away meanwhile.
    """
    mark = _mark(reply_channel)
    beats = _taken(layer, mark)
    if wait and not beats:
        timeout = min(_AWAY, _MOST_AWAY * expiry_of(layer))
        found, content = layer.receive([mark], block=True, timeout=timeout)
        if found is not None:
            beats = [content["beat"], *_taken(layer, mark)]
    if not beats:
        return None
    _leave(layer, mark, max(beats))
    return max(beats)


def _taken(layer: Any, mark: str) -> list[int]:
    """The marks that there are, which are removed: one that was looked at may be back too late."""
    beats = []
    while (content := layer.receive([mark])[1]) is not None:
        beats.append(content["beat"])
    return beats


def _leave(layer: Any, mark: str, beat: int) -> None:
    with contextlib.suppress(ChannelFull):  # there are some of them already
        layer.send(mark, {"beat": beat})


def _mark(reply_channel: str) -> str:
    return f"__running__.{channel_session_key(reply_channel)}?"


leases = Leases()


def _after_fork() -> None:
    """The thread is the parent's, and so is what it runs."""
    leases.__init__()  # type: ignore[misc]


os.register_at_fork(after_in_child=_after_fork)
