"""Single messages of single channels, received and sent within a time.

Layers of this package wait by themselves. Those of third parties may know neither the keyword
``timeout`` nor ``wait_for_room``, which the specification does not have; they are asked again at
intervals. What the messages mean is none of this module's business.
"""

import inspect
import time
from collections.abc import Callable
from typing import Any

from channels.exceptions import ChannelFull

__all__ = ["receive_within", "send_within"]

#: Seconds between two questions to a layer that cannot wait: a compromise between the delay of an
#: answer and the load of asking; no layer of this package is asked this way.
_RETRY_INTERVAL = 0.05


def receive_within(layer: Any, channel: str, timeout: float) -> dict[str, Any] | None:
    """Return the next message of ``channel``, or None after ``timeout`` seconds without one.

    With a time of 0 the layer is asked once and does not wait.
    """
    deadline = time.monotonic() + timeout
    ask = _waiting_receive(layer)
    remaining = timeout
    message: dict[str, Any] | None
    while remaining > 0:
        _, message = ask([channel], remaining)
        if message is not None:
            return message
        # Nothing: the time is over, or something else woke the receive (a flush, say).
        remaining = deadline - time.monotonic()
    _, message = layer.receive([channel], block=False)
    return message


def _waiting_receive(layer: Any) -> Callable[[list[str], float], Any]:
    """How this layer is asked for a message within a time; it may return without one earlier."""
    if _knows_timeout(layer.receive):
        return lambda channels, seconds: layer.receive(channels, block=True, timeout=seconds)

    def receive(channels: list[str], seconds: float) -> Any:
        # A blocking receive of the specification may wait for ever, so it is never used here.
        found = layer.receive(channels, block=False)
        if found[1] is None:
            time.sleep(min(seconds, _RETRY_INTERVAL))
        return found

    return receive


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
            if now >= deadline or not _wait_for_room(layer, channel, deadline - now):
                return False
        else:
            return True


def _wait_for_room(layer: Any, channel: str, seconds: float) -> bool:
    wait = getattr(layer, "wait_for_room", None)
    if wait is not None:
        return bool(wait(channel, seconds))
    time.sleep(min(seconds, _RETRY_INTERVAL))
    return True
