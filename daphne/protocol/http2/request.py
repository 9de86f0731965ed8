"""From the header fields of a request to a checked request (RFC 9113, 8.2 and 8.3).

``h2`` decompresses the fields and checks none of them here: the rules are those of HTTP/1.1
(``daphne.protocol.request``), with the same limits, and those that HTTP/2 adds. So that whoever
passes such a request on as HTTP/1.1 cannot be made to send another one (CVE-2025-57804).
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from daphne.exceptions import RequestRefused
from daphne.options import Options
from daphne.protocol.core import ConnectionContext
from daphne.protocol.host import is_host
from daphne.protocol.request import CHUNKED, Request, build_head

__all__ = ["FORBIDDEN", "Fields", "check_trailers", "is_path", "read_fields", "read_request"]

Header = tuple[bytes, bytes]

#: A name: a token without upper-case letters (RFC 9113, 8.2.1).
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")

#: A value: no control character but tab, and no blank at its ends (RFC 9113, 8.2.1).
_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[!-~\x80-\xff])?)?")

_METHOD = re.compile(rb"[A-Z][A-Z-]{0,31}")

#: A path with a query, as the parser of HTTP/1.1 takes it; no fragment.
_PATH = re.compile(rb"/[!-\"$-~]*")

_LENGTH = re.compile(rb"[0-9]{1,18}")

#: Fields about a connection of HTTP/1.1 (RFC 9113, 8.2.2).
FORBIDDEN = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)

_PSEUDO = frozenset({b":authority", b":method", b":path", b":protocol", b":scheme"})

#: Fields that decide how the server handles the request.
_SPECIAL = frozenset({b"content-length", b"expect", b"host", b"te"})

_ROOT_PATH = b"daphne-root-path"


class Fields(NamedTuple):
    """The fields of a request, sorted."""

    pseudo: dict[bytes, bytes]
    headers: list[Header]
    special: dict[bytes, list[bytes]]
    root_paths: list[bytes]

    @property
    def name(self) -> tuple[str, str]:
        """Method and target as far as they are known, for the log."""
        method, path = self.pseudo.get(b":method", b"-"), self.pseudo.get(b":path", b"-")
        return method.decode("latin-1")[:80], path.decode("latin-1")[:2000]


def read_fields(fields: Iterable[Header]) -> Fields:
    """Sort the fields of a request, and join the crumbs of its cookies (RFC 9113, 8.2.3).

    Checks nothing; ``read_request`` does.
    """
    pseudo: dict[bytes, bytes] = {}
    headers: list[Header] = []
    special: dict[bytes, list[bytes]] = {}
    root_paths: list[bytes] = []
    crumbs: list[bytes] = []
    position = 0
    for name, value in fields:
        if name[:1] == b":":
            # Twice, or after a header, is as wrong as an unknown name: it gets one.
            known = name not in pseudo and not headers and not crumbs
            pseudo[name if known else b":" + name] = value
        elif name == b"cookie":
            position = position if crumbs else len(headers)
            crumbs.append(value)
        elif name == _ROOT_PATH:
            root_paths.append(value)
        else:
            if name in _SPECIAL:
                special.setdefault(name, []).append(value)
            headers.append((name, value))
    if crumbs:
        headers.insert(position, (b"cookie", b"; ".join(crumbs)))
    return Fields(pseudo, headers, special, root_paths)


def read_request(fields: Fields, ended: bool, context: ConnectionContext) -> Request:
    """Check a request and all that it says.

    ``ended``: whether no body follows. Raises ``RequestRefused``.
    """
    _check_fields(fields, context.options)
    method, target, is_websocket = _request_line(fields.pseudo, context.options)
    authority = _authority(fields)
    headers = [(b"host", authority)]
    headers += [pair for pair in fields.headers if pair[0] != b"host" and b"_" not in pair[0]]
    head = build_head(method, target, "2", headers, fields.root_paths, context)
    length = _body_length(fields.special.get(b"content-length"), ended, is_websocket)
    expects = fields.special.get(b"expect")
    if expects is not None and (len(expects) > 1 or expects[0].lower() != b"100-continue"):
        raise RequestRefused(417, "The only expectation that can be met is 100-continue.")
    return Request(head, length, True, expects is not None, is_websocket)


def _check_fields(fields: Fields, options: Options) -> None:
    """Grammar of names and values, and the limits that HTTP/1.1 has as well."""
    if len(fields.headers) + len(fields.root_paths) > options.max_headers:
        raise RequestRefused(431, "The request has too many header fields.", option="max_headers")
    total = 0
    for name, value in fields.headers:
        size = len(name) + len(value) + 4
        if size > options.header_line_limit + 2:
            detail = "A header field of the request is too long."
            raise RequestRefused(431, detail, option="header_line_limit")
        total += size
        check_field(name, value)
    if total > options.header_total_limit:
        detail = "The header fields of the request are too long."
        raise RequestRefused(431, detail, option="header_total_limit")
    if any(value.lower() != b"trailers" for value in fields.special.get(b"te", ())):
        raise RequestRefused(400, "The only transfer coding that may be accepted is trailers.")
    for value in (*fields.pseudo.values(), *fields.root_paths):
        if not _VALUE.fullmatch(value):
            raise RequestRefused(400, "The head of the request is malformed.")


def check_field(name: bytes, value: bytes) -> None:
    """Check one header field or trailer; raises ``RequestRefused``."""
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise RequestRefused(400, "The head of the request is malformed.")
    if name in FORBIDDEN:
        raise RequestRefused(400, "The request has a header field about connections.")


def check_trailers(fields: Iterable[Header], options: Options) -> None:
    """Check the fields after a body, which are then dropped; raises ``RequestRefused``."""
    for count, (name, value) in enumerate(fields):
        if count >= options.max_headers:
            detail = "The request has too many trailer fields."
            raise RequestRefused(431, detail, option="max_headers")
        check_field(name, value)


def _request_line(pseudo: dict[bytes, bytes], options: Options) -> tuple[str, bytes, bool]:
    """Method, target, and whether this is a WebSocket (RFC 9113, 8.3.1; RFC 8441, 4)."""
    if not pseudo.keys() <= _PSEUDO:
        raise RequestRefused(400, "The request has an unknown or misplaced pseudo-header field.")
    method, protocol = pseudo.get(b":method", b""), pseudo.get(b":protocol")
    if not _METHOD.fullmatch(method):
        raise RequestRefused(400, "The method of the request is missing or malformed.")
    if method == b"CONNECT":
        if protocol is None:
            raise RequestRefused(405, "This server is no proxy.")
        if protocol != b"websocket":
            raise RequestRefused(501, "The only protocol spoken on streams is websocket.")
    elif protocol is not None:
        raise RequestRefused(400, "Only CONNECT may name a protocol.")
    if pseudo.get(b":scheme") not in (b"http", b"https"):
        raise RequestRefused(400, "The scheme of the request is missing or unknown.")
    path = pseudo.get(b":path", b"")
    if len(path) > options.request_line_limit:
        raise RequestRefused(414, "The request line is too long.", option="request_line_limit")
    if not is_path(path) and (path != b"*" or method != b"OPTIONS"):
        raise RequestRefused(400, "The request target is malformed.")
    return method.decode("ascii"), path, method == b"CONNECT"


def is_path(path: bytes) -> bool:
    """Whether this is a path, with or without a query."""
    return _PATH.fullmatch(path) is not None


def _authority(fields: Fields) -> bytes:
    """The host that is asked, named once or twice the same (RFC 9113, 8.3.1)."""
    hosts = set(fields.special.get(b"host", ()))
    if b":authority" in fields.pseudo:
        hosts.add(fields.pseudo[b":authority"])
    if len(hosts) != 1 or len(fields.special.get(b"host", ())) > 1:
        raise RequestRefused(400, "The request needs exactly one, valid host.")
    host = hosts.pop()
    if not is_host(host):
        raise RequestRefused(400, "The request needs exactly one, valid host.")
    return host


def _body_length(lengths: list[bytes] | None, ended: bool, is_websocket: bool) -> int:
    """Bytes of body, ``CHUNKED`` where only its end will tell."""
    if lengths is None:
        return 0 if ended or is_websocket else CHUNKED
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise RequestRefused(400, "The Content-Length header is malformed.")
    length = int(lengths[0])
    if (ended or is_websocket) and length:
        raise RequestRefused(400, "The length of the body is not what its header says.")
    return length
