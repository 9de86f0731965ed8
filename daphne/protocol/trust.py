"""Which peers are proxies of ours, whose forwarded headers may be believed."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["TrustedProxies"]

#: The entry that stands for every peer on a unix socket.
UNIX = "unix"


class TrustedProxies:
    """A list of addresses and networks, and of unix sockets."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Raises ``ValueError`` for an entry that is no address, no network and not ``unix``."""
        entries = list(entries)
        self._unix = UNIX in entries
        self._networks = [_network(entry) for entry in entries if entry != UNIX]
        self._trusts_host = lru_cache(maxsize=1024)(self._look_up)

    def trusts(self, host: str | None) -> bool:
        """Whether a peer with this address is trusted; None is a peer on a unix socket."""
        return self._unix if host is None else self._trusts_host(host)

    def _look_up(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # a client of a socket that is open to both
        return any(address in network for network in self._networks)


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError as error:
        raise ValueError(
            f"{entry!r} is no trusted proxy: give an address, a network such as 10.0.0.0/8, "
            f"or {UNIX!r}"
        ) from error
