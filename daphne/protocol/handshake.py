"""The opening handshake of WebSocket: what a request must be, and its acceptance (RFC 6455, 4.2).

All rules are here: engines see nothing of the handshake. Bytes and lengths of headers were checked
when the head was read (``daphne.protocol.head_buffer``). Which response is written when is decided
by ``daphne.protocol.websocket``; refusals are pages of ``daphne.protocol.error_pages``.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING

from daphne.protocol.head import Head
from daphne.protocol.status import server_header, status_line

if TYPE_CHECKING:
    from daphne.protocol.deflate import Deflate

__all__ = [
    "Handshake",
    "HandshakeError",
    "build_acceptance",
    "check_handshake",
    "check_stream_handshake",
]

#: What a server appends to the key before it hashes it (RFC 6455, 1.3).
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: The only version of the protocol in use (RFC 6455, 4.1).
_VERSION = b"13"

#: Headers of a 426: Upgrade names the protocol, Connection lists Upgrade (RFC 9110, 15.5.22, 7.8).
_UPGRADE_REQUIRED = (
    (b"Sec-WebSocket-Version", _VERSION),
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
)

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Handshake:
    """A request for a WebSocket that may be accepted."""

    #: The key as the client sent it; empty over HTTP/2, which has none.
    key: bytes
    #: The sub-protocol chosen, None if the client offered none of the server's.
    protocol: str | None
    #: How messages are compressed (``daphne.protocol.deflate``), None where they are not.
    deflate: "Deflate | None" = None


class HandshakeError(Exception):
    """A request that is no proper WebSocket handshake; an error of the client.

    ``status`` and ``headers`` are those of the response it gets.
    """

    def __init__(
        self, reason: str, status: int = HTTPStatus.BAD_REQUEST, headers: Sequence[Header] = ()
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.headers = headers


def check_handshake(head: Head, protocols: Collection[str], compression: bool = False) -> Handshake:
    """Check the request and choose the first protocol offered that is in ``protocols``.

    ``compression``: whether an offer to compress messages is accepted. Raises ``HandshakeError``.
    """
    if head.method != "GET":
        raise HandshakeError("a handshake uses GET", 405, [(b"Allow", b"GET")])
    if head.http_version != "1.1":
        raise HandshakeError("a handshake needs HTTP/1.1")
    if b"websocket" not in _options(head, b"upgrade"):
        raise HandshakeError("the header Upgrade lacks websocket")
    if b"upgrade" not in _options(head, b"connection"):
        raise HandshakeError("the header Connection lacks upgrade")
    _check_version(head)
    return _agree(head, _check_key(head), protocols, compression)


def check_stream_handshake(
    head: Head, protocols: Collection[str], compression: bool = False
) -> Handshake:
    """The same for an extended CONNECT over HTTP/2, which has no key (RFC 8441, 5)."""
    if head.get_all(b"sec-websocket-version") != [_VERSION]:
        raise HandshakeError(
            "only version 13 of WebSocket is spoken here",
            HTTPStatus.BAD_REQUEST,
            [(b"Sec-WebSocket-Version", _VERSION)],
        )
    return _agree(head, b"", protocols, compression)


def _agree(head: Head, key: bytes, protocols: Collection[str], compression: bool) -> Handshake:
    """What the server makes of the client's offers."""
    if len(head.get_all(b"origin")) > 1:
        raise HandshakeError("the header Origin stands twice")
    deflate = _negotiate(head) if compression else None
    return Handshake(key, _choose_protocol(head, protocols), deflate)


def _negotiate(head: Head) -> "Deflate | None":
    # Loaded when first needed: it takes Autobahn.
    agreed: Deflate | None = import_module("daphne.protocol.deflate").negotiate(head)
    return agreed


def _items(head: Head, name: bytes) -> list[bytes]:
    """The elements of a comma-separated list, which may be spread over several header lines."""
    items = [item.strip(b" \t") for value in head.get_all(name) for item in value.split(b",")]
    return [item for item in items if item]


def _options(head: Head, name: bytes) -> list[bytes]:
    return [item.lower() for item in _items(head, name)]


def _check_version(head: Head) -> None:
    versions = head.get_all(b"sec-websocket-version")
    if len(versions) > 1:
        raise HandshakeError("the header Sec-WebSocket-Version stands twice")
    if versions != [_VERSION]:
        raise HandshakeError(
            "only version 13 of WebSocket is spoken here",
            HTTPStatus.UPGRADE_REQUIRED,
            _UPGRADE_REQUIRED,
        )


def _check_key(head: Head) -> bytes:
    keys = head.get_all(b"sec-websocket-key")
    if len(keys) != 1:
        raise HandshakeError("the header Sec-WebSocket-Key must stand once")
    try:
        decoded = base64.b64decode(keys[0], validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != 16:
        raise HandshakeError("the header Sec-WebSocket-Key is not 16 bytes in Base64")
    return keys[0]


def _choose_protocol(head: Head, protocols: Collection[str]) -> str | None:
    offered = _items(head, b"sec-websocket-protocol")
    for name in offered:
        if not _TOKEN.fullmatch(name):
            raise HandshakeError("the header Sec-WebSocket-Protocol holds a name that is no token")
    for name in offered:
        if (text := name.decode("ascii")) in protocols:
            return text
    return None


def build_acceptance(handshake: Handshake, server_name: str) -> bytes:
    """The response with status 101 that ends the handshake."""
    accept = base64.b64encode(hashlib.sha1(handshake.key + _GUID).digest())
    lines = [
        status_line(HTTPStatus.SWITCHING_PROTOCOLS),
        server_header(server_name),
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
        b"Sec-WebSocket-Accept: %b\r\n" % accept,
    ]
    if handshake.protocol is not None:
        lines.append(b"Sec-WebSocket-Protocol: %b\r\n" % handshake.protocol.encode("ascii"))
    if handshake.deflate is not None:
        lines.append(b"Sec-WebSocket-Extensions: %b\r\n" % handshake.deflate.header())
    return b"".join([*lines, b"\r\n"])
