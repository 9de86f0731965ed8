"""The core of an HTTP/2 connection: what its client sends (RFC 9113).

Theory of operation. What arrives is cut into frames (``frames``). Each is counted, so that no flood
of them costs much (``guard``), then given to ``h2``, which keeps the states of the protocol and the
compression of header fields; its events are told to the cores of the streams, each of which is
served as a connection of its own (``multiplexer``).

What is refused:

- a request that is malformed, by an error page on its stream (``request``);
- a request over the limit of streams, or after our GOAWAY, by REFUSED_STREAM: it may be sent again;
- everything else that breaks the protocol, and floods, by a GOAWAY that ends the connection.

What the client sends on the connection is given back to its window at once; on a stream, when the
stream's core wants more. So a slow worker stops its own upload and no other, and one connection
costs at most what its streams may send ahead.

The connection ends after ``keep_alive_timeout`` without a stream. ``shutdown``, and a GOAWAY of the
client, let the streams finish first.
"""

import logging
from typing import Any, NamedTuple

from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from daphne.exceptions import RequestRefused
from daphne.protocol.core import ConnectionContext
from daphne.protocol.exchange import client_name
from daphne.protocol.http1 import LAST_CHANCE
from daphne.protocol.http2.exchange import RequestCore
from daphne.protocol.http2.frames import (
    PREFACE,
    ConnectionFailure,
    Flag,
    Frame,
    FrameSplitter,
    Type,
)
from daphne.protocol.http2.multiplexer import DRAIN, Multiplexer
from daphne.protocol.http2.request import FORBIDDEN, check_trailers, read_fields, read_request
from daphne.protocol.http2.settings import relevant_settings
from daphne.protocol.http2.streams import Stream
from daphne.protocol.http2.websocket import StreamWebSocketCore
from daphne.protocol.operations import Abort, Close, Write
from daphne.protocol.request import Request
from daphne.protocol.responder import logger

__all__ = ["Http2Core", "Upgraded"]

#: Bytes that a client may send on all streams together before it hears from us; they are given back
#: as soon as they came. ``h2`` begins with 65,535.
_WINDOW = 1024 * 1024
_FIRST_WINDOW = 65535

#: Content of the ping that follows a stream whose end came from us first: curl (7.88) notices that
#: it is over only when something comes.
_WAKE = b"the end."

_BLOCKS = frozenset({Type.HEADERS, Type.CONTINUATION})


#: What a first GOAWAY names as the last stream: none is refused yet (RFC 9113, 6.8).
_ANY_ID = 2**31 - 1

#: Headers that end with an upgrade.
_OF_UPGRADES = FORBIDDEN | {b"http2-settings"}


class Upgraded(NamedTuple):
    """A request of HTTP/1.1 that is answered over HTTP/2 (RFC 7540, 3.2)."""

    request: Request
    #: The header ``HTTP2-Settings`` as ``settings`` reads it.
    settings: bytes


