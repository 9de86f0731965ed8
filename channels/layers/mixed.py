"""One receive from both parts of a composite layer, for threads and coroutines.

Loaded when first used. Only the remote layer is asked for a message while it waits; the local one
says when to look, which takes nothing. So never do two messages come for one receive. The form for
Twisted is ``channels.layers.twisted.either``.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from channels.layers.asyncio import AsyncWaiter
from channels.layers.entries import Delivery, Received
from channels.layers.waiting import Waiter

if TYPE_CHECKING:
    from channels.layers.composite import CompositeChannelLayer, PartedListening

__all__ = ["receive", "receive_async", "receive_deliveries_async"]

T = TypeVar("T")


class _Loop:
    """An event loop in a thread of its own, in which all mixed receives of a process wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        """The loop, which runs."""
        loop = self._loop
        if loop is None:
            with self._lock:
                loop = self._loop = self._loop or self._started()
        return loop

    def _started(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="mixed-receives", daemon=True).start()
        return loop


_loop = _Loop()
# threads do not survive a fork
os.register_at_fork(after_in_child=_loop.__init__)  # type: ignore[misc]


def receive(
    layer: "CompositeChannelLayer",
    listening: "PartedListening",
    token: object,
    timeout: float | None,
) -> Received:
    """``receive_async`` for a thread that blocks."""
    loop = _loop.get()
    outcome: Future[Received] = Future()
    tasks: list[asyncio.Task[None]] = []

    def start() -> None:
        work = receive_async(layer, listening, token, timeout)
        tasks.append(loop.create_task(_settle(outcome, work)))

    loop.call_soon_threadsafe(start)
    try:
        return outcome.result()
    except BaseException:
        if not outcome.done():  # a signal handler of this thread raised it
            loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            _put_back(layer, outcome)
        raise


async def _settle(outcome: "Future[Received]", work: Coroutine[Any, Any, Received]) -> None:
    try:
        outcome.set_result(await work)
    except BaseException as error:
        outcome.set_exception(error)


def _put_back(layer: "CompositeChannelLayer", outcome: "Future[Received]") -> None:
    """Send again what a receive has taken that nobody waits for any more."""
    try:
        channel, message = outcome.result()
    except BaseException:
        return  # it has taken nothing
    if channel is not None and message is not None:
        layer.send(channel, message)


async def receive_async(
    layer: "CompositeChannelLayer",
    listening: "PartedListening",
    token: object,
    timeout: float | None,
) -> Received:
    """The next message of either layer.

    ``(None, None)`` after ``timeout`` seconds, after a flush, and once ``layer.interruption`` is no
    longer ``token``. Cancelling it loses no message.
    """
    near = layer.local._listening(listening.near)
    nothing: Received = (None, None)
    return await _Mixed(
        layer,
        token,
        lambda waiter: layer.local._received(near, waiter),
        lambda: layer.remote.receive_async(listening.far),
        nothing,
    ).result(timeout)


async def receive_deliveries_async(
    layer: "CompositeChannelLayer", listening: "PartedListening", limit: int
) -> list[Delivery]:
    """The next deliveries of either layer; none where a flush or an interrupt woke it.

    Cancelling it loses nothing.
    """
    near = layer.local._listening(listening.near)
    nothing: list[Delivery] = []
    return await _Mixed(
        layer,
        layer.interruption,
        lambda waiter: layer.local._deliveries(near, waiter, limit) or None,
        lambda: layer.remote.receive_deliveries_async(listening.far),
        nothing,
    ).result(None)


class _Mixed(Generic[T]):
    """A wait for both layers. ``near`` takes from the local one, ``far`` waits for the remote."""

    def __init__(
        self,
        layer: "CompositeChannelLayer",
        token: object,
        near: Callable[[Waiter], T | None],
        far: Callable[[], Coroutine[Any, Any, T]],
        nothing: T,
    ) -> None:
        self._layer = layer
        self._tokens = token, layer.local.interruption
        self._near = near
        self._far = far
        self._nothing = nothing
        self._waiter = AsyncWaiter()

    async def result(self, timeout: float | None) -> T:
        """What comes first; ``nothing`` after an interruption or the timeout."""
        deadline = None if timeout is None else time.monotonic() + timeout
        layer, local, waiter = self._layer, self._layer.local, self._waiter
        with local._waiting(waiter):
            while self._tokens == (layer.interruption, local.interruption):
                received = self._near(waiter)
                if received is not None:
                    return received
                found = await self._from_afar(deadline)
                if found is not None:
                    return found
                waiter.woken.clear()
        return self._nothing

    async def _from_afar(self, deadline: float | None) -> T | None:
        """What the remote layer gives before the local one wakes the waiter, when it is None."""
        far = asyncio.ensure_future(self._far())
        woken = asyncio.ensure_future(self._waiter.woken.wait())
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            done, _ = await asyncio.wait((far, woken), timeout=left, return_when="FIRST_COMPLETED")
        except asyncio.CancelledError:
            found = await self._given_up(far)
            if found == self._nothing:
                raise
            return found  # it was faster than the cancellation
        finally:
            woken.cancel()
        found = await self._given_up(far)
        return None if woken in done and far not in done and found == self._nothing else found

    async def _given_up(self, task: "asyncio.Task[T]") -> T:
        """The outcome of a receive that is cancelled unless it has ended."""
        task.cancel()
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):  # what it has taken must not be lost
                await asyncio.wait((task,))
        return self._nothing if task.cancelled() else task.result()
