"""The interface between protocol cores and the shell that owns their sockets.

A core is fed bytes, deadlines and channel messages, and answers with operations
(``daphne.protocol.operations``). It never does I/O, never blocks, knows no Twisted and no clock
but the context's, so it is tested without sockets. HTTP/1.1 is in ``daphne.protocol.http1``,
WebSocket in ``daphne.protocol.websocket``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from daphne.options import Options
from daphne.protocol.credit import farewell
from daphne.protocol.operations import Operation

__all__ = ["NAME_LENGTH", "ConnectionContext", "Core"]

#: Characters of a connection's name: 64 random bits in hexadecimal digits. The server's part of a
#: reply channel, in front of it, has 128 bits that cannot be guessed; these keep a late message
#: from reaching a newer connection.
NAME_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionContext:
    """What a core may know about its connection and its server."""

    #: The server's options.
    options: Options

    #: The server's process channel with its ``!``; a core appends a local part to it.
    reply_prefix: str

    #: The connection's own; the local parts of its reply channels are this, or begin with it.
    name: str

    #: Address and port of the peer; None on a unix socket.
    client: tuple[str, int] | None

    #: Address and port that the peer connected to; None on a unix socket.
    server: tuple[str, int] | None

    #: Whether the connection is encrypted, so that the scheme is https or wss.
    secure: bool

    #: Whether the peer is one of ``options.trusted_proxies``.
    trusted_peer: bool

    #: Monotonic seconds, for deadlines.
    clock: Callable[[], float]

    #: Seconds since the epoch, for the Date header and durations in logs.
    now: Callable[[], float]

    #: Whether somebody may read the channel; True when that is unknown.
    has_listener: Callable[[str], bool]

    #: Whether somebody hears of the requests that are over, by ``Log``.
    logs_requests: bool = True


class Core:
    """Base of the protocol cores: collects operations, ignores every input.

    Each input method returns nothing; the shell then takes ``operations()``. A core that raises
    loses its connection, and the server goes on.
    """

    __slots__ = ("context", "emit", "pending")

    #: Whether a server that stops shuts this core down in its turn among others, spread over some
    #: seconds, and not at once: one that holds open sockets, whose clients will connect again.
    takes_turns = False

    #: What the core speaks, as connections are counted by it.
    kind = "other"

    def __init__(self, context: ConnectionContext) -> None:
        self.context = context
        #: The operations to be applied.
        self.pending: list[Operation] = []
        #: Appends an operation; the list's own method, since every operation goes through it.
        self.emit: Callable[[Operation], None] = self.pending.append

    def operations(self) -> list[Operation]:
        """Take the operations to be applied; none is pending afterwards."""
        taken = self.pending.copy()
        self.pending.clear()
        return taken

    # -- from the client ------------------------------------------------------------------------

    def connection_made(self) -> None:
        """The connection is open, or this core has replaced another; the place for timers."""

    def receive_data(self, data: bytes) -> None:
        """The client sent bytes. After ``PauseReading`` at most one more call may come."""

    def receive_eof(self) -> None:
        """The client will send nothing more but may still read."""

    def connection_lost(self) -> None:
        """The connection is gone; what is written from now on is dropped, sends are not."""

    def pause_writing(self) -> None:
        """The client reads slower than this core writes: the transport's buffer is full."""

    def resume_writing(self) -> None:
        """The transport's buffer is empty again after ``pause_writing``."""

    def drained(self, count: int) -> None:
        """``count`` more of the bytes written have left for the client's socket."""

    # -- from the channel layer -----------------------------------------------------------------

    def deliver(self, local: str, message: Mapping[str, Any], shared: dict[Any, Any]) -> None:
        """A message came for a local part that begins with the connection's name.

        What that stands for may be over, or never have been: see ``_missed``. ``shared`` is the
        same dictionary for every core that this one delivery goes to (a group send), so that a
        frame is built once; ``message`` is shared too and must not be changed.
        """

    def _missed(self, local: str, message: Mapping[str, Any]) -> None:
        """A message came too late: say so to a worker that streams."""
        send = farewell(self.context.reply_prefix + local, message)
        if send is not None:
            self.emit(send)

    def sent(self, key: object) -> None:
        """The layer took the message of ``Send(..., key, confirmed=True)``."""

    def send_failed(self, key: object, error: Exception) -> None:
        """The layer refused it: ``ChannelFull``, ``MessageTooLarge`` or any other exception."""

    def channel_made(self, key: object, name: str) -> None:
        """The layer made the name that ``NewChannel(pattern, key)`` asked for."""

    def room(self, key: object) -> None:
        """There may be room again in the channel of ``AwaitRoom(channel, key)``."""

    # -- from the server ------------------------------------------------------------------------

    def timer(self, name: str) -> None:
        """The deadline of this name has passed."""

    def shutdown(self) -> None:
        """The server is about to stop: finish what is under way, take nothing new, close.

        Also called when the channel layer was lost or emptied, whose reply channels are dead.
        """
