"""WebSocket frames as a server sends them: one unmasked frame per message (RFC 6455, section 5).

A frame is built once and may be written to any number of sockets. Reading frames, which clients
mask, is the engine's (``daphne.protocol.engine``).
"""

import struct
from enum import IntEnum

__all__ = ["Opcode", "build_close_frame", "build_frame", "is_close_code"]


class Opcode(IntEnum):
    """What a frame is (RFC 6455, section 5.2)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


_FIN = 0x80

#: Says that the message is compressed (RFC 7692, section 6).
_RSV1 = 0x40

#: Payloads up to this length carry it in the second byte of the header.
_SHORT = 125

#: Payloads up to this length carry it in two further bytes, longer ones in eight.
_MEDIUM = 0xFFFF

#: Bytes of a close frame that its reason may take: a control frame's 125 less the code's two.
_MAX_REASON = _SHORT - 2


def build_frame(opcode: int, payload: bytes, compressed: bool = False) -> bytes:
    """The bytes of one final, unmasked frame.

    The caller keeps payloads of control frames within 125 bytes. ``compressed`` says that the
    payload is that of ``daphne.protocol.deflate``.
    """
    first, length = _FIN | opcode, len(payload)
    if compressed:
        first |= _RSV1
    if length <= _SHORT:
        return bytes((first, length)) + payload
    if length <= _MEDIUM:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


def build_close_frame(code: int | None, reason: str = "") -> bytes:
    """The bytes of a close frame; without a code it is empty and so has no reason either.

    A reason that is too long for a control frame is cut, at a character's end.
    """
    if code is None:
        return build_frame(Opcode.CLOSE, b"")
    text = reason.encode()[:_MAX_REASON].decode(errors="ignore").encode()
    return build_frame(Opcode.CLOSE, struct.pack("!H", code) + text)


def is_close_code(code: int) -> bool:
    """Whether a close frame may carry the code (RFC 6455, 7.4, and its IANA registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
