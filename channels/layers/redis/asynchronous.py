"""The layer in asyncio, without a thread for each wait. Loaded when first used.

The session of a loop in which there are only receives lasts while some coroutine waits; its
connections then go back to the pool, since loops come and go. What an interface server uses makes
one that stays until the layer is closed.
"""

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from channels import names
from channels.layers.entries import Delivery, Received, Stored
from channels.layers.redis.listening import RedisListening
from channels.layers.redis.session import Session
from channels.layers.redis.streams import Cancellable, Stream
from channels.layers.redis.waits import Receive, RoomWait, Wait

if TYPE_CHECKING:
    from channels.layers.redis.layer import RedisChannelLayer

__all__ = ["AsyncioLoop", "new_channel", "receive", "receive_deliveries", "room", "send"]


class AsyncioLoop:
    """``streams.Loop`` over asyncio's running loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    def watch(self, stream: Stream) -> None:
        self.loop.add_reader(stream.connection.fileno(), stream.readable)

    def unwatch(self, stream: Stream) -> None:
        self.loop.remove_reader(stream.connection.fileno())
        self.loop.remove_writer(stream.connection.fileno())

    def watch_writes(self, stream: Stream, watch: bool) -> None:
        if watch:
            self.loop.add_writer(stream.connection.fileno(), stream.writable)
        else:
            self.loop.remove_writer(stream.connection.fileno())

    def later(self, seconds: float, function: Callable[[], object]) -> Cancellable:
        return self.loop.call_later(seconds, function)

    def soon(self, function: Callable[[], object]) -> None:
        self.loop.call_soon_threadsafe(function)

    def in_thread(self, function: Callable[[], Any], done: Callable[[Any], object]) -> None:
        def work() -> None:
            try:
                result: Any = function()
            except Exception as error:
                result = error
            self.loop.call_soon_threadsafe(done, result)

        self.loop.run_in_executor(None, work)


def _session(layer: "RedisChannelLayer") -> Session:
    """The session of ``layer`` in the running loop, which stays until the layer is closed."""
    loop = asyncio.get_running_loop()
    session = layer._asyncio_sessions.get(loop)
    if session is None or session.is_passing:
        _forget_closed_loops(layer)
        session = layer._asyncio_sessions[loop] = Session(layer, AsyncioLoop())
    return session


def _forget_closed_loops(layer: "RedisChannelLayer") -> None:
    """Close the connections of loops that are no more, such as those of ``asyncio.run``."""
    for loop in [loop for loop in list(layer._asyncio_sessions) if loop.is_closed()]:
        session = layer._asyncio_sessions.pop(loop, None)
        if session is not None:
            session.abandon()


def _passing_session(layer: "RedisChannelLayer") -> Session:
    """The session of ``layer`` in the running loop; if there is none, one for some receives."""
    loop = asyncio.get_running_loop()
    session = layer._asyncio_sessions.get(loop)
    if session is None:
        session = layer._asyncio_sessions[loop] = Session(layer, AsyncioLoop(), True)
    return session


def _release(layer: "RedisChannelLayer", session: Session) -> None:
    """Leave the loop with the last receive of a passing session."""
    if session.is_passing and not session.receives:
        loop = asyncio.get_running_loop()
        if layer._asyncio_sessions.get(loop) is session:
            del layer._asyncio_sessions[loop]
        session.release()


async def _result(begin: Callable[[Callable[[Any], object]], object]) -> Any:
    """What the callback that ``begin`` is given gets; an exception is raised."""
    finished: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    begin(lambda result: None if finished.done() else finished.set_result(result))
    result = await finished
    if isinstance(result, Exception):
        raise result
    return result


async def _waited(wait_of: Callable[[Callable[[Any], object]], Wait]) -> Any:
    """What a wait gives; it may be cancelled without a loss."""
    finished: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    wait = wait_of(finished.set_result)
    wait.start()
    cancelled: asyncio.CancelledError | None = None
    while not finished.done():  # after each cancellation, what came meanwhile is put back
        try:
            await asyncio.shield(finished)
        except asyncio.CancelledError as error:
            cancelled = error
            wait.cancel()
    result = finished.result()
    if cancelled and (isinstance(result, Exception) or result in (None, [], (None, None))):
        raise cancelled  # else it was faster than the cancellation, and must not be lost
    if isinstance(result, Exception):
        raise result
    return result


async def receive(layer: "RedisChannelLayer", channels: Collection[str]) -> Received:
    """See ``BaseChannelLayer.receive_async``."""
    listening = layer._listening(channels)
    if not listening.queues:
        return None, None
    session = _passing_session(layer)
    prepared = cast(RedisListening, listening)

    def first(stored: list[Stored]) -> Received | None:
        return layer._opened(stored[0])

    try:
        received: Received = await _waited(
            lambda done: Receive(session, prepared, None, first, (None, None), done)
        )
    finally:
        _release(layer, session)
    return received


async def receive_deliveries(
    layer: "RedisChannelLayer", channels: Collection[str], limit: int
) -> list[Delivery]:
    """See ``BaseChannelLayer.receive_deliveries_async``."""
    listening = layer._listening(channels)
    if not listening.queues:
        return []
    prepared = cast(RedisListening, listening)
    found: list[Delivery] = await _waited(
        lambda done: Receive(_session(layer), prepared, limit, layer._delivered, [], done)
    )
    return found


async def send(layer: "RedisChannelLayer", channel: str, message: dict[str, Any]) -> None:
    """See ``BaseChannelLayer.send_async``."""
    queue, targets = layer._address(channel)
    body = layer._encode(message, queue)
    if layer.drop_rate and layer._drops_on_purpose(queue):
        return
    pushed = await _result(lambda done: _session(layer).push(queue, targets, body, done))
    if not pushed:
        raise layer._refusal(queue)


async def room(layer: "RedisChannelLayer", channel: str) -> None:
    """See ``BaseChannelLayer.room_async``."""
    queue, _ = layer._address(channel)
    await _waited(lambda done: RoomWait(_session(layer), queue, done))


async def new_channel(layer: "RedisChannelLayer", pattern: str) -> str:
    """See ``BaseChannelLayer.new_channel_async``."""
    while True:
        name = layer._drawn(pattern)
        queue, local = names.split_name(name)
        shard = layer.topology.home(queue)
        frame = layer._exists_frame(shard, queue, local)
        if not await _result(partial(_session(layer).call, shard, frame)):
            return name
