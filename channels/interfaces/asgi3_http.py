"""One HTTP request of an ASGI 3 server: to the workers and back.

The request is read and passed on by one task, the response awaited and sent by another, so that
either may come to its end first. What a response may be is in ``http``.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from channels.exceptions import InvalidMessage, ResponseAborted
from channels.interfaces.asgi3_exchange import Connection, Event, Exchange
from channels.interfaces.dispatch import ClientGone, Dispatch, LayerLost, TooSlow
from channels.interfaces.http import (
    FULL,
    INVALID,
    LOST,
    NO_ANSWER,
    TOO_LARGE,
    CreditCount,
    Start,
    client_headers,
    http_version,
    is_push,
    read_chunk,
    read_start,
    refusal_page,
    socket_address,
)
from channels.spec import (
    BODY_CHUNK,
    HTTP_DISCONNECT,
    HTTP_REQUEST,
    HTTP_REQUEST_BODY,
    http_disconnect,
    http_request,
    http_request_body_chunk,
)
from daphne.exceptions import RequestRefused
from daphne.options import Options

__all__ = ["HTTPExchange"]

logger = logging.getLogger("channels.interfaces")

#: A part of a body is passed on when it has this many bytes, or after this many seconds: fewer
#: messages than reads, while the application need not wait for a full chunk.
_WORTHWHILE, _LATE = 64 * 1024, 1.0

#: Seconds of one wait for room in a body channel; who waits in all is decided by the timeout.
_ROOM_WAIT = 60.0


class HTTPExchange(Exchange):
    """One request and its response."""

    def __init__(self, dispatch: Dispatch, options: Options, connection: Connection) -> None:
        super().__init__(dispatch, options, connection, options.response_write_limit)
        #: When the client or a worker was last heard of.
        self._active = self._clock()
        self._taken = 0
        #: The channel of the rest of the body, as long as somebody may wait for it.
        self._body_channel: str | None = None
        self._announced = self._started = self._finished = False

    async def run(self) -> None:
        """Serve the request. Raises ``ResponseAborted``, so that the server cuts the response."""
        try:
            await self._ask()
            await self._respond()
        except ClientGone:
            pass
        except RequestRefused as refusal:
            await self._refuse(refusal)
        except LayerLost as loss:
            await self._refuse(RequestRefused(*LOST), loss)
        except TooSlow as error:
            raise ResponseAborted(str(error)) from error
        finally:
            await self._end()

    async def _refuse(self, refusal: RequestRefused, cause: Exception | None = None) -> None:
        if self._started:
            raise ResponseAborted(refusal.detail) from cause or refusal
        level = logging.WARNING if refusal.status >= 500 or refusal.option else logging.INFO
        logger.log(level, "%s %r was refused with %s", self._scope["method"], self._path, refusal)
        await self._stop_reading()
        start = refusal_page(refusal, self._scope["method"])
        with suppress(OSError):  # the client has left
            await self._send(_start_event(start))
            await self._send(_body_event(start.content, False))

    def _let_go(self) -> None:
        if self._body_channel is not None:
            self._dispatch.post(self._body_channel, http_request_body_chunk(closed=True))
        if self._started and not self._finished:
            self._dispatch.tell(self._mailbox.reply_channel, closed=True)
        super()._let_go()
        if self._announced and self._dispatch.has_listener(HTTP_DISCONNECT):
            message = http_disconnect(self._mailbox.reply_channel, self._path)
            self._dispatch.post(HTTP_DISCONNECT, message)

    # The request

    async def _ask(self) -> None:
        """Send the request, with its body if that is small; the rest is left to a task."""
        body, more = await self._read_first()
        scope = self._scope
        message = http_request(
            self._mailbox.reply_channel,
            scope["method"].upper(),
            self._path,
            client_headers(scope["headers"]),
            http_version=http_version(scope["http_version"]),
            scheme=scope.get("scheme") or "http",
            query_string=scope.get("query_string", b""),
            root_path=scope.get("root_path", ""),
            client=socket_address(scope.get("client")),
            server=socket_address(scope.get("server")),
        )
        message["body"] = body[:BODY_CHUNK]
        channel = None
        try:
            if more or len(body) > BODY_CHUNK:
                channel = await self._dispatch.layer.new_channel(HTTP_REQUEST_BODY)
                message["body_channel"] = channel
            # Where the send is cancelled, the layer may have taken it.
            self._announced, self._body_channel = True, channel
            await self._dispatch.layer.send(HTTP_REQUEST, message)
        except self._dispatch.layer.full:
            self._announced, self._body_channel = False, None
            raise RequestRefused(*FULL) from None
        except Exception as error:
            self._announced, self._body_channel = False, None
            logger.error("A request could not be sent to the channel layer: %s", error)
            raise RequestRefused(*LOST) from error
        self._active = self._clock()
        self._reader = asyncio.create_task(self._read(body[BODY_CHUNK:], more))

    async def _read_first(self) -> tuple[bytes, bool]:
        """The body if it fits into a message, else its beginning; whether more is to come."""
        body, more = await self._read_some()
        if not more:
            return body, False
        parts = bytearray(body)
        while more and len(parts) <= BODY_CHUNK:
            body, more = await self._read_some()
            parts += body
        return bytes(parts), more

    async def _read_some(self) -> tuple[bytes, bool]:
        """What came of the body, and whether more is to come."""
        event = await self._receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        self._active = self._clock()
        body: bytes = event.get("body", b"")
        self._taken += len(body)
        if self._options.max_body is not None and self._taken > self._options.max_body:
            raise RequestRefused(*TOO_LARGE, option="max_body")
        return body, event.get("more_body", False)

    async def _read(self, start: bytes, more: bool) -> None:
        """Pass on the rest of the body, then wait for the client to leave."""
        try:
            if self._body_channel is not None:
                await self._pass_on(self._body_channel, bytearray(start), more)
                self._body_channel = None
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self._mailbox.end(ClientGone())
        except (ClientGone, RequestRefused) as reason:
            self._mailbox.end(reason)
        except Exception as error:
            logger.error("A request's body could not be sent to the channel layer: %s", error)
            self._mailbox.end(RequestRefused(*LOST))

    async def _pass_on(self, channel: str, pending: bytearray, more: bool) -> None:
        sent = self._clock()
        while True:
            due = len(pending) >= _WORTHWHILE or (pending and self._clock() - sent >= _LATE)
            if due or not more:
                part = bytes(pending[:BODY_CHUNK])
                del pending[:BODY_CHUNK]
                last = not more and not pending
                await self._send_chunk(channel, http_request_body_chunk(part, not last))
                if last:
                    return
                sent = self._clock()
            else:
                body, more = await self._read_some()
                pending += body

    async def _send_chunk(self, channel: str, chunk: Mapping[str, Any]) -> None:
        while True:
            try:
                await self._dispatch.layer.send(channel, dict(chunk))
            except self._dispatch.layer.full:
                await self._dispatch.layer.room(channel, _ROOM_WAIT)
            else:
                self._active = self._clock()
                return

    # The response

    async def _respond(self) -> None:
        while is_push(message := await self._next()):
            pass
        try:
            start = read_start(message, self._scope["method"])
        except InvalidMessage as error:
            self._complain(error)
            raise RequestRefused(*INVALID) from error
        if not start.more:
            # From the end of the response on it says that the client has left, which does not
            # matter then.
            await self._stop_reading()
        self._started = True
        await self._write(_start_event(start))
        await self._write(_body_event(start.content, start.more))
        if start.more:
            await self._stream(len(start.content))
        self._finished = True

    async def _stream(self, size: int) -> None:
        """Send the further messages, as fast as the client takes them."""
        credit, more = CreditCount(), True
        while more:
            owed = credit.advance(size)
            if owed:
                credit.given()
                self._dispatch.tell(self._mailbox.reply_channel, owed["bytes"])
            try:
                content, more = read_chunk(await self._next())
            except InvalidMessage as error:
                self._complain(error)
                raise ResponseAborted("the rest of the response is invalid") from error
            size = len(content)
            if not more:
                await self._stop_reading()
            await self._write(_body_event(content, more))

    async def _next(self) -> Mapping[str, Any]:
        """The next message. Raises ``RequestRefused`` where nobody is heard of for too long."""
        while True:
            timeout = self._options.http_timeout
            left = None if timeout is None else self._active + timeout - self._clock()
            try:
                message, _ = await self._mailbox.take(left)
            except TimeoutError:
                if timeout is not None and self._clock() - self._active >= timeout:
                    raise RequestRefused(*NO_ANSWER) from None
            else:
                self._active = self._clock()
                return message

    async def _write(self, event: Event) -> None:
        await super()._write(event)
        self._active = self._clock()

    def _complain(self, error: InvalidMessage) -> None:
        logger.error("The response to %s %r is wrong: %s", self._scope["method"], self._path, error)


def _start_event(start: Start) -> Event:
    return {"type": "http.response.start", "status": start.status, "headers": start.headers}


def _body_event(content: bytes, more: bool) -> Event:
    return {"type": "http.response.body", "body": content, "more_body": more}
