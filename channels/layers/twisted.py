"""Receiving, sending and waiting for room as Twisted Deferreds, for layers whose operations never
block.

Loaded when first used. The reactor is imported only inside a call, since the import installs one
and that choice is the application's. Everything here runs in the reactor's thread, but for
``notify``.
"""

import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    FirstError,
    execute,
    fail,
    succeed,
)
from twisted.python.failure import Failure

from channels.layers.entries import Delivery, Received
from channels.layers.waiting import Waiter

if TYPE_CHECKING:
    from channels.layers.base import BaseChannelLayer

__all__ = [
    "DeferredWaiter",
    "ReactorLoop",
    "call",
    "either",
    "receive",
    "receive_deliveries",
    "room",
]

T = TypeVar("T")
P = ParamSpec("P")


class _Descriptor:
    """A descriptor that the reactor reads from, as Twisted's ``IReadDescriptor`` describes it."""

    def __init__(self, descriptor: int, callback: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self.doRead = callback

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "channel layer"

    def connectionLost(self, reason: object) -> None:
        """The reactor takes it out; nothing of ours depends on it."""


@dataclass(frozen=True)
class ReactorLoop:
    """The reactor, as layers see it."""

    reactor: Any

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever ``descriptor`` can be read."""
        self.reactor.addReader(_Descriptor(descriptor, callback))

    def unwatch(self, descriptor: int, done: Callable[[], None]) -> None:
        """Undo ``watch``, and call ``done`` when that is so. May be called by any thread."""
        self.reactor.callFromThread(self._unwatch, descriptor, done)

    def _unwatch(self, descriptor: int, done: Callable[[], None]) -> None:
        for reader in self.reactor.getReaders():
            if isinstance(reader, _Descriptor) and reader.fileno() == descriptor:
                self.reactor.removeReader(reader)
        done()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, after so many seconds."""
        self.reactor.callLater(seconds, callback)

    def is_closed(self) -> bool:
        """Whether it will never run again: never known of a reactor."""
        return False


class DeferredWaiter(Waiter, Generic[T]):
    """The wait of a Deferred: tries at once, then at each wake-up, until ``attempt`` gives a value.

    ``interrupted`` makes what the Deferred gives after an interruption; None where it goes on
    waiting.
    """

    __slots__ = ("_attempt", "_interrupted", "_layer", "_reactor", "_timer", "_token", "deferred")

    def __init__(
        self,
        layer: "BaseChannelLayer",
        attempt: Callable[[Waiter], T | None],
        interrupted: Callable[[], T] | None = None,
    ) -> None:
        super().__init__()
        self._layer = layer
        self._attempt = attempt
        self._interrupted = interrupted
        self._token = layer.interruption
        self._reactor: Any = importlib.import_module("twisted.internet.reactor")
        self._timer: Any = None
        self.deferred: Deferred[T] = Deferred(lambda _: self._end())

    @property
    def event_loop(self) -> ReactorLoop:
        """The reactor."""
        return ReactorLoop(self._reactor)

    def start(self) -> "Deferred[T]":
        """Try for the first time."""
        self._layer._blocked[self] = None
        self._try()
        return self.deferred

    def notify(self) -> bool:
        """Have the reactor try again in its next turn.

        Not within this call, even in the reactor's thread: what a Deferred triggers must not run in
        the middle of somebody's ``send``. Nor by ``callLater`` there: the call may come from a
        signal handler, which ``callLater`` does not bear, and which may have interrupted the wait
        for events that it has to end.
        """
        self._reactor.callFromThread(self._try)
        return True

    def look(self) -> None:
        """Try again within this call, which the reactor made."""
        self._try()

    def _try(self) -> None:
        if self not in self._layer._blocked:
            return  # fired or cancelled before this turn came
        self._cancel_timer()
        try:
            value = self._value()
        except Exception:
            self._end()
            self.deferred.errback()
            return
        if value is not None:
            self._end()
            self.deferred.callback(value)
        elif self.look_again is not None:
            self._timer = self._reactor.callLater(self.look_again, self._try)

    def _value(self) -> T | None:
        if self._interrupted is not None and self._token is not self._layer.interruption:
            return self._interrupted()
        return self._attempt(self)

    def _end(self) -> None:
        self._cancel_timer()
        self._layer._blocked.pop(self, None)
        self._layer._withdraw(self)

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def _deferred(
    layer: "BaseChannelLayer",
    attempt: Callable[[Waiter | None], T | None],
    interrupted: Callable[[], T] | None = None,
) -> "Deferred[T]":
    """What ``attempt`` gives, now or later; a waiter is made only where it gives nothing now."""
    try:
        ready = attempt(None)
    except Exception:
        return fail()
    if ready is not None:
        return succeed(ready)
    return DeferredWaiter(layer, attempt, interrupted).start()


def receive(layer: "BaseChannelLayer", channels: Collection[str]) -> "Deferred[Received]":
    """See ``BaseChannelLayer.receive_twisted``."""

    def attempt(waiter: Waiter | None) -> Received | None:
        return layer._received(listening, waiter) if listening.queues else (None, None)

    listening = layer._listening(channels)
    return _deferred(layer, attempt, lambda: (None, None))


def receive_deliveries(
    layer: "BaseChannelLayer", channels: Collection[str], limit: int
) -> "Deferred[list[Delivery]]":
    """See ``BaseChannelLayer.receive_deliveries_twisted``."""

    listening = layer._listening(channels)
    return _deferred(layer, layer._attempt_of_server(listening, limit), list[Delivery])


def room(layer: "BaseChannelLayer", channel: str) -> "Deferred[None]":
    """See ``BaseChannelLayer.room_twisted``."""
    queue, _ = layer._address(channel)
    found = _deferred(layer, lambda waiter: layer._room(queue, waiter) or None)
    return found.addCallback(lambda _: None)


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Deferred[T]":
    """The result of ``function``, which must not block, as a Deferred that has fired."""
    return execute(function, *args, **kwargs)


def either(
    first: "Callable[[], Deferred[T]]", second: "Callable[[], Deferred[T]]"
) -> "Deferred[T]":
    """What the Deferred of one of two receives gives; the other one is cancelled, or not begun."""
    one = first()
    if one.called and not one.paused:
        return one
    other = second()
    if other.called and not other.paused:
        one.addErrback(lambda failure: failure.trap(CancelledError))
        one.cancel()
        return other
    both = DeferredList([one, other], True, True, consumeErrors=True)

    def ended(result: Any) -> Any:
        for deferred in (one, other):
            deferred.cancel()
        if isinstance(result, Failure) and isinstance(result.value, FirstError):
            return result.value.subFailure
        return result if isinstance(result, Failure) else result[0]

    return both.addBoth(ended)