class Http2Core(Multiplexer):
    """The HTTP/2 side of one connection."""

    __slots__ = ("_eof", "_greeted", "_last_id", "_leaving", "_received", "_splitter", "_upgraded")

    kind = "http/2"

    def __init__(self, context: ConnectionContext, upgraded: Upgraded | None = None) -> None:
        """``upgraded`` is the request that asked for HTTP/2, where it is not spoken from the start.

        The client's preface is expected in either case.
        """
        super().__init__(context)
        self._upgraded = upgraded
        self._splitter = FrameSplitter()
        #: Whether the client's first frame has come.
        self._greeted = False
        #: Number of the last stream whose request was taken.
        self._last_id = 0
        #: Bytes of DATA that were not given back to the connection's window.
        self._received = 0
        #: Whether no further request is taken: we said so, or the client did.
        self._leaving = False
        self._eof = False

    # -- from the client --------------------------------------------------------------------------

    def connection_made(self) -> None:
        """See ``Core``: say what may be sent."""
        h2, upgraded = self._h2, self._upgraded
        if upgraded is None:
            h2.initiate_connection()
        else:
            h2.initiate_upgrade_connection(upgraded.settings)
        # It was announced; who exceeds it is refused the stream, and not the connection.
        del h2.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS]
        h2.increment_flow_control_window(_WINDOW - _FIRST_WINDOW)
        h2.receive_data(PREFACE)
        self._arm_idle(self.context.options.header_timeout)
        if upgraded is not None:
            self._upgraded = None
            self._last_id = 1
            self._start(1, _without_upgrade(upgraded.request), True)
        self._flush()

    def receive_data(self, data: bytes) -> None:
        """See ``Core``."""
        if self._closed:
            return
        try:
            for frame in self._splitter.feed(data):
                self._receive(frame)
                self._flush()  # what follows meets the same states, however it was cut into reads
                if self._closed:
                    return
        except ConnectionFailure as failure:
            self._fail(failure)

    def receive_eof(self) -> None:
        """See ``Core``: what was asked is still answered, for a moment."""
        if self._closed:
            return
        self._eof = self._leaving = True
        for stream in list(self._streams.values()):
            self._feed(stream, stream.core.receive_eof)
        self._flush()

    def connection_lost(self) -> None:
        """See ``Core``."""
        self._armed = None  # the shell has dropped it with the connection
        self._end()
        self._rearm()

    # -- frames -----------------------------------------------------------------------------------

    def _receive(self, frame: Frame) -> None:
        self._guard.look(frame, self.context.clock())
        kind = frame.type
        if not self._greeted:
            if kind != Type.SETTINGS or frame.flags & Flag.ACK:
                raise ConnectionFailure(ErrorCodes.PROTOCOL_ERROR, "the first frame is no SETTINGS")
            self._greeted = True
        if kind == Type.GOAWAY:
            self._client_leaves()
            return
        data = relevant_settings(frame) if kind == Type.SETTINGS else frame.data
        try:
            happened = self._h2.receive_data(data)
        except ProtocolError as error:
            raise ConnectionFailure(error.error_code, str(error), said=True) from error
        if kind in _BLOCKS:
            self._await_fields(frame)
        for event in happened:
            handle = _HANDLERS.get(type(event))
            if handle is not None:
                handle(self, event)

    def _await_fields(self, frame: Frame) -> None:
        """Give a block of header fields its time."""
        timeout = self.context.options.header_timeout
        if frame.flags & Flag.END_HEADERS:
            self._cancel(None, "fields")
        elif (None, "fields") not in self._timers and timeout is not None:
            self._arm(None, "fields", self.context.clock() + timeout)

    def _client_leaves(self) -> None:
        """The client begins no further stream; ``h2`` would end those that are open."""
        self._leaving = True

    # -- events -----------------------------------------------------------------------------------

    def _request(self, event: events.RequestReceived) -> None:
        """A stream begins."""
        self._guard.requested()
        self._cancel(None, "idle")
        stream_id = event.stream_id or 0
        taken = len(self._streams) - self._pushed
        if self._leaving or taken >= self.context.options.http2_max_streams:
            self._h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            if not self._leaving:
                self._guard.reset(self.context.clock())
            return
        self._last_id = stream_id
        # A body of another length ends its stream (``exchange``); ``h2`` would end the connection.
        self._h2.streams[stream_id]._expected_content_length = None
        ended = event.stream_ended is not None
        fields = read_fields(event.headers or ())
        try:
            request = read_request(fields, ended, self.context)
        except RequestRefused as refusal:
            core = RequestCore(self.context)
            stream = Stream(stream_id, core)
            stream.half_closed = ended
            self._open(stream)
            self._feed(stream, core.refuse, refusal, *fields.name)
            return
        self._start(stream_id, request, ended)

    def _start(self, stream_id: int, request: Request, ended: bool) -> None:
        if request.is_websocket:
            local = self._local(stream_id)
            websocket = StreamWebSocketCore(self.context, request.head, local)
            stream = Stream(stream_id, websocket)
            self._open(stream)
            self._feed(stream, websocket.connection_made)
        else:
            core = RequestCore(self.context)
            stream = Stream(stream_id, core)
            stream.half_closed = ended
            self._feed(stream, core.start, request, self._open(stream))

    def _data(self, event: events.DataReceived) -> None:
        size = event.flow_controlled_length or 0
        self._received += size
        if self._received >= _WINDOW // 2:
            self._h2.increment_flow_control_window(self._received)
            self._received = 0
        if not event.data and event.stream_ended is None:
            self._guard.empty(self.context.clock())
        stream = self._streams[event.stream_id or 0]
        stream.withheld += size
        # For ``h2`` the client's side has ended, though its event is yet to come.
        stream.half_closed = event.stream_ended is not None
        if event.data and stream.is_open:
            self._feed(stream, stream.core.receive_data, event.data)
        self._give_back(stream)

    def _ended_by_client(self, event: events.StreamEnded) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is None:
            return
        stream.half_closed = True
        if stream.is_open:
            self._feed(stream, stream.core.end_body)
        else:
            self._drop(stream)
            self._h2.ping(_WAKE)

    def _trailers(self, event: events.TrailersReceived) -> None:
        """Trailers are checked and dropped."""
        try:
            check_trailers(event.headers or (), self.context.options)
        except RequestRefused as refusal:
            logger.info("A stream of HTTP/2 was reset: %s", refusal.detail)
            stream = self._streams[event.stream_id or 0]
            stream.half_closed = True
            self._reset(stream, ErrorCodes.PROTOCOL_ERROR)
            self._guard.reset(self.context.clock())

    def _reset_by_client(self, event: events.StreamReset) -> None:
        """The client gave up a stream, or broke its flow control."""
        stream = self._streams[event.stream_id or 0]
        self._shut(stream)
        self._drop(stream)
        if not stream.is_pushed:
            self._guard.reset(self.context.clock())

    def _window_opened(self, event: events.WindowUpdated) -> None:
        if event.stream_id:
            self._queue(self._streams[event.stream_id])
        else:
            self._queue_all()

    def _settings_changed(self, event: events.RemoteSettingsChanged) -> None:
        self._queue_all()  # all windows of streams may be others now

    # -- streams ----------------------------------------------------------------------------------

    def _may_push(self) -> bool:
        settings = self._h2.remote_settings
        most = min(settings.max_concurrent_streams, self.context.options.http2_max_streams)
        return bool(settings.enable_push) and not self._leaving and self._pushed < most

    # -- time, and the end ------------------------------------------------------------------------

    def _wait_for_client(self, stream: Stream) -> None:
        """A client that has closed its side cannot open a window any more."""
        if self._eof and stream.buffer and self._h2.local_flow_control_window(stream.id) <= 0:
            self._reset(stream, ErrorCodes.CANCEL)
        else:
            super()._wait_for_client(stream)

    def _settle(self) -> None:
        """End a connection that is done, and one that nobody uses after a while."""
        if self._streams:
            self._cancel(None, "idle")
        elif self._leaving:
            self._end()
            self.emit(Close())
        elif (None, "idle") not in self._timers:
            self._arm_idle(self.context.options.keep_alive_timeout)

    def _arm_idle(self, seconds: float | None) -> None:
        if seconds is not None:
            self._arm(None, "idle", self.context.clock() + seconds)

    def _timed_out(self, name: str) -> None:
        if name == "fields":
            reason = "the header fields came too slowly"
            self._fail(ConnectionFailure(ErrorCodes.ENHANCE_YOUR_CALM, reason, "header_timeout"))
        elif name == "write":
            self._end()
            self.emit(Abort())
        else:  # nobody uses it, or its last chance for another request is over
            self._say_goodbye()

    def _fail(self, failure: ConnectionFailure) -> None:
        """The client broke a rule or a limit: say so, and end the connection."""
        level = logging.WARNING if failure.option else logging.INFO
        limit = f" (option {failure.option})" if failure.option else ""
        who = client_name(self.context.client)
        logger.log(level, "HTTP/2 with %s ends: %s%s", who, failure.reason, limit)
        if failure.said:
            self._write_out()
        else:
            self._flush()
            self._write_goaway(self._last_id, failure.code, failure.reason)
        self._end()
        self.emit(Close())

    def _say_goodbye(self) -> None:
        """Take no further stream (RFC 9113, 6.8)."""
        if not self._leaving:
            self._leaving = True
            self._write_goaway(self._last_id, ErrorCodes.NO_ERROR)

    def _write_goaway(self, last_id: int, code: ErrorCodes, reason: str = "") -> None:
        # By hand: ``h2`` would take and send nothing more after it.
        self._write_out()
        data = GoAwayFrame(0, last_id, code, reason.encode()).serialize()
        self._in_flight += len(data)
        self.emit(Write(data))

    def _end(self) -> None:
        """All streams are over, with the connection."""
        self._closed = True
        for name in ("fields", "goodbye", "idle", "write"):
            self._cancel(None, name)
        for stream in list(self._streams.values()):
            self._shut(stream)
            self._drop(stream)

    def shutdown(self) -> None:
        """See ``Core``: no more streams after those that the client may be about to begin.

        WebSockets are closed one after the other within ``options.drain`` seconds.
        """
        if self._closed:
            return
        drain = self.context.options.drain
        if drain and not self._leaving:
            self._write_goaway(_ANY_ID, ErrorCodes.NO_ERROR)
            self._arm(None, "goodbye", self.context.clock() + min(LAST_CHANCE, drain))
        else:
            self._say_goodbye()
        sockets = [stream for stream in self._streams.values() if stream.is_websocket]
        for number, stream in enumerate(sockets):
            self._arm(stream, DRAIN, self.context.clock() + drain * number / len(sockets))
        self._flush()


def _without_upgrade(request: Request) -> Request:
    """The request as it would be in HTTP/2."""
    head = request.head
    headers = [pair for pair in head.headers if pair[0] not in _OF_UPGRADES]
    return request._replace(head=head._replace(http_version="2", headers=headers))


_HANDLERS: dict[type, Any] = {
    events.DataReceived: Http2Core._data,
    events.RemoteSettingsChanged: Http2Core._settings_changed,
    events.RequestReceived: Http2Core._request,
    events.StreamEnded: Http2Core._ended_by_client,
    events.StreamReset: Http2Core._reset_by_client,
    events.TrailersReceived: Http2Core._trailers,
    events.WindowUpdated: Http2Core._window_opened,
}
