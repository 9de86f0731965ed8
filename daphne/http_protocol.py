"""The Twisted shell: connections and their factory.

The shell knows no HTTP. It feeds a protocol core (``daphne.protocol``) with bytes, deadlines and
channel messages, and carries out the operations that the core answers with. Upgraded connections
(WebSocket) stay in the same shell, with another core.
"""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocolFactory, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from daphne.deadlines import Deadline, Deadlines
from daphne.dispatch import Dispatch
from daphne.options import Options
from daphne.protocol.core import ConnectionContext, Core
from daphne.protocol.operations import (
    Abort,
    AwaitRoom,
    Close,
    Log,
    NewChannel,
    PauseReading,
    Register,
    ResumeReading,
    Send,
    Timer,
    Unregister,
    Upgrade,
    Write,
)
from daphne.protocol.trust import TrustedProxies
from daphne.writes import buffered, is_plain, write

__all__ = ["Connection", "HTTPFactory"]

logger = logging.getLogger("daphne.http_protocol")

#: Seconds that a connection is read and ignored after our side was closed, so that a client which
#: is still sending sees the response and not a reset (RFC 9112, 9.6).
_LINGER = 2.0

#: Connections that are shut down in one turn of the reactor.
_PER_TURN = 500


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
        "_locals",
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
        self._locals: set[str] = set()
        self._out: list[bytes] = []
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
        else:
            self._feed(self._core.receive_eof)

    def writeConnectionLost(self) -> None:  # noqa: N802
        """Our side is flushed and closed: linger until the client closes its side."""
        if self._eof:
            self._transport.loseConnection()
            return
        self._deadline("shell linger", self._give_up).arm(self._factory.seconds() + _LINGER)
        self._transport.resumeProducing()

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802
        """The connection is gone, for whatever reason."""
        self._closing = self._lost = True
        self._drop_deadlines()
        self._out.clear()
        self._feed(self._core.connection_lost)
        for local in self._locals:
            self._factory.dispatch.unregister(local)
        self._locals.clear()
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

    def deliver(self, local: str, message: Mapping[str, Any], shared: dict[Any, Any]) -> None:
        """A message came for one of this connection's reply channels."""
        self._feed(self._core.deliver, local, message, shared)

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
            if not self._applying:
                self._applying = True
                try:
                    self._apply()
                finally:
                    self._applying = False
        except Exception:
            self._fail()

    def _apply(self) -> None:
        """Carry out operations until the core has no more."""
        while True:
            operations = self._core.operations()
            for operation in operations:
                _APPLY[type(operation)](self, operation)
            if self._out:
                self._flush()
            elif not operations:
                return

    def _fail(self) -> None:
        """A core raised: that is a defect, which costs this connection and no other."""
        logger.exception("A connection is dropped because its protocol core failed")
        self._core.operations()
        self._out.clear()
        if not self._lost:
            self.abort()

    def _flush(self) -> None:
        """Write what the operations so far have collected, in one piece."""
        pieces, self._out = self._out, []
        if self._lost:
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._plain:
            left = write(self._transport, data)
            self._unsent += len(data) - left
            if left:
                self._core.drained(left)
        else:
            self._unsent += len(data)
            self._transport.write(data)
            if not self._paused:  # as far as one can see through TLS
                left, self._unsent = self._unsent, 0
                self._core.drained(left)

    # -- operations -------------------------------------------------------------------------------

    def _write(self, operation: Write) -> None:
        if operation.data:
            self._out.append(operation.data)

    def _send(self, operation: Send) -> None:
        self._factory.dispatch.send(
            self, self._core, operation.channel, operation.message, operation.key
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
        if self._plain and buffered(self._transport):
            self._watch_flush(buffered(self._transport))

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

    def _register(self, operation: Register) -> None:
        if not self._lost:
            self._locals.add(operation.local)
            self._factory.dispatch.register(operation.local, self)

    def _unregister(self, operation: Unregister) -> None:
        if operation.local in self._locals:
            self._locals.remove(operation.local)
            self._factory.dispatch.unregister(operation.local)

    def _log(self, operation: Log) -> None:
        self._factory.log_action(operation.protocol, operation.action, operation.details)

    def _upgrade(self, operation: Upgrade) -> None:
        """Put the new core in place; its operations are picked up by the running loop."""
        if self._out:
            self._flush()
        self._drop_deadlines()
        for local in self._locals:
            self._factory.dispatch.unregister(local)
        self._locals.clear()
        self._core = operation.core
        self._core.connection_made()
        if operation.rest:
            self._core.receive_data(operation.rest)

    # -- deadlines --------------------------------------------------------------------------------

    def _deadline(self, name: str, action: Callable[[], object]) -> Deadline:
        deadline = self._deadlines[name] = self._factory.deadlines.new(action)
        return deadline

    def _drop_deadlines(self) -> None:
        for deadline in self._deadlines.values():
            deadline.discard()
        self._deadlines.clear()

    def _timed_out(self, name: str) -> None:
        self._feed(self._core.timer, name)

    def _give_up(self) -> None:
        """The client was given the time to close its side."""
        self._transport.loseConnection()

    def _watch_flush(self, size: int) -> None:
        """Drop a closed connection whose client has stopped to read what is left for it."""
        limit = self._factory.options.write_timeout
        if limit is not None:
            action = partial(self._flush_stalled, size)
            self._deadline("shell flush", action).arm(self._factory.seconds() + limit)

    def _flush_stalled(self, before: int) -> None:
        now = buffered(self._transport)
        if now and now >= before:
            self._transport.abortConnection()
        elif now:
            self._watch_flush(now)


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
    Register: Connection._register,
    Unregister: Connection._unregister,
    Log: Connection._log,
    Upgrade: Connection._upgrade,
}


