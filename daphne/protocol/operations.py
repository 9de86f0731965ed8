"""What a protocol core asks its shell to do.

A core (``daphne.protocol.core``) never does I/O: it appends operations, and the shell
(``daphne.http_protocol``) carries them out in their order; for the core of a stream of HTTP/2, that
of its connection does (``daphne.protocol.http2``). The dataclasses are not frozen only
because a frozen one costs three times as much to build; nobody changes one after it was made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daphne.protocol.core import Core
    from daphne.protocol.request import Request

__all__ = [
    "Abort",
    "AwaitRoom",
    "Close",
    "Headers",
    "Log",
    "NewChannel",
    "Operation",
    "PauseReading",
    "Promise",
    "Respond",
    "ResumeReading",
    "Send",
    "Timer",
    "Upgrade",
    "Write",
]


#: Header fields with their names in lower case, pseudo-header fields first (RFC 9113, 8.3).
Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Write:
    """Write these bytes to the client, after all earlier ones."""

    data: bytes


@dataclass(slots=True)
class Send:
    """Send a message to the channel layer.

    With a ``key`` the core hears ``send_failed(key, error)`` where that fails, and ``sent(key)``
    where it does not and is to be ``confirmed``, possibly while the operations of the same batch
    are still being applied. Without one nobody waits: a full channel is ignored, another failure
    is logged. Sends of one core reach the layer in their order as long as the core has each
    confirmed before it emits the next.
    """

    channel: str
    message: Mapping[str, Any]
    key: object = None
    confirmed: bool = False


@dataclass(slots=True)
class NewChannel:
    """Have the layer make a name that follows ``pattern``; the core hears ``channel_made``.

    A failure is reported by ``send_failed(key, error)``.
    """

    pattern: str
    key: object


@dataclass(slots=True)
class AwaitRoom:
    """Wait until a send to ``channel`` may succeed; the core hears ``room(key)``.

    A layer that fails meanwhile is reported by ``send_failed(key, error)``.
    """

    channel: str
    key: object


@dataclass(slots=True)
class Close:
    """Flush what was written, then close the connection. The core hears ``connection_lost``."""


@dataclass(slots=True)
class Abort:
    """Drop the connection without flushing. The core hears ``connection_lost``."""


@dataclass(slots=True)
class PauseReading:
    """Read nothing more from the client until ``ResumeReading``; may be repeated."""


@dataclass(slots=True)
class ResumeReading:
    """Read from the client again; may be repeated."""


@dataclass(slots=True)
class Timer:
    """Arm the core's deadline of this name, replacing an earlier one; None cancels it.

    ``at`` is in seconds of the context's ``clock``. The core hears ``timer(name)`` once.
    """

    name: str
    at: float | None


@dataclass(slots=True)
class Log:
    """Report to the server's ``action_logger``: an access log line, for example."""

    protocol: str
    action: str
    details: dict[str, Any]


@dataclass(slots=True)
class Upgrade:
    """Put ``core`` in this core's place and feed it ``rest``, bytes already received.

    The old core hears nothing more. Its deadlines are dropped; operations before this one have
    been applied.
    """

    core: "Core"
    rest: bytes = b""


# -- of the cores of streams, which the core of their connection carries out ----------------------


@dataclass(slots=True)
class Respond:
    """Write the head of the response; with a status below 200 another one follows."""

    headers: Headers


@dataclass(slots=True)
class Promise:
    """Push the response to ``request``, whose head is told to the client by ``headers``.

    ``on_full`` is called where the layer has no room for the request.
    """

    request: "Request"
    headers: Headers
    on_full: Callable[[], None]


Operation = (
    Write
    | Send
    | NewChannel
    | AwaitRoom
    | Close
    | Abort
    | PauseReading
    | ResumeReading
    | Timer
    | Log
    | Upgrade
    | Respond
    | Promise
)
