"""Receiving and waiting for room in an asyncio coroutine, for layers whose operations never block.

Loaded when first used.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from channels.layers.entries import Delivery, Received
from channels.layers.waiting import Waiter

if TYPE_CHECKING:
    from channels.layers.base import BaseChannelLayer

__all__ = ["AsyncWaiter", "AsyncioLoop", "receive", "receive_deliveries", "room"]

T = TypeVar("T")


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

    def look(self) -> None:
        """Have the coroutine run in the loop's next turn."""
        self.woken.set()

    @property
    def event_loop(self) -> AsyncioLoop:
        """The loop that runs the coroutine."""
        return AsyncioLoop(self._loop)


async def _repeat(
    layer: "BaseChannelLayer", attempt: Callable[[Waiter], T | None], interruptible: bool
) -> T | None:
    """What ``attempt`` gives at the first try or after a wake-up; None after an interruption."""
    token = layer.interruption
    waiter = AsyncWaiter()
    with layer._waiting(waiter):
        while not interruptible or token is layer.interruption:
            value = attempt(waiter)
            if value is not None:
                return value
            # Not wait_for: it may take a cancellation that comes with a wake-up for the latter.
            with suppress(TimeoutError):
                async with asyncio.timeout(waiter.look_again):
                    await waiter.woken.wait()
            waiter.woken.clear()
    return None


async def receive(layer: "BaseChannelLayer", channels: Collection[str]) -> Received:
    """The next message of ``channels``; ``(None, None)`` where a flush or an interrupt woke it."""
    listening = layer._listening(channels)
    if not listening.queues:
        return None, None
    received = await _repeat(layer, lambda waiter: layer._received(listening, waiter), True)
    return received or (None, None)


async def receive_deliveries(
    layer: "BaseChannelLayer", channels: Collection[str], limit: int
) -> list[Delivery]:
    """At least one delivery and up to ``limit``; none where a flush or an interrupt woke it."""
    listening = layer._listening(channels)
    return await _repeat(layer, layer._attempt_of_server(listening, limit), True) or []


async def room(layer: "BaseChannelLayer", channel: str) -> None:
    """Wait until a send to ``channel`` may succeed."""
    queue, _ = layer._address(channel)
    await _repeat(layer, lambda waiter: layer._room(queue, waiter) or None, False)
