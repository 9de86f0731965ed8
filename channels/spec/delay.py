"""The format of delayed messages.

The source is the reference's "Delay Protocol ASGI Message Format".
"""

from typing import Any, TypedDict, cast

from channels.spec.formats import Field, Format, Message, channel_name, whole_number

__all__ = ["DELAY", "Delay", "check_delay", "delay"]

#: The channel of messages to be sent later.
DELAY = "asgi.delay"


class Delay(TypedDict):
    """A message to be sent later (channel ``asgi.delay``)."""

    channel: str
    delay: int
    content: dict[str, Any]


def _content(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


_DELAY = Format(
    DELAY,
    "ASGI spec, Delay Protocol",
    Field("channel", channel_name, "the name of a channel"),
    Field("delay", whole_number(1), "a number of milliseconds as a positive integer"),
    Field("content", _content, "the delayed message, a dict with str keys"),
)


def delay(channel: str, delay: int, content: dict[str, Any]) -> Delay:
    """Build the message that has ``content`` sent to ``channel`` after ``delay`` milliseconds."""
    return {"channel": channel, "delay": delay, "content": content}


def check_delay(message: Message, strict: bool = False) -> Delay:
    """Return the message; ``strict`` refuses unknown keys. Raises ``InvalidMessage``."""
    return cast(Delay, _DELAY.check(message, strict))
