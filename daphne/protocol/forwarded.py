"""What proxies say about a request: client, scheme, host, and where the site is mounted.

Anybody can send these headers, so they are believed only from a peer that the options list as a
proxy, and a list is read from its end, the part that the nearest proxies wrote: up to the first
address that is no proxy of ours. Which requests are looked at is decided in ``request``.

There are two families, ``X-Forwarded-*`` and ``Forwarded`` (RFC 7239, parsed by ``rfc7239``). Most
proxies write the first and let the second pass as the client sent it. So where a request has any
header of the first, ``Forwarded`` is not looked at; what either says is never mixed.
"""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple
from urllib.parse import unquote

from daphne.options import Options
from daphne.protocol.host import is_host
from daphne.protocol.rfc7239 import Hop, parse_forwarded
from daphne.protocol.trust import TrustedProxies

__all__ = ["Forwarded", "believes_headers", "read_forwarded", "read_root_path"]


class Forwarded(NamedTuple):
    """What the proxies said; None where they said nothing usable."""

    client: tuple[str, int] | None = None
    scheme: str | None = None
    host: bytes | None = None


#: Schemes as proxies write them, and as requests have them.
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}

#: One object for each list, so that its entries are parsed once.
_proxies = lru_cache(maxsize=16)(TrustedProxies)


def believes_headers(options: Options) -> bool:
    """Whether any header of proxies is to be read."""
    return bool(
        options.proxy_forwarded_address_header
        or options.proxy_forwarded_proto_header
        or options.proxy_forwarded_host_header
        or options.proxy_forwarded
    )


def read_forwarded(headers: list[tuple[bytes, bytes]], options: Options) -> Forwarded:
    """Read the headers that the options name.

    The client is the last address of the list that is no trusted proxy, or its first one if all
    are; its port is 0 unless a header gives it. A list whose relevant entry is no address is
    ignored: an application may expect an address there. A ``Forwarded`` header that is malformed
    anywhere is ignored as a whole.
    """
    addresses = _values(headers, options.proxy_forwarded_address_header)
    ports = _values(headers, options.proxy_forwarded_port_header)
    schemes = _values(headers, options.proxy_forwarded_proto_header)
    hosts = _values(headers, options.proxy_forwarded_host_header)
    if not (addresses or ports or schemes or hosts):
        return _read_standard(headers, options) if options.proxy_forwarded else Forwarded()
    skipped = _trusted_hops(addresses, options.trusted_proxies)
    host = _from_end(hosts, skipped).encode("latin-1")
    return Forwarded(
        _client(_from_end(addresses, skipped), _from_end(ports, skipped)),
        _SCHEMES.get(_from_end(schemes, skipped).lower()),
        host if is_host(host) else None,
    )


def _read_standard(headers: list[tuple[bytes, bytes]], options: Options) -> Forwarded:
    """What ``Forwarded`` says."""
    hops = parse_forwarded(value for name, value in headers if name == b"forwarded")
    if not hops:
        return Forwarded()
    skipped = _trusted_hops([hop.node for hop in hops], options.trusted_proxies)
    # All from the client's hop on was written by proxies of ours; not each of them says it all.
    ours = hops[max(0, len(hops) - 1 - skipped) :]
    scheme = next((hop.scheme for hop in ours if hop.scheme), "")
    return Forwarded(
        _node_client(ours[0]),
        _SCHEMES.get(scheme),
        next((hop.host for hop in ours if hop.host), None),
    )


def _node_client(hop: Hop) -> tuple[str, int] | None:
    """The client of a hop that names it by its address."""
    return _client(hop.node, str(hop.port))


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
    # A zone (RFC 4007, 11) is a name in the proxy's machine, of any characters.
    bare, _, _ = _without_port(entry).partition("%")
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address), _port(port)


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
