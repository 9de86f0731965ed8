"""The core of a stream that is a request: the rules of HTTP/1.1's, in the frames of HTTP/2.

Receiving and answering are shared with HTTP/1.1 (``daphne.protocol.receiver``); a stream has one
request, so its end is the stream's. Where streams begin, and in which frames their bytes travel, is
decided in ``connection``.
"""

from collections.abc import Callable, Mapping
from typing import Any

from channels.exceptions import ChannelFull
from channels.spec import check_http_server_push
from daphne.exceptions import RequestRefused
from daphne.protocol.core import ConnectionContext
from daphne.protocol.error_pages import error_page
from daphne.protocol.exchange import Exchange
from daphne.protocol.http2.push import promise_headers, promised_request
from daphne.protocol.http2.response import CONTINUE, page_headers, render_start
from daphne.protocol.operations import Promise, Respond
from daphne.protocol.receiver import Receiver
from daphne.protocol.request import Request
from daphne.protocol.response import Start

__all__ = ["PushedCore", "RequestCore"]


class RequestCore(Receiver):
    """The core of one request."""

    __slots__ = ()

    # -- from the client --------------------------------------------------------------------------

    def start(self, request: Request, local: str) -> None:
        """Begin; ``local`` is the local part of the reply channel."""
        exchange = Exchange(request, local, self.context.reply_prefix + local, self.context.clock())
        self._exchange = exchange
        if request.length:
            if self._start_upload(exchange):
                exchange.continue_due = request.expects_continue
                self._continue(exchange)
        else:
            self._announce(exchange)

    def refuse(self, refusal: RequestRefused, method: str, path: str) -> None:
        """Answer a request that is none."""
        self._page(refusal.status, refusal.detail, refusal.headers, method == "HEAD")
        self._refused(refusal, method, path)
        self._close()

    def receive_data(self, data: bytes) -> None:
        """See ``Core``: a part of the body."""
        self._receive(data, False)

    def end_body(self) -> None:
        """The client has sent the whole body."""
        self._receive(b"", True)

    def _receive(self, data: bytes, whole: bool) -> None:
        exchange = self._exchange
        if exchange is None or not exchange.receiving or self._closed:
            return
        length, received = exchange.request.length, exchange.received + len(data)
        if 0 < length < received or (whole and 0 < length != received):
            detail = "The length of the body is not what its header says."
            self._refuse_exchange(exchange, RequestRefused(400, detail))
            return
        self._take_body(exchange, data, whole)

    def _regulate(self) -> None:
        exchange = self._exchange
        held = exchange is not None and exchange.receiving and exchange.held
        self._set_reading(not held)

    # -- answers ----------------------------------------------------------------------------------

    def _begin(
        self, exchange: Exchange, message: Mapping[str, Any], shared: dict[Any, Any]
    ) -> Start:
        key = ("http2", exchange.request.head.method == "HEAD")
        rendered = shared.get(key)
        if rendered is None:
            rendered = shared[key] = render_start(
                message,
                method=exchange.request.head.method,
                now=self.context.now(),
                server_name=self.context.options.server_name,
            )
        headers, start = rendered
        self.emit(Respond(headers))
        if start.data:
            self._write(start.data)
        return start

    def _write_continue(self) -> None:
        self.emit(Respond(CONTINUE))

    def _write_page(self, exchange: Exchange, status: int, detail: str, close: bool) -> bool:
        self._page(status, detail, (), exchange.request.head.method == "HEAD")
        return True

    def _page(
        self,
        status: int,
        detail: str,
        headers: tuple[tuple[bytes, bytes], ...],
        head_only: bool,
    ) -> None:
        page = error_page(status, detail)
        self.emit(
            Respond(
                page_headers(
                    status,
                    len(page),
                    now=self.context.now(),
                    server_name=self.context.options.server_name,
                    headers=headers,
                )
            )
        )
        if not head_only:
            self._write(page)

    def _push(self, exchange: Exchange, message: Mapping[str, Any]) -> None:
        push = check_http_server_push(message)["request"]
        request = promised_request(push, exchange.request.head)
        self.emit(Promise(request, promise_headers(request.head), self._give_up))

    def _give_up(self) -> None:
        """A push that belongs to this response found no room (ASGI spec, HTTP, Server Push)."""
        if self._exchange is not None:
            self._refuse_exchange(self._exchange, RequestRefused(503, "Request queue full."))

    # -- the end ----------------------------------------------------------------------------------

    def _serve(self) -> None:
        self._close()

    def _expired_idle(self) -> None:
        """There is no deadline without a request."""


class PushedCore(RequestCore):
    """The core of a pushed response."""

    __slots__ = ("_on_full",)

    def __init__(self, context: ConnectionContext, on_full: Callable[[], None]) -> None:
        """``on_full`` is called where the layer has no room for the request."""
        super().__init__(context)
        self._on_full = on_full

    def _request_failed(self, exchange: Exchange, error: Exception) -> None:
        """Nobody waits for the answer: drop the stream (RFC 9113, 8.4.2)."""
        exchange.announced = False
        self._cut(exchange, f"its request found no way to a worker: {error!r}")
        if isinstance(error, ChannelFull):
            self._on_full()

    def _push(self, exchange: Exchange, message: Mapping[str, Any]) -> None:
        """A push may not push (RFC 9113, 6.6)."""
