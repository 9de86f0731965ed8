"""Everything about Daphne that can be set, with its default and where the default comes from.

One frozen object carries the options from the command line, ``daphne.server.Server`` or Django's
settings to the protocol cores. Nothing is parsed here: ``daphne.cli`` and ``daphne.server`` do.
Times are seconds, sizes are bytes; None means "no limit" wherever a limit may be None.
"""

import math
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Any, get_args

__all__ = ["Options", "in_short"]

#: Options of which 0 would stop everything.
_POSITIVE = frozenset(
    {
        "body_chunk_size",
        "body_grace",
        "http2_max_streams",
        "udp_max_clients",
        "udp_max_pending",
        "websocket_byte_rate",
        "websocket_message_rate",
    }
)

#: Whole numbers of options are less: some are handed to compiled code.
_TOO_BIG = 2**63

#: Seconds that events may wait for others; who asks for more took them for milliseconds.
_LONGEST_COALESCE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one interface server."""

    # -- the server ---------------------------------------------------------------------------

    #: Value of the Server header of each response.
    server_name: str = "Daphne"

    #: Path below which the application is mounted (ASGI spec, HTTP Request, ``root_path``).
    root_path: str = ""

    #: 0 is silent but for errors, 1 says what listens where, 2 logs each connection.
    verbosity: int = 1

    #: Use a thread with blocking receives, although the layer knows how to wait in the reactor.
    force_sync: bool = False

    #: Connections at a time, in all; further ones are closed at once. None: as many as the process
    #: may have open files (``ulimit -n``), but for 64 that it needs itself, so that no flood of
    #: clients keeps it from its channel layer.
    max_connections: int | None = None

    #: Connections at a time from one address; addresses of trusted proxies are not counted. There
    #: is no limit by default, since a load balancer that is not listed as a trusted proxy looks
    #: like one client.
    max_connections_per_address: int | None = None

    #: Seconds that a shut-down waits for open requests and closing handshakes; more only where
    #: ``drain`` and ``websocket_close_timeout`` together are more.
    shutdown_timeout: float = 10.0

    #: Seconds over which a shut-down spreads the end of WebSockets, so that their clients do not
    #: connect again all at once. Half of ``shutdown_timeout``, so that the last one closed has as
    #: long for its closing handshake. 0: all at once, and no idle client may ask once more.
    drain: float = 5.0

    #: Seconds between two looks for events while the server is busy, so that it handles several
    #: together (``daphne.coalescing``). 0: each as soon as it comes. On Linux only.
    coalesce: float = 0.0

    # -- watching it --------------------------------------------------------------------------

    #: Address of ``/metrics``, ``/healthz`` and ``/readyz``: ``host:port``, or an endpoint string
    #: such as ``unix:/run/admin``. Nothing is measured without one.
    admin: str | None = None

    #: Seconds until the first byte of a response from which on a request is told as slow.
    slow_request: float | None = None

    # -- proxies ------------------------------------------------------------------------------

    #: Header with the client's address, such as ``X-Forwarded-For``; None: the socket's address.
    proxy_forwarded_address_header: str | None = None

    #: Header with the client's port, such as ``X-Forwarded-Port``.
    proxy_forwarded_port_header: str | None = None

    #: Header with the client's scheme, such as ``X-Forwarded-Proto``.
    proxy_forwarded_proto_header: str | None = None

    #: Header with the host that the client asked for, such as ``X-Forwarded-Host``; it takes the
    #: place of Host in the messages.
    proxy_forwarded_host_header: str | None = None

    #: Whether ``Forwarded`` (RFC 7239) is read, where a request has none of the headers above.
    proxy_forwarded: bool = False

    #: Addresses and networks whose forwarded headers and ``Daphne-Root-Path`` are believed;
    #: ``unix`` stands for every peer on a unix socket.
    trusted_proxies: tuple[str, ...] = ("127.0.0.0/8", "::1", "unix")

    # -- HTTP: limits (sources: SECURITY requirements that other servers failed) ------------------

    #: Header fields of a request, at most; one more is answered by 431.
    max_headers: int = 128

    #: Length of one header line; longer is answered by 431.
    header_line_limit: int = 8 * 1024

    #: Length of all header lines of a request together; longer is answered by 431.
    header_total_limit: int = 64 * 1024

    #: Length of the request line; longer is answered by 414.
    request_line_limit: int = 8 * 1024

    #: Length of a request's body as received, chunked or not; longer is answered by 413.
    max_body: int | None = None

    #: Part of a body that travels inside ``http.request``, and size of each later chunk
    #: (ASGI spec, HTTP Request: "chunks of 512 KiB").
    body_chunk_size: int = 512 * 1024

    # -- HTTP: times ----------------------------------------------------------------------------

    #: Seconds that the application has for the first message of a response, then for each of its
    #: next ones; the client gets a 503 (the documented default of ``--http-timeout``).
    http_timeout: float | None = 120.0

    #: Seconds for a whole request head to arrive, from its first byte or the connection's start.
    header_timeout: float | None = 10.0

    #: Seconds that a connection may stay without a request between two of them.
    keep_alive_timeout: float | None = 75.0

    #: Bytes a second that a request's body must average, once ``body_grace`` seconds have passed.
    body_min_rate: int | None = 240

    #: Seconds before ``body_min_rate`` is looked at, and between two looks.
    body_grace: float = 10.0

    #: Seconds that a client may leave a response unread while the transport's buffer is full.
    write_timeout: float | None = 60.0

    #: Bytes of a response that may wait for a client that does not read; then it is cut. Workers
    #: that follow the credit of their stream stay far below.
    response_write_limit: int = 16 * 1024 * 1024

    #: Seconds in which a client that has closed its sending side is still answered. Nothing tells
    #: it from one that has left, so it is also how late ``http.disconnect`` of that one may be.
    half_close_grace: float = 1.0

    # -- HTTP/2 ---------------------------------------------------------------------------------

    #: Whether HTTP/2 is spoken with clients that begin with it, ask for an upgrade to it, or choose
    #: it over TLS. It takes the package ``h2`` (``channels-batteries[http2]``).
    http2: bool = True

    #: Streams of one connection at a time, WebSockets included; further requests are refused, and
    #: may be sent again (RFC 9113, 5.1.2 recommends 100).
    http2_max_streams: int = 100

    #: Requests that a client may give up in ten seconds before its connection is closed
    #: (CVE-2023-44487). Twice what it may have open, as when a page is left and the next one too.
    http2_max_resets: int = 200

    #: Frames without content in ten seconds, at most, beside those that come with requests and
    #: responses: pings, settings, priorities, windows (CVE-2019-9512, -9514, -9515).
    http2_max_control_frames: int = 1000

    #: Bytes of responses that may wait for a client on one connection; above that the stream that
    #: most waits for is reset.
    http2_write_limit: int = 64 * 1024 * 1024

    # -- WebSocket ------------------------------------------------------------------------------

    #: Sub-protocols that the server speaks; the first one offered that is in here is chosen.
    ws_protocols: tuple[str, ...] = ()

    #: Whether messages of WebSockets are compressed where the client offers it (RFC 7692).
    websocket_compression: bool = False

    #: Seconds after which any WebSocket is closed; None: no limit. ``daphne.server`` fills in the
    #: layer's ``group_expiry`` by default, since memberships end then.
    websocket_timeout: float | None = 86400.0

    #: Seconds that the application has to accept or refuse a handshake.
    websocket_connect_timeout: float | None = 20.0

    #: The same limit by its other name; of two the shorter one counts. ``daphne.server`` sets it
    #: to 5 by default, which the ``daphne`` command leaves to ``--websocket-connect-timeout``.
    websocket_handshake_timeout: float | None = None

    #: Seconds of silence after which a ping is sent; None or 0: no pings.
    ping_interval: float | None = 20.0

    #: Seconds after a ping within which something must be heard.
    ping_timeout: float | None = 30.0

    #: Payload of a WebSocket frame, at most; longer is closed by 1009 (CVE-2026-44545).
    websocket_max_frame: int = 1024 * 1024

    #: Payload of a WebSocket message, inflated, at most; longer is closed by 1009.
    websocket_max_message: int = 1024 * 1024

    #: Frames of one message, at most; more are closed by 1008 (CVE-2026-48779).
    websocket_max_fragments: int = 16 * 1024

    #: Seconds that a socket waits, unread, for room in a full ``websocket.receive`` queue before
    #: it is closed by 1013 (``--ws-receive-wait``).
    websocket_receive_wait: float = 5.0

    #: Bytes that may wait for a client that does not read before it counts as a slow consumer.
    websocket_write_limit: int = 4 * 1024 * 1024

    #: What becomes of a slow consumer: ``close`` closes it by 1013, so that it connects again and
    #: nothing is missing in between; ``drop`` leaves out messages to it until it has read.
    websocket_slow_consumer: str = "close"

    #: Messages and control frames a second from one socket, on average; ten seconds' worth may
    #: come at once. More is closed by 1008. Far above what a person or a game sends.
    websocket_message_rate: float | None = 1000.0

    #: The same for bytes a second, those of frames or what they inflate to if that is more.
    websocket_byte_rate: int | None = 16 * 1024 * 1024

    #: Seconds for the closing handshake before the connection is dropped.
    websocket_close_timeout: float = 5.0

    # -- UDP --------------------------------------------------------------------------------------

    #: Addresses, ``host:port``, whose datagrams are messages of ``udp.receive``.
    udp: tuple[str, ...] = ()

    #: Clients that are remembered at a time; beyond that the one that was silent longest is
    #: forgotten, and replies to it are dropped. Addresses of datagrams can be forged by anybody.
    udp_max_clients: int = 16 * 1024

    #: Seconds after its latest datagram for which a client can be replied to.
    udp_client_timeout: float = 300.0

    #: Datagrams that may wait for the channel layer to take them; more are dropped.
    udp_max_pending: int = 1000

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for an option that no server could work with."""
        for field in fields(self):
            _check(field.name, field.type, getattr(self, field.name))
        if not self.server_name.isascii() or not (self.server_name or "x").isprintable():
            raise ValueError(f"server_name is {self.server_name!r}; it must be printable ASCII")
        if self.websocket_slow_consumer not in ("close", "drop"):
            raise ValueError(
                f"websocket_slow_consumer is {self.websocket_slow_consumer!r}; "
                "it must be 'close' or 'drop'"
            )
        if self.coalesce > _LONGEST_COALESCE:
            raise ValueError(
                f"coalesce is {self.coalesce!r}; it must be a number of seconds, "
                f"{_LONGEST_COALESCE:g} or less, such as 0.001: events wait for so long"
            )


def _check(name: str, kind: Any, value: Any) -> None:
    """Refuse a number that is none, that is negative, or that has no end."""
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if not {int, float} & set(kinds) or (value is None and NoneType in kinds):
        return
    numbers = (int, float) if float in kinds else (int,)
    right = isinstance(value, numbers) and not isinstance(value, bool)
    right = right and (value < _TOO_BIG if isinstance(value, int) else math.isfinite(value))
    if not right or value < 0 or (value == 0 and name in _POSITIVE):
        least = "more than 0" if name in _POSITIVE else "0 or more"
        least += ", below 2**63" if int in kinds else ""
        none = ", or None for no limit" if NoneType in kinds else ""
        raise ValueError(f"{name} is {value!r}; it must be a number, {least}{none}")


def in_short(value: float | None, unit: str = "") -> str:
    """A limit as people write it: ``1M`` for 1048576, ``none`` for None."""
    if value is None:
        return "none"
    for size, letter in ((1024**2, "M"), (1024, "K")):
        if isinstance(value, int) and value >= size and value % size == 0:
            return f"{value // size}{letter}{unit}"
    return (f"{value:g}" if isinstance(value, float) else str(value)) + unit
