"""Waits that block a thread, and how they are interrupted.

They are built here from the primitives and a ``ThreadWaiter``. A backend whose threads block in
another way, on a socket or in a system call, overrides ``_await_one`` and ``_await_room``; the
rules of ``receive`` stay in ``channels.layers.base``.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from channels.layers.entries import Stored
from channels.layers.primitives import Primitives
from channels.layers.waiting import Listening, Notified, ThreadWaiter, Waiter

__all__ = ["Blocking"]

T = TypeVar("T")


class Blocking(Primitives):
    """The blocking forms of the primitives."""

    def __init__(self) -> None:
        super().__init__()
        #: Changes with every ``interrupt``; see there.
        self.interruption = object()
        self._blocked: dict[Notified, None] = {}

    def interrupt(self) -> None:
        """Make every receive of this layer object that is blocked return ``(None, None)``. No
        message is lost.

        Takes no lock, so it may be called in a signal handler and by any thread. It has no effect
        on receives that begin later. A loop that ends by a flag would miss an interrupt that comes
        after it looked at the flag and before it blocks; so it reads the token first::

            while True:
                token = layer.interruption
                if self.stopped:  # set before interrupt() is called
                    break
                channel, message = layer.receive(channels, block=True, interruption=token)
        """
        self.interruption = object()
        for waiter in list(self._blocked):
            waiter.notify()

    def _await_one(
        self, listening: Listening, deadline: float | None, token: object
    ) -> Stored | None:
        """``_take_one``, waiting for an entry until ``deadline``, a ``time.monotonic()`` or None.

        None, and nothing taken, also once ``interruption`` is no longer ``token``.
        """
        taken = self._take_one(listening)
        if taken is None:
            taken = self._block(lambda w: self._take_one(listening, w), deadline, token)
        return taken

    def _await_room(self, queue: str, deadline: float | None) -> bool:
        """``_room``, waiting for it until ``deadline``. Interruptions do not matter to it."""
        return self._block(lambda w: self._room(queue, w) or None, deadline, None) is not None

    def _block(
        self, attempt: Callable[[Waiter], T | None], deadline: float | None, token: object | None
    ) -> T | None:
        """Repeat ``attempt`` at each wake-up until it gives a value.

        None after ``deadline`` or an interruption; ``token`` is the ``interruption`` that may not
        change, None where interruptions do not matter.
        """
        waiter = ThreadWaiter()
        with self._waiting(waiter):
            while token is None or token is self.interruption:
                value = attempt(waiter)
                if value is not None:
                    return value
                left = math.inf if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    return None
                waiter.wait(left if waiter.look_again is None else min(left, waiter.look_again))
        return None

    @contextmanager
    def _waiting(self, waiter: Waiter) -> Iterator[None]:
        """Have ``interrupt`` know ``waiter`` while it waits, and withdraw it afterwards."""
        self._blocked[waiter] = None
        try:
            yield
        finally:
            self._blocked.pop(waiter, None)
            self._withdraw(waiter)
