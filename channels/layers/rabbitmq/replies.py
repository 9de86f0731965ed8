"""Conversations with the broker as coroutines, whoever runs the loop: a thread or a reactor.

A coroutine awaits a ``Reply``, which the code that hears the broker settles. There is no loop and
no thread here: a coroutine runs on within the call that settled what it awaits.
"""

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

__all__ = ["Reply", "start"]

T = TypeVar("T")


class Reply(Generic[T]):
    """What will come of a request; settled once, further attempts have no effect."""

    __slots__ = ("_callbacks", "_error", "_value", "settled")

    def __init__(self) -> None:
        #: Whether it has come.
        self.settled = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[], object]] = []

    def succeed(self, value: T) -> None:
        """Give ``value`` to whoever awaits it."""
        if not self.settled:
            self._value = value
            self._settle()

    def fail(self, error: BaseException) -> None:
        """Raise ``error`` in whoever awaits it."""
        if not self.settled:
            self._error = error
            self._settle()

    def _settle(self) -> None:
        self.settled = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def when_settled(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` once it has come, at once if it is there."""
        if self.settled:
            callback()
        else:
            self._callbacks.append(callback)

    def result(self) -> T:
        """What came, or the error that came instead."""
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def __await__(self) -> Generator["Reply[T]", None, T]:
        if not self.settled:
            yield self
        return self.result()


def start(coroutine: Coroutine[Any, Any, T]) -> Reply[T]:
    """Run ``coroutine`` until it waits; what it returns or raises in the end is the reply."""
    outcome: Reply[T] = Reply()
    _resume(coroutine, outcome)
    return outcome


def _resume(coroutine: Coroutine[Any, Any, T], outcome: Reply[T]) -> None:
    try:
        awaited: Reply[Any] = coroutine.send(None)
    except StopIteration as stop:
        outcome.succeed(stop.value)
    except Exception as error:
        outcome.fail(error)
    else:
        awaited.when_settled(lambda: _resume(coroutine, outcome))
