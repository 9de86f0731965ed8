"""``ASGIInterface``: an ASGI 3 application that sends what a server hears over a channel layer.

uvicorn, granian and hypercorn run it in Daphne's place, in front of the same workers::

    application = ASGIInterface(get_channel_layer())

HTTP is in ``asgi3_http``, WebSocket in ``asgi3_websocket``, what they share in ``asgi3_exchange``;
here is what belongs to the process.
"""

import asyncio
import logging
from typing import Any

from channels.interfaces.asgi3_exchange import Connection, Event, Receive, Send
from channels.interfaces.asgi3_http import HTTPExchange
from channels.interfaces.asgi3_websocket import WebSocketExchange
from channels.interfaces.dispatch import Dispatch
from channels.interfaces.loop import adapt
from daphne.options import Options

__all__ = ["ASGIInterface"]

logger = logging.getLogger("channels.interfaces")

#: Options of Daphne that mean something here; the others are about sockets, which the server has.
_OPTIONS = frozenset(
    {
        "http_timeout",
        "max_body",
        "response_write_limit",
        "write_timeout",
        "websocket_close_timeout",
        "websocket_connect_timeout",
        "websocket_receive_wait",
        "websocket_timeout",
        "websocket_write_limit",
        "ws_protocols",
    }
)


class ASGIInterface:
    """The application. ``layer`` is a channel layer, as ``get_channel_layer`` gives it.

    ``options`` are those of ``daphne.options.Options`` that are not about sockets:
    ``http_timeout``, ``max_body``, ``response_write_limit``, ``write_timeout``, ``ws_protocols``,
    ``websocket_timeout`` (the layer's ``group_expiry`` by default), ``websocket_connect_timeout``,
    ``websocket_receive_wait``, ``websocket_write_limit`` and ``websocket_close_timeout``. Raises
    ``TypeError`` for another one, and ``ValueError`` for a value that cannot work.

    Each process has its own process channel, which it reads from its start-up (lifespan) or its
    first connection on.
    """

    def __init__(self, layer: Any, **options: Any) -> None:
        unknown = sorted(options.keys() - _OPTIONS)
        if unknown:
            raise TypeError(
                f"ASGIInterface has no option {', '.join(unknown)}; it has "
                f"{', '.join(sorted(_OPTIONS))}. What concerns sockets is the server's to be told."
            )
        options.setdefault("websocket_timeout", float(getattr(layer, "group_expiry", 86400)))
        options["ws_protocols"] = tuple(options.get("ws_protocols", ()))
        self.options = Options(**options)
        self.layer = layer
        self._dispatch: Dispatch | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Serve one connection, or the lifespan of the process (ASGI 3)."""
        kind, connection = scope["type"], Connection(scope, receive, send)
        if kind == "http":
            await HTTPExchange(self._running(), self.options, connection).run()
        elif kind == "websocket":
            await WebSocketExchange(self._running(), self.options, connection).run()
        elif kind == "lifespan":
            await self._live(receive, send)
        else:
            raise ValueError(f"ASGIInterface serves http, websocket and lifespan, not {kind!r}")

    def _running(self) -> Dispatch:
        """The dispatch of this loop, which begins to read when it is first asked for."""
        loop = asyncio.get_running_loop()
        if self._dispatch is None or self._loop is not loop:
            self._dispatch, self._loop = Dispatch(adapt(self.layer)), loop
        return self._dispatch

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                try:
                    self._running()
                except Exception as error:
                    logger.exception("The interface could not be started")
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                dispatch, self._dispatch = self._dispatch, None
                if dispatch is not None:
                    dispatch.shed("the server stops")
                    await dispatch.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return
