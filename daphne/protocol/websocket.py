"""The core of a WebSocket connection, from the request of its handshake to its end.

Theory of operation. The core is made from the head of an upgrade request and goes through four
states:

``CONNECTING``
    ``websocket.connect`` was sent, and the handshake pauses until the application answers. What the
    client sends early is kept, unread. A refusal is a 403, a full channel, a silent application or
    a server about to stop is a 503.
``OPEN``
    The 101 was written. Frames go to the application by a ``MessageStream``; the application's
    messages become frames.
``CLOSING``
    Our close frame was written first. The client's close frame is waited for, its messages are
    dropped.
``ENDED``
    Nothing more is read or written. The stream may still have messages for the layer, and waits
    ``websocket_receive_wait`` for room for them.

The code in ``websocket.disconnect`` is that of the client's close frame, 1005 where it has none. If
none came, it is the code that we sent where the client broke a rule or a limit (1002, 1007, 1008,
1009: then no answer is waited for), and 1006 otherwise.

Codes that the server itself closes with: 1000 after ``websocket_timeout``; 1008 also for a client
that sends more than its ``budget``; 1009 also for a message that the layer finds too large; 1011
when the layer fails, 1012 when the server stops, and 1013 when the layer is away, the channel stays
full for ``websocket_receive_wait``, or the client does not read what is sent to it (``outlet``;
messages to it are dropped instead where ``websocket_slow_consumer`` says so). A client that does
not answer pings is dropped.

Reading frames is the engine's, the handshake's rules are in ``handshake``, what replies mean is in
``replies``.
"""

import logging
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from channels.exceptions import ChannelFull, LayerUnavailable, MessageTooLarge
from channels.spec import websocket_connect
from daphne.protocol.budget import Budget
from daphne.protocol.core import ConnectionContext
from daphne.protocol.engine import (
    Binary,
    Closed,
    Engine,
    Event,
    Failure,
    Limits,
    Ping,
    Text,
    load_engine,
)
from daphne.protocol.error_pages import error_response
from daphne.protocol.exchange import refusal_details
from daphne.protocol.frames import Opcode, build_close_frame, build_frame
from daphne.protocol.handshake import Handshake, HandshakeError, build_acceptance, check_handshake
from daphne.protocol.head import Head
from daphne.protocol.keep_alive import PING_TIMER, KeepAlive
from daphne.protocol.message_stream import MessageStream
from daphne.protocol.operations import (
    Abort,
    Close,
    Log,
    Timer,
    Write,
)
from daphne.protocol.replies import Reply, Verdict, read_reply
from daphne.protocol.socket_connection import SocketConnection

if TYPE_CHECKING:
    from daphne.protocol.deflate import Deflate

__all__ = ["WebSocketCore"]

_logger = logging.getLogger("daphne.ws_protocol")

#: Bytes of frames waiting for the layer at which the socket is no more read, until none wait.
_BACKLOG_LIMIT = 64 * 1024

#: Bytes that a client may send before its handshake is accepted; then it is not read.
_EARLY_LIMIT = 64 * 1024

#: Codes of failures that an option would prevent.
_LIMIT_CODES = frozenset({1008, 1009})

_PING = Write(build_frame(Opcode.PING, b""))


