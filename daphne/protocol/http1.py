"""The core of an HTTP/1.1 connection: which request is read when, and how it is answered.

Theory of operation. The bytes of a connection go through a ``HeadBuffer``. One head at a time is
taken out of it and becomes an ``Exchange``; the next one waits until that is over, so responses
cannot get out of order, and a client that sends many requests at once is not read any more while
64 KiB of them wait. An exchange goes through these steps, of which the first two may overlap:

1. The body, if any, is decoded (``body``) and taken to the layer (``upload``).
2. ``http.request`` was sent; the application has ``http_timeout`` for its first message, and for
   each further one of a response in several messages. When the client takes nothing meanwhile,
   ``write_timeout`` counts instead, and credit (``credit``) stops the worker.
3. The response was written: the application is told by ``http.disconnect``, and the access log
   gets its line. The connection goes on to the next head, or is closed.

A request that is refused, by the rules of ``request`` or by the layer, is answered by an error
page, and the connection is closed; the shell reads on for a moment, so that the page arrives.

A client that closes its sending side is answered within ``half_close_grace`` seconds, or not at
all: nothing tells it from a client that is gone. A WebSocket handshake replaces this core.

The answers are written in ``responder``; deadline and closing are in ``http_connection``.
"""

import secrets

from channels.exceptions import ChannelFull
from channels.spec import HTTP_REQUEST
from daphne.exceptions import RequestRefused
from daphne.protocol.body import ChunkedDecoder, LengthDecoder
from daphne.protocol.core import ConnectionContext
from daphne.protocol.credit import Credit
from daphne.protocol.exchange import Exchange
from daphne.protocol.head import Head
from daphne.protocol.head_buffer import HeadBuffer
from daphne.protocol.operations import Register, Send, Upgrade
from daphne.protocol.request import CHUNKED, parse_request
from daphne.protocol.responder import Responder, logger
from daphne.protocol.upload import Upload
from daphne.protocol.websocket import WebSocketCore

__all__ = ["Http1Core"]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

#: Bytes of further requests that are kept while one is answered; then the client is not read.
_PIPELINE_LIMIT = 64 * 1024


