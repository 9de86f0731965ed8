"""Receiving one request's body, and waiting: for the client, for the layer, for the application.

This is what HTTP/1.1 and HTTP/2 have in common beside the answers (``responder``): the body goes to
the layer by an ``Upload``, a client that sends it too slowly is refused, and one that sends faster
than the layer takes is not read. How the body's bytes are found in what arrives, and which request
comes next, is the subclasses'.
"""

from channels.exceptions import ChannelFull
from channels.spec import HTTP_REQUEST
from daphne.exceptions import RequestRefused
from daphne.protocol.credit import Credit
from daphne.protocol.exchange import Exchange
from daphne.protocol.operations import Send
from daphne.protocol.responder import Responder, logger
from daphne.protocol.upload import Upload

__all__ = ["Receiver"]


class Receiver(Responder):
    """The receiving half of what serves requests."""

    __slots__ = ()

    # -- for subclasses ---------------------------------------------------------------------------

    def _regulate(self) -> None:
        """Read on, or not, by what waits already."""
        raise NotImplementedError

    def _write_continue(self) -> None:
        """Tell the client to send the body (RFC 9110, 10.1.1)."""
        raise NotImplementedError

    def _expired_idle(self) -> None:
        """The deadline has passed, and no request is under way."""
        raise NotImplementedError

    # -- from the client --------------------------------------------------------------------------

    def receive_eof(self) -> None:
        """See ``Core``: answer what was asked, for a moment."""
        exchange = self._exchange
        self._eof = True
        if self._closed:
            return
        if exchange is None:
            if not self._write_paused:
                self._close()
        elif exchange.receiving:
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
            self._arm(self.context.options.write_timeout)

    # -- the request and its body -----------------------------------------------------------------

    def _announce(self, exchange: Exchange) -> None:
        """Send a request without a body."""
        self.emit(Send(HTTP_REQUEST, exchange.message(), exchange))
        exchange.announced = True
        self._await_response(exchange, exchange.started)

    def _start_upload(self, exchange: Exchange) -> bool:
        """Prepare for the body of a request; whether it may come."""
        options = self.context.options
        length = exchange.request.length
        if options.max_body is not None and length > options.max_body:
            self._refuse_exchange(exchange, _too_large())
            return False
        exchange.receiving = True
        exchange.upload = Upload(exchange.message(), self.emit, options.body_chunk_size)
        exchange.upload.begin(length)
        self._arm(options.body_grace, exchange.started)
        return True

    def _take_body(self, exchange: Exchange, part: bytes, whole: bool) -> None:
        """Take a part of the body; ``whole`` says that it was the last one."""
        upload = exchange.upload
        if upload is None:  # pragma: no cover  (who receives a body has an upload)
            return
        exchange.received += len(part)
        exchange.continue_due = False
        limit = self.context.options.max_body
        if limit is not None and exchange.received > limit:
            self._refuse_exchange(exchange, _too_large())
            return
        exchange.receiving = not whole
        upload.feed(part, whole, self.context.clock())
        self._upload_moved(exchange)

    def _continue(self, exchange: Exchange) -> None:
        """Ask for the body as soon as it is wanted (RFC 9110, 10.1.1)."""
        if exchange.continue_due and exchange.upload is not None and exchange.upload.wants_body:
            exchange.continue_due = False
            self._write_continue()

    def _upload_moved(self, exchange: Exchange) -> None:
        """Choose who is waited for: the client, or the layer and then the application."""
        upload, options = exchange.upload, self.context.options
        if upload is None or exchange.status:
            return
        held = exchange.receiving and upload.is_full
        if not exchange.receiving or (held and not exchange.held):
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

    # -- time -------------------------------------------------------------------------------------

    def _expired(self) -> None:
        """The deadline has passed: say so to who can hear it."""
        exchange = self._exchange
        if exchange is None:
            self._expired_idle()
        elif exchange.status:
            who = "client" if self._write_paused else "application"
            self._cut(exchange, f"the {who} did not go on in time")
        elif exchange.receiving and not exchange.held:
            self._look_at_rate(exchange)
        elif self._eof:
            self._abandon(exchange)
            self._close()
        else:
            detail = "Worker server failed to respond within time limit."
            self._refuse_exchange(exchange, RequestRefused(503, detail, option="http_timeout"))


def _too_large() -> RequestRefused:
    return RequestRefused(413, "The body of the request is too large.", option="max_body")
