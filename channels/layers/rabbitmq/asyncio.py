"""Receiving in an asyncio coroutine. Loaded when first used."""

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

from channels.layers.asyncio import AsyncWaiter
from channels.layers.entries import Received, Stored
from channels.layers.rabbitmq.receiving import Request
from channels.layers.waiting import Listening

if TYPE_CHECKING:
    from channels.layers.rabbitmq.layer import RabbitmqChannelLayer

__all__ = ["receive"]


async def receive(layer: "RabbitmqChannelLayer", channels: Collection[str]) -> Received:
    """See ``BaseChannelLayer.receive_async``."""
    listening = layer._listening(channels)
    token = layer.interruption
    waiter = AsyncWaiter()
    with layer._waiting(waiter):
        while listening.queues and token is layer.interruption:
            stored = await _next(layer, listening, waiter, token)
            received = None if stored is None else layer._opened(stored)
            if received is not None:
                return received
    return None, None


async def _next(
    layer: "RabbitmqChannelLayer", listening: Listening, waiter: AsyncWaiter, token: object
) -> Stored | None:
    """The next entry; None after an interruption."""
    request = Request(listening, None, waiter.notify)
    layer.ask(request)
    cancelled: asyncio.CancelledError | None = None
    while request.taken is None:
        if cancelled is not None or token is not layer.interruption:
            layer.withdraw(request)
        try:
            await waiter.woken.wait()
        except asyncio.CancelledError as error:
            cancelled = error  # it is withdrawn first, and what it has taken must not be lost
        waiter.woken.clear()
    if cancelled is not None and not request.taken:
        raise cancelled
    return request.taken[0] if request.taken else None
