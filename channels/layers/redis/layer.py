"""``RedisChannelLayer``, put together from its parts."""

import asyncio
import functools
import importlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from channels.layers.entries import Delivery, Received
from channels.layers.redis.blocking import RedisWaits
from channels.layers.redis.groups import RedisGroups
from channels.layers.redis.knowledge import RedisKnowledge
from channels.layers.redis.session import Session

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["RedisChannelLayer"]

#: Entries that one receive of an interface server takes at most.
_DELIVERIES = 100


@functools.cache
def _twisted() -> Any:
    """The Twisted part; a process that never asks for it never loads Twisted."""
    return importlib.import_module("channels.layers.redis.twisted")


@functools.cache
def _asynchronous() -> Any:
    """The asyncio part, loaded as late."""
    return importlib.import_module("channels.layers.redis.asynchronous")


class RedisChannelLayer(RedisWaits, RedisGroups, RedisKnowledge):
    """A layer over one Redis server, or several that share the channels.

    ``hosts``: the servers, as URLs (``redis://``, ``rediss://`` for TLS, ``unix://``), pairs of
    host and port, or dicts of redis-py's connection arguments; by default the one on this machine.
    ``prefix`` and ``stats_prefix`` stand in front of every key; layers with the same prefixes and
    hosts are one. ``symmetric_encryption_keys``: the first one encrypts, all decrypt.
    ``connection_kwargs``: arguments of redis-py's connections. The others are those of
    ``BaseChannelLayer``.

    Raises ``ValueError`` for arguments out of range. What talks to a server raises
    ``LayerUnavailable`` where it does not answer, or refuses.
    """

    def _start(self) -> None:
        self._start_waits()
        self._start_groups()
        self._start_knowledge()
        self._reactor_session: Session | None = None
        self._asyncio_sessions: dict[asyncio.AbstractEventLoop, Session] = {}

    def close(self) -> None:
        """Close the connections; the next use makes new ones."""
        session, self._reactor_session = self._reactor_session, None
        sessions = [session, *self._asyncio_sessions.values()]
        self._asyncio_sessions.clear()
        for session in sessions:
            if session is not None:
                try:
                    session.loop.soon(session.close)
                except RuntimeError:
                    session.abandon()  # its loop is closed
        super().close()

    def _after_fork(self) -> None:
        super()._after_fork()
        self._close_waits()  # of threads that are not here
        self._start()

    def _is_kept_fresh(self) -> bool:
        return self._reactor_session is not None or any(
            not session.is_passing and not loop.is_closed()
            for loop, session in list(self._asyncio_sessions.items())
        )

    # Twisted and asyncio

    def receive_twisted(self, channels: Collection[str]) -> "Deferred[Received]":
        """``receive`` that blocks, as a Deferred."""
        deferred: Deferred[Received] = _twisted().receive(self, channels)
        return deferred

    def receive_deliveries_twisted(self, channels: Collection[str]) -> "Deferred[list[Delivery]]":
        """At least one delivery, or none where a flush, ``interrupt`` or a generation woke it."""
        deferred: Deferred[list[Delivery]] = _twisted().receive_deliveries(
            self, channels, _DELIVERIES
        )
        return deferred

    def send_twisted(self, channel: str, message: dict[str, Any]) -> "Deferred[None]":
        """``send`` as a Deferred."""
        deferred: Deferred[None] = _twisted().send(self, channel, message)
        return deferred

    def new_channel_twisted(self, pattern: str) -> "Deferred[str]":
        """``new_channel`` as a Deferred."""
        deferred: Deferred[str] = _twisted().new_channel(self, pattern)
        return deferred

    def room_twisted(self, channel: str) -> "Deferred[None]":
        """Fires when a send to ``channel`` may succeed; may be cancelled."""
        deferred: Deferred[None] = _twisted().room(self, channel)
        return deferred

    async def receive_async(self, channels: Collection[str]) -> Received:
        """``receive`` that blocks, as a coroutine; cancelling it loses no message."""
        received: Received = await _asynchronous().receive(self, channels)
        return received

    async def receive_deliveries_async(self, channels: Collection[str]) -> list[Delivery]:
        """At least one delivery, or none where a flush, ``interrupt`` or a generation woke it."""
        found: list[Delivery] = await _asynchronous().receive_deliveries(
            self, channels, _DELIVERIES
        )
        return found

    async def send_async(self, channel: str, message: dict[str, Any]) -> None:
        """``send`` as a coroutine."""
        await _asynchronous().send(self, channel, message)

    async def new_channel_async(self, pattern: str) -> str:
        """``new_channel`` as a coroutine."""
        name: str = await _asynchronous().new_channel(self, pattern)
        return name

    async def room_async(self, channel: str) -> None:
        """Returns when a send to ``channel`` may succeed; may be cancelled."""
        await _asynchronous().room(self, channel)

    def __str__(self) -> str:
        hosts = ", ".join(endpoint.text for endpoint in self.topology.endpoints())
        return f"{type(self).__name__}(hosts={hosts}, prefix={self.prefix})"
