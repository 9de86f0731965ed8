"""Answering one request: by the application's messages, or by an error page.

This is what HTTP/1.1 and HTTP/2 have in common; how a response looks on the wire, and which request
is answered, is decided in ``http1`` and in ``http2``.
"""

import logging
from collections.abc import Mapping
from typing import Any

from channels.exceptions import InvalidMessage
from channels.spec import HTTP_DISCONNECT, credit_channel, http_disconnect
from daphne.exceptions import RequestRefused
from daphne.protocol.core import ConnectionContext
from daphne.protocol.credit import Credit
from daphne.protocol.exchange import Exchange, client_name, refusal_details
from daphne.protocol.http_connection import HttpConnection
from daphne.protocol.operations import Log, Send
from daphne.protocol.response import Framing, ResponseBody, Start

__all__ = ["Responder"]

logger = logging.getLogger(__name__)

#: Status in the access log of a request whose client left before the response began. nginx's.
_CLIENT_LEFT = 499


class Responder(HttpConnection):
    """The answering half of what serves requests, one at a time."""

    __slots__ = ("_discarding", "_eof", "_exchange", "_stopping")

    def __init__(self, context: ConnectionContext) -> None:
        super().__init__(context)
        #: The request under way.
        self._exchange: Exchange | None = None
        #: Whether what the client sends is of no interest any more.
        self._discarding = False
        #: Whether the client has closed its sending side.
        self._eof = False
        #: Whether the response under way is the last one.
        self._stopping = False

    # -- for subclasses ---------------------------------------------------------------------------

    def _serve(self) -> None:
        """Go on to the next request."""
        raise NotImplementedError

    def _begin(
        self, exchange: Exchange, message: Mapping[str, Any], shared: dict[Any, Any]
    ) -> Start:
        """Write the first message of a response; raises ``InvalidMessage`` before anything."""
        raise NotImplementedError

    def _write_page(self, exchange: Exchange, status: int, detail: str, close: bool) -> bool:
        """Write an error page; whether the connection has to end."""
        raise NotImplementedError

    def _push(self, exchange: Exchange, message: Mapping[str, Any]) -> None:
        """A server push: dropped where there is none (ASGI spec, HTTP, Server Push)."""

    # -- responses --------------------------------------------------------------------------------

    def deliver(self, local: str, message: Mapping[str, Any], shared: dict[Any, Any]) -> None:
        """See ``Core``: a message of the response."""
        exchange = self._exchange
        if exchange is None or exchange.local != local:
            self._missed(local, message)
            return
        try:
            if exchange.status:
                self._continue_response(exchange, message)
            elif "status" in message or "request" not in message:
                self._start_response(exchange, message, shared)
            else:
                self._push(exchange, message)
        except InvalidMessage as error:
            self._spoiled(exchange, error)

    def _start_response(
        self, exchange: Exchange, message: Mapping[str, Any], shared: dict[Any, Any]
    ) -> None:
        start = self._begin(exchange, message, shared)
        exchange.status = start.status
        if exchange.receiving:
            self._drop_body(exchange)
        if start.problem:
            self._complain(exchange, start.problem)
        if start.more and start.framing != Framing.NONE and not start.problem:
            exchange.body = ResponseBody(start)
            self._stream(exchange, start)
        else:
            self._finish(exchange, start.size, start.close)

    def _drop_body(self, exchange: Exchange) -> None:
        """The response has begun before the end of the body: nobody wants the rest of it."""
        exchange.receiving = False
        exchange.continue_due = False
        if exchange.upload is not None:  # pragma: no branch  (who receives a body has one)
            exchange.upload.abandon()
        self._discarding = True
        self._set_reading(True)

    def _stream(self, exchange: Exchange, start: Start) -> None:
        """Prepare for the further messages of a response."""
        exchange.answered = self.context.clock()
        exchange.request = exchange.request._replace(keep_alive=not start.close)
        channel = credit_channel(exchange.reply_channel)
        if channel is not None:  # pragma: no branch  (a server of ours has names of ours)
            exchange.credit = Credit(channel, self.emit)
        self._await_response(exchange, exchange.answered)

    def _await_response(self, exchange: Exchange, now: float | None = None) -> None:
        """Give the application its time for the next message."""
        options = self.context.options
        if self._eof and not exchange.status:
            self._arm(options.half_close_grace, now)
        elif not (self._write_paused and exchange.status):
            self._arm(options.http_timeout, now)

    def _continue_response(self, exchange: Exchange, message: Mapping[str, Any]) -> None:
        body = exchange.body
        if body is None or message.get("closed") is True:
            self._cut(exchange, "its worker could not finish it")
            return
        data = body.render(message)
        if data:
            self._write(data)
        if body.problem:
            self._complain(exchange, body.problem)
        if body.problem or not body.more:
            close = bool(body.problem) or not exchange.request.keep_alive
            self._finish(exchange, body.size, close)
        elif self._outstanding > self.context.options.response_write_limit:
            self._cut(exchange, "the client does not read it (response_write_limit)")
        else:
            self._await_response(exchange)

    def _spoiled(self, exchange: Exchange, error: InvalidMessage) -> None:
        """The application sent a message that is no response; nothing of it was written."""
        self._complain(exchange, str(error))
        if exchange.status:
            self._cut(exchange, "the rest of it is invalid")
        else:
            self._answer(exchange, 500, "The application sent an invalid response.", False)

    def _complain(self, exchange: Exchange, problem: str) -> None:
        head = exchange.request.head
        logger.error("The response to %s %r is wrong: %s", head.method, head.path, problem)

    def _cut(self, exchange: Exchange, reason: str) -> None:
        """End a response in its midst, so that the client can tell."""
        head = exchange.request.head
        logger.warning("The response to %s %r was cut: %s", head.method, head.path, reason)
        self._abandon(exchange)
        self._abort()

    def _finish(self, exchange: Exchange, size: int, close: bool) -> None:
        """The response was written: tell, and go on."""
        self._exchange = None
        if exchange.upload is not None:
            exchange.upload.abandon()
        self._end(exchange, size)
        if close:
            self._close()
        else:
            self._serve()

    def _end(self, exchange: Exchange, size: int) -> None:
        """Tell the application and the access log that an exchange is over."""
        if exchange.is_announced and self.context.has_listener(HTTP_DISCONNECT):
            message = http_disconnect(exchange.reply_channel, exchange.request.head.path)
            self.emit(Send(HTTP_DISCONNECT, message))
        if self.context.logs_requests:
            seconds = self.context.clock() - exchange.started
            self.emit(Log("http", "complete", exchange.details(exchange.status, size, seconds)))

    def _abandon(self, exchange: Exchange) -> None:
        """The client gets no (further) response."""
        self._exchange = None
        if exchange.upload is not None:
            exchange.upload.abandon()
        if exchange.credit is not None:
            exchange.credit.close()
        exchange.status = exchange.status or _CLIENT_LEFT
        self._end(exchange, exchange.body.size if exchange.body is not None else 0)

    # -- refusals ---------------------------------------------------------------------------------

    def _refused(self, refusal: RequestRefused, method: str, path: str) -> None:
        """Log a request that never became an exchange."""
        _report("A request", refusal)
        client = client_name(self.context.client)
        details = refusal_details(client, method, path, refusal.status)
        self.emit(Log("http", "complete", details))

    def _refuse_exchange(self, exchange: Exchange, refusal: RequestRefused) -> None:
        """Give up on a request; its connection ends."""
        head = exchange.request.head
        _report(f"{head.method} {head.path!r}", refusal)
        if exchange.status:
            self._cut(exchange, refusal.detail)
        else:
            self._answer(exchange, refusal.status, refusal.detail, True)

    def _answer(self, exchange: Exchange, status: int, detail: str, close: bool) -> None:
        """Answer an exchange with an error page."""
        close = self._write_page(exchange, status, detail, close)
        exchange.status = status
        self._finish(exchange, 0, close)


def _report(what: str, refusal: RequestRefused) -> None:
    """Log a refusal; where a limit of ours was the reason, so that it is seen by default."""
    level = logging.WARNING if refusal.option else logging.INFO
    logger.log(level, "%s was refused with %s", what, refusal)
