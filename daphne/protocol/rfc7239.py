"""The header ``Forwarded`` (RFC 7239): what each proxy on the way has said of its peer.

The grammar is taken strictly, because a client writes the beginning of the header: what is read in
two ways by two parties is how an address is forged. Nothing of a malformed header is used. Beyond
the grammar only blanks around semicolons are allowed, which change no meaning and many proxies
write. Whom to believe is decided in ``forwarded``.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from daphne.protocol.host import is_host

__all__ = ["Hop", "parse_forwarded"]


class Hop(NamedTuple):
    """What one proxy said; empty, or 0, where it said nothing."""

    #: The peer's address in its usual notation, ``unknown`` or an obfuscated identifier (RFC 7239,
    #: 6.2 and 6.3).
    node: str = ""
    #: The peer's port; 0 also for an obfuscated one.
    port: int = 0
    #: The scheme of the request, in lower case.
    scheme: str = ""
    #: The Host header of the request.
    host: bytes = b""


#: A pair and what ends it, or an empty element. The quantifiers give nothing back, so that the
#: time is linear in the length whatever the value is.
_PAIR = re.compile(
    rb"[ \t]*+(?:([!#$%&'*+.^_`|~0-9A-Za-z-]++)=(?:([!#$%&'*+.^_`|~0-9A-Za-z-]++)"
    rb'|"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+)"))?+'
    rb"[ \t]*+([;,]|\Z)"
)
_QUOTED = re.compile(rb"\\(.)", re.DOTALL)

#: RFC 7239, 6: node name and port.
_NODE = re.compile(
    r"([0-9.]++|\[[0-9A-Fa-f:.]++\]|[uU][nN][kK][nN][oO][wW][nN]|_[A-Za-z0-9._-]++)"
    r"(?::([0-9]{1,5}|_[A-Za-z0-9._-]++))?"
)
#: RFC 3986, 3.1.
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*")


def parse_forwarded(values: Iterable[bytes]) -> list[Hop] | None:
    """The hops of all header lines together, in their order; None where anything is malformed."""
    hops: list[Hop] = []
    try:
        for value in values:
            hops += _parse_value(value)
    except ValueError:
        return None
    return hops


def _parse_value(value: bytes) -> list[Hop]:
    """The hops of one line; raises ``ValueError``."""
    hops: list[Hop] = []
    pairs: dict[bytes, bytes] = {}
    position = 0
    while True:
        match = _PAIR.match(value, position)
        if match is None:
            raise ValueError("malformed")
        name, token, quoted, end = match.groups()
        if name is not None:
            if name.lower() in pairs:
                raise ValueError("a parameter stands twice")
            pairs[name.lower()] = _text(token, quoted)
        position = match.end()
        if end != b";":
            if pairs:
                hops.append(_hop(pairs))
                pairs = {}
            if not end:
                return hops


def _text(token: bytes | None, quoted: bytes | None) -> bytes:
    return token if token is not None else _QUOTED.sub(rb"\1", quoted or b"")


def _hop(pairs: dict[bytes, bytes]) -> Hop:
    if b"by" in pairs:
        _node(pairs[b"by"])
    node, port = _node(pairs[b"for"]) if b"for" in pairs else ("", 0)
    scheme, host = pairs.get(b"proto", b""), pairs.get(b"host", b"")
    if b"proto" in pairs and not _SCHEME.fullmatch(scheme):
        raise ValueError("a scheme is malformed")
    if b"host" in pairs and not is_host(host):
        raise ValueError("a host is malformed")
    return Hop(node, port, scheme.decode("ascii").lower(), host)


def _node(value: bytes) -> tuple[str, int]:
    """Name and port of a node; raises ``ValueError``."""
    match = _NODE.fullmatch(value.decode("latin-1"))
    if match is None:
        raise ValueError("a node is malformed")
    name, port = match.groups("")
    if name[0] == "[":
        name = str(IPv6Address(name[1:-1]))
    elif name[0].isdigit() or name[0] == ".":
        name = str(IPv4Address(name))
    number = int(port) if port.isdigit() else 0
    if number > 65535:
        raise ValueError("a port is malformed")
    return name.lower() if name.lower() == "unknown" else name, number
