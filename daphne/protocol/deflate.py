"""Compressed WebSocket messages: what is agreed on, and how messages to clients are compressed.

``permessage-deflate`` (RFC 7692) is agreed on without context from one message to the next, in both
directions. So an idle socket keeps no window of 32 KiB, and a frame for a group is compressed once
for all of its sockets. Inflating what clients send is the engine's.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from autobahn.websocket.compress import PerMessageDeflateOffer

from daphne.protocol.frames import build_frame
from daphne.protocol.head import Head
from daphne.protocol.operations import Write
from daphne.protocol.replies import Reply

__all__ = ["Deflate", "negotiate"]

#: Payloads up to this many bytes are sent as they are: they would hardly get smaller.
_SMALL = 64

#: How hard it is tried: zlib's own default costs two to four times as much for a tenth less.
_LEVEL = 1

#: What ends a block of a message, and is left away (RFC 7692, section 7.2.1).
_FLUSHED = b"\x00\x00\xff\xff"

# Its type hints do not say.
_parse: Any = PerMessageDeflateOffer.parse

#: A parameter's name, with its value as a token or a quoted string (RFC 6455, section 9.1).
_PARAMETER = re.compile(r"""\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:\s*=\s*("?)([0-9A-Za-z]+)\2)?\s*""")


@dataclass(frozen=True, slots=True)
class Deflate:
    """What was agreed on with one client."""

    #: Base-two logarithm of the window that its messages may need, 9 to 15.
    window_bits: int
    #: Whether the client has asked for that.
    is_limited: bool

    def header(self) -> bytes:
        """The value of ``Sec-WebSocket-Extensions`` in the response."""
        window = f"; server_max_window_bits={self.window_bits}" if self.is_limited else ""
        text = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        return (text + window).encode()

    def write_of(self, reply: Reply) -> Write | None:
        """What is written for a reply, whose frame is built once for all that agreed on the same.

        The frame as it is where compression would gain nothing.
        """
        if len(reply.payload) <= _SMALL:
            return reply.write
        write = reply.compressed.get(self.window_bits)
        if write is None:
            payload = _compress(reply.payload, self.window_bits)
            write = Write(build_frame(reply.opcode, payload, compressed=True))
            reply.compressed[self.window_bits] = write
        return write


def negotiate(head: Head) -> Deflate | None:
    """Accept the first offer of a request that can be met; None where there is none.

    An offer with a parameter that is unknown, stands twice or has an invalid value is declined
    (RFC 7692, section 7.1).
    """
    for value in head.get_all(b"sec-websocket-extensions"):
        for parameters in _offers(value.decode("latin-1")):
            try:
                offer = _parse(parameters)
            except Exception:  # Autobahn raises nothing more special
                continue
            bits = offer.request_max_window_bits
            return Deflate(bits or zlib.MAX_WBITS, bool(bits))
    return None


def _offers(value: str) -> Iterator[dict[str, list[str | bool]]]:
    """The parameters of each well-formed offer of the extension, by name."""
    for extension in value.split(","):
        name, *rest = extension.split(";")
        matches = [_PARAMETER.fullmatch(text) for text in rest]
        if name.strip().lower() != "permessage-deflate" or None in matches:
            continue
        parameters: dict[str, list[str | bool]] = {}
        for match in matches:
            assert match is not None
            given = True if match[3] is None else match[3]
            parameters.setdefault(match[1].lower(), []).append(given)
        yield parameters


def _compress(payload: bytes, window_bits: int) -> bytes:
    """A message's payload, compressed by itself (RFC 7692, section 7.2.1)."""
    compressor = zlib.compressobj(_LEVEL, wbits=-window_bits)
    data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(_FLUSHED)
