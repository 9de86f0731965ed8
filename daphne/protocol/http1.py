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

How a request is answered is in ``responder``, and how its body is received in ``receiver``, which
HTTP/2 shares; deadline and closing are in ``http_connection``.
"""

from collections.abc import Mapping
from typing import Any

from daphne.exceptions import RequestRefused
from daphne.protocol.body import BodyDecoder, ChunkedDecoder, LengthDecoder
from daphne.protocol.core import ConnectionContext
from daphne.protocol.error_pages import error_response
from daphne.protocol.exchange import Exchange
from daphne.protocol.head import Head
from daphne.protocol.head_buffer import HeadBuffer
from daphne.protocol.operations import Upgrade
from daphne.protocol.receiver import Receiver
from daphne.protocol.request import CHUNKED, Request, parse_request
from daphne.protocol.response import Start, render_start
from daphne.protocol.websocket import WebSocketCore

__all__ = ["LAST_CHANCE", "Http1Core"]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

#: Bytes of further requests that are kept while one is answered; then the client is not read.
_PIPELINE_LIMIT = 64 * 1024

#: Seconds that an idle client has for one more request when the server stops: it may have sent it
#: already, or have connected to send it.
LAST_CHANCE = 2.0


class Http1Core(Receiver):
    """The HTTP/1.1 side of one connection."""

    __slots__ = ("_awaited", "_buffer", "_count", "_decoder", "_last_chance")

    kind = "http/1"

    def __init__(self, context: ConnectionContext) -> None:
        super().__init__(context)
        self._buffer = HeadBuffer(context.options)
        #: Local parts are the connection's name and a count, so none is ever used twice.
        self._count = 0
        #: What of the next request the deadline is for; empty where it is for something else.
        self._awaited = "head"
        #: Decodes the body of the request under way, if it has one.
        self._decoder: BodyDecoder
        #: Whether one more request is taken although the server stops.
        self._last_chance = False

    # -- from the client --------------------------------------------------------------------------

    def connection_made(self) -> None:
        """See ``Core``: the first head has to come in time."""
        self._arm(self.context.options.header_timeout)

    def receive_data(self, data: bytes) -> None:
        """See ``Core``."""
        if self._closed or self._discarding:
            return
        exchange = self._exchange
        if exchange is not None and exchange.receiving:
            self._receive_body(exchange, data)
            return
        self._buffer.append(data)
        if exchange is None:
            self._serve()
        else:
            self._regulate()

    def _await_client(self) -> None:
        self._awaited = ""
        super()._await_client()

    # -- reading requests -------------------------------------------------------------------------

    def _serve(self) -> None:
        """Go on to the next request, if it is there and may be handled."""
        if not self._closed and not self._write_paused:
            stopping = self._stopping and not self._last_chance
            try:
                data = None if stopping else self._buffer.next_head()
            except RequestRefused as refusal:
                self._refuse(refusal)
                return
            if data is not None:
                self._start(data)
            elif stopping or self._eof:
                self._close()
            else:
                self._await_head()
        self._regulate()

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
        self._last_chance = False
        if request.is_websocket:
            self._upgrade(request.head)
            return
        if request.http2_settings is not None and self._upgrade_to_http2(request):
            return
        self._count += 1
        local = f"{self.context.name}{self._count}"
        exchange = Exchange(request, local, self.context.reply_prefix + local, self.context.clock())
        self._exchange = exchange
        if request.length:
            self._start_body(exchange)
        else:
            self._announce(exchange)

    def _upgrade_to_http2(self, request: Request) -> bool:
        """Whether the request is answered over HTTP/2; ``opening`` knows how."""
        return False

    def _upgrade(self, head: Head) -> None:
        """Hand the connection over to a WebSocket core."""
        self._closed = True
        self._set_reading(True)
        core = WebSocketCore(self.context, head, self.context.name)
        self.emit(Upgrade(core, self._buffer.take()))

    # -- the request's body -----------------------------------------------------------------------

    def _start_body(self, exchange: Exchange) -> None:
        options = self.context.options
        length = exchange.request.length
        if not self._start_upload(exchange):
            return
        if length == CHUNKED:
            self._decoder = ChunkedDecoder(
                options.header_line_limit, options.header_total_limit, options.max_headers
            )
        else:
            self._decoder = LengthDecoder(length)
        exchange.continue_due = exchange.request.expects_continue and not len(self._buffer)
        self._continue(exchange)
        if len(self._buffer):
            self._receive_body(exchange, self._buffer.take())

    def _write_continue(self) -> None:
        self._write(_CONTINUE)

    def _receive_body(self, exchange: Exchange, data: bytes) -> None:
        try:
            part, rest = self._decoder.feed(data)
        except RequestRefused as refusal:
            self._refuse_exchange(exchange, refusal)
            return
        if rest is not None:
            self._buffer.append(rest)
        self._take_body(exchange, part, rest is not None)

    def _regulate(self) -> None:
        """Read on, or not, by what waits already."""
        if self._closed:
            return
        exchange = self._exchange
        if exchange is not None and exchange.receiving:
            reading = not exchange.held
        elif exchange is None and not self._write_paused:
            reading = True  # a head is incomplete, and its own limits end it
        else:
            reading = self._discarding or len(self._buffer) <= _PIPELINE_LIMIT
        if reading is not self._reading:
            self._set_reading(reading)

    # -- answers ----------------------------------------------------------------------------------

    def _begin(
        self, exchange: Exchange, message: Mapping[str, Any], shared: dict[Any, Any]
    ) -> Start:
        request, head = exchange.request, exchange.request.head
        keep_alive = request.keep_alive and not self._stopping and not exchange.receiving
        key = ("http1", head.method == "HEAD", head.http_version, keep_alive)
        start: Start | None = shared.get(key)
        if start is None:
            start = shared[key] = render_start(
                message,
                method=head.method,
                http_version=head.http_version,
                keep_alive=keep_alive,
                now=self.context.now(),
                server_name=self.context.options.server_name,
            )
        self._write(start.data)
        return start

    def _write_page(self, exchange: Exchange, status: int, detail: str, close: bool) -> bool:
        request = exchange.request
        close = close or not request.keep_alive or self._stopping or exchange.receiving
        close = close or request.head.http_version == "1.0"
        page = error_response(
            status,
            detail,
            now=self.context.now(),
            server_name=self.context.options.server_name,
            head_only=request.head.method == "HEAD",
            close=close,
        )
        self._write(page)
        return close

    def _refuse(self, refusal: RequestRefused, data: bytes = b"") -> None:
        """Answer a request that never became an exchange."""
        page = error_response(
            refusal.status,
            refusal.detail,
            now=self.context.now(),
            server_name=self.context.options.server_name,
            headers=refusal.headers,
            head_only=data.startswith(b"HEAD "),
        )
        self._write(page)
        self._refused(refusal, *_request_name(data))
        self._close()

    # -- time, and the end ------------------------------------------------------------------------

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
        """See ``Core``: the response under way is the last one, or that to one more request."""
        self._stopping = True
        if self._exchange is not None:
            return
        seconds = min(LAST_CHANCE, self.context.options.drain)
        if seconds and not self._write_paused:
            self._last_chance = True
            self._arm(seconds)
        else:
            self._close()


def _request_name(data: bytes) -> tuple[str, str]:
    """Method and target of a head that was refused, as far as they can be told, for the log."""
    parts = data[: data.find(b"\r\n")].decode("latin-1").split(" ")
    return (parts[0][:80], parts[1][:2000]) if len(parts) == 3 else ("-", "-")
