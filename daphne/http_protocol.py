"""The factory of connections: makes them, counts them, closes them, and knows what they share.

A connection itself is ``daphne.connection.Connection``.
"""

import logging
import resource
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory, IProtocolNegotiationFactory
from zope.interface import implementer

from daphne.connection import Connection
from daphne.deadlines import Deadlines
from daphne.dispatch import Dispatch
from daphne.draining import Drain
from daphne.options import Options
from daphne.protocol.core import NAME_LENGTH, ConnectionContext, Core
from daphne.protocol.opening import speaks_http2
from daphne.protocol.trust import TrustedProxies
from daphne.writes import Cork

__all__ = ["Connection", "HTTPFactory", "most_connections"]

logger = logging.getLogger("daphne.http_protocol")

#: Open files that are left for the process itself: layer, database, log files, listeners.
_OWN_FILES = 64

#: How a socket of IPv6 that is open to both kinds shows addresses of IPv4 (RFC 4291, 2.5.5.2).
_MAPPED = "::ffff:"


@implementer(IProtocolFactory, IProtocolNegotiationFactory)
class HTTPFactory:
    """Makes connections, counts them, and knows what they share."""

    #: Twisted says nothing about starting and stopping.
    noisy = False

    def __init__(
        self,
        reactor: Any,
        options: Options,
        make_core: Callable[[ConnectionContext], Core],
        reply_prefix: str,
        deadlines: Deadlines,
        *action_loggers: Callable[[str, str, dict[str, Any]], object],
    ) -> None:
        """``reply_prefix`` is the server's process channel, ``daphne.response.<random>!``."""
        self.options = options
        self.make_core = make_core
        self.deadlines = deadlines
        self.cork = Cork(reactor)
        self.seconds: Callable[[], float] = reactor.seconds
        #: Filled in by ``attach`` before the first connection.
        self.dispatch: Dispatch
        self._reactor = reactor
        self._reply_prefix = reply_prefix
        self._action_loggers = action_loggers
        self._trusted = TrustedProxies(options.trusted_proxies)
        self._most = most_connections(options)
        self._connections: set[Connection] = set()
        self._by_address: dict[str, int] = {}
        self._refused_logged = 0.0
        self._waiting: list[Deferred[None]] = []
        #: The end of all connections, once it has begun.
        self._drain: Drain | None = None
        #: Connections so far, those that were closed at once by the limit that they exceeded, and
        #: how often all were closed because the layer was lost.
        self.accepted = 0
        self.refused: Counter[str] = Counter()
        self.sheds = 0

    def attach(self, dispatch: Dispatch) -> None:
        """Give the factory its way to the channel layer."""
        self.dispatch = dispatch

    def __len__(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    def kinds(self) -> Mapping[str, int]:
        """Open connections by what is spoken on them (``Core.kind``)."""
        return Counter(connection.kind for connection in self._connections)

    # -- called by Twisted ------------------------------------------------------------------------

    def doStart(self) -> None:  # noqa: N802
        """A listener starts; nothing to do."""

    def doStop(self) -> None:  # noqa: N802
        """A listener stops; its connections stay."""

    def buildProtocol(self, peer: Any) -> Connection | None:  # noqa: N802
        """A connection was accepted; None, by which it is closed, over a limit."""
        if self._most is not None and len(self._connections) >= self._most:
            reason = (
                "--max-connections" if self.options.max_connections is not None else "ulimit -n"
            )
            self._refused("all", f"{self._most} connections are open ({reason})")
            return None
        limit = self.options.max_connections_per_address
        if limit is None or not isinstance(peer, IPv4Address | IPv6Address):
            return Connection(self, None)
        host = _host(peer)
        if self._trusted.trusts(host):
            return Connection(self, None)
        if self._by_address.get(host, 0) >= limit:
            self._refused("address", f"{host} has {limit} (--max-connections-per-address)")
            return None
        return Connection(self, host)

    def acceptableProtocols(self) -> list[bytes]:  # noqa: N802
        """What clients of TLS endpoints may choose from (ALPN, RFC 7301), the best first."""
        return [b"h2", b"http/1.1"] if speaks_http2(self.options) else [b"http/1.1"]

    def _refused(self, limit: str, reason: str) -> None:
        """Log, once a second at most, why a connection was closed at once."""
        self.refused[limit] += 1
        now = self.seconds()
        if now >= self._refused_logged + 1.0:
            self._refused_logged = now
            logger.warning("Connections are refused: %s", reason)

    # -- called by connections --------------------------------------------------------------------

    def context(self, transport: Any, secure: bool) -> ConnectionContext:
        """What the core of a new connection may know."""
        client = _host_and_port(transport.getPeer())
        return ConnectionContext(
            options=self.options,
            reply_prefix=self._reply_prefix,
            name=secrets.token_hex(NAME_LENGTH // 2),
            client=client,
            server=_host_and_port(transport.getHost()),
            secure=secure,
            trusted_peer=self._trusted.trusts(client[0] if client else None),
            clock=self.seconds,
            now=time.time,
            has_listener=self.dispatch.has_listener,
            logs_requests=bool(self._action_loggers),
        )

    def opened(self, connection: Connection) -> None:
        """Count a connection."""
        self.accepted += 1
        self._connections.add(connection)
        if connection.address is not None:
            count = self._by_address.get(connection.address, 0)
            self._by_address[connection.address] = count + 1

    def closed(self, connection: Connection) -> None:
        """Count a connection no more."""
        self._connections.discard(connection)
        if connection.address is not None:
            count = self._by_address.pop(connection.address) - 1
            if count:
                self._by_address[connection.address] = count
        if not self._connections and self._waiting:
            waiting, self._waiting = self._waiting, []
            for deferred in waiting:
                deferred.callback(None)

    def upgraded(self, connection: Connection) -> None:
        """The connection has another core, which has not heard that the server stops."""
        if self._drain is not None:
            self._drain.add(connection)

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Report to the action loggers, whose failures cost a line in the log."""
        for action_logger in self._action_loggers:
            try:
                action_logger(protocol, action, details)
            except Exception:
                logger.exception("The action logger failed")

    # -- called by the server ---------------------------------------------------------------------

    def shed(self, reason: str) -> None:
        """Close every connection but keep listening: their reply channels lead nowhere."""
        self.sheds += 1
        if self._connections:
            logger.warning("Closing %d connections: %s", len(self._connections), reason)
            Drain(self._reactor, self._connections, 0.0)

    def shutdown(self) -> None:
        """Have every connection finish and close, WebSockets within ``options.drain`` seconds."""
        self._drain = Drain(self._reactor, self._connections, self.options.drain)

    def emptied(self) -> "Deferred[None]":
        """Fires once no connection is open."""
        if not self._connections:
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        return deferred

    def abort(self) -> None:
        """Drop every connection."""
        if self._drain is not None:
            self._drain.stop()
        for connection in list(self._connections):
            connection.abort()


def most_connections(options: Options) -> int | None:
    """How many connections there may be at a time; None: any number."""
    if options.max_connections is not None:
        return options.max_connections
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if files == resource.RLIM_INFINITY else max(1, files - _OWN_FILES)


def _host_and_port(address: Any) -> tuple[str, int] | None:
    """Host and port of an internet address; None for a unix socket."""
    if isinstance(address, IPv4Address | IPv6Address):
        return (_host(address), address.port)
    return None


def _host(address: IPv4Address | IPv6Address) -> str:
    """The host; an address of IPv4 also where it came over a socket that is open to both kinds."""
    host: str = address.host
    return host.removeprefix(_MAPPED) if "." in host else host
