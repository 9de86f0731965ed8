"""When what expires: deadlines, looked at when somebody uses the layer. No thread and no timer."""

import heapq
import itertools
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

__all__ = ["Agenda"]


#: Items without a deadline that may stay listed, beside as many as half of all.
_TOLERATED = 64


class Perishable(Protocol):
    """Something that stands in the agenda."""

    #: Whether it stands there. Set by the agenda.
    scheduled: bool

    def due(self) -> float | None:
        """Its deadline; None where nothing is left of it that could expire."""


T = TypeVar("T", bound=Perishable)


class Agenda(Generic[T]):
    """Items by deadline, each listed once, under a deadline that may since have moved to later.

    So listing an item costs nothing while it is listed already, however often its deadline moves.
    ``unlisted`` is called with each item that was found to have no deadline any more.
    """

    __slots__ = ("_counter", "_empty", "_unlisted", "heap")

    def __init__(self, unlisted: Callable[[T], None] = lambda item: None) -> None:
        #: Deadline, a number that settles ties, item. Hot loops compare the first deadline with the
        #: clock.
        self.heap: list[tuple[float, int, T]] = []
        self._counter = itertools.count()
        self._empty = 0
        self._unlisted = unlisted

    def add(self, item: T) -> None:
        """List an item that is not listed, and has a deadline."""
        deadline = item.due()
        if deadline is not None:
            item.scheduled = True
            heapq.heappush(self.heap, (deadline, next(self._counter), item))

    def emptied(self) -> None:
        """Note that a listed item has no deadline any more, nor will have.

        Drops such items once they are many.
        """
        self._empty += 1
        if self._empty > len(self.heap) // 2 + _TOLERATED:
            self._drop_empty()

    def first(self) -> tuple[float, T] | None:
        """The earliest deadline that still holds, and its item."""
        while self.heap:
            listed, _, item = self.heap[0]
            deadline = item.due()
            if deadline is None:
                heapq.heappop(self.heap)
                self._unlist(item)
            elif deadline > listed:
                heapq.heapreplace(self.heap, (deadline, next(self._counter), item))
            else:
                return deadline, item
        return None

    def _drop_empty(self) -> None:
        self._empty = 0
        empty = [item for _, _, item in self.heap if item.due() is None]
        self.heap = [listed for listed in self.heap if listed[2].due() is not None]
        heapq.heapify(self.heap)
        for item in empty:
            self._unlist(item)

    def _unlist(self, item: T) -> None:
        item.scheduled = False
        self._unlisted(item)
