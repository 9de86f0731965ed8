"""What passes between the base and its backends, and from a layer to an interface server."""

from typing import Any, NamedTuple

__all__ = ["DELIVERIES", "Delivery", "Exchanged", "Extensions", "Received", "Stored"]

#: What a receive gives: full channel name and message, or twice None.
Received = tuple[str, dict[str, Any]] | tuple[None, None]


#: One entry of a queue as a backend hands it out: the name of the queue; the local parts, none
#: where the queue belongs to no process; the encoded message. A bare tuple, being made for every
#: message.
Stored = tuple[str, tuple[str, ...], bytes]


#: Entries that one receive of an interface server takes at most.
DELIVERIES = 100


class Delivery(NamedTuple):
    """One entry as an interface server receives it.

    ``channel`` is the name that it listens to, such as ``daphne.response.ab!``; ``targets`` are the
    local parts that ``message`` is for, none where the channel belongs to no process.
    """

    channel: str
    targets: tuple[str, ...]
    message: dict[str, Any]


class Exchanged(NamedTuple):
    """What ``send_and_receive`` gives: how the send failed, or None, and what was received."""

    failure: Exception | None
    channel: str | None
    message: dict[str, Any] | None


class Extensions(list[str]):
    """The list of extensions.

    ``async``, the reference's other spelling of ``asyncio``, counts as contained.
    """

    def __contains__(self, name: object) -> bool:
        return super().__contains__("asyncio" if name == "async" else name)
