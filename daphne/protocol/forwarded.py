"""What proxies say about a request: client address, port, scheme, and where the site is mounted.

Anybody can send these headers, so they are believed only from a peer that the options list as a
proxy, and an address list is read from its end, the part that the nearest proxies wrote. Which
requests are looked at is decided in ``request``.
"""

from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import unquote

from daphne.options import Options
from daphne.protocol.trust import TrustedProxies

__all__ = ["Forwarded", "read_forwarded", "read_root_path"]


class Forwarded(NamedTuple):
    """What the proxies said; None where they said nothing usable."""

    client: tuple[str, int] | None
    scheme: str | None


#: One object for each list, so that its entries are parsed once.
_proxies = lru_cache(maxsize=16)(TrustedProxies)


def read_forwarded(headers: list[tuple[bytes, bytes]], options: Options) -> Forwarded:
    """Read the forwarded headers that the options name.

    The client is the last address of the list that is no trusted proxy, or its first one if all
    are; its port is 0 unless a header gives it. A list whose relevant entry is no address is
    ignored: an application may expect an address there.
    """
    addresses = _values(headers, options.proxy_forwarded_address_header)
    ports = _values(headers, options.proxy_forwarded_port_header)
    schemes = _values(headers, options.proxy_forwarded_proto_header)
    skipped = _trusted_hops(addresses, options.trusted_proxies)
    client = _client(_from_end(addresses, skipped), _from_end(ports, skipped))
    scheme = _from_end(schemes, skipped).lower()
    return Forwarded(client, scheme if scheme in ("http", "https") else None)


def read_root_path(value: bytes) -> str:
    """The value of a ``Daphne-Root-Path`` header, URL-quoted UTF-8, as text without a final ``/``.

    Characters that cannot be decoded are replaced.
    """
    return unquote(value.decode("latin-1")).rstrip("/")


def _values(headers: list[tuple[bytes, bytes]], name: str | None) -> list[str]:
    """The elements of all headers of that name, each a comma-separated list."""
    if not name:
        return []
    wanted = name.lower().encode("latin-1")
    lists = [value.decode("latin-1") for key, value in headers if key == wanted]
    return [entry.strip() for value in lists for entry in value.split(",")]


def _trusted_hops(addresses: list[str], trusted_proxies: tuple[str, ...]) -> int:
    """How many addresses at the end of the list are proxies of ours."""
    hops = 0
    proxies = _proxies(trusted_proxies)
    for entry in reversed(addresses):
        if not proxies.trusts(_without_port(entry)):
            return hops
        hops += 1
    return hops


def _from_end(values: list[str], skipped: int) -> str:
    """The entry before ``skipped`` others at the end, or the first one of a shorter list."""
    return values[max(0, len(values) - 1 - skipped)] if values else ""


def _client(entry: str, port: str) -> tuple[str, int] | None:
    try:
        address = ip_address(_without_port(entry))
    except ValueError:
        return None
    return str(address), _port(port)


def _without_port(entry: str) -> str:
    """``192.0.2.1:80`` and ``[2001:db8::1]:80`` without brackets and port."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def _port(text: str) -> int:
    """A port number; 0, "unknown", for anything else."""
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        return 0
    port = int(text)
    return port if port < 65536 else 0
