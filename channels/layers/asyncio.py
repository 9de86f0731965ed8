"""Receiving in an asyncio coroutine, for layers whose waiters can be notified.

Loaded when first used.
"""

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

from channels.layers.entries import Received
from channels.layers.waiting import Waiter

if TYPE_CHECKING:
    from channels.layers.base import BaseChannelLayer

__all__ = ["AsyncWaiter", "receive"]


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
