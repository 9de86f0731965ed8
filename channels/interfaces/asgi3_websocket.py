"""One WebSocket of an ASGI 3 server: connect, receive and disconnect, and the workers' replies.

What replies mean is Daphne's (``daphne.protocol.replies``), and so are the close codes
(``daphne.protocol.websocket``).
"""

import asyncio
import logging
from contextlib import suppress

from channels.exceptions import InvalidMessage, LayerUnavailable, MessageTooLarge
from channels.interfaces.asgi3_exchange import Connection, Event, Exchange
from channels.interfaces.dispatch import ClientGone, Dispatch, LayerLost, Mail, TooSlow
from channels.interfaces.http import client_headers, refusal_page, socket_address
from channels.spec import (
    WEBSOCKET_CONNECT,
    WEBSOCKET_DISCONNECT,
    WEBSOCKET_RECEIVE,
    websocket_connect,
    websocket_disconnect,
    websocket_receive,
)
from daphne.exceptions import RequestRefused
from daphne.options import Options
from daphne.protocol.replies import Meaning, Verdict, read_meaning

__all__ = ["WebSocketExchange"]

logger = logging.getLogger("channels.interfaces")

#: Where a delivery's shared dictionary keeps what its message means.
_SHARED = "websocket.meaning"

#: By this ASGI extension a handshake is refused with another status than 403.
_DENIAL = "websocket.http.response"


