"""The asyncio forms of the RabbitMQ layer's calls, over the engine in the layer's thread.

Loaded when first used.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from channels.layers.asyncio import AsyncWaiter
from channels.layers.entries import Delivery, Received, Stored
from channels.layers.rabbitmq.engine import Engine
from channels.layers.rabbitmq.failures import guarded, no_answer
from channels.layers.rabbitmq.receiving import Request
from channels.layers.rabbitmq.replies import Reply, start
from channels.layers.rabbitmq.rooms import Wait

if TYPE_CHECKING:
    from channels.layers.rabbitmq.layer import RabbitmqChannelLayer

__all__ = ["new_channel", "receive", "receive_deliveries", "room", "send"]

T = TypeVar("T")


async def receive(layer: "RabbitmqChannelLayer", channels: Collection[str]) -> Received:
    """See ``BaseChannelLayer.receive_async``."""

    def convert(taken: list[Stored]) -> Received | None:
        return layer._opened(taken[0])

    return await _receive(layer, channels, None, convert) or (None, None)


async def receive_deliveries(
    layer: "RabbitmqChannelLayer", channels: Collection[str], limit: int
) -> list[Delivery]:
    """See ``BaseChannelLayer.receive_deliveries_async``."""
    found = await _receive(layer, channels, limit, lambda taken: layer._delivered(taken) or None)
    return found or []


async def send(layer: "RabbitmqChannelLayer", channel: str, message: dict[str, Any]) -> None:
    """See ``BaseChannelLayer.send_async``."""
    queue, targets = layer._address(channel)
    body = layer._encode(message, queue)
    if layer.drop_rate and layer._drops_on_purpose(queue):
        return
    if not await _outcome(layer, lambda engine: engine.push(queue, targets, body)):
        raise layer._refusal(queue)


async def new_channel(layer: "RabbitmqChannelLayer", pattern: str) -> str:
    """See ``BaseChannelLayer.new_channel_async``."""
    await _outcome(layer, Engine.ready)
    return layer.new_channel(pattern)


async def room(layer: "RabbitmqChannelLayer", channel: str) -> None:
    """See ``BaseChannelLayer.room_async``."""
    thread = layer._engine_thread()
    waiter = AsyncWaiter()
    wait = Wait(layer._address(channel)[0], waiter.notify)
    thread.call(lambda: thread.engine.await_room(wait))
    try:
        await waiter.woken.wait()
    finally:
        thread.call(lambda: thread.engine.give_up_room(wait))


async def _receive(
    layer: "RabbitmqChannelLayer",
    channels: Collection[str],
    limit: int | None,
    convert: Callable[[list[Stored]], T | None],
) -> T | None:
    """What ``convert`` makes of the next entries; None where something else ended the wait."""
    listening = layer._listening(channels)
    token = layer.interruption
    waiter = AsyncWaiter()
    with layer._waiting(waiter):
        while listening.queues and token is layer.interruption:
            taken = await _next(layer, Request(listening, limit, waiter.notify), waiter, token)
            if not taken:
                return None
            value = convert(taken)
            if value is not None:
                return value
    return None


async def _next(
    layer: "RabbitmqChannelLayer", request: Request, waiter: AsyncWaiter, token: object
) -> list[Stored]:
    """The next entries; none after an interruption."""
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
    return request.taken


async def _outcome(
    layer: "RabbitmqChannelLayer", function: Callable[[Engine], Coroutine[Any, Any, T]]
) -> T:
    """The outcome of a coroutine of the engine, within the layer's time."""
    thread = layer._engine_thread()
    waiter = AsyncWaiter()
    outcome: list[Reply[T]] = []

    def begin() -> None:
        outcome.append(start(function(thread.engine)))
        outcome[0].when_settled(waiter.notify)

    thread.call(begin)
    try:
        await asyncio.wait_for(waiter.woken.wait(), layer.timeout)
    except TimeoutError:
        raise no_answer(layer.broker, layer.timeout) from None
    try:
        return outcome[0].result()
    except Exception as error:
        raise guarded(error) from error.__cause__
