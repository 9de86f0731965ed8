"""A small event loop: descriptors, and timers. It sleeps in between.

``connection`` puts pika's connection onto it. pika's own loop wakes up twice for each write and
writes each frame by itself, which costs a third of what a message takes.
"""

import contextlib
import functools
import heapq
import itertools
import logging
import math
import select
import time
from collections.abc import Callable

__all__ = ["Loop", "Timer"]

logger = logging.getLogger("channels.layers")

#: What ``poll`` reports of a descriptor that may be read, or has an error to be read.
_READ = select.POLLIN | select.POLLHUP | select.POLLERR


class Timer:
    """A call that is due later."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], object]) -> None:
        self.function: Callable[[], object] | None = function

    def cancel(self) -> None:
        """Do not call it."""
        self.function = None


class Loop:
    """All methods but ``run`` are called by one thread at a time.

    ``hold`` calls a function when no other thread works with what the loop serves; the loop does
    everything within it but sleep. ``wake`` is called when it has to sleep anew.
    """

    def __init__(
        self, hold: Callable[[Callable[[], object]], object], wake: Callable[[], object]
    ) -> None:
        self._hold = hold
        self._wake = wake
        self._poll = select.poll()
        self._readers: dict[int, Callable[[], object]] = {}
        self._writers: dict[int, Callable[[], object]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._running = True

    def add_reader(self, descriptor: int, readable: Callable[[], object]) -> None:
        """Call ``readable`` whenever there is something to read."""
        self._readers[descriptor] = readable
        self._poll.register(descriptor, select.POLLIN)
        self._wake()

    def set_writer(self, descriptor: int, writable: Callable[[], object] | None) -> None:
        """Call ``writable`` whenever there is room to write, until it is None."""
        if writable is None:
            self._writers.pop(descriptor, None)
            self._poll.modify(descriptor, select.POLLIN)
        else:
            self._writers[descriptor] = writable
            self._poll.modify(descriptor, select.POLLIN | select.POLLOUT)
            self._wake()

    def remove(self, descriptor: int) -> None:
        """Forget a descriptor."""
        self._readers.pop(descriptor, None)
        self._writers.pop(descriptor, None)
        with contextlib.suppress(KeyError):
            self._poll.unregister(descriptor)

    def call_later(self, delay: float, function: Callable[[], object]) -> Timer:
        """Call ``function`` in ``delay`` seconds."""
        timer = Timer(function)
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._numbers), timer))
        if self._timers[0][2] is timer:
            self._wake()
        return timer

    def stop(self) -> None:
        """Have ``run`` return."""
        self._running = False
        self._wake()

    def run(self) -> None:
        """Run until it is stopped."""
        while self._running:
            found = self._poll.poll(self._wait())
            self._hold(functools.partial(self._handle, found))

    def _handle(self, found: list[tuple[int, int]]) -> None:
        for descriptor, events in found:
            if events & _READ and descriptor in self._readers:
                self._call(self._readers[descriptor])
            if events & select.POLLOUT and descriptor in self._writers:
                self._call(self._writers[descriptor])
        if self._timers:
            self._run_timers()

    def _wait(self) -> int | None:
        """Milliseconds until the next timer."""
        if not self._timers:
            return None
        return max(0, math.ceil((self._timers[0][0] - time.monotonic()) * 1000))

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.function is not None:
                self._call(timer.function)

    def _call(self, function: Callable[[], object]) -> None:
        try:
            function()
        except Exception:
            logger.exception("An error in the thread of the RabbitMQ layer")
