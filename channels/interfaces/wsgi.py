"""``WSGIInterface``: a WSGI application that sends requests over a channel layer.

The reference's "WSGI Server to ASGI" (ASGI spec, WSGI Compatibility). Any WSGI server may run it,
for HTTP without WebSockets::

    application = WSGIInterface(get_channel_layer())

A request keeps a thread of the server until its response has been sent. While it does, it reads a
process channel of its own; these channels are used again for later requests, so that there are
never more of them than threads.
"""

import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from channels.exceptions import ChannelFull, InvalidMessage, LayerUnavailable, ResponseAborted
from channels.interfaces.http import (
    FULL,
    INVALID,
    LOST,
    NO_ANSWER,
    CreditCount,
    Start,
    is_push,
    read_chunk,
    read_start,
    refusal_page,
)
from channels.interfaces.wsgi_request import Environ, Upload, request_of
from channels.layers.exchange import receive_once, send_within
from channels.names import random_part
from channels.spec import (
    HTTP_DISCONNECT,
    HTTP_REQUEST,
    HTTP_REQUEST_BODY,
    RESPONSE_PREFIX,
    credit_channel,
    http_credit,
    http_disconnect,
    http_request_body_chunk,
)
from daphne.exceptions import RequestRefused
from daphne.options import Options
from daphne.protocol.status import reason_phrase

__all__ = ["WSGIInterface"]

logger = logging.getLogger("channels.interfaces")

#: ``start_response`` of PEP 3333.
StartResponse = Callable[..., Any]

#: Random bytes in the local part of a reply channel, so that a late message never reaches a newer
#: request; the part in front of it cannot be guessed.
_LOCAL_BYTES = 8

#: Seconds between looks for an early response, while nobody reads the request's body.
_LOOK_INTERVAL = 1.0


class WSGIInterface:
    """The application. ``layer`` is a channel layer, as ``get_channel_layer`` gives it.

    ``http_timeout``: seconds that the workers have for the first message of a response, then for
    each of its next ones. ``max_body``: bytes of a request's body, None for no limit. Raises
    ``ValueError`` for values that cannot work.
    """

    def __init__(
        self, layer: Any, *, http_timeout: float = 120.0, max_body: int | None = None
    ) -> None:
        Options(http_timeout=http_timeout, max_body=max_body)  # checks the values
        self.layer = layer
        self.http_timeout = http_timeout
        self.max_body = max_body
        self._inboxes: deque[_Inbox] = deque()
        self._process = os.getpid()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Pass a request on and wait for its response (PEP 3333)."""
        exchange = _Exchange(self, environ, self._take_inbox())
        try:
            start = exchange.start()
        except RequestRefused as refusal:
            logger.log(
                logging.WARNING if refusal.status >= 500 or refusal.option else logging.INFO,
                "%s %r was refused with %s",
                environ["REQUEST_METHOD"],
                environ.get("PATH_INFO", ""),
                refusal,
            )
            start = refusal_page(refusal, environ["REQUEST_METHOD"])
            exchange.end()
        except BaseException:
            exchange.end()
            raise
        body = _Body(exchange, start)
        try:
            start_response(*_head_of(start))
        except BaseException:  # servers refuse more than the specification does
            body.close()
            raise
        return body

    def _take_inbox(self) -> "_Inbox":
        if self._process != os.getpid():  # forked: those are the parent's
            # The number last: other threads go by it.
            self._inboxes, self._process = deque(), os.getpid()
        with suppress(IndexError):
            return self._inboxes.pop()
        return _Inbox(self.layer)

    def put_back(self, inbox: "_Inbox") -> None:
        """Take ``inbox`` for a later request."""
        self._inboxes.append(inbox)


def _head_of(start: Start) -> tuple[str, list[tuple[str, str]]]:
    """Status and headers as ``start_response`` takes them."""
    status = f"{start.status} {reason_phrase(start.status) or 'Unknown'}"
    return status, [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in start.headers
    ]


class _Inbox:
    """A process channel, read by one request at a time."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self.name = f"{RESPONSE_PREFIX}{random_part()}!"
        self._generation = ""

    def begin(self) -> str:
        """Serve another request; returns the local part of its reply channel."""
        self._generation = self._read_generation()
        return secrets.token_hex(_LOCAL_BYTES)

    def _read_generation(self) -> str:
        try:
            return str(self._layer.generation(self.name))
        except AttributeError:  # a layer of a third party, which does not tell
            return ""
        except Exception as error:
            logger.debug("The channel layer failed to tell its generation: %s", error)
            return self._generation

    def receive(self, local: str, timeout: float) -> dict[str, Any] | None:
        """The next message for ``local``; None after ``timeout`` seconds.

        Messages for earlier requests are dropped, and who streams them is told. Raises
        ``LayerUnavailable`` where the layer was emptied, so that no message will come.
        """
        wanted = self.name + local
        deadline = time.monotonic() + timeout
        left = timeout
        while True:
            channel, message = receive_once(self._layer, [self.name], left)
            if channel == wanted:
                return message
            if channel is not None and message is not None and message.get("more_content"):
                _tell(self._layer, channel, closed=True)
            if channel is None and self._read_generation() != self._generation:
                raise LayerUnavailable("the channel layer was emptied")
            left = deadline - time.monotonic()
            if channel is None and left <= 0:
                return None


