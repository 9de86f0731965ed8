"""Coroutines that run in any event loop: what awaits is woken by a callback, and by nothing else.

Twisted and asyncio share the logic of ``session`` through this.
"""

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

__all__ = ["Outcome", "run"]

T = TypeVar("T")

_PENDING = object()


class Outcome(Generic[T]):
    """A value that will be there; for one coroutine to await."""

    __slots__ = ("_resume", "_value")

    def __init__(self) -> None:
        self._value: object = _PENDING
        self._resume: Callable[[], None] | None = None

    @property
    def is_there(self) -> bool:
        """Whether it was resolved."""
        return self._value is not _PENDING

    def resolve(self, value: T | Exception) -> None:
        """Give the value; an exception is raised where it is awaited. The first call counts."""
        if self._value is not _PENDING:
            return
        self._value = value
        resume, self._resume = self._resume, None
        if resume is not None:
            resume()

    def __await__(self) -> "Generator[Outcome[T], None, T]":
        if self._value is _PENDING:
            yield self
        if isinstance(self._value, Exception):
            raise self._value
        value: Any = self._value
        result: T = value
        return result


def run(
    coroutine: "Coroutine[Outcome[Any], None, T]", done: Callable[[T | Exception], None]
) -> None:
    """Run ``coroutine`` as far as it comes now, and on with each outcome that it awaits.

    ``done`` is called with what it returned or raised.
    """
    while True:
        try:
            awaited = coroutine.send(None)
        except StopIteration as stop:
            done(stop.value)
            return
        except Exception as error:
            done(error)
            return
        if not awaited.is_there:
            awaited._resume = lambda: run(coroutine, done)
            return