@implementer(IProtocolFactory)
class HTTPFactory:
    """Makes connections, counts them, and knows what they share."""

    #: Twisted says nothing about starting and stopping.
    noisy = False

    def __init__(
        self,
        reactor: Any,
        options: Options,
        make_core: Callable[[ConnectionContext], Core],
        reply_prefix: str,
        deadlines: Deadlines,
        action_logger: Callable[[str, str, dict[str, Any]], object] | None = None,
    ) -> None:
        """``reply_prefix`` is the server's process channel, ``daphne.response.<random>!``."""
        self.options = options
        self.make_core = make_core
        self.deadlines = deadlines
        self.seconds: Callable[[], float] = reactor.seconds
        #: Filled in by ``attach`` before the first connection.
        self.dispatch: Dispatch
        self._reactor = reactor
        self._reply_prefix = reply_prefix
        self._action_logger = action_logger
        self._trusted = TrustedProxies(options.trusted_proxies)
        self._connections: set[Connection] = set()
        self._by_address: dict[str, int] = {}
        self._refused_logged = 0.0
        self._waiting: list[Deferred[None]] = []

    def attach(self, dispatch: Dispatch) -> None:
        """Give the factory its way to the channel layer."""
        self.dispatch = dispatch

    def __len__(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    # -- called by Twisted ------------------------------------------------------------------------

    def doStart(self) -> None:  # noqa: N802
        """A listener starts; nothing to do."""

    def doStop(self) -> None:  # noqa: N802
        """A listener stops; its connections stay."""

    def buildProtocol(self, peer: Any) -> Connection | None:  # noqa: N802
        """A connection was accepted; None, by which it is closed, over a limit."""
        limit = self.options.max_connections
        if limit is not None and len(self._connections) >= limit:
            self._refused(f"{limit} connections are open (--max-connections)")
            return None
        limit = self.options.max_connections_per_address
        if limit is None or not isinstance(peer, IPv4Address | IPv6Address):
            return Connection(self, None)
        if self._trusted.trusts(peer.host):
            return Connection(self, None)
        if self._by_address.get(peer.host, 0) >= limit:
            self._refused(f"{peer.host} has {limit} open (--max-connections-per-address)")
            return None
        return Connection(self, peer.host)

    def _refused(self, reason: str) -> None:
        """Log, once a second at most, why a connection was closed at once."""
        now = self.seconds()
        if now >= self._refused_logged + 1.0:
            self._refused_logged = now
            logger.warning("Connections are refused: %s", reason)

    # -- called by connections --------------------------------------------------------------------

    def context(self, transport: Any, secure: bool) -> ConnectionContext:
        """What the core of a new connection may know."""
        client = _host_and_port(transport.getPeer())
        return ConnectionContext(
            options=self.options,
            reply_prefix=self._reply_prefix,
            client=client,
            server=_host_and_port(transport.getHost()),
            secure=secure,
            trusted_peer=self._trusted.trusts(client[0] if client else None),
            clock=self.seconds,
            now=time.time,
            has_listener=self.dispatch.has_listener,
        )

    def opened(self, connection: Connection) -> None:
        """Count a connection."""
        self._connections.add(connection)
        if connection.address is not None:
            count = self._by_address.get(connection.address, 0)
            self._by_address[connection.address] = count + 1

    def closed(self, connection: Connection) -> None:
        """Count a connection no more."""
        self._connections.discard(connection)
        if connection.address is not None:
            count = self._by_address.pop(connection.address) - 1
            if count:
                self._by_address[connection.address] = count
        if not self._connections and self._waiting:
            waiting, self._waiting = self._waiting, []
            for deferred in waiting:
                deferred.callback(None)

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Report to the action logger, whose failures cost a line in the log."""
        if self._action_logger is None:
            return
        try:
            self._action_logger(protocol, action, details)
        except Exception:
            logger.exception("The action logger failed")

    # -- called by the server ---------------------------------------------------------------------

    def shed(self, reason: str) -> None:
        """Close every connection but keep listening: their reply channels lead nowhere."""
        if self._connections:
            logger.warning("Closing %d connections: %s", len(self._connections), reason)
            self.shutdown()

    def shutdown(self) -> None:
        """Have every connection that is open now finish and close, some in each turn."""
        self._shutdown_some(list(self._connections))

    def _shutdown_some(self, connections: list[Connection]) -> None:
        for connection in connections[-_PER_TURN:]:
            connection.shutdown()
        del connections[-_PER_TURN:]
        if connections:
            self._reactor.callLater(0, self._shutdown_some, connections)

    def emptied(self) -> "Deferred[None]":
        """Fires once no connection is open."""
        if not self._connections:
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        return deferred

    def abort(self) -> None:
        """Drop every connection."""
        for connection in list(self._connections):
            connection.abort()


def _host_and_port(address: Any) -> tuple[str, int] | None:
    """Host and port of an internet address; None for a unix socket."""
    if isinstance(address, IPv4Address | IPv6Address):
        return (address.host, address.port)
    return None
