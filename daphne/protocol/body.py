"""Decoding request bodies: by Content-Length, and in chunks.

A decoder is fed what arrives and gives back the body's bytes and, once the body is complete, what
came after it. Where the body then goes is in ``upload``.

llhttp, which parses the heads, is not used here: it cannot stop at the end of a message, so it
would go on into the next request. Its strictness is kept, and tested against it: hexadecimal
digits only, no blanks around them, CR LF after each line and each chunk.
"""

import re
from collections.abc import Callable
from typing import Protocol

from daphne.exceptions import RequestRefused

__all__ = ["BodyDecoder", "ChunkedDecoder", "LengthDecoder"]

#: Size and extensions of a chunk (RFC 9112, 7.1). Sixteen digits are more than anybody can send.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?")

#: A trailer field (RFC 9112, 7.1.2); trailers are checked and dropped.
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


class BodyDecoder(Protocol):
    """What both decoders do."""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Decode more bytes.

        Returns the part of the body in them, and what follows the body, None until it is complete.
        Raises ``RequestRefused``; the decoder is of no use after that.
        """


class LengthDecoder:
    """A body of ``length`` bytes (RFC 9112, 6.2)."""

    __slots__ = ("_remaining",)

    def __init__(self, length: int) -> None:
        self._remaining = length

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See ``BodyDecoder``."""
        remaining = self._remaining
        self._remaining -= len(data)
        if self._remaining > 0:
            return data, None
        return data[:remaining], data[remaining:]


class ChunkedDecoder:
    """A body in chunks (RFC 9112, 7.1).

    ``line_limit`` bounds a chunk's size line and a trailer, ``total_limit`` the trailers together,
    ``max_trailers`` their number.
    """

    __slots__ = (
        "_data",
        "_line_limit",
        "_max_trailers",
        "_parts",
        "_position",
        "_remaining",
        "_step",
        "_total_limit",
    )

    def __init__(self, line_limit: int, total_limit: int, max_trailers: int) -> None:
        self._line_limit = line_limit
        self._total_limit = total_limit
        self._max_trailers = max_trailers
        self._data = b""
        self._position = 0
        self._remaining = 0
        self._parts: list[bytes] = []
        #: Consumes one element of the grammar; false when it needs more bytes. None: complete.
        self._step: Callable[[ChunkedDecoder], bool] | None = ChunkedDecoder._size

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See ``BodyDecoder``."""
        self._data = self._data + data if self._data else data
        self._position = 0
        while self._step is not None and self._step(self):
            pass
        body = b"".join(self._parts)
        self._parts.clear()
        rest = self._data[self._position :]
        if self._step is None:
            return body, rest
        self._data = rest
        return body, None

    def _size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise RequestRefused(400, "The size of a chunk is malformed.")
        self._remaining = int(match[1], 16)
        self._step = ChunkedDecoder._content if self._remaining else ChunkedDecoder._trailer
        return True

    def _content(self) -> bool:
        part = self._data[self._position : self._position + self._remaining]
        self._parts.append(part)
        self._position += len(part)
        self._remaining -= len(part)
        if self._remaining:
            return False
        self._step = ChunkedDecoder._content_end
        return True

    def _content_end(self) -> bool:
        ending = self._data[self._position : self._position + 2]
        if ending != b"\r\n"[: len(ending)]:
            raise RequestRefused(400, "A chunk does not end where it has to.")
        if len(ending) < 2:
            return False
        self._position += 2
        self._step = ChunkedDecoder._size
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if not line:
            self._step = None
            return True
        self._total_limit -= len(line) + 2
        self._max_trailers -= 1
        if self._total_limit < 0 or self._max_trailers < 0:
            raise RequestRefused(
                431, "The request has too many trailer fields.", option="max_headers"
            )
        if _TRAILER.fullmatch(line) is None:
            raise RequestRefused(400, "A trailer field is malformed.")
        return True

    def _line(self) -> bytes | None:
        """The next line without its end, None while it is incomplete."""
        start = self._position
        end = self._data.find(b"\r\n", start, start + self._line_limit + 2)
        if end >= 0:
            self._position = end + 2
            return self._data[start:end]
        if len(self._data) - start > self._line_limit + 1:
            raise RequestRefused(
                400, "A line of the chunked body is too long.", option="header_line_limit"
            )
        if self._data.find(b"\n", start) >= 0 or self._data.find(b"\r", start, -1) >= start:
            raise RequestRefused(400, "Each line of a chunked body must end with CR LF.")
        return None
