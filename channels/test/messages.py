"""Messages taken from a layer by a test, and what to say where the expected one is not there."""

from collections import Counter
from typing import Any

from channels.asgi import ChannelLayerWrapper
from channels.message import Message
from channels.names import split_name

__all__ = ["next_message", "nothing_on", "shortened"]

#: Messages that are shown in a failure, and characters of each.
_SHOWN = 10
_WIDTH = 200


def next_message(layer: ChannelLayerWrapper, channel: str) -> Message | None:
    """The next message on ``channel``, which may also be a full name below a process channel.

    None without one.
    """
    queue, local = split_name(channel)
    name, content = _take(layer, queue, channel) if local else layer.receive([channel])
    return None if name is None else Message(content, name, layer)


def _take(layer: ChannelLayerWrapper, queue: str, channel: str) -> tuple[str | None, Any]:
    """The first message for ``channel`` in ``queue``; the others are put back as they were."""
    taken = []
    while (received := layer.receive([queue]))[0] is not None:
        taken.append(received)
    wanted = next((received for received in taken if received[0] == channel), (None, None))
    for received in taken:
        if received is not wanted:
            layer.send(*received)
    return wanted


def nothing_on(layer: ChannelLayerWrapper, channel: str) -> str:
    """What to say where no message was on ``channel``: what waits on others."""
    return (
        f"Expected a message on channel {channel!r} of layer {layer.alias!r}, but there was none. "
        f"{_what_waits(layer)}"
    )


def _what_waits(layer: ChannelLayerWrapper) -> str:
    if not hasattr(layer, "waiting"):  # a layer of the project, not a test's
        return f"What waits on others, {layer} does not show."
    messages = layer.waiting()
    if not messages:
        return "No message waits on any other channel."
    counts = Counter(name for name, _ in messages)
    lines = [f"  {name!r}: {shortened(content)}" for name, content in messages[:_SHOWN]]
    if len(messages) > _SHOWN:
        lines.append(f"  and {len(messages) - _SHOWN} more")
    channels = "another channel" if len(counts) == 1 else f"{len(counts)} other channels"
    return "\n".join([f"There were messages on {channels}:", *lines])


def shortened(value: object) -> str:
    """``value`` for a failure: its repr, cut in the middle where it is long."""
    text = repr(value)
    if len(text) <= _WIDTH:
        return text
    half = (_WIDTH - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"
