"""A channel layer as an event loop sees it: every call is a coroutine, none blocks the loop.

It is the counterpart of ``daphne.layers``. What is done with the messages is in ``dispatch``.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from channels.layers.base import BaseChannelLayer
from channels.layers.entries import Delivery
from channels.layers.exchange import receive_once, room_within
from channels.names import split_name

__all__ = ["LoopLayer", "NativeLayer", "ThreadedLayer", "adapt"]

logger = logging.getLogger("channels.interfaces")

#: Threads for sends, which are short, and for waits for room, which are not.
_SENDERS, _WAITERS = 8, 64

#: Seconds that a thread waits for room at a time.
_ROOM_SLICE = 1.0

#: Seconds that one blocking receive lasts at most, where threads receive.
_RECEIVE_SLICE = 10.0


class LoopLayer(Protocol):
    """What ``dispatch`` and the connections ask of a layer, in the loop's thread."""

    #: What a full channel raises.
    full: type[Exception]

    async def receive(self, channel: str) -> list[Delivery]:
        """Wait for messages of a process channel; may give [] when woken for another reason."""

    async def send(self, channel: str, message: Any) -> None:
        """Send; raises what the layer's ``send`` raises."""

    async def new_channel(self, pattern: str) -> str:
        """Make a name that follows ``pattern``."""

    async def room(self, channel: str, timeout: float) -> bool:
        """Wait until a send to ``channel`` may succeed; False after ``timeout`` seconds."""

    async def generation(self, channel: str) -> str:
        """A value that changes when the layer was emptied or ``channel`` was evicted."""

    def has_listener(self, channel: str) -> bool:
        """Whether somebody may read ``channel``; True where the layer cannot tell, or not yet."""

    def close(self) -> None:
        """Let threads end."""


def adapt(layer: Any) -> LoopLayer:
    """The view of ``layer`` that costs least."""
    return NativeLayer(layer) if _is_native(layer) else ThreadedLayer(layer)


def _is_native(layer: Any) -> bool:
    """Whether the layer's coroutines never block the loop.

    A layer that talks to a server has its own forms for Twisted (docs/layers.md); then those for
    asyncio have to be its own as well. What the others do never blocks.
    """
    if not isinstance(layer, BaseChannelLayer):
        return False
    return _has_own_coroutines(layer) or not _talks_to_a_server(layer)


def _talks_to_a_server(layer: BaseChannelLayer) -> bool:
    return type(layer).send_twisted is not BaseChannelLayer.send_twisted


def _has_own_coroutines(layer: BaseChannelLayer) -> bool:
    return type(layer).send_async is not BaseChannelLayer.send_async


class NativeLayer:
    """A layer with the whole interface for asyncio; calls go straight through."""

    def __init__(self, layer: BaseChannelLayer) -> None:
        self._layer = layer
        self.full: type[Exception] = layer.ChannelFull
        self.send = layer.send_async
        self.new_channel = layer.new_channel_async
        #: Whether the layer knows its own state; one that talks to a server waits until it does,
        #: and from then on knows of changes by its receives.
        self._is_known = not _talks_to_a_server(layer)

    async def receive(self, channel: str) -> list[Delivery]:
        return await self._layer.receive_deliveries_async([channel])

    async def generation(self, channel: str) -> str:
        if self._is_known:
            return self._layer.generation(channel)
        generation = await asyncio.to_thread(self._layer.generation, channel)
        self._is_known = True
        return generation

    def has_listener(self, channel: str) -> bool:
        return not self._is_known or self._layer.has_listener(channel)

    async def room(self, channel: str, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._layer.room_async(channel)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Nothing of ours runs; the layer is its owner's to close."""


class ThreadedLayer:
    """Any other layer: its ``receive_async`` where it has one of its own, else threads."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self.full: type[Exception] = layer.ChannelFull
        self._has_deliveries = hasattr(layer, "receive_deliveries")
        theirs = getattr(type(layer), "receive_async", None)
        self._has_coroutine = theirs not in (None, BaseChannelLayer.receive_async)
        self._senders = ThreadPoolExecutor(_SENDERS, "channels-send")
        self._waiters = ThreadPoolExecutor(_WAITERS, "channels-wait")
        self._receiver = ThreadPoolExecutor(1, "channels-receive")
        #: What the layer said last of a channel's listeners, and for which it is being asked.
        self._listened: dict[str, bool] = {}
        self._asking: set[str] = set()

    async def receive(self, channel: str) -> list[Delivery]:
        if self._has_deliveries:
            found: list[Delivery] = await _in(
                self._receiver, self._layer.receive_deliveries, [channel]
            )
            if found:
                return found
        # Of a group message this takes the first target; the others come together next time.
        if self._has_coroutine:
            return _as_deliveries(await self._layer.receive_async([channel]))
        return _as_deliveries(
            await _in(self._receiver, receive_once, self._layer, [channel], _RECEIVE_SLICE)
        )

    async def send(self, channel: str, message: Any) -> None:
        await _in(self._senders, self._layer.send, channel, message)

    async def new_channel(self, pattern: str) -> str:
        name: str = await _in(self._senders, self._layer.new_channel, pattern)
        return name

    async def room(self, channel: str, timeout: float) -> bool:
        # In short waits: a thread knows nothing of a client that leaves, nor of the server's end.
        waited = min(timeout, _ROOM_SLICE)
        try:
            async with asyncio.timeout(timeout):
                while not await _in(self._waiters, room_within, self._layer, channel, waited):
                    pass
        except TimeoutError:
            return False
        return True

    async def generation(self, channel: str) -> str:
        read = getattr(self._layer, "generation", None)
        return "" if read is None else str(await _in(self._senders, read, channel))

    def has_listener(self, channel: str) -> bool:
        if hasattr(self._layer, "has_listener") and channel not in self._asking:
            self._asking.add(channel)
            self._senders.submit(self._ask_for_listeners, channel)
        return self._listened.get(channel, True)

    def _ask_for_listeners(self, channel: str) -> None:
        try:
            self._listened[channel] = bool(self._layer.has_listener(channel))
        except Exception as error:
            logger.debug("Who listens to %r could not be learnt: %s", channel, error)
        finally:
            self._asking.discard(channel)

    def close(self) -> None:
        for pool in (self._senders, self._waiters, self._receiver):
            pool.shutdown(wait=False)
        if hasattr(self._layer, "interrupt"):
            self._layer.interrupt()


async def _in(pool: ThreadPoolExecutor, function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(pool, function, *args)


def _as_deliveries(received: tuple[str | None, dict[str, Any] | None]) -> list[Delivery]:
    channel, message = received
    if channel is None or message is None:
        return []
    name, local = split_name(channel)
    return [Delivery(name, (local,), message)]
