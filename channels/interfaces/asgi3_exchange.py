"""What the connections of an ASGI 3 server have in common, HTTP or WebSocket.

One task reads the client, another writes to it; a mailbox tells the second of whatever ends the
connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from channels.interfaces.dispatch import Dispatch, Mailbox
from channels.interfaces.http import path_of
from daphne.options import Options

__all__ = ["Connection", "Event", "Exchange", "Receive", "Send"]

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class Connection(NamedTuple):
    """What an ASGI 3 server calls its application with."""

    scope: Event
    receive: Receive
    send: Send


class Exchange:
    """One connection and its mailbox, whose messages may have ``write_limit`` bytes together."""

    def __init__(
        self, dispatch: Dispatch, options: Options, connection: Connection, write_limit: int
    ) -> None:
        self._dispatch = dispatch
        self._options = options
        self._scope, self._receive, self._send = connection
        self._path = path_of(self._scope)
        self._mailbox: Mailbox = dispatch.open(write_limit)
        self._clock = asyncio.get_running_loop().time
        #: The task that reads the client.
        self._reader: asyncio.Task[None] | None = None

    async def _write(self, event: Event) -> None:
        """Send to the client; raises what ``Mailbox.write`` raises."""
        await self._mailbox.write(self._send(event), self._options.write_timeout)

    async def _stop_reading(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _end(self) -> None:
        """Let go of everything, and tell the workers."""
        try:
            await self._stop_reading()
        finally:  # servers may cancel a connection more than once
            self._let_go()

    def _let_go(self) -> None:
        """Close the mailbox, and post what the workers have to know. Called once."""
        self._dispatch.close(self._mailbox)
