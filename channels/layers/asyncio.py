"""Receiving in an asyncio coroutine, for layers whose waiters can be notified.

Loaded when first used.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from channels.layers.entries import Received
from channels.layers.waiting import Waiter

if TYPE_CHECKING:
    from channels.layers.base import BaseChannelLayer

__all__ = ["AsyncWaiter", "AsyncioLoop", "receive"]


@dataclass(frozen=True)
class AsyncioLoop:
    """An event loop of asyncio, as layers see it."""

    loop: asyncio.AbstractEventLoop

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever ``descriptor`` can be read."""
        self.loop.add_reader(descriptor, callback)

    def unwatch(self, descriptor: int, done: Callable[[], None]) -> None:
        """Undo ``watch``, and call ``done`` when that is so. May be called by any thread."""

        def unwatch() -> None:
            self.loop.remove_reader(descriptor)
            done()

        try:
            self.loop.call_soon_threadsafe(unwatch)
        except RuntimeError:  # it is closed, and watches nothing
            done()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, after so many seconds."""
        self.loop.call_later(seconds, callback)

    def is_closed(self) -> bool:
        """Whether it will never run again."""
        return self.loop.is_closed()


class AsyncWaiter(Waiter):
    """The wait of a coroutine."""

    __slots__ = ("_loop", "woken")

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        #: Set when it is worth looking again.
        self.woken = asyncio.Event()

    def notify(self) -> bool:
        """Have the event loop run the coroutine; False where the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(self.woken.set)
        except RuntimeError:
            return False
        return True

    @property
    def event_loop(self) -> AsyncioLoop:
        """The loop that runs the coroutine."""
        return AsyncioLoop(self._loop)


async def receive(layer: "BaseChannelLayer", channels: Collection[str]) -> Received:
    """The next message of ``channels``; ``(None, None)`` where a flush or an interrupt woke it."""
    listening = layer._listening(channels)
    token = layer.interruption
    waiter = AsyncWaiter()
    with layer._waiting(waiter):
        while listening.queues and token is layer.interruption:
            received = layer._received(listening, waiter)
            if received is not None:
                return received
            await waiter.woken.wait()
            waiter.woken.clear()
    return None, None