class _Close(Exception):
    """The server has a reason to close the connection."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class WebSocketExchange(Exchange):
    """One WebSocket connection."""

    def __init__(self, dispatch: Dispatch, options: Options, connection: Connection) -> None:
        super().__init__(dispatch, options, connection, options.websocket_write_limit)
        #: Frames that the layer took, or may have taken.
        self._order = 0
        #: The close code for the application.
        self._code = 1006
        self._connected = self._closing = False

    async def run(self) -> None:
        """Serve the connection to its end."""
        try:
            await self._receive()  # websocket.connect
            await self._open()
            await self._write_replies()
        except RequestRefused as refusal:
            await self._refuse(refusal)
        except _Close as close:
            await self._close(close)
        except LayerLost:
            await self._shed()
        except TooSlow:
            logger.warning("A client does not read; closing its WebSocket")
            await self._close(_Close(1013, "too slow"))
        except ClientGone:
            pass
        finally:
            await self._end()

    async def _shed(self) -> None:
        if self._reader is None:
            await self._refuse(RequestRefused(503, "The server is restarting."))
        else:
            await self._close(_Close(1012, "server restart"))

    def _let_go(self) -> None:
        super()._let_go()
        if self._connected:
            message = websocket_disconnect(
                self._mailbox.reply_channel, self._path, self._order + 1, self._code
            )
            self._dispatch.post(WEBSOCKET_DISCONNECT, message)

    # The handshake

    async def _open(self) -> None:
        """Ask the application, and carry out its answer. Raises ``RequestRefused``."""
        await self._connect()
        meaning = await self._verdict()
        if meaning.verdict is Verdict.REJECT:
            raise RequestRefused(403, "The application refused this WebSocket.")
        await self._write({"type": "websocket.accept", "subprotocol": self._subprotocol()})
        self._reader = asyncio.create_task(self._read())
        await self._carry_out(meaning)

    async def _connect(self) -> None:
        scope = self._scope
        message = websocket_connect(
            self._mailbox.reply_channel,
            self._path,
            client_headers(scope["headers"]),
            scope.get("query_string", b""),
            scope.get("root_path", ""),
            scope.get("scheme") or "ws",
            socket_address(scope.get("client")),
            socket_address(scope.get("server")),
        )
        self._connected = True  # where the send is cancelled, the layer may have taken it
        try:
            await self._dispatch.layer.send(WEBSOCKET_CONNECT, message)
        except self._dispatch.layer.full:
            self._connected = False
            raise RequestRefused(503, "Connection queue full.") from None
        except Exception as error:
            self._connected = False
            logger.error("A WebSocket was refused: websocket.connect failed: %r", error)
            raise RequestRefused(503, "Connection queue full.") from error

    async def _verdict(self) -> Meaning:
        """The first reply that accepts or rejects."""
        limit = self._options.websocket_connect_timeout
        deadline = None if limit is None else self._clock() + limit
        try:
            while (meaning := await self._next(deadline)).verdict is Verdict.WAIT:
                pass
        except TimeoutError:
            raise RequestRefused(503, "The application did not answer in time.") from None
        return meaning

    def _subprotocol(self) -> str | None:
        """The first one offered that is spoken here."""
        spoken = self._options.ws_protocols
        return next((name for name in self._scope.get("subprotocols", ()) if name in spoken), None)

    async def _refuse(self, refusal: RequestRefused) -> None:
        """Refuse the handshake, with the very status where the server can."""
        logger.info("WebSocket %r was refused with %s", self._path, refusal)
        with suppress(OSError):  # the client has left
            await self._send_refusal(refusal)

    async def _send_refusal(self, refusal: RequestRefused) -> None:
        if _DENIAL not in (self._scope.get("extensions") or {}):
            await self._send({"type": "websocket.close", "code": 1013})
            return
        page = refusal_page(refusal, "GET")
        event = {"type": f"{_DENIAL}.start", "status": page.status, "headers": page.headers}
        await self._send(event)
        await self._send({"type": f"{_DENIAL}.body", "body": page.content, "more_body": False})

    # From the client

    async def _read(self) -> None:
        """Pass frames on, one after the other, until the client has left."""
        try:
            while (event := await self._receive())["type"] != "websocket.disconnect":
                if not self._closing:
                    await self._pass_on(event)
            self._note_code(event)
        except OSError:
            pass
        finally:
            self._mailbox.end(ClientGone())

    def _note_code(self, event: Event) -> None:
        code = event.get("code")
        self._code = 1005 if code is None else code

    async def _pass_on(self, event: Event) -> None:
        """Have the layer take a frame; where it does not, the connection is closed."""
        try:
            if not await self._send_frame(event):
                self._give_up(_Close(1013, "queue full"))
        except MessageTooLarge as error:
            self._give_up(_Close(1009, "message too large"), error)
        except LayerUnavailable as error:
            self._give_up(_Close(1013, "try again later"), error)
        except Exception as error:
            self._give_up(_Close(1011, "internal error"), error)

    def _give_up(self, close: _Close, error: Exception | None = None) -> None:
        if error is None:
            logger.warning("A WebSocket is closed: %s stays full", WEBSOCKET_RECEIVE)
        else:
            logger.error("A WebSocket is closed: websocket.receive failed: %r", error)
        self._closing = True
        self._mailbox.end(close)

    async def _send_frame(self, event: Event) -> bool:
        """Send a frame, waiting for room; False where there is none for too long."""
        self._order += 1
        text = event.get("text")
        message = websocket_receive(
            self._mailbox.reply_channel,
            self._path,
            self._order,
            text=text,
            bytes=event.get("bytes") if text is None else None,
        )
        deadline = self._clock() + self._options.websocket_receive_wait
        while True:
            try:
                await self._dispatch.layer.send(WEBSOCKET_RECEIVE, message)
            except self._dispatch.layer.full:
                left = deadline - self._clock()
                if left <= 0 or not await self._dispatch.layer.room(WEBSOCKET_RECEIVE, left):
                    self._order -= 1
                    return False
            else:
                return True

    # To the client

    async def _write_replies(self) -> None:
        """Carry out replies until one, or something else, ends the connection."""
        limit = self._options.websocket_timeout
        deadline = None if limit is None else self._clock() + limit
        try:
            while True:
                await self._carry_out(await self._next(deadline))
        except TimeoutError:
            raise _Close(1000, "connection time is over") from None

    async def _next(self, deadline: float | None) -> Meaning:
        """The next valid reply; raises ``TimeoutError`` after ``deadline``."""
        while True:
            left = None if deadline is None else deadline - self._clock()
            meaning = _meaning_of(await self._mailbox.take(left))
            if meaning is not None:
                return meaning

    async def _carry_out(self, meaning: Meaning) -> None:
        data = meaning.data
        if isinstance(data, str):
            await self._write({"type": "websocket.send", "text": data})
        elif data is not None:
            await self._write({"type": "websocket.send", "bytes": data})
        if meaning.close is not None:
            raise _Close(meaning.close)

    async def _close(self, close: _Close) -> None:
        """Close from our side; the client's answer says with which code."""
        # First, since there are servers that send nothing of a close while they are read from.
        await self._stop_reading()
        try:
            async with asyncio.timeout(self._options.websocket_close_timeout):
                await self._send(
                    {"type": "websocket.close", "code": close.code, "reason": close.reason}
                )
                while (event := await self._receive())["type"] != "websocket.disconnect":
                    pass
            self._note_code(event)
        except (TimeoutError, OSError):
            pass


def _meaning_of(mail: Mail) -> Meaning | None:
    """What a message says; it is read once, however many sockets a group send brings it to."""
    message, shared = mail
    if _SHARED not in shared:
        try:
            shared[_SHARED] = read_meaning(message)
        except InvalidMessage as error:
            logger.error("A message to a WebSocket was ignored: %s", error)
            shared[_SHARED] = None
    meaning: Meaning | None = shared[_SHARED]
    return meaning
