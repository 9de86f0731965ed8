"""The UDP message format: from datagrams to messages, and from replies back to datagrams.

UDP has no connections, so a client is an address, and what a reply channel needs to remember of it
is that address and the socket that its datagram came to: the reply has to leave from there. Memory
is bounded by number and by time, and addresses can be forged by anybody, so nothing else is kept.
No I/O is done here; sockets are in ``daphne.udp``.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, NamedTuple

from channels.exceptions import InvalidMessage
from channels.spec import UdpReceive, check_udp_send, udp_receive
from daphne.options import Options

__all__ = ["MAX_DATAGRAM", "Client", "Datagrams"]

#: Bytes that a datagram can carry: 65,535 less the header of UDP and, in IPv4, that of IP.
MAX_DATAGRAM = {"ipv4": 65507, "ipv6": 65527}


class Client(NamedTuple):
    """Where a datagram came from, and which socket it came to."""

    #: The address as the system gives it: host and port, of IPv6 flow and scope too.
    address: tuple[Any, ...]
    #: Whatever stands for the socket.
    socket: Any


class Datagrams:
    """The clients of one server, by the local parts of their reply channels."""

    def __init__(self, options: Options, reply_prefix: str, clock: Callable[[], float]) -> None:
        """``reply_prefix`` is the server's process channel, ``udp.send.<random>!``."""
        self._most = options.udp_max_clients
        self._timeout = options.udp_client_timeout
        self._prefix = reply_prefix
        self._clock = clock
        self._numbers = count(1)
        #: By client, in the order of their latest datagrams: the local part, and when that came.
        self._clients: OrderedDict[Client, tuple[str, float]] = OrderedDict()
        self._by_local: dict[str, Client] = {}

    def __len__(self) -> int:
        """Clients that are remembered."""
        return len(self._clients)

    def receive(
        self, data: bytes, client: Client, server: tuple[str, int]
    ) -> tuple[UdpReceive, list[str]]:
        """The message of a datagram, and the local parts that are forgotten now."""
        now = self._clock()
        known = self._clients.pop(client, None)
        local = f"{next(self._numbers):x}" if known is None else known[0]
        self._clients[client] = (local, now)
        self._by_local[local] = client
        message = udp_receive(self._prefix + local, data, client.address[:2], server)
        return message, list(self._forget_oldest(now))

    def _forget_oldest(self, now: float) -> Iterator[str]:
        """Forget who was not heard of for too long, and whoever is one too many."""
        while self._clients:
            local, heard = next(iter(self._clients.values()))
            if len(self._clients) <= self._most and now - heard < self._timeout:
                return
            self._clients.popitem(last=False)
            del self._by_local[local]
            yield local

    def reply(self, local: str, message: Mapping[str, Any]) -> tuple[Client, bytes] | None:
        """Whom to send what; None where the client was not heard of for too long.

        Raises ``InvalidMessage`` for a message that is no reply, or too large for a datagram.
        """
        client = self._by_local.get(local)
        if client is None or self._clock() - self._clients[client][1] >= self._timeout:
            return None
        data = check_udp_send(message, strict=True)["data"]
        most = MAX_DATAGRAM["ipv6" if ":" in client.address[0] else "ipv4"]
        if len(data) > most:
            raise InvalidMessage(
                f"udp.send!: the key 'data' has {len(data)} bytes; a datagram carries {most} "
                "at most"
            )
        return client, data
