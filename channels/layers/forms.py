"""The Twisted and asyncio forms of the calls, for layers that talk to a server.

Each form is a function of the call's name in a module of the layer's, which is loaded when first
used: a process that never asks for them loads neither Twisted nor asyncio.
"""

import functools
import importlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from channels.layers.entries import DELIVERIES, Delivery, Received

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["OwnForms", "load"]


@functools.cache
def load(module: str) -> Any:
    """The module of this dotted name."""
    return importlib.import_module(module)


class OwnForms:
    """Has each of these calls come from a module of the layer's.

    It stands before ``BaseChannelLayer`` among the bases of a layer, which names the modules. They
    have ``receive(layer, channels)``, ``receive_deliveries(layer, channels, limit)``,
    ``send(layer, channel, message)``, ``new_channel(layer, pattern)`` and ``room(layer, channel)``.
    """

    #: Dotted name of the module whose functions return Deferreds, and of that of coroutines.
    twisted_forms: str
    asyncio_forms: str

    def receive_twisted(self, channels: Collection[str]) -> "Deferred[Received]":
        """See ``BaseChannelLayer.receive_twisted``."""
        deferred: Deferred[Received] = load(self.twisted_forms).receive(self, channels)
        return deferred

    def receive_deliveries_twisted(self, channels: Collection[str]) -> "Deferred[list[Delivery]]":
        """See ``BaseChannelLayer.receive_deliveries_twisted``."""
        deferred: Deferred[list[Delivery]] = load(self.twisted_forms).receive_deliveries(
            self, channels, DELIVERIES
        )
        return deferred

    def send_twisted(self, channel: str, message: dict[str, Any]) -> "Deferred[None]":
        """See ``BaseChannelLayer.send_twisted``."""
        deferred: Deferred[None] = load(self.twisted_forms).send(self, channel, message)
        return deferred

    def new_channel_twisted(self, pattern: str) -> "Deferred[str]":
        """See ``BaseChannelLayer.new_channel_twisted``."""
        deferred: Deferred[str] = load(self.twisted_forms).new_channel(self, pattern)
        return deferred

    def room_twisted(self, channel: str) -> "Deferred[None]":
        """See ``BaseChannelLayer.room_twisted``."""
        deferred: Deferred[None] = load(self.twisted_forms).room(self, channel)
        return deferred

    async def receive_async(self, channels: Collection[str]) -> Received:
        """See ``BaseChannelLayer.receive_async``."""
        received: Received = await load(self.asyncio_forms).receive(self, channels)
        return received

    async def receive_deliveries_async(self, channels: Collection[str]) -> list[Delivery]:
        """See ``BaseChannelLayer.receive_deliveries_async``."""
        found: list[Delivery] = await load(self.asyncio_forms).receive_deliveries(
            self, channels, DELIVERIES
        )
        return found

    async def send_async(self, channel: str, message: dict[str, Any]) -> None:
        """See ``BaseChannelLayer.send_async``."""
        await load(self.asyncio_forms).send(self, channel, message)

    async def new_channel_async(self, pattern: str) -> str:
        """See ``BaseChannelLayer.new_channel_async``."""
        name: str = await load(self.asyncio_forms).new_channel(self, pattern)
        return name

    async def room_async(self, channel: str) -> None:
        """See ``BaseChannelLayer.room_async``."""
        await load(self.asyncio_forms).room(self, channel)
