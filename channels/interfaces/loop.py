"""A channel layer as an event loop sees it: every call is a coroutine, none blocks the loop.

It is the counterpart of ``daphne.layers``. What is done with the messages is in ``dispatch``.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from channels.layers import asyncio as direct
from channels.layers.base import BaseChannelLayer
from channels.layers.entries import Delivery
from channels.layers.exchange import receive_once
from channels.names import split_name

__all__ = ["LoopLayer"]

#: Entries that one receive takes at most.
_BATCH = 100

#: Threads for sends, which are short, and for waits for room, which are not.
_SENDERS, _WAITERS = 8, 64

#: Seconds after which a full channel of a layer that cannot tell is tried again.
_ROOM_RETRY = 0.05

#: Seconds that one blocking receive lasts at most, where threads receive.
_RECEIVE_SLICE = 10.0


class LoopLayer:
    """Calls a layer itself where that never blocks, its own coroutines where it has some, and
    threads where there is nothing better.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        #: What a full channel raises.
        self.full: type[Exception] = layer.ChannelFull
        # Layers that wait for a server or the system have an ``_await_one`` of their own
        # (docs/layers.md); the waiters of others are notified, and nothing that they do blocks.
        self._is_direct = getattr(type(layer), "_await_one", None) is BaseChannelLayer._await_one
        self._has_deliveries = hasattr(layer, "receive_deliveries")
        theirs = getattr(type(layer), "receive_async", None)
        self._has_coroutine = theirs not in (None, BaseChannelLayer.receive_async)
        self._senders = ThreadPoolExecutor(_SENDERS, "channels-send")
        self._waiters = ThreadPoolExecutor(_WAITERS, "channels-wait")
        self._receiver = ThreadPoolExecutor(1, "channels-receive")

    async def send(self, channel: str, message: Any) -> None:
        """Send; raises what the layer's ``send`` raises."""
        if self._is_direct:
            self.layer.send(channel, message)
        else:
            await _in(self._senders, self.layer.send, channel, message)

    async def new_channel(self, pattern: str) -> str:
        """Make a name that follows ``pattern``."""
        if self._is_direct:
            name: str = self.layer.new_channel(pattern)
        else:
            name = await _in(self._senders, self.layer.new_channel, pattern)
        return name

    async def room(self, channel: str, timeout: float) -> bool:
        """Wait until a send to ``channel`` may succeed; False after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                if self._is_direct:
                    await direct.room(self.layer, channel)
                else:
                    await _in(self._waiters, self._wait_for_room, channel, timeout)
        except TimeoutError:
            return False
        return True

    def _wait_for_room(self, channel: str, timeout: float) -> None:
        if hasattr(self.layer, "wait_for_room"):
            self.layer.wait_for_room(channel, timeout)
        else:  # a layer of a third party, which is asked again
            time.sleep(min(timeout, _ROOM_RETRY))

    async def receive(self, channel: str) -> list[Delivery]:
        """Wait for messages of a process channel; may give [] when woken for another reason."""
        if self._is_direct:
            return await direct.receive_deliveries(self.layer, [channel], _BATCH)
        if self._has_deliveries:
            found: list[Delivery] = await _in(
                self._receiver, self.layer.receive_deliveries, [channel]
            )
            if found:
                return found
        # Of a group message this takes the first target; the rest is taken at once next time.
        if self._has_coroutine:
            return _as_deliveries(await self.layer.receive_async([channel]))
        return _as_deliveries(
            await _in(self._receiver, receive_once, self.layer, [channel], _RECEIVE_SLICE)
        )

    def generation(self, channel: str) -> str:
        """A value that changes when the layer was emptied or ``channel`` was evicted."""
        read = getattr(self.layer, "generation", None)
        return "" if read is None else str(read(channel))

    def has_listener(self, channel: str) -> bool:
        """Whether somebody may read ``channel``; True where the layer cannot tell."""
        ask = getattr(self.layer, "has_listener", None)
        return ask is None or bool(ask(channel))

    def close(self) -> None:
        """Let threads end."""
        for pool in (self._senders, self._waiters, self._receiver):
            pool.shutdown(wait=False)
        if not self._is_direct and hasattr(self.layer, "interrupt"):
            self.layer.interrupt()


async def _in(pool: ThreadPoolExecutor, function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(pool, function, *args)


def _as_deliveries(received: tuple[str | None, dict[str, Any] | None]) -> list[Delivery]:
    channel, message = received
    if channel is None or message is None:
        return []
    name, local = split_name(channel)
    return [Delivery(name, (local,), message)]
