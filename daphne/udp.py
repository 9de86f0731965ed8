"""UDP sockets: datagrams to the channel layer, and replies from there (reference, UDP format).

One server reads one process channel for all of its UDP sockets, ``udp.send.<random>!``, so the
replies to a client come back to the server and the socket that its datagram went to. A datagram
that the layer does not take is dropped and counted, as networks do; what clients are remembered is
``daphne.protocol.datagrams``'.
"""

import logging
import os
import socket
from collections.abc import Mapping
from typing import Any, cast

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError, InvalidAddressError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port

from channels.exceptions import ChannelFull, InvalidMessage
from channels.names import random_part
from channels.outage import FailureLog
from channels.spec import UDP_RECEIVE
from daphne.dispatch import Dispatch
from daphne.endpoints import host_and_port, listen_error, parse_inherited
from daphne.layers import ReactorLayer
from daphne.options import Options
from daphne.protocol.datagrams import Client, Datagrams

__all__ = ["UdpServer", "describe_udp"]

logger = logging.getLogger("daphne.udp")

#: Larger than any datagram, so that none is cut.
_BUFFER = 65536

#: Datagrams that are read from a socket in one turn of the reactor.
_PER_TURN = 64

#: The key of all sends: they differ in nothing that matters later.
_KEY = object()


class _Socket(Port):
    """A UDP socket that is read in bounded steps.

    Twisted's own reads until it has a number of bytes, which a flood of small or empty datagrams
    would let it do for ever.
    """

    #: Host and port that it is bound to.
    bound: tuple[str, int] = ("", 0)

    def doRead(self) -> None:  # noqa: N802
        """Take what has come, a few datagrams in a turn."""
        for _ in range(_PER_TURN):
            try:
                data, address = self.socket.recvfrom(_BUFFER)
            except OSError:  # nothing more, or the echo of a reply that nobody wanted
                return
            self.protocol.datagramReceived(data, address)


#: Twisted has no types for what it inherits.
_make_socket: Any = _Socket


class _Protocol(DatagramProtocol):
    """Between Twisted's socket and the server."""

    noisy = False

    def __init__(self, server: "UdpServer") -> None:
        self._server = server

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:  # noqa: N802
        """One datagram came. What raised would have the reactor close the socket."""
        try:
            self._server.datagram_received(cast(_Socket, self.transport), datagram, addr)
        except Exception:
            logger.exception("A datagram was lost")


class UdpServer:
    """The UDP side of one interface server."""

    def __init__(self, reactor: Any, options: Options, layer: ReactorLayer) -> None:
        """``layer`` is a view of the channel layer that nothing else receives from."""
        self._reactor = reactor
        self._most_pending = options.udp_max_pending
        #: The process channel below which the reply channels of all clients are.
        self.send_channel = f"udp.send.{random_part()}!"
        self._datagrams = Datagrams(options, self.send_channel, reactor.seconds)
        self._dispatch = Dispatch(reactor, layer, self.send_channel, self._layer_lost)
        self._ports: list[Any] = []
        #: Datagrams that the layer was given and has not answered for.
        self._pending = 0
        #: Datagrams, both ways, that were dropped, by reason; and those that were not.
        self.dropped: dict[str, int] = {}
        self.received = 0
        self.replied = 0
        self._dropping = FailureLog(logger, level=logging.WARNING, traceback=False)
        self._replies = FailureLog(logger, traceback=False)

    def __len__(self) -> int:
        """Clients that are remembered."""
        return len(self._datagrams)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each socket."""
        return [port.bound for port in self._ports]

    def start(self) -> None:
        """Begin to read the layer."""
        self._dispatch.start()

    def listen(self, where: str) -> None:
        """Open a socket on ``host:port``, or take over ``fd:fileno=N``; raises ``ListenError``."""
        try:
            port = self._inherited(where) if where.startswith("fd:") else self._made(where)
            port.startListening()
        except (CannotListenError, InvalidAddressError, OSError) as error:
            raise listen_error(f"udp {where}", error) from error
        port.bound = port.socket.getsockname()[:2]
        self._ports.append(port)

    def _made(self, where: str) -> Any:
        host, number = host_and_port(where)
        return _make_socket(number, _Protocol(self), host, _BUFFER, self._reactor)

    def _inherited(self, where: str) -> Any:
        """A port on a socket that a parent process has bound, by a descriptor of its own."""
        number, _ = parse_inherited(where)
        os.set_blocking(number, False)
        with socket.socket(fileno=number) as given:
            return _make_socket._fromListeningDescriptor(
                self._reactor, number, given.family, _Protocol(self), _BUFFER
            )

    def drain(self) -> None:
        """Take no more datagrams; replies still leave."""
        for port in self._ports:
            port.stopReading()

    def stop(self) -> "Deferred[Any]":
        """Close the sockets; fires when they are."""
        ports, self._ports = self._ports, []
        self._dispatch.stop()
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])

    # -- from clients -----------------------------------------------------------------------------

    def datagram_received(self, port: _Socket, data: bytes, address: tuple[Any, ...]) -> None:
        """Send one datagram to the application."""
        self.received += 1
        if self._pending >= self._most_pending:
            self._drop("backlog", "the channel layer is behind (option udp_max_pending)")
            return
        message, forgotten = self._datagrams.receive(data, Client(address, port), port.bound)
        for local in forgotten:
            self._dispatch.unregister(local)
        self._dispatch.register(message["reply_channel"][len(self.send_channel) :], self)
        self._pending += 1
        self._dispatch.send(self, None, UDP_RECEIVE, message, _KEY, confirmed=True)

    def sent(self, core: Any, key: object) -> None:
        """The layer took a datagram."""
        self._pending -= 1

    def send_failed(self, core: Any, key: object, error: Exception) -> None:
        """The layer did not take a datagram."""
        self._pending -= 1
        if isinstance(error, ChannelFull):
            self._drop("channel_full", f"{UDP_RECEIVE} is full")
        else:
            self._drop("layer_failed", f"the channel layer failed: {error}")

    def channel_made(self, core: Any, key: object, name: str) -> None:
        """Never asked for."""

    def room(self, core: Any, key: object) -> None:
        """Never asked for."""

    # -- to clients -------------------------------------------------------------------------------

    def deliver(self, local: str, message: Mapping[str, Any], shared: dict[Any, Any]) -> None:
        """Send what the application replies."""
        try:
            reply = self._datagrams.reply(local, message)
        except InvalidMessage as error:
            self._count("invalid_reply")
            self._replies.failed("A message to a client of UDP was ignored: %s", error)
            return
        if reply is None:
            self._count("client_expired")
            return
        client, data = reply
        try:
            client.socket.socket.sendto(data, client.address)
            self.replied += 1
        except OSError as error:
            self._count("send_failed")
            self._replies.failed("A datagram to %s was not sent: %s", client.address[:2], error)

    def _drop(self, reason: str, text: str) -> None:
        self._count(reason)
        self._dropping.failed("Datagrams are dropped: %s (%d so far)", text, self.dropped[reason])

    def _count(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def _layer_lost(self, reason: str) -> None:
        """There is nothing to be shed: a client that gets no reply asks again."""


def describe_udp(address: tuple[str, int]) -> str:
    """A bound address as the start-up line names it."""
    host, port = address
    return f"udp://[{host}]:{port}" if ":" in host else f"udp://{host}:{port}"
