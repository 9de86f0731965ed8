"""Waiting without polling: one wait of a receiver or sender, and who waits for which channel.

A wake-up says "look again", it never carries a message: a waiter that gives up, or was cancelled,
loses nothing, and hands a wake-up that it no longer needs to the next in line. The Twisted and
asyncio forms of a waiter are in ``twisted`` and ``asyncio``; this module knows threads only.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

__all__ = ["EventLoop", "Listening", "Notified", "ThreadWaiter", "Waiter", "WaitingLine"]


class Listening:
    """The queues of a receive and whose turn it is, so that a busy one starves no quiet one."""

    __slots__ = ("_doubled", "_length", "_turn", "queues")

    def __init__(self, queues: Iterable[str]) -> None:
        #: The names listened to, without duplicates.
        self.queues = tuple(dict.fromkeys(queues))
        self._doubled = self.queues * 2
        self._length = len(self.queues)
        self._turn = 0

    def in_turn(self) -> tuple[str, ...]:
        """The names, beginning after the one that was served last."""
        if self._turn == 0:
            return self.queues
        return self._doubled[self._turn : self._turn + self._length]

    def served(self, position: int) -> None:
        """Note that the queue at ``position`` of the latest ``in_turn`` was served."""
        self._turn = (self._turn + position + 1) % self._length


class EventLoop(Protocol):
    """What runs a waiter's owner, for layers whose wake-ups come through a descriptor.

    Equal objects stand for the same loop. All methods but ``unwatch`` are called in its thread.
    """

    def __hash__(self) -> int: ...

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever ``descriptor`` can be read."""

    def unwatch(self, descriptor: int, done: Callable[[], None]) -> None:
        """Undo ``watch``, and call ``done`` when that is so. May be called by any thread."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, after so many seconds."""

    def is_closed(self) -> bool:
        """Whether it will never run again."""


class Notified(Protocol):
    """Whatever an interrupt wakes."""

    def notify(self) -> bool:
        """See ``Waiter.notify``."""


class Waiter:
    """One wait. What it waits for is written down in a ``WaitingLine``, under the layer's lock."""

    __slots__ = ("line", "look_again", "names", "owed")

    def __init__(self) -> None:
        #: The line in which it stands or stood last.
        self.line: WaitingLine | None = None
        #: The names under which it stands in a line.
        self.names: tuple[str, ...] = ()
        #: The name for which it was woken, until it used that wake-up or passed it on.
        self.owed: str | None = None
        #: Seconds after which looking again may succeed without a wake-up, because something
        #: expires then.
        self.look_again: float | None = None

    def notify(self) -> bool:
        """Have the owner look again; False where the owner is gone.

        May be called by any thread, any number of times, and in a signal handler; never with the
        layer's lock held.
        """
        raise NotImplementedError

    def look(self) -> None:
        """Have the owner look again, where the caller is the owner's event loop itself.

        Cheaper than ``notify``, which it is by default.
        """
        self.notify()

    @property
    def event_loop(self) -> EventLoop:
        """The loop that runs the owner; a thread that blocks has none."""
        raise NotImplementedError(f"{type(self).__name__} belongs to no event loop")


class ThreadWaiter(Waiter):
    """The wait of a thread that blocks."""

    __slots__ = ("_gate",)

    def __init__(self) -> None:
        super().__init__()
        # A bare lock as a binary semaphore: releasing it is atomic, so a signal handler may do it.
        self._gate = threading.Lock()
        self._gate.acquire()

    def notify(self) -> bool:
        """Let the thread run."""
        try:
            self._gate.release()
        except RuntimeError:
            pass  # released already: one wake-up is enough
        return True

    def wait(self, timeout: float) -> None:
        """Block until notified, or until ``timeout`` seconds have passed.

        ``math.inf`` means for ever.
        """
        if timeout == math.inf:
            self._gate.acquire()
        else:
            self._gate.acquire(timeout=min(max(timeout, 0.0), threading.TIMEOUT_MAX))


class WaitingLine:
    """Waiters by the names they wait for, first come first served. Guarded by the layer's lock."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        #: OrderedDicts, since thousands of senders may wait for one full channel, and a dict that
        #: is served from the front has to look for its first key.
        self.lines: dict[str, OrderedDict[Waiter, None]] = {}

    def add(self, waiter: Waiter, names: tuple[str, ...]) -> None:
        """Put ``waiter`` at the end of the line of each name.

        A wake-up that it had counts as used.
        """
        waiter.owed = None
        if waiter.names:
            return  # it kept its place
        waiter.line, waiter.names = self, names
        for name in names:
            line = self.lines.get(name)
            if line is None:
                line = self.lines[name] = OrderedDict()
            line[waiter] = None

    def remove(self, waiter: Waiter) -> str | None:
        """Take ``waiter`` out.

        Returns the name of a wake-up that it was given, which somebody has to use.
        """
        for name in waiter.names:
            line = self.lines[name]
            del line[waiter]
            if not line:
                del self.lines[name]
        waiter.names = ()
        owed, waiter.owed = waiter.owed, None
        return owed

    def next(self, name: str) -> Waiter | None:
        """Take the first waiter for ``name`` out of its lines, to be notified without the lock."""
        line = self.lines.get(name)
        if not line:
            return None
        waiter = next(iter(line))
        self.remove(waiter)
        waiter.owed = name
        return waiter
