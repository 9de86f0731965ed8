"""One client's connection: the Twisted shell around a protocol core.

The shell knows no HTTP. It feeds a core (``daphne.protocol``) with bytes, deadlines and channel
messages, and carries out the operations that the core answers with. Upgraded connections
(WebSocket) stay in the same shell, with another core. What connections share is in
``daphne.http_protocol``.
"""

import logging
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from daphne.deadlines import Deadline
from daphne.protocol.core import Core
from daphne.protocol.operations import (
    Abort,
    AwaitRoom,
    Close,
    Log,
    NewChannel,
    PauseReading,
    ResumeReading,
    Send,
    Timer,
    Upgrade,
    Write,
)
from daphne.writes import buffered, is_plain, write

if TYPE_CHECKING:
    from daphne.http_protocol import HTTPFactory

__all__ = ["Connection"]

logger = logging.getLogger("daphne.http_protocol")

#: Seconds in which the reset of a client that has left is expected: a long round trip.
_PROBE = 1.0

#: Seconds that a connection is read and ignored after our side was closed, so that a client which
#: is still sending sees the response and not a reset (RFC 9112, 9.6).
_LINGER = 2.0

#: Bytes that are held back at most before they are written: then the transport says when its buffer
#: is full, and the core hears so before it writes more.
_MOST_HELD = 64 * 1024


