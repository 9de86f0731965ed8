"""An ASGI 3 server in miniature: what a real one does to one connection, step by step."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from channels.interfaces.asgi3 import ASGIInterface

__all__ = ["Connection", "http_scope", "running", "websocket_scope"]

#: Seconds within which whatever should happen has happened.
PATIENCE = 20


def http_scope(path: str = "/", method: str = "GET", **keys: Any) -> dict[str, Any]:
    """The scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"testserver")],
        "client": ("203.0.113.9", 50000),
        "server": ("127.0.0.1", 8000),
    } | keys


def websocket_scope(path: str = "/", **keys: Any) -> dict[str, Any]:
    """The scope of a WebSocket."""
    return http_scope(path) | {"type": "websocket", "scheme": "ws", "subprotocols": []} | keys


class Connection:
    """One connection to ``interface``, from the server's side.

    ``events`` are those that the client causes. ``writable`` may be cleared, so that the server
    cannot send for now.
    """

    def __init__(
        self, interface: ASGIInterface, scope: dict[str, Any], *events: dict[str, Any]
    ) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for event in events:
            self.events.put_nowait(event)
        #: What was sent and not yet looked at.
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.writable = asyncio.Event()
        self.writable.set()
        self.task = asyncio.create_task(interface(scope, self.events.get, self._send))

    async def _send(self, event: Any) -> None:
        await self.writable.wait()
        self.sent.put_nowait(dict(event))

    def client(self, kind: str, **keys: Any) -> None:
        """Let the client cause an event."""
        self.events.put_nowait({"type": kind, **keys})

    async def next(self) -> dict[str, Any]:
        """What is sent next."""
        getting = asyncio.ensure_future(self.sent.get())
        await asyncio.wait(
            [getting, self.task], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED
        )
        if not getting.done() and self.task.done() and self.task.exception():
            getting.cancel()
            await self.task
        return await asyncio.wait_for(getting, PATIENCE)

    async def response(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """A whole response."""
        start = await self.next()
        assert start["type"] == "http.response.start"
        body, more = b"", True
        while more:
            event = await self.next()
            body += event["body"]
            more = event["more_body"]
        return start["status"], dict(start["headers"]), body

    async def end(self) -> None:
        """Wait for the application to be done with it."""
        await asyncio.wait_for(self.task, PATIENCE)


def running(
    test: Callable[[ASGIInterface], Coroutine[Any, Any, Any]], interface: ASGIInterface
) -> Any:
    """What ``test`` returns, run between the start and the end of a server's lifespan."""

    async def run() -> Any:
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        sent: asyncio.Queue[Any] = asyncio.Queue()
        lifespan = asyncio.create_task(interface({"type": "lifespan"}, events.get, sent.put))
        events.put_nowait({"type": "lifespan.startup"})
        assert await sent.get() == {"type": "lifespan.startup.complete"}
        try:
            return await test(interface)
        finally:
            events.put_nowait({"type": "lifespan.shutdown"})
            assert await asyncio.wait_for(sent.get(), PATIENCE) == {
                "type": "lifespan.shutdown.complete"
            }
            await lifespan

    return asyncio.run(run())
