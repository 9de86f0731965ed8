"""Between connections and the channel layer, in an event loop: one reader for all reply channels.

It is the counterpart of ``daphne.dispatch``. Every reply channel of a process is a local part of
one process channel. A message goes to the mailbox that is open for its local part, or nowhere when
that client is gone.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Any

from channels.interfaces.loop import LoopLayer
from channels.layers.entries import Delivery
from channels.names import random_part
from channels.outage import Backoff
from channels.spec import RESPONSE_PREFIX, credit_channel, http_credit

__all__ = ["ClientGone", "Dispatch", "LayerLost", "Mailbox", "Mail", "TooSlow"]

logger = logging.getLogger("channels.interfaces")

#: Random bytes in the local part of a reply channel, so that a late message never reaches a newer
#: client; the part in front of it cannot be guessed.
_LOCAL_BYTES = 8

#: What a message in a mailbox costs beside its content, so that empty ones count too.
_OVERHEAD = 64

#: Failures in a row after which the layer counts as lost; a single one may be a fail-over.
_LOST_AFTER = 2

#: Seconds that a stop waits for connections that were shed, and for sends whose outcome nobody
#: waits for.
_SETTLE = 10.0

#: A message, and the dictionary that all targets of its delivery share.
Mail = tuple[Mapping[str, Any], dict[Any, Any]]


class ClientGone(Exception):
    """The end of a mailbox: nobody is left to be answered."""


class LayerLost(Exception):
    """The end of a mailbox: the layer was emptied or is away, so that its reply channel is dead."""


class TooSlow(Exception):
    """The end of a mailbox: its client reads less than is sent to it."""


class Mailbox:
    """The messages to one reply channel, until the connection takes them.

    ``limit`` is in bytes. Whoever finds that the connection is to end calls ``end``; whoever takes
    a message or writes to the client then gets the reason raised.
    """

    def __init__(self, reply_channel: str, limit: int) -> None:
        self.reply_channel = reply_channel
        self._limit = limit
        self._mail: deque[tuple[Mail, int]] = deque()
        self._size = 0
        self._arrived = asyncio.Event()
        self._ended: Exception | None = None
        self._writing: asyncio.Timeout | None = None

    def deliver(self, message: Mapping[str, Any], shared: dict[Any, Any]) -> None:
        """Put a message in; the mailbox ends where more waits than the limit."""
        if self._ended is not None:
            return
        size = _OVERHEAD + sum(
            len(value) for value in message.values() if isinstance(value, str | bytes)
        )
        if self._size > self._limit:
            self.end(TooSlow("the client does not read what is sent to it"))
            return
        self._size += size
        self._mail.append(((message, shared), size))
        self._arrived.set()

    def end(self, reason: Exception) -> None:
        """Let nobody wait for messages or for the client any more; the first reason counts."""
        if self._ended is not None:
            return
        self._ended = reason
        self._mail.clear()
        self._arrived.set()
        # One that has run out already would refuse it, and the write ends anyway.
        if self._writing is not None and not self._writing.expired():
            self._writing.reschedule(asyncio.get_running_loop().time())

    async def take(self, timeout: float | None) -> Mail:
        """The next message.

        Raises ``TimeoutError`` after ``timeout`` seconds, and the reason of the end.
        """
        async with asyncio.timeout(timeout):
            while not self._mail:
                if self._ended is not None:
                    raise self._ended
                self._arrived.clear()
                await self._arrived.wait()
        mail, size = self._mail.popleft()
        self._size -= size
        return mail

    async def write(self, writing: Awaitable[None], timeout: float | None) -> None:
        """Wait for something to be sent to the client.

        Raises the reason of an end, ``TooSlow`` after ``timeout`` seconds, and ``ClientGone`` where
        the server says so, which it does by an ``OSError`` (ASGI 2.4).
        """
        try:
            async with asyncio.timeout(timeout) as self._writing:
                if self._ended is not None:
                    self._writing.reschedule(asyncio.get_running_loop().time())
                await writing
        except TimeoutError:
            raise self._ended or TooSlow("the client does not read what was sent to it") from None
        except OSError:
            raise ClientGone from None
        finally:
            self._writing = None


class Dispatch:
    """Reads one process channel, and sends for all connections. Belongs to one event loop."""

    def __init__(self, layer: LoopLayer) -> None:
        self.layer = layer
        self.channel = f"{RESPONSE_PREFIX}{random_part()}!"
        self._mailboxes: dict[str, Mailbox] = {}
        self._one_closed = asyncio.Event()
        self._posts: set[asyncio.Task[None]] = set()
        #: As it was read last; None before that.
        self._generation: str | None = None
        self._looking: asyncio.Task[None] | None = None
        self._backoff = Backoff(first=0.2)
        self._failures = 0
        self._task = asyncio.create_task(self._run(), name="channels-dispatch")

    async def stop(self) -> None:
        """Read no more, and let the connections end and what was posted leave."""
        tasks = [task for task in (self._task, self._looking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE):
                await self._settle()
        self.layer.close()

    async def _settle(self) -> None:
        while self._mailboxes:
            self._one_closed.clear()
            await self._one_closed.wait()
        while self._posts:
            await asyncio.wait(self._posts)

    # Mailboxes

    def open(self, limit: int) -> Mailbox:
        """A mailbox for a new reply channel."""
        local = secrets.token_hex(_LOCAL_BYTES)
        mailbox = self._mailboxes[local] = Mailbox(self.channel + local, limit)
        return mailbox

    def close(self, mailbox: Mailbox) -> None:
        """Drop what comes for ``mailbox`` from now on."""
        mailbox.end(ClientGone())
        self._mailboxes.pop(mailbox.reply_channel.partition("!")[2], None)
        self._one_closed.set()

    def shed(self, reason: str) -> None:
        """End all mailboxes: their reply channels are dead, and clients had better come again."""
        if self._mailboxes:
            logger.warning("Dropping %d connection(s): %s", len(self._mailboxes), reason)
        for mailbox in list(self._mailboxes.values()):
            mailbox.end(LayerLost(reason))

    # Sending

    def post(self, channel: str, message: Mapping[str, Any]) -> None:
        """Send a message whose outcome nobody waits for; a full channel does not matter."""
        task = asyncio.create_task(self._post(channel, message))
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)

    async def _post(self, channel: str, message: Mapping[str, Any]) -> None:
        try:
            await self.layer.send(channel, dict(message))
        except self.layer.full:
            pass
        except Exception as error:
            logger.error("Sending to %r failed: %s: %s", channel, type(error).__name__, error)

    def tell(self, reply_channel: str, size: int = 0, closed: bool = False) -> None:
        """Give credit to the worker that streams to ``reply_channel``, or say that it may stop."""
        mirror = credit_channel(reply_channel)
        if mirror is not None:
            self.post(mirror, http_credit(size, closed))

    def has_listener(self, channel: str) -> bool:
        """Whether somebody may read ``channel``; True when the layer cannot say."""
        try:
            return self.layer.has_listener(channel)
        except Exception:
            logger.exception("The channel layer failed to tell who listens to %r", channel)
            return True

    # Receiving

    async def _run(self) -> None:
        await self._look_at_generation()
        while True:
            # What happened to the layer before the wait below begins wakes nobody.
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look_at_generation())
            try:
                deliveries = await self.layer.receive(self.channel)
            except Exception as error:
                await self._failed(error)
                continue
            self._failures = 0
            self._backoff.reset()
            for delivery in deliveries:
                self._deliver(delivery)
            await asyncio.sleep(0)  # a layer that always has something must not starve the loop

    def _deliver(self, delivery: Delivery) -> None:
        shared: dict[Any, Any] = {}
        for local in delivery.targets:
            mailbox = self._mailboxes.get(local)
            if mailbox is not None:
                mailbox.deliver(delivery.message, shared)
            elif delivery.message.get("more_content"):
                self.tell(self.channel + local, closed=True)

    async def _look_at_generation(self) -> None:
        try:
            generation = await self.layer.generation(self.channel)
        except Exception:
            logger.exception("The channel layer failed to tell its generation")
            return
        before, self._generation = self._generation, generation
        if before is not None and generation != before:
            self.shed("the channel layer was emptied, or dropped this process's messages unread")

    async def _failed(self, error: Exception) -> None:
        """Wait longer after each failure; shed the connections once the layer counts as lost."""
        self._failures += 1
        delay = self._backoff.next_delay()
        logger.error(
            "Receiving from the channel layer failed (%s: %s); trying again in %.1f s",
            type(error).__name__,
            error,
            delay,
        )
        if self._failures == _LOST_AFTER:
            self.shed("the channel layer does not answer")
        await asyncio.sleep(delay)