@implementer(IHalfCloseableProtocol, IPushProducer)
class Connection:
    """One client's connection: a transport, the core that speaks for us, and its deadlines."""

    __slots__ = (
        "_applying",
        "_closing",
        "_core",
        "_deadlines",
        "_eof",
        "_factory",
        "_held",
        "_lost",
        "_out",
        "_paused",
        "_plain",
        "_transport",
        "_unsent",
        "address",
    )

    #: Speaks for us from ``makeConnection`` on.
    _core: Core

    def __init__(self, factory: "HTTPFactory", address: str | None) -> None:
        self._factory = factory
        #: Host of the peer as connections are counted by it; None where they are not.
        self.address = address
        self._transport: Any = None
        self._plain = False
        self._deadlines: dict[str, Deadline] = {}
        #: What waits for the end of the turn, and how many bytes that are.
        self._out: list[bytes] = []
        self._held = 0
        #: Bytes handed to the transport that have not left it yet.
        self._unsent = 0
        self._paused = False
        self._applying = False
        self._closing = False
        self._eof = False
        self._lost = False

    # -- called by Twisted ------------------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:  # noqa: N802
        """The connection was accepted."""
        self._transport = transport
        self._plain = is_plain(transport)
        transport.registerProducer(self, True)
        context = self._factory.context(transport, secure=not self._plain)
        if context.client is not None and self._plain:
            transport.setTcpNoDelay(True)
        self._core = self._factory.make_core(context)
        self._factory.opened(self)
        self._factory.dispatch.register(context.name, self)
        self._feed(self._core.connection_made)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """The client sent bytes; after ``Close`` nobody looks at them."""
        if not self._closing:
            self._feed(self._core.receive_data, data)

    def readConnectionLost(self) -> None:  # noqa: N802
        """The client will send nothing more."""
        self._eof = True
        if self._closing:
            self._transport.loseConnection()
            return
        self._feed(self._core.receive_eof)
        if self._plain and not self._closing:
            self._probe_later()  # what was written before may have met a client that had left

    def writeConnectionLost(self) -> None:  # noqa: N802
        """Our side is flushed and closed: linger until the client closes its side."""
        if self._eof:
            self._transport.loseConnection()
            return
        self._after(_LINGER, self._transport.loseConnection)
        self._transport.resumeProducing()

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802
        """The connection is gone, for whatever reason."""
        self._closing = self._lost = True
        self._drop_deadlines()
        self._out.clear()
        self._feed(self._core.connection_lost)
        self._factory.dispatch.unregister(self._core.context.name)
        self._factory.closed(self)

    def pauseProducing(self) -> None:  # noqa: N802
        """The transport's buffer is full."""
        if not self._paused and not self._closing:
            self._paused = True
            self._feed(self._core.pause_writing)

    def resumeProducing(self) -> None:  # noqa: N802
        """The transport's buffer is empty."""
        if self._closing:
            return
        was_paused, self._paused = self._paused, False
        left, self._unsent = self._unsent, 0
        if left:
            self._feed(self._core.drained, left)
        if was_paused and not self._paused:
            self._feed(self._core.resume_writing)

    def stopProducing(self) -> None:  # noqa: N802
        """The transport is gone; ``connectionLost`` follows."""

    def logPrefix(self) -> str:  # noqa: N802
        """Name in Twisted's own log lines."""
        return "daphne"

    # -- called by the server and the channel layer's dispatch ------------------------------------

    @property
    def kind(self) -> str:
        """What is spoken on it, for the counts."""
        return self._core.kind

    def deliver(self, local: str, message: Mapping[str, Any], shared: dict[Any, Any]) -> None:
        """A message came for one of this connection's reply channels."""
        self._feed(self._core.deliver, local, message, shared)

    @property
    def takes_turns(self) -> bool:
        """See ``Core.takes_turns``."""
        return self._core.takes_turns

    def shutdown(self) -> None:
        """Have the core finish and close."""
        if not self._closing:
            self._feed(self._core.shutdown)

    def abort(self) -> None:
        """Drop the connection."""
        self._closing = True
        self._transport.abortConnection()

    def sent(self, core: Core, key: object) -> None:
        """The layer took a message of ``core``."""
        if core is self._core:
            self._feed(core.sent, key)

    def send_failed(self, core: Core, key: object, error: Exception) -> None:
        """The layer did not do what ``core`` asked for."""
        if core is self._core:
            self._feed(core.send_failed, key, error)

    def channel_made(self, core: Core, key: object, name: str) -> None:
        """The layer made a channel name for ``core``."""
        if core is self._core:
            self._feed(core.channel_made, key, name)

    def room(self, core: Core, key: object) -> None:
        """There may be room in the channel that ``core`` waits for."""
        if core is self._core:
            self._feed(core.room, key)

    # -- input and output -------------------------------------------------------------------------

    def _feed(self, method: Callable[..., None], *args: Any) -> None:
        """Hand an input to the core and carry out what it answers.

        What a core asks for may call back into it at once (a send that succeeds): then the
        operations of that input are picked up by the loop that is running already.
        """
        try:
            method(*args)
            if self._core.pending and not self._applying:
                self._apply()
        except Exception:
            self._fail()

    def _apply(self) -> None:
        """Carry out operations until the core has no more."""
        self._applying = True
        try:
            while self._core.pending:
                for operation in self._core.operations():
                    _APPLY[type(operation)](self, operation)
                if self._held > _MOST_HELD:
                    self._flush()
        finally:
            self._applying = False
        if self._out:
            self._factory.cork.hold(self)

    def _fail(self) -> None:
        """A core raised: that is a defect, which costs this connection and no other."""
        logger.exception("A connection is dropped because its protocol core failed")
        self._core.operations()
        self._out.clear()
        if not self._lost:
            self.abort()

    def flush(self) -> None:
        """Write what was held back."""
        try:
            if self._out:
                self._flush()
            if self._core.pending and not self._applying:
                self._apply()
        except Exception:
            self._fail()

    def _flush(self) -> None:
        """Write what the operations so far have collected, in one piece."""
        pieces, self._out, self._held = self._out, [], 0
        if self._closing:
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._eof and self._plain:
            self._probe_later()
        self._unsent += len(data)
        if not self._plain:
            self._transport.write(data)
        elif write(self._transport, data) == len(data):
            left, self._unsent = self._unsent, 0
            self._core.drained(left)
            return
        self._report_drained()

    def _report_drained(self) -> None:
        """Tell the core what has left, also while the transport's buffer never gets empty.

        What TLS holds itself cannot be seen, and is little.
        """
        left = self._unsent - buffered(self._transport)
        if left > 0:
            self._unsent -= left
            self._core.drained(left)

    # -- operations -------------------------------------------------------------------------------

    def _write(self, operation: Write) -> None:
        if operation.data:
            self._out.append(operation.data)
            self._held += len(operation.data)

    def _send(self, operation: Send) -> None:
        self._factory.dispatch.send(
            self,
            self._core,
            operation.channel,
            operation.message,
            operation.key,
            operation.confirmed,
        )

    def _new_channel(self, operation: NewChannel) -> None:
        self._factory.dispatch.new_channel(self, self._core, operation.pattern, operation.key)

    def _await_room(self, operation: AwaitRoom) -> None:
        self._factory.dispatch.await_room(self, self._core, operation.channel, operation.key)

    def _close(self, operation: Close) -> None:
        """Flush, close our side, and linger so that no reset overtakes the last bytes."""
        if self._closing:
            return
        if self._out:
            self._flush()
        self._closing = True
        self._transport.unregisterProducer()
        if not self._plain or self._eof:
            self._transport.loseConnection()
        else:
            self._transport.loseWriteConnection()
        if self._plain:
            self._watch_flush()
        else:  # the end of TLS is answered by the client; nothing tells that it was flushed
            self._after(_LINGER, self._watch_flush)

    def _abort(self, operation: Abort) -> None:
        if not self._closing:
            self.abort()

    def _pause_reading(self, operation: PauseReading) -> None:
        if not self._closing:
            self._transport.pauseProducing()

    def _resume_reading(self, operation: ResumeReading) -> None:
        if not self._closing and not self._eof:
            self._transport.resumeProducing()

    def _timer(self, operation: Timer) -> None:
        name, at = operation.name, operation.at
        deadline = self._deadlines.get(name)
        if at is not None:
            if deadline is None:
                deadline = self._deadline(name, partial(self._timed_out, name))
            deadline.arm(at)
        elif deadline is not None:
            deadline.cancel()

    def _log(self, operation: Log) -> None:
        self._factory.log_action(operation.protocol, operation.action, operation.details)

    def _upgrade(self, operation: Upgrade) -> None:
        """Put the new core in place; its operations are picked up by the running loop."""
        if self._out:
            self._flush()
        self._drop_deadlines()
        self._core = operation.core
        self._core.connection_made()
        if self._paused:
            self._core.pause_writing()
        if operation.rest:
            self._core.receive_data(operation.rest)
        if self._eof:
            self._core.receive_eof()
        self._factory.upgraded(self)

    # -- deadlines --------------------------------------------------------------------------------

    def _deadline(self, name: str, action: Callable[[], object]) -> Deadline:
        if (old := self._deadlines.get(name)) is not None:
            old.discard()
        deadline = self._deadlines[name] = self._factory.deadlines.new(action)
        return deadline

    def _drop_deadlines(self) -> None:
        for deadline in self._deadlines.values():
            deadline.discard()
        self._deadlines.clear()

    def _probe_later(self) -> None:
        """After the end of input, see whether what is written now is refused.

        A client that has left and one that has closed only its own side look alike until we write:
        then the first one's system answers by a reset. The reactor does not report that, since it
        watches no socket from which it neither reads nor waits to write.
        """
        probe = self._deadlines.get("shell probe") or self._deadline("shell probe", self._probe)
        if probe.at is None:
            probe.arm(self._factory.seconds() + _PROBE)

    def _probe(self) -> None:
        handle = self._transport.getHandle()
        if handle.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.abort()

    def _timed_out(self, name: str) -> None:
        """Tell the core of a deadline, and first what has left: it may depend on that."""
        if self._paused and not self._lost:
            self._feed(self._report_drained)
        self._feed(self._core.timer, name)

    def _after(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something with a connection that was closed, if it is not gone by then."""
        self._deadline("shell", action).arm(self._factory.seconds() + seconds)

    def _watch_flush(self) -> None:
        """Drop a closed connection whose client has stopped to read what is left for it.

        Over TLS one with nothing left as well: a client that does not answer the end of TLS would
        keep it for ever.
        """
        rest = buffered(self._transport)
        seconds = self._factory.options.write_timeout if rest else _LINGER
        if seconds is not None and (rest or not self._plain):
            self._after(seconds, partial(self._flush_stalled, rest))

    def _flush_stalled(self, before: int) -> None:
        if buffered(self._transport) >= before:
            self._transport.abortConnection()
        else:
            self._watch_flush()


_APPLY: dict[type, Callable[[Connection, Any], None]] = {
    Write: Connection._write,
    Send: Connection._send,
    NewChannel: Connection._new_channel,
    AwaitRoom: Connection._await_room,
    Close: Connection._close,
    Abort: Connection._abort,
    PauseReading: Connection._pause_reading,
    ResumeReading: Connection._resume_reading,
    Timer: Connection._timer,
    Log: Connection._log,
    Upgrade: Connection._upgrade,
}