class State(IntEnum):
    """Where a connection is; see the module's text."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    ENDED = 3


class WebSocketCore(SocketConnection):
    """One WebSocket connection."""

    __slots__ = (
        "_budget",
        "_deflate",
        "_early",
        "_engine",
        "_handshake",
        "_head",
        "_keep_alive",
        "_opened",
        "_room_timer",
        "_state",
        "_stream",
    )

    takes_turns = True

    def __init__(self, context: ConnectionContext, head: Head, local: str) -> None:
        """``head`` is a request whose Upgrade header names websocket and that has no body.

        ``local`` is the local part of the reply channel.
        """
        super().__init__(context, head, local)
        #: The request, until the application was asked.
        self._head: Head | None = head
        self._state = State.CONNECTING
        self._stream = MessageStream(self.emit, self._reply_channel, head.path)
        self._handshake: Handshake | None = None
        self._deflate: Deflate | None = None
        self._engine: Engine | None = None
        self._early = b""
        #: Whether the handshake was accepted.
        self._opened = False
        options = context.options
        self._keep_alive = KeepAlive(
            self.emit, context.clock, options.ping_interval, options.ping_timeout
        )
        #: Whether the deadline for a full channel is armed.
        self._room_timer = False
        #: Made when the client first sends something; many never do.
        self._budget: Budget | None = None

    # -- the handshake --------------------------------------------------------------------------

    def connection_made(self) -> None:
        """Check the request and ask the application."""
        options, head = self.context.options, self._head
        if head is None:
            return
        self._head = None
        try:
            self._handshake = self._check(head)
        except HandshakeError as error:
            self._state = State.ENDED
            self._refuse(error.status, f"WebSocket handshake: {error.reason}.", error.headers)
            path = head.target.decode("latin-1")
            details = refusal_details(self._client, head.method, path, error.status)
            self.emit(Log("http", "complete", details))
            return
        self._since = self.context.clock()
        self._log("connecting", headers=head.headers)
        self._stream.connect(
            websocket_connect(
                self._reply_channel,
                head.path,
                [list(pair) for pair in head.headers],
                head.query_string,
                head.root_path,
                "wss" if head.scheme in ("https", "wss") else "ws",
                head.client,
                head.server,
            )
        )
        limits = (options.websocket_connect_timeout, options.websocket_handshake_timeout)
        self._arm("connect", min((limit for limit in limits if limit is not None), default=None))

    def _check(self, head: Head) -> Handshake:
        """The rules of the handshake; raises ``HandshakeError``."""
        options = self.context.options
        return check_handshake(head, options.ws_protocols, options.websocket_compression)

    def _write_acceptance(self, handshake: Handshake) -> None:
        self.emit(Write(build_acceptance(handshake, self.context.options.server_name)))

    def _accept(self, handshake: Handshake, reply: Reply) -> None:
        options = self.context.options
        self._state = State.OPEN
        self._opened = True
        self._handshake = None
        self._deflate = handshake.deflate
        self._write_acceptance(handshake)
        self._engine = load_engine()(
            Limits(
                frame=options.websocket_max_frame,
                message=options.websocket_max_message,
                fragments=options.websocket_max_fragments,
                deflate=self._deflate is not None,
            )
        )
        self.emit(Timer("connect", None))
        self._arm("lifetime", options.websocket_timeout)
        self._keep_alive.start()
        self._log("connected", time_taken=self._passed())
        self._since = self.context.clock()
        self._send(reply)
        early, self._early = self._early, b""
        if early:
            self._read(early)
        self._balance()

    def _reject(self, status: int, detail: str) -> None:
        """Refuse a handshake that the application heard of, or was to hear of."""
        self._refuse(status, detail)
        self._finish(1006)
        self._log("rejected", time_taken=self._passed())

    def _refuse(
        self, status: int, detail: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        page = error_response(
            status,
            detail,
            now=self.context.now(),
            server_name=self.context.options.server_name,
            headers=headers,
        )
        self.emit(Write(page))
        self.emit(Close())

    # -- from the client ------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Bytes from the client: frames, or too early."""
        if self._state is State.CONNECTING:
            self._early += data
            if len(self._early) >= _EARLY_LIMIT:
                self._pause()
        elif self._state is not State.ENDED:
            self._keep_alive.hear()
            self._read(data)
            self._balance()

    def receive_eof(self) -> None:
        """The client closed its side without a close frame, which ends a WebSocket."""
        if self._state is not State.ENDED:
            self.emit(Close())
            self.connection_lost()

    def connection_lost(self) -> None:
        """The connection is gone; the application hears the frames that came before."""
        if self._state is State.CONNECTING:
            self._log("rejected", time_taken=self._passed())
        if self._state is not State.ENDED:
            self._finish(1006)
        if self._room_timer:  # the shell has dropped it with the connection
            self._arm("room", self.context.options.websocket_receive_wait)

    def _read(self, data: bytes) -> None:
        if self._engine is None:
            return
        events = self._engine.feed(data)
        if exceeded := self._spend(events, len(data)):
            events = [Failure(1008, f"too many messages or bytes (option {exceeded})")]
        for event in events:
            self._handle(event)

    def _spend(self, events: list[Event], size: int) -> str:
        """Take what came from the client's budget; the option that is exceeded, or nothing."""
        if self._budget is None:
            self._budget = Budget(self.context.options, self._keep_alive.heard)
        if self._deflate is not None:  # what the application is to work on is what was inflated
            contents = (len(event.data) for event in events if isinstance(event, (Text, Binary)))
            size = max(size, sum(contents))
        return self._budget.spend(len(events), size, self._keep_alive.heard)

    def _handle(self, event: Event) -> None:
        if isinstance(event, (Text, Binary)):
            if self._state is State.OPEN:
                self._stream.receive(event.data)
        elif isinstance(event, Ping):
            if self._state is State.OPEN:
                self._write(Write(build_frame(Opcode.PONG, event.payload)))
        elif isinstance(event, Closed):
            if self._state is State.OPEN:
                self.emit(Write(build_close_frame(event.code)))
            self._hang_up(1005 if event.code is None else event.code)
        elif isinstance(event, Failure):
            self._fail(event)

    def _fail(self, failure: Failure) -> None:
        """The client broke a rule, which ends the connection, or a limit, which is logged too."""
        level = logging.WARNING if failure.code in _LIMIT_CODES else logging.INFO
        _logger.log(
            level, "WebSocket of %s failed: %d, %s", self._client, failure.code, failure.reason
        )
        if self._state is State.OPEN:
            self.emit(Write(build_close_frame(failure.code, failure.reason)))
        self._hang_up(failure.code)

    # -- to the client --------------------------------------------------------------------------

    def deliver(self, local: str, message: Mapping[str, Any], shared: dict[Any, Any]) -> None:
        """A Send/Close/Accept message of the application."""
        is_open = self._state is State.OPEN
        if local != self._local or (not is_open and self._state is State.ENDED):
            self._missed(local, message)
            return
        reply = read_reply(message, shared)
        if reply is None:
            return
        if is_open:
            self._send(reply)
        elif self._state is State.CONNECTING and self._handshake is not None:
            if reply.verdict is Verdict.ACCEPT:
                self._accept(self._handshake, reply)
            elif reply.verdict is Verdict.REJECT:
                self._reject(403, "The application refused this WebSocket.")

    def _send(self, reply: Reply) -> None:
        write = reply.write if self._deflate is None else self._deflate.write_of(reply)
        if write is not None:
            self._write(write)
        if reply.close is not None:
            self._close(reply.close)

    def _write(self, operation: Write) -> None:
        if self._outlet.write(operation):
            return
        if self.context.options.websocket_slow_consumer == "drop":
            self._log("dropped")
        else:
            _logger.warning(
                "%s does not read; closing its WebSocket (option websocket_write_limit)",
                self._client,
            )
            self._close(1013, "too slow")

    # -- the end --------------------------------------------------------------------------------

    def _close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake."""
        if self._state is not State.OPEN:
            return
        self._state = State.CLOSING
        self.emit(Write(build_close_frame(code, reason)))
        self._keep_alive.stop()
        self._arm("close", self.context.options.websocket_close_timeout)
        self._resume()

    def _hang_up(self, code: int) -> None:
        """Both sides have said what they had to say."""
        self.emit(Close())
        self._finish(code)

    def _finish(self, code: int) -> None:
        """Nothing more is read or written; the application hears so after its frames."""
        self._state = State.ENDED
        self._engine = None
        self._early = b""
        self._keep_alive.stop()
        for name in ("connect", "lifetime", "close"):
            self.emit(Timer(name, None))
        if self._opened:
            self._log("disconnected", time_taken=self._passed(), code=code)
        self._stream.end(code)

    def shutdown(self) -> None:
        """The server stops, or lost the layer: the client had better connect again."""
        if self._state is State.CONNECTING:
            self._reject(503, "The server is restarting.")
        else:
            self._close(1012, "server restart")

    # -- from the channel layer -----------------------------------------------------------------

    def sent(self, key: object) -> None:
        """The layer took the message under way."""
        self._stream.sent()
        # Each frame has the whole wait, but what is left at the end has it together.
        if self._state is not State.ENDED or self._stream.over:
            self._stop_waiting()
        self._balance()

    def send_failed(self, key: object, error: Exception) -> None:
        """The layer refused the message under way."""
        connecting = self._stream.connecting
        self._stream.failed(error)
        if connecting:
            self._connect_failed(error)
        elif isinstance(error, ChannelFull):
            self._wait_for_room()
        else:
            self._receive_failed(error)

    def room(self, key: object) -> None:
        """There may be room for the frame that waits."""
        self._stream.room()

    def _connect_failed(self, error: Exception) -> None:
        if not isinstance(error, ChannelFull):
            _logger.error("A WebSocket was refused: websocket.connect failed: %r", error)
        if self._state is State.CONNECTING:
            self._reject(503, "Connection queue full.")
        else:  # somebody accepted it by a group before the layer answered
            self._close(1013, "queue full")

    def _wait_for_room(self) -> None:
        self._balance()
        if not self._room_timer:
            self._room_timer = True
            self._arm("room", self.context.options.websocket_receive_wait)

    def _stop_waiting(self) -> None:
        if self._room_timer:
            self._room_timer = False
            self.emit(Timer("room", None))

    def _stays_full(self) -> None:
        self._room_timer = False
        _logger.warning("websocket.receive stays full; giving up frames of %s", self._client)
        self._stream.drop()
        self._close(1013, "queue full")

    def _receive_failed(self, error: Exception) -> None:
        _logger.error("A WebSocket is closed: websocket.receive failed: %r", error)
        self._stop_waiting()
        if isinstance(error, MessageTooLarge):
            self._close(1009, "message too large")
        elif isinstance(error, LayerUnavailable):
            self._close(1013, "try again later")
        else:
            self._close(1011, "internal error")

    def _balance(self) -> None:
        """Read no more while the layer is behind, and again once it has caught up."""
        if self._state is not State.OPEN:
            return
        if self._stream.waiting or self._stream.backlog > _BACKLOG_LIMIT:
            self._pause()
        elif self._paused and self._stream.backlog == 0:
            self._resume()

    # -- time -----------------------------------------------------------------------------------

    def timer(self, name: str) -> None:
        """A deadline has passed."""
        if name == "room":
            self._stays_full()
        elif self._state is State.ENDED:
            return
        elif name == "connect":
            _logger.warning("No answer to websocket.connect in time; refusing %s", self._client)
            self._reject(503, "The application did not answer in time.")
        elif name == PING_TIMER:
            self._ping()
        elif name == "lifetime":
            self._close(1000)
        elif name == "close":
            self._drop()

    def _ping(self) -> None:
        """Ping after silence, drop a client that stays silent.

        Of a socket that is not read nothing can be heard, so nothing is concluded.
        """
        if self._paused:
            self._keep_alive.hear()
        if self._keep_alive.unanswered:
            self._drop()
        elif self._keep_alive.ping_is_due():
            self.emit(_PING)

    def _drop(self) -> None:
        self.emit(Abort())
        self._finish(1006)
