"""How event loops are woken: a FIFO for each, which the loop watches as it watches sockets.

A thread that blocks sleeps in the segment itself; a reactor sleeps in ``epoll``, so whoever sends
to it rings its FIFO. One FIFO serves all waits of a loop: the segment tells which of them were
woken.
"""

from typing import TYPE_CHECKING

from channels.exceptions import ChannelLayerError
from channels.layers.waiting import EventLoop, Waiter

if TYPE_CHECKING:
    from channels._speedups import shm

__all__ = ["Bells"]

#: Seconds between two looks after waiters that died with a wake-up, while anything waits.
_TEND = 1.0


class _LoopBell:
    """The FIFO of one event loop, and the waits behind it."""

    def __init__(self, bell: "shm.Bell", loop: EventLoop) -> None:
        self.bell = bell
        self.loop = loop
        #: Sleepers that may be used again.
        self.idle: list[shm.Sleeper] = []
        self._waiters: dict[shm.Sleeper, Waiter] = {}
        self._ticking = False
        loop.watch(bell.fileno(), self._rung)

    def add(self, waiter: Waiter, sleeper: "shm.Sleeper") -> None:
        self._waiters[sleeper] = waiter
        if not self._ticking:
            self._ticking = True
            self.loop.call_later(_TEND, self._tick)

    def remove(self, sleeper: "shm.Sleeper") -> None:
        self._waiters.pop(sleeper, None)
        self.idle.append(sleeper)

    def close(self) -> None:
        self.bell.leave()
        self.loop.unwatch(self.bell.fileno(), self.bell.close)

    def replaced(self) -> None:
        """Close; who still waits is to look again, and so gets a place behind the new one."""
        waiters = list(self._waiters.values())
        self.close()
        if not self.loop.is_closed():
            for waiter in waiters:
                waiter.notify()

    def _rung(self) -> None:
        self._notify(tend=False)

    def _tick(self) -> None:
        self._ticking = bool(self._waiters) and self.bell.fileno() >= 0
        if self._ticking:
            self.loop.call_later(_TEND, self._tick)
            self._notify(tend=True)

    def _notify(self, tend: bool) -> None:
        try:
            woken = self.bell.woken(tend)
        except ChannelLayerError:
            woken = list(self._waiters)  # each meets the error by itself, and tells its owner
        for sleeper in woken:
            waiter = self._waiters.get(sleeper)
            if waiter is not None:
                waiter.look()


class Bells:
    """The event loops of one layer object, and which sleeper each waiter has."""

    def __init__(
        self, segment: "shm.Segment", bell: "type[shm.Bell]", sleeper: "type[shm.Sleeper]"
    ) -> None:
        self._segment = segment
        self._bell_type = bell
        self._sleeper_type = sleeper
        self._bells: dict[EventLoop, _LoopBell] = {}
        self._sleepers: dict[Waiter, tuple[_LoopBell, shm.Sleeper]] = {}

    def sleeper(self, waiter: Waiter) -> "shm.Sleeper":
        """The sleeper of a waiter, the same until ``release``."""
        known = self._sleepers.get(waiter)
        if known is not None:
            if known[0].bell.is_current():
                return known[1]
            self.release(waiter)  # the segment was removed, and another took its place
        bell = self._bell(waiter.event_loop)
        sleeper = bell.idle.pop() if bell.idle else self._sleeper_type(bell.bell)
        self._sleepers[waiter] = bell, sleeper
        bell.add(waiter, sleeper)
        return sleeper

    def release(self, waiter: Waiter) -> None:
        """Forget a waiter, whose wait is over."""
        known = self._sleepers.pop(waiter, None)
        if known is not None:
            bell, sleeper = known
            self._segment.withdraw(sleeper)
            bell.remove(sleeper)

    def close(self) -> None:
        """Let go of all."""
        self._sleepers.clear()
        while self._bells:
            self._bells.popitem()[1].close()

    def abandon(self) -> None:
        """Let go of all in the child of a fork: it is the parent's."""
        for bell in self._bells.values():
            bell.bell.close()
        self._bells.clear()
        self._sleepers.clear()

    def _bell(self, loop: EventLoop) -> _LoopBell:
        bell = self._bells.get(loop)
        if bell is None or not bell.bell.is_current():
            for each in [each for each in list(self._bells) if each.is_closed() or each == loop]:
                ended = self._bells.pop(each, None)
                if ended is not None:  # no other thread, for a loop of its own, was quicker
                    ended.replaced()
            bell = self._bells[loop] = _LoopBell(self._bell_type(self._segment), loop)
        return bell
