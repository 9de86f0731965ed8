"""The sleep of those who send: until the earliest due date that is known, and no longer."""

import math
import threading
import time

from channels.delay import instants

__all__ = ["Alarm"]


class Alarm:
    """An instant, in microseconds, at which somebody is to look at the table.

    Whoever looks calls ``reset`` before, so that a date which is set meanwhile is not missed, and
    ``wait`` after. Each of the threads that send has one of its own.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at = math.inf
        self._stopped = False

    def set(self, instant: float) -> None:
        """Have the waiter look at ``instant`` at the latest."""
        with self._changed:
            if instant < self._at:
                self._at = instant
                self._changed.notify_all()

    def reset(self) -> None:
        """Forget the instant, since what is due is looked at now."""
        with self._changed:
            self._at = math.inf

    def wait(self, longest: float) -> None:
        """Wait for the instant, for ``longest`` seconds at most, or for ``stop``.

        Where the clock is set meanwhile, ``look_at_clock`` has to be called.
        """
        end = time.monotonic() + longest
        with self._changed:
            while not self._stopped:
                left = min((self._at - instants.now()) / 1e6, end - time.monotonic())
                if left <= 0:
                    break
                self._changed.wait(min(left, threading.TIMEOUT_MAX))

    def look_at_clock(self) -> None:
        """Have the waiter see what time it is now, because the clock was set."""
        with self._changed:
            self._changed.notify_all()

    def stop(self) -> None:
        """Let every wait end, now and later."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
