"""Receiving in asyncio, without a thread for each wait. Loaded when first used.

A loop's session lasts while some coroutine waits in it; its connections then go back to the pool,
since loops come and go.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, cast

from channels.layers.entries import Received, Stored
from channels.layers.redis.listening import RedisListening
from channels.layers.redis.session import Session
from channels.layers.redis.streams import Cancellable, Stream
from channels.layers.redis.waits import Receive

if TYPE_CHECKING:
    from channels.layers.redis.layer import RedisChannelLayer

__all__ = ["AsyncioLoop", "receive"]


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


async def receive(layer: "RedisChannelLayer", channels: Collection[str]) -> Received:
    """See ``BaseChannelLayer.receive_async``."""
    listening = layer._listening(channels)
    if not listening.queues:
        return None, None
    loop = asyncio.get_running_loop()
    session = layer._asyncio_sessions.get(loop)
    if session is None:
        session = layer._asyncio_sessions[loop] = Session(layer, AsyncioLoop(), True)
    finished: asyncio.Future[Any] = loop.create_future()

    def first(stored: list[Stored]) -> Received | None:
        return layer._opened(stored[0])

    prepared = cast(RedisListening, listening)
    wait = Receive(session, prepared, None, first, (None, None), finished.set_result)
    wait.start()
    try:
        result = await asyncio.shield(finished)
    except asyncio.CancelledError:
        wait.cancel()
        await finished  # until what may have come in this moment is put back
        raise
    finally:
        if not session.receives and layer._asyncio_sessions.get(loop) is session:
            del layer._asyncio_sessions[loop]
            session.release()
    if isinstance(result, Exception):
        raise result
    received: Received = result
    return received
