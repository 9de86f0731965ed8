"""How many messages a worker takes at once, and what becomes of them where a consumer takes long.

Nobody shall wait for a message that is in hand: a worker takes as many as it will have handled in
two milliseconds, judging by the latest ones, and those behind a consumer that takes longer after
all go back to their channels, where other workers find them.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from channels.layers.prefetch import Prefetch

__all__ = ["Hand", "Pace", "returner"]

logger = logging.getLogger("django.channels")

#: Seconds in which what was taken at once should be handled.
_SPAN = 0.002

#: What the latest message counts in the mean of the times that they take.
_WEIGHT = 1 / 8

#: Seconds between two looks at what is in hand. A message waits for two of them at most.
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


class Hand:
    """The messages in hand of one thread, and how often it has taken one of them up."""

    def __init__(self, prefetch: Prefetch) -> None:
        self.prefetch = prefetch
        #: The number of messages that it has begun.
        self.begun = 0
        #: ``begun`` at the latest look.
        self.seen = -1

    def look(self) -> bool:
        """Give back what has waited since the latest look; whether anything is in hand."""
        if not len(self.prefetch):
            self.seen = -1
            return False
        if self.begun == self.seen:
            self.prefetch.flush()
            self.prefetch.give_back()
        self.seen = self.begun
        return True


class _Returner:
    """The thread of a process that gives back what waits behind a consumer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hands: list[Hand] = []
        self._thread: threading.Thread | None = None
        #: Set where something may be in hand.
        self.busy = threading.Event()

    @contextmanager
    def watching(self, prefetch: Prefetch) -> Iterator[Hand]:
        """A context in which what is in hand of the calling thread is watched."""
        hand = Hand(prefetch)
        with self._lock:
            self._hands.append(hand)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="returner", daemon=True)
                self._thread.start()
        try:
            yield hand
        finally:
            with self._lock:
                self._hands.remove(hand)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self.busy.wait()
            self.busy.clear()
            try:
                if any([hand.look() for hand in list(self._hands)]):
                    self.busy.set()
                    pause.wait(_INTERVAL)
            except Exception:
                logger.exception("Messages in hand could not be given back:")


#: That of this process.
returner = _Returner()
