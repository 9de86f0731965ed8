"""What an engine is: the part that reads the frames of an open WebSocket.

An engine is fed the bytes after the handshake and answers with events. It checks everything that
RFC 6455 demands of a client's frames and the limits, and knows neither sockets nor channels: the
closing handshake, pongs and keep-alive are the core's (``daphne.protocol.websocket``). What a
server sends is built by ``daphne.protocol.frames``.

Engines are modules of this package, named here and loaded when they are first needed, so that
importing the protocol does not load the libraries behind them. All of them run the same tests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from channels import _speedups
from daphne.protocol.frames import is_close_code

__all__ = [
    "ENGINES",
    "Binary",
    "Closed",
    "Engine",
    "Event",
    "Failure",
    "Limits",
    "Ping",
    "Pong",
    "Text",
    "load_engine",
    "read_close",
]

#: Module of each engine that can be had here; each has a function ``make_engine(limits)``. The
#: first is used.
ENGINES = {
    name: f"daphne.protocol.engine_{name}"
    for name in ("compiled", "autobahn")
    if name != "compiled" or _speedups.is_available("wsframe")
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may send, and how much at once."""

    #: Bytes of payload in one frame.
    frame: int
    #: Bytes of payload in one message.
    message: int
    #: Frames in one message.
    fragments: int
    #: Whether messages may be compressed, each by itself (RFC 7692, client_no_context_takeover).
    #: The limit of a message is that of what it inflates to, too.
    deflate: bool = False


@dataclass(slots=True)
class Text:
    """A whole text message, of valid UTF-8."""

    data: str


@dataclass(slots=True)
class Binary:
    """A whole binary message."""

    data: bytes


@dataclass(slots=True)
class Ping:
    """A ping, to be answered with a pong of the same payload."""

    payload: bytes


@dataclass(slots=True)
class Pong:
    """A pong, whether or not it answers a ping."""

    payload: bytes


@dataclass(slots=True)
class Closed:
    """A close frame with a valid code, or None where it has none. Nothing is read after it."""

    code: int | None
    reason: str


@dataclass(slots=True)
class Failure:
    """The client broke the protocol or a limit: close with ``code``. Nothing is read after it."""

    code: int
    reason: str


Event = Text | Binary | Ping | Pong | Closed | Failure


class Engine(Protocol):
    """The reader of one connection's frames.

    Codes of ``Failure`` are 1002 for a broken rule of RFC 6455, 1007 for text that is not UTF-8 and
    for data that cannot be inflated, 1008 for too many fragments and 1009 for too many bytes, found
    before space is made for them.
    """

    __slots__ = ()

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes as they come, in pieces of any size, and return what they completed."""
        ...


def read_close(payload: bytes) -> Closed | Failure:
    """The event of a close frame (RFC 6455, sections 5.5.1 and 7.4)."""
    if not payload:
        return Closed(None, "")
    code = int.from_bytes(payload[:2])
    if len(payload) < 2 or not is_close_code(code):
        return Failure(1002, "invalid close code")
    try:
        return Closed(code, payload[2:].decode())
    except UnicodeDecodeError:
        return Failure(1007, "a reason must be UTF-8")


def load_engine(name: str | None = None) -> Callable[[Limits], Engine]:
    """The function that makes engines of a kind; by default of the first.

    Raises ``KeyError`` for a name that is not in ``ENGINES``.
    """
    module = ENGINES[name] if name is not None else next(iter(ENGINES.values()))
    make_engine: Callable[[Limits], Engine] = import_module(module).make_engine
    return make_engine
