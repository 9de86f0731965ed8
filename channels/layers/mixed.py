"""One receive from both parts of a composite layer, for threads and coroutines.

Loaded when first used. Only the remote layer is asked for a message while it waits; the local one
says when to look, which takes nothing. So never do two messages come for one receive. The form for
Twisted is ``channels.layers.twisted.either``.
"""

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from channels.layers.asyncio import AsyncWaiter
from channels.layers.entries import Received

if TYPE_CHECKING:
    from channels.layers.composite import CompositeChannelLayer, PartedListening

__all__ = ["receive", "receive_async"]


def receive(
    layer: "CompositeChannelLayer",
    listening: "PartedListening",
    token: object,
    timeout: float | None,
) -> Received:
    """``receive_async`` for a thread that blocks, in an event loop of its own."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(receive_async(layer, listening, token, timeout))


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
    deadline = None if timeout is None else time.monotonic() + timeout
    local = layer.local
    near, local_token = local._listening(listening.near), local.interruption
    waiter = AsyncWaiter()
    with local._waiting(waiter):
        while token is layer.interruption and local_token is local.interruption:
            received = local._received(near, waiter)
            if received is not None:
                return received
            found = await _receive_far(layer, listening.far, waiter, deadline)
            if found is not None:
                return found
            waiter.woken.clear()
    return None, None


async def _receive_far(
    layer: "CompositeChannelLayer",
    queues: tuple[str, ...],
    waiter: AsyncWaiter,
    deadline: float | None,
) -> Received | None:
    """What the remote layer gives before ``waiter`` is woken; None where the local one comes."""
    far = asyncio.ensure_future(layer.remote.receive_async(queues))
    woken = asyncio.ensure_future(waiter.woken.wait())
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    try:
        done, _ = await asyncio.wait((far, woken), timeout=left, return_when="FIRST_COMPLETED")
    except asyncio.CancelledError:
        found = await _given_up(far)
        if found[0] is None:
            raise
        return found  # it was faster than the cancellation
    finally:
        woken.cancel()
    found = await _given_up(far)
    return None if woken in done and far not in done and found[0] is None else found


async def _given_up(task: "asyncio.Task[Received]") -> Received:
    """The outcome of a receive that is cancelled unless it has ended."""
    task.cancel()
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):  # what it has taken must not be lost
            await asyncio.wait((task,))
    return (None, None) if task.cancelled() else task.result()