class Http1Core(Responder):
    """The HTTP/1.1 side of one connection."""

    __slots__ = ("_awaited", "_buffer", "_count", "_name")

    def __init__(self, context: ConnectionContext) -> None:
        super().__init__(context)
        self._buffer = HeadBuffer(context.options)
        #: Local parts are this name and a count, so none is ever used twice.
        self._name = secrets.token_hex(8)
        self._count = 0
        #: What of the next request the deadline is for; empty where it is for something else.
        self._awaited = "head"

    # -- from the client --------------------------------------------------------------------------

    def connection_made(self) -> None:
        """See ``Core``: the first head has to come in time."""
        self._arm(self.context.options.header_timeout)

    def receive_data(self, data: bytes) -> None:
        """See ``Core``."""
        if self._closed or self._discarding:
            return
        exchange = self._exchange
        if exchange is not None and exchange.decoder is not None:
            self._receive_body(exchange, data)
            return
        self._buffer.append(data)
        if exchange is None:
            self._serve()
        else:
            self._regulate()

    def receive_eof(self) -> None:
        """See ``Core``: answer what was asked, for a moment."""
        exchange = self._exchange
        self._eof = True
        if self._closed:
            return
        if exchange is None:
            if not self._write_paused:
                self._close()
        elif exchange.decoder is not None:
            self._abandon(exchange)
            self._close()
        elif not exchange.status:
            self._await_response(exchange)

    def connection_lost(self) -> None:
        """See ``Core``: tell the application."""
        self._closed = True
        self._deadline = None
        if self._exchange is not None:
            self._abandon(self._exchange)

    def pause_writing(self) -> None:
        """See ``Core``: from now on the client's time counts, not the application's."""
        self._write_paused = True
        self._await_client()

    def resume_writing(self) -> None:
        """See ``Core``."""
        self._write_paused = False
        if self._closed:
            return
        exchange = self._exchange
        if exchange is None:
            self._serve()
        elif exchange.status:
            self._await_response(exchange)

    def drained(self, count: int) -> None:
        """See ``Core``: give credit to the worker."""
        self._outstanding -= count
        exchange = self._exchange
        if self._write_paused:
            self._await_client()
        if exchange is not None and exchange.credit is not None and exchange.body is not None:
            # No byte of body has left before all bytes that were written earlier.
            exchange.credit.advance(exchange.body.size - self._outstanding)

    def _await_client(self) -> None:
        exchange = self._exchange
        if not self._closed and (exchange is None or exchange.status):
            self._awaited = ""
            self._arm(self.context.options.write_timeout)

    # -- reading requests -------------------------------------------------------------------------

    def _serve(self) -> None:
        """Go on to the next request, if it is there and may be handled."""
        if not self._closed and not self._write_paused:
            self._next_request()
        self._regulate()

    def _next_request(self) -> None:
        try:
            data = None if self._stopping else self._buffer.next_head()
        except RequestRefused as refusal:
            self._refuse(refusal)
            return
        if data is not None:
            self._start(data)
        elif self._stopping or self._eof:
            self._close()
        else:
            self._await_head()

    def _await_head(self) -> None:
        """Wait for the next head: a while for its first byte, then less for all of it."""
        options = self.context.options
        if self._awaited == "head":
            return
        if len(self._buffer) or self._awaited:  # a byte came, even if only that of an empty line
            self._awaited = "head"
            self._arm(options.header_timeout)
        else:
            self._awaited = "first byte"
            self._arm(options.keep_alive_timeout)

    def _start(self, data: bytes) -> None:
        """Begin the exchange of the head in ``data``."""
        try:
            request = parse_request(data, self.context)
        except RequestRefused as refusal:
            self._refuse(refusal, data)
            return
        self._awaited = ""
        if request.is_websocket:
            self._upgrade(request.head)
            return
        self._count += 1
        local = f"{self._name}{self._count}"
        exchange = Exchange(request, local, self.context.reply_prefix + local, self.context.clock())
        self._exchange = exchange
        if request.length:
            self._start_body(exchange)
        else:
            self.emit(Register(local))
            self.emit(Send(HTTP_REQUEST, exchange.message(), exchange))
            exchange.announced = True
            self._await_response(exchange, exchange.started)

    def _upgrade(self, head: Head) -> None:
        """Hand the connection over to a WebSocket core."""
        self._closed = True
        self._set_reading(True)
        self.emit(Upgrade(WebSocketCore(self.context, head), self._buffer.take()))

    # -- the request's body -----------------------------------------------------------------------

    def _start_body(self, exchange: Exchange) -> None:
        options = self.context.options
        length = exchange.request.length
        if options.max_body is not None and length > options.max_body:
            self._refuse_exchange(exchange, _too_large())
            return
        self.emit(Register(exchange.local))
        exchange.upload = Upload(exchange.message(), self.emit, options.body_chunk_size)
        if length == CHUNKED:
            exchange.decoder = ChunkedDecoder(
                options.header_line_limit, options.header_total_limit, options.max_headers
            )
        else:
            exchange.decoder = LengthDecoder(length)
        exchange.upload.begin(length)
        self._arm(options.body_grace, exchange.started)
        exchange.continue_due = exchange.request.expects_continue and not len(self._buffer)
        self._continue(exchange)
        if len(self._buffer):
            self._receive_body(exchange, self._buffer.take())

    def _continue(self, exchange: Exchange) -> None:
        """Ask for the body as soon as it is wanted (RFC 9110, 10.1.1)."""
        if exchange.continue_due and exchange.upload is not None and exchange.upload.wants_body:
            exchange.continue_due = False
            self._write(_CONTINUE)

    def _receive_body(self, exchange: Exchange, data: bytes) -> None:
        decoder, upload = exchange.decoder, exchange.upload
        if decoder is None or upload is None:
            return
        try:
            part, rest = decoder.feed(data)
        except RequestRefused as refusal:
            self._refuse_exchange(exchange, refusal)
            return
        exchange.received += len(part)
        exchange.continue_due = False
        limit = self.context.options.max_body
        if limit is not None and exchange.received > limit:
            self._refuse_exchange(exchange, _too_large())
            return
        if rest is not None:
            exchange.decoder = None
            self._buffer.append(rest)
        upload.feed(part, rest is not None, self.context.clock())
        self._upload_moved(exchange)

    def _upload_moved(self, exchange: Exchange) -> None:
        """Choose who is waited for: the client, or the layer and then the application."""
        upload, options = exchange.upload, self.context.options
        if upload is None or exchange.status:
            return
        held = exchange.decoder is not None and upload.is_full
        if exchange.decoder is None or (held and not exchange.held):
            self._await_response(exchange)
        elif exchange.held and not held:
            exchange.looked_at = exchange.received
            self._arm(options.body_grace)
        exchange.held = held
        self._continue(exchange)
        self._regulate()

    def _look_at_rate(self, exchange: Exchange) -> None:
        """Refuse a client that sends its body too slowly."""
        options = self.context.options
        progress = exchange.received - exchange.looked_at
        if exchange.continue_due:  # it was not told to send anything yet
            self._arm(options.body_grace)
            return
        if progress < (options.body_min_rate or 0) * options.body_grace or not progress:
            detail = "The body of the request came too slowly."
            refusal = RequestRefused(408, detail, option="body_min_rate")
            self._refuse_exchange(exchange, refusal)
            return
        exchange.looked_at = exchange.received
        self._arm(options.body_grace)

    def _regulate(self) -> None:
        """Read on, or not, by what waits already."""
        if self._closed:
            return
        exchange = self._exchange
        if exchange is not None and exchange.decoder is not None:
            self._set_reading(not exchange.held)
        elif exchange is None and not self._write_paused:
            self._set_reading(True)  # a head is incomplete, and its own limits end it
        else:
            self._set_reading(self._discarding or len(self._buffer) <= _PIPELINE_LIMIT)

    # -- from the channel layer -------------------------------------------------------------------

    def sent(self, key: object) -> None:
        """See ``Core``."""
        if isinstance(key, Upload):
            key.sent(self.context.clock())
            self._after_upload(key)
        elif isinstance(key, Credit):
            key.sent()

    def send_failed(self, key: object, error: Exception) -> None:
        """See ``Core``."""
        exchange = self._exchange
        if isinstance(key, Credit):
            key.failed(error)
        elif isinstance(key, Upload) and key.failed(error):
            self._after_upload(key)
        elif exchange is not None and (key is exchange or key is exchange.upload):
            self._request_failed(exchange, error)

    def room(self, key: object) -> None:
        """See ``Core``."""
        if isinstance(key, (Upload, Credit)):
            key.room()

    def channel_made(self, key: object, name: str) -> None:
        """See ``Core``."""
        if isinstance(key, Upload):
            key.channel_made(name, self.context.clock())
            self._after_upload(key)

    def _after_upload(self, upload: Upload) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.upload is upload and not self._closed:
            self._upload_moved(exchange)

    def _request_failed(self, exchange: Exchange, error: Exception) -> None:
        """The layer did not take the request, or a part of its body."""
        exchange.announced = False
        if isinstance(error, ChannelFull):
            self._refuse_exchange(exchange, RequestRefused(503, "Request queue full."))
            return
        logger.error("A request could not be sent to the channel layer: %s", error)
        self._refuse_exchange(exchange, RequestRefused(503, "The request could not be passed on."))

    # -- time, and the end ------------------------------------------------------------------------

    def _expired(self) -> None:
        """The deadline has passed: say so to who can hear it."""
        exchange = self._exchange
        if exchange is None:
            self._expired_idle()
        elif exchange.status:
            who = "client" if self._write_paused else "application"
            self._cut(exchange, f"the {who} did not go on in time")
        elif exchange.decoder is not None and not exchange.held:
            self._look_at_rate(exchange)
        elif self._eof:
            self._abandon(exchange)
            self._close()
        else:
            detail = "Worker server failed to respond within time limit."
            self._refuse_exchange(exchange, RequestRefused(503, detail, option="http_timeout"))

    def _expired_idle(self) -> None:
        """No head came, not all of it, or the last response was not read."""
        if self._write_paused:
            self._abort()
        elif len(self._buffer):
            detail = "The head of the request came too slowly."
            self._refuse(RequestRefused(408, detail, option="header_timeout"))
        else:
            self._close()

    def shutdown(self) -> None:
        """See ``Core``: the response under way is the last one."""
        self._stopping = True
        if self._exchange is None:
            self._close()


def _too_large() -> RequestRefused:
    return RequestRefused(413, "The body of the request is too large.", option="max_body")
