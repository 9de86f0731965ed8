"""How many messages a worker takes at once, and what becomes of them where a consumer takes long.

Nobody shall wait for a message that is in hand: a worker takes as many as it will have handled in
two milliseconds, judging by the latest ones, and what was not taken up in ten goes back to its
channel, where other workers find it.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from channels.layers.prefetch import Prefetch

__all__ = ["MOST", "Pace", "returner"]

logger = logging.getLogger("django.channels")

#: The most that may be asked for.
MOST = 100

#: Seconds in which what was taken at once should be handled.
_SPAN = 0.002

#: What the latest message counts in the mean of the times that they take.
_WEIGHT = 1 / 8

#: Seconds between two looks at what is in hand, and for which it may be; so a message waits for
#: twice that at most.
_INTERVAL = 0.01


class Pace:
    """How many messages to take at once, at most ``most``; one until it is known how long they
    take.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._mean = _SPAN

    def took(self, seconds: float) -> None:
        """Note how long a message took."""
        self._mean += (seconds - self._mean) * _WEIGHT

    @property
    def limit(self) -> int:
        """How many may be taken now."""
        return max(1, min(self._most, int(_SPAN / max(self._mean, 1e-6))))


class _Returner:
    """The thread of a process that gives back what waits behind a consumer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hands: dict[Prefetch, Callable[[], object]] = {}
        self._thread: threading.Thread | None = None
        #: Set where something may be in hand.
        self.busy = threading.Event()

    @contextmanager
    def watching(self, prefetch: Prefetch, returned: Callable[[], object]) -> Iterator[None]:
        """A context in which what is in hand is watched; ``returned`` is called when that went
        back.
        """
        with self._lock:
            self._hands[prefetch] = returned
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="returner", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._hands[prefetch]

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self.busy.wait()
            self.busy.clear()
            if any([_look(*hand) for hand in list(self._hands.items())]):
                self.busy.set()
                pause.wait(_INTERVAL)


def _look(prefetch: Prefetch, returned: Callable[[], object]) -> bool:
    """Give back what has waited for long; whether anything was in hand."""
    if not len(prefetch):
        return False
    if time.monotonic() - prefetch.taken_at >= _INTERVAL:
        try:
            prefetch.flush()
            prefetch.give_back()
            if not len(prefetch):
                returned()
        except Exception:
            logger.exception("Messages in hand could not be given back:")
    return True


#: That of this process.
returner = _Returner()
# threads do not survive a fork, nor does what they watch belong to the child
os.register_at_fork(after_in_child=returner.__init__)  # type: ignore[misc]
