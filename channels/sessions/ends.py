"""The mark that a socket leaves in its layer when it has ended.

Sessions are deleted then, so a worker that still has a message of the socket cannot learn it from
them. The mark is a message that nobody consumes: it expires with the last messages that the socket
can have in the layer.
"""

import contextlib
from typing import Any

from channels.exceptions import ChannelFull

from .stores import channel_session_key

__all__ = ["DISCONNECTED", "GIVEN_UP", "REFUSED", "how_it_ended", "mark_ended"]

#: Its last message was consumed.
DISCONNECTED = "disconnected"

#: Its handshake was refused before the order of its messages was looked at.
REFUSED = "refused"

#: One of its messages was lost, so that those behind it cannot be consumed in order.
GIVEN_UP = "given up"


def mark_ended(layer: Any, reply_channel: str, how: str) -> None:
    """Leave the mark. ``layer`` may be None, for messages that came from no layer."""
    if layer is not None:
        with contextlib.suppress(ChannelFull):  # there are some of them already
            layer.send(_mark(reply_channel), {"ended": how})


def how_it_ended(layer: Any, reply_channel: str) -> str | None:
    """What the mark says; None for a socket that may be open."""
    if layer is None:
        return None
    mark = _mark(reply_channel)
    found, content = layer.receive([mark])
    if found is None:
        return None
    layer.send(mark, content)
    return str(content["ended"])


def _mark(reply_channel: str) -> str:
    return f"__ended__.{channel_session_key(reply_channel)}?"
