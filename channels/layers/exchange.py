"""Single messages of single channels, received and sent within a time.

Layers of this package wait by themselves. Those of third parties may know neither the keyword
``timeout`` nor ``wait_for_room``, which the specification does not have; they are asked again at
intervals. What the messages mean is none of this module's business.
"""

import functools
import inspect
import time
from collections.abc import Callable
from typing import Any

from channels.exceptions import ChannelFull
from channels.layers.entries import Received

__all__ = ["receive_once", "receive_within", "room_within", "send_within"]

#: Seconds between two questions to a layer that cannot wait: a compromise between the delay of an
#: answer and the load of asking; no layer of this package is asked this way.
_RETRY_INTERVAL = 0.05


def receive_within(layer: Any, channel: str, timeout: float) -> dict[str, Any] | None:
    """Return the next message of ``channel``, or None after ``timeout`` seconds without one.

    With a time of 0 the layer is asked once and does not wait.
    """
    deadline = time.monotonic() + timeout
    remaining = timeout
    while remaining > 0:
        _, message = receive_once(layer, [channel], remaining)
        if message is not None:
            return message
        # Nothing: the time is over, or something else woke the receive (a flush, say).
        remaining = deadline - time.monotonic()
    return receive_once(layer, [channel], 0)[1]


def receive_once(layer: Any, channels: list[str], timeout: float) -> Received:
    """The next message of ``channels`` and where it came from, waiting up to ``timeout`` seconds.

    Twice None where there is none; also earlier, where a flush or an interrupt woke the receive.
    """
    found: Received
    if timeout <= 0:
        found = layer.receive(channels, block=False)
    elif _knows_timeout(getattr(layer.receive, "__func__", layer.receive)):
        found = layer.receive(channels, block=True, timeout=timeout)
    else:
        # A blocking receive of the specification may wait for ever, so it is never used here.
        found = layer.receive(channels, block=False)
        if found[1] is None:
            time.sleep(min(timeout, _RETRY_INTERVAL))
    return found


@functools.lru_cache(maxsize=16)
def _knows_timeout(receive: Callable[..., Any]) -> bool:
    try:
        return "timeout" in inspect.signature(receive).parameters
    except (TypeError, ValueError):  # compiled functions may tell nothing
        return False


def send_within(
    send: Callable[[dict[str, Any]], None],
    message: dict[str, Any],
    layer: Any,
    channel: str,
    timeout: float,
) -> bool:
    """Call ``send(message)`` until ``channel`` has room; False after ``timeout`` seconds without.

    Raises whatever ``send`` raises but ChannelFull.
    """
    full = (ChannelFull, getattr(layer, "ChannelFull", ChannelFull))
    deadline = None
    while True:
        try:
            send(message)
        except full:
            now = time.monotonic()
            deadline = now + timeout if deadline is None else deadline
            if now >= deadline or not room_within(layer, channel, deadline - now):
                return False
        else:
            return True


def room_within(
    layer: Any, channel: str, timeout: float, interval: float = _RETRY_INTERVAL
) -> bool:
    """Wait until a send to ``channel`` may succeed; False after ``timeout`` seconds.

    Of a layer that cannot tell it is True after ``interval`` seconds, so that the send is tried
    again.
    """
    wait = getattr(layer, "wait_for_room", None)
    if wait is not None:
        return bool(wait(channel, timeout))
    time.sleep(min(timeout, interval))
    return True
