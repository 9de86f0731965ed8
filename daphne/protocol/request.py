"""From the bytes of a head to a checked request: what llhttp lets pass and we refuse is here.

llhttp (through httptools) splits the header fields and refuses what breaks their grammar: bare CR
or LF, control bytes, obs-fold, blanks before the colon, malformed or repeated Content-Length. The
rest is decided below, from the fields themselves and never from the parser's state, so that an
upgrade cannot change how a body is framed: version, target, Host, body framing, Expect, Connection.
"""

import codecs
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import httptools

from daphne.exceptions import RequestRefused
from daphne.protocol.core import ConnectionContext
from daphne.protocol.forwarded import believes_headers, read_forwarded, read_root_path
from daphne.protocol.head import Head
from daphne.protocol.host import is_host

__all__ = ["CHUNKED", "Request", "build_head", "decode_path", "parse_request"]

#: Value of ``Request.length`` for a body in chunks.
CHUNKED = -1

_VERSIONS = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}
_ANY_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")

_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?]*)(.*)")

#: Eighteen digits are more than any body has, and fewer than 2^63 bytes.
_LENGTH = re.compile(rb"[0-9]{1,18}")

#: Methods offered to who asks for a tunnel.
_ALLOW = (b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE")

#: Fields that decide how the server handles the request.
_SPECIAL = frozenset(
    {
        b"connection",
        b"content-length",
        b"daphne-root-path",
        b"expect",
        b"host",
        b"http2-settings",
        b"transfer-encoding",
        b"upgrade",
    }
)


class Request(NamedTuple):
    """A request's head, and what follows from it for the connection."""

    head: Head
    #: Bytes of body that follow, or ``CHUNKED``.
    length: int
    #: Whether the client allows another request on this connection.
    keep_alive: bool
    #: Whether the client waits for ``100 Continue`` before it sends the body.
    expects_continue: bool
    #: Whether this asks for a WebSocket; it has no body then.
    is_websocket: bool
    #: The header HTTP2-Settings of a request without a body that asks to go on in HTTP/2.
    http2_settings: bytes | None = None


class _Listener:
    """Hears of the end of one head from the parser."""

    complete = False

    def on_headers_complete(self) -> None:
        self.complete = True


def parse_request(data: bytes, context: ConnectionContext) -> Request:
    """Parse one whole head, its final empty line included.

    Raises ``RequestRefused`` with the status of the answer.
    """
    method, target, version = _request_line(data)
    _check_grammar(data)
    headers, special = _fields(data)
    if target[:1] != b"/" or b"#" in target or method == "CONNECT":
        target = _origin_form(method, target, headers)
    _check_host(special.get(b"host"), version)
    roots = special.get(b"daphne-root-path")
    head = build_head(method, target, version, headers, roots, context)
    if len(special) == 1 and version == "1.1":  # only Host, by far the most frequent case
        return Request(head, 0, True, False, False)
    length = _body_length(special, version)
    connection = _tokens(b",".join(special.get(b"connection", ())))
    is_websocket = b"upgrade" in connection and _is_websocket(method, version, length, special)
    return Request(
        head,
        length,
        b"close" not in connection and (version == "1.1" or b"keep-alive" in connection),
        _expects_continue(special.get(b"expect"), version),
        is_websocket,
        None if is_websocket else _http2_settings(version, length, connection, special),
    )


def _request_line(data: bytes) -> tuple[str, bytes, str]:
    """Method, target and version (RFC 9112, 3)."""
    parts = data[: data.find(b"\r\n")].split(b" ")
    if len(parts) != 3:
        raise RequestRefused(400, "The request line is malformed.")
    version = _VERSIONS.get(parts[2])
    if version is None:
        if _ANY_VERSION.fullmatch(parts[2]):
            raise RequestRefused(505, "This server speaks HTTP/1.1.")
        raise RequestRefused(400, "The request line is malformed.")
    return parts[0].decode("latin-1"), parts[1], version


def _check_grammar(data: bytes) -> None:
    """Have llhttp read the head."""
    # A fresh parser for each head: nothing of an earlier request can act on this one, and it
    # costs no more than keeping one.
    listener = _Listener()
    try:
        httptools.HttpRequestParser(listener).feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # It stops after the head, which is all that it was given.
    except httptools.HttpParserError as error:
        raise RequestRefused(400, "The head of the request is malformed.") from error
    if not listener.complete:  # pragma: no cover  (llhttp ends a head, or refuses it)
        raise RequestRefused(400, "The head of the request is malformed.")


def _fields(data: bytes) -> tuple[list[tuple[bytes, bytes]], dict[bytes, list[bytes]]]:
    """The header fields of a head that llhttp has passed, and the values of the special ones.

    Each is on a line of its own, with its name up to the first colon (RFC 9112, 5): taken from
    there they cost half of what they do when the parser calls back for each.
    """
    headers = []
    special: dict[bytes, list[bytes]] = {}
    for line in data[:-4].split(b"\r\n")[1:]:
        field = _field(line) if len(line) <= _CACHED else _split_field(line)
        if field is None:
            continue
        name = field[0]
        if name in _SPECIAL:
            special.setdefault(name, []).append(field[1])
            if name == b"daphne-root-path":
                continue
        headers.append(field)
    return headers, special


def _split_field(line: bytes) -> tuple[bytes, bytes] | None:
    """Name and value of a field; None where it is to be ignored."""
    name, _, value = line.partition(b":")
    # An underscore is what CGI makes of a hyphen, so such a name could stand for another one.
    return None if b"_" in name else (name.lower(), value.strip(b" \t"))


#: Clients send most of their fields again and again; only short ones are worth keeping.
_CACHED = 64
_field = lru_cache(maxsize=1024)(_split_field)


def _origin_form(method: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The target as path and query (RFC 9112, 3.2); a host in it takes the place of Host's."""
    if method == "CONNECT":
        raise RequestRefused(405, "This server is no proxy.", (_ALLOW,))
    if target == b"*" and method == "OPTIONS":
        return target
    if b"#" in target:
        raise RequestRefused(400, "The request target has a fragment.")
    match = _ABSOLUTE.fullmatch(target)
    if match is None or not is_host(match[1]):
        raise RequestRefused(400, "The request target is malformed.")
    headers[:] = [(b"host", match[1]), *(pair for pair in headers if pair[0] != b"host")]
    rest = match[2]
    return rest if rest[:1] == b"/" else b"/" + rest


def _check_host(values: list[bytes] | None, version: str) -> None:
    """Refuse a request whose Host header is missing, repeated or malformed (RFC 9112, 3.2)."""
    if values is None:
        if version == "1.1":
            raise RequestRefused(400, "The request has no Host header.")
    elif len(values) > 1 or not is_host(values[0]):
        raise RequestRefused(400, "The request needs exactly one, valid Host header.")


def _body_length(special: dict[bytes, list[bytes]], version: str) -> int:
    """How the body is framed (RFC 9112, 6.3), refusing everything that two parties may read
    differently.
    """
    lengths = special.get(b"content-length")
    encodings = special.get(b"transfer-encoding")
    if encodings is not None:
        if lengths is not None or version != "1.1":
            raise RequestRefused(400, "The length of the body is ambiguous.")
        if len(encodings) > 1 or encodings[0].lower() != b"chunked":
            raise RequestRefused(400, "The only transfer encoding that may be used is chunked.")
        return CHUNKED
    if lengths is None:
        return 0
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise RequestRefused(400, "The Content-Length header is malformed.")
    return int(lengths[0])


@lru_cache(maxsize=256)
def _tokens(value: bytes) -> frozenset[bytes]:
    """The elements of a list header, lower-cased."""
    return frozenset(token.strip(b" \t") for token in value.lower().split(b","))


def _expects_continue(values: list[bytes] | None, version: str) -> bool:
    if values is None or version == "1.0":
        return False  # RFC 9110, 10.1.1: from HTTP/1.0 it is ignored
    if len(values) > 1 or values[0].lower() != b"100-continue":
        raise RequestRefused(417, "The only expectation that can be met is 100-continue.")
    return True


def _is_websocket(
    method: str, version: str, length: int, special: dict[bytes, list[bytes]]
) -> bool:
    """Whether to hand over to the WebSocket core; any other upgrade is ignored (RFC 9110, 7.8)."""
    protocols = _tokens(b",".join(special.get(b"upgrade", ())))
    if version == "1.0" or b"websocket" not in protocols:
        return False
    if length:
        raise RequestRefused(400, "A WebSocket handshake must have no body.")
    return method == "GET"


def _http2_settings(
    version: str, length: int, connection: frozenset[bytes], special: dict[bytes, list[bytes]]
) -> bytes | None:
    """The settings of a client that asks for HTTP/2 (RFC 7540, 3.2); never with a body."""
    settings = special.get(b"http2-settings")
    if settings is None or len(settings) > 1 or length or version != "1.1":
        return None
    protocols = _tokens(b",".join(special.get(b"upgrade", ())))
    asked = connection >= {b"upgrade", b"http2-settings"} and b"h2c" in protocols
    return settings[0] if asked else None


def build_head(
    method: str,
    target: bytes,
    version: str,
    headers: list[tuple[bytes, bytes]],
    roots: list[bytes] | None,
    context: ConnectionContext,
) -> Head:
    """The head of a checked request, with what trusted proxies say.

    ``roots`` are the values of ``Daphne-Root-Path``, which is none of ``headers``.
    """
    raw_path, _, query_string = target.partition(b"?")
    options = context.options
    client = context.client
    scheme = "https" if context.secure else "http"
    root_path = options.root_path
    if context.trusted_peer:
        if roots:
            root_path = read_root_path(roots[-1])
        if believes_headers(options):
            forwarded = read_forwarded(headers, options)
            client = forwarded.client or client
            scheme = forwarded.scheme or scheme
            if forwarded.host is not None:
                headers = _with_host(headers, forwarded.host)
    return Head(
        method,
        target,
        decode_path(raw_path),
        query_string,
        version,
        headers,
        root_path,
        scheme,
        client,
        context.server,
    )


def _with_host(headers: list[tuple[bytes, bytes]], host: bytes) -> list[tuple[bytes, bytes]]:
    """The header fields with another Host, which a proxy says that it was asked for."""
    return [(b"host", host), *(pair for pair in headers if pair[0] != b"host")]


def _keep_escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    octets = error.object[error.start : error.end]
    return "".join(f"%{octet:02X}" for octet in octets), error.end


codecs.register_error("daphne.keep_escaped", _keep_escaped)


def decode_path(raw: bytes) -> str:
    """A path with percent escapes and UTF-8 decoded.

    Escaped octets that are no UTF-8 stay escaped, and so do malformed escapes: this is what Django
    makes of such a path under WSGI (RFC 3987, 3.2). ``raw`` is ASCII.
    """
    if b"%" not in raw:
        return raw.decode("ascii")
    return decode_octets(unquote_to_bytes(raw))


def decode_octets(octets: bytes) -> str:
    """The same for a path whose percent escapes are decoded already."""
    return octets.decode("utf-8", "daphne.keep_escaped")