def _tell(layer: Any, reply_channel: str, size: int = 0, closed: bool = False) -> bool:
    """Give the worker that streams to ``reply_channel`` credit; whether the layer took it."""
    mirror = credit_channel(reply_channel)
    if mirror is None:
        return True
    try:
        layer.send(mirror, dict(http_credit(size, closed)))
    except Exception as error:  # the response goes on; the worker notices by itself, but later
        logger.debug("No credit could be given to %s: %s", mirror, error)
        return False
    return True


class _Exchange:
    """One request and the messages of its response."""

    def __init__(self, interface: WSGIInterface, environ: Environ, inbox: _Inbox) -> None:
        self._interface = interface
        self._layer = interface.layer
        self._inbox: _Inbox | None = inbox
        self._environ = environ
        self._local = inbox.begin()
        self._reply_channel = inbox.name + self._local
        #: The path, once the workers know of the request.
        self._announced: str | None = None
        self._credit = CreditCount()
        #: Whether the worker has said that it goes on with its response.
        self._unread = False

    def start(self) -> Start:
        """Send the request and return the first message of its response.

        Raises ``RequestRefused`` where there is none.
        """
        early = self._send_request()
        message = self._reply(self._interface.http_timeout) if early is None else early
        try:
            start = read_start(message, self._environ["REQUEST_METHOD"])
        except InvalidMessage as error:
            self._complain(error)
            raise RequestRefused(*INVALID) from error
        finally:
            self._unread = bool(message.get("more_content"))
        return start

    def chunk(self) -> tuple[bytes, bool]:
        """The next part of the response, and whether more follow. Raises ``ResponseAborted``."""
        try:
            chunk = read_chunk(self._receive(self._interface.http_timeout))
        except InvalidMessage as error:
            self._complain(error)
            raise ResponseAborted("the rest of the response is invalid") from error
        except RequestRefused as error:
            raise ResponseAborted(error.detail) from error
        self._unread = chunk.more
        return chunk

    def left(self, size: int) -> None:
        """``size`` bytes of the response were taken by the server."""
        credit = self._credit.advance(size)
        if credit and _tell(self._layer, self._reply_channel, credit["bytes"]):
            self._credit.given()

    def end(self) -> None:
        """The client has its response, or is gone; only the first call counts."""
        inbox, self._inbox = self._inbox, None
        if inbox is None:
            return
        self._interface.put_back(inbox)
        if self._unread:
            _tell(self._layer, self._reply_channel, closed=True)
        if self._announced is not None:
            self._say_disconnected(self._announced)

    def _say_disconnected(self, path: str) -> None:
        try:
            if getattr(self._layer, "has_listener", _yes)(HTTP_DISCONNECT):
                message = http_disconnect(self._reply_channel, path)
                self._layer.send(HTTP_DISCONNECT, dict(message))
        except self._full():
            pass  # consumption is not required (ASGI spec, HTTP, Disconnect)
        except Exception as error:
            logger.error("http.disconnect could not be sent: %s", error)

    # The request

    def _send_request(self) -> dict[str, Any] | None:
        """Send the request with its body; a response that came before the end of it."""
        message = request_of(self._environ, self._reply_channel)
        upload = Upload(self._environ, self._interface.max_body)
        message["body"], more = upload.take()
        channel = ""
        try:
            if more:
                channel = message["body_channel"] = self._layer.new_channel(HTTP_REQUEST_BODY)
            self._layer.send(HTTP_REQUEST, message)
        except self._full():
            raise RequestRefused(*FULL) from None
        except Exception as error:
            logger.error("A request could not be sent to the channel layer: %s", error)
            raise RequestRefused(*LOST) from error
        self._announced = message["path"]
        return self._send_body(channel, upload) if more else None

    def _send_body(self, channel: str, upload: Upload) -> dict[str, Any] | None:
        more, early = True, None
        try:
            while more and early is None:
                content, more = upload.take()
                early = self._send_chunk(channel, dict(http_request_body_chunk(content, more)))
        finally:
            if more:  # nobody wants the rest, or it never came
                with suppress(Exception):
                    self._layer.send(channel, dict(http_request_body_chunk(closed=True)))
        return early

    def _send_chunk(self, channel: str, chunk: dict[str, Any]) -> dict[str, Any] | None:
        """Send a part of the body, waiting for room; a response that came meanwhile."""
        deadline = time.monotonic() + self._interface.http_timeout
        while not self._sent(channel, chunk):
            early = self._look()
            if early is not None:
                return early
            if time.monotonic() >= deadline:
                raise RequestRefused(*NO_ANSWER)
        return self._look()

    def _sent(self, channel: str, chunk: dict[str, Any]) -> bool:
        try:
            return send_within(
                lambda message: self._layer.send(channel, message),
                chunk,
                self._layer,
                channel,
                _LOOK_INTERVAL,
            )
        except Exception as error:
            logger.error("A request's body could not be sent to the channel layer: %s", error)
            raise RequestRefused(*LOST) from error

    # The response

    def _look(self) -> dict[str, Any] | None:
        """A message that is there already, but for pushes."""
        message = self._ask(0)
        return None if message is None or is_push(message) else message

    def _reply(self, timeout: float) -> dict[str, Any]:
        """The next message that is no push; each one has ``timeout`` seconds."""
        while is_push(message := self._receive(timeout)):
            pass
        return message

    def _receive(self, timeout: float) -> dict[str, Any]:
        message = self._ask(timeout)
        if message is None:
            raise RequestRefused(*NO_ANSWER)
        return message

    def _ask(self, timeout: float) -> dict[str, Any] | None:
        if self._inbox is None:
            raise RequestRefused(*LOST)
        try:
            return self._inbox.receive(self._local, timeout)
        except Exception as error:
            logger.error("A response could not be received: %s", error)
            raise RequestRefused(*LOST) from error

    def _complain(self, error: InvalidMessage) -> None:
        logger.error(
            "The response to %s %r is wrong: %s",
            self._environ["REQUEST_METHOD"],
            self._announced,
            error,
        )

    def _full(self) -> tuple[type[Exception], ...]:
        return ChannelFull, getattr(self._layer, "ChannelFull", ChannelFull)


def _yes(channel: str) -> bool:
    """What layers of third parties, which do not tell who listens, are taken to say."""
    return True


class _Body:
    """The body of a response, as the server iterates over it."""

    def __init__(self, exchange: _Exchange, start: Start) -> None:
        self._exchange = exchange
        self._content, self._more = start.content, start.more
        self._given = 0

    def __iter__(self) -> "_Body":
        return self

    def __next__(self) -> bytes:
        if self._given:
            self._exchange.left(self._given)
            self._given = 0
        while not self._content and self._more:
            self._content, self._more = self._exchange.chunk()
        content, self._content = self._content, b""
        if not content:
            self.close()
            raise StopIteration
        self._given = len(content)
        return content

    def close(self) -> None:
        """The server is done with the response, whether it has read it to its end or not."""
        self._exchange.end()
