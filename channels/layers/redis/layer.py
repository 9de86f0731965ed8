"""``RedisChannelLayer``, put together from its parts."""

import asyncio

from channels.layers.forms import OwnForms
from channels.layers.redis.groups import RedisGroups
from channels.layers.redis.joined import RedisJoined
from channels.layers.redis.knowledge import RedisKnowledge
from channels.layers.redis.session import Session

__all__ = ["RedisChannelLayer"]


class RedisChannelLayer(OwnForms, RedisJoined, RedisGroups, RedisKnowledge):
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

    twisted_forms = "channels.layers.redis.twisted"
    asyncio_forms = "channels.layers.redis.asynchronous"

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

    def __str__(self) -> str:
        hosts = ", ".join(endpoint.text for endpoint in self.topology.endpoints())
        return f"{type(self).__name__}(hosts={hosts}, prefix={self.prefix})"
