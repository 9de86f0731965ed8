"""Finding the end of a request's head in what arrived, and limiting its size.

llhttp cannot be paused and puts no limit on anything, so a head is cut out here, whole, before it
is parsed (``request``). What was received beyond it, a body or further requests, stays in the
buffer until somebody takes it.

All work is linear in the bytes received: each byte is searched once, however it is cut into reads.
"""

import re

from daphne.exceptions import RequestRefused
from daphne.options import Options

__all__ = ["HeadBuffer"]

_END = b"\r\n\r\n"

#: Used bytes in front of unused ones, at most.
_COMPACT = 64 * 1024

#: A line feed without its carriage return, or the other way round; a carriage return at the end of
#: what arrived may still get its line feed.
_BARE = re.compile(rb"(?<!\r)\n|\r[^\n]")


class HeadBuffer:
    """Bytes received and not yet used.

    ``append`` takes what arrives, ``next_head`` cuts off a whole head, ``take`` everything.
    """

    __slots__ = ("_data", "_line_start", "_options", "_searched", "_start")

    def __init__(self, options: Options) -> None:
        self._options = options
        self._data: bytes | bytearray = b""
        #: Where the unused bytes begin.
        self._start = 0
        #: How far the end of the head was searched for, without success.
        self._searched = 0
        #: Where the last, incomplete line of an incomplete head begins.
        self._line_start = 0

    def __len__(self) -> int:
        return len(self._data) - self._start

    def append(self, data: bytes) -> None:
        """Add what arrived."""
        if self._start == len(self._data):
            self._begin_with(data)
            return
        if isinstance(self._data, bytes) or self._start > _COMPACT:
            self._data = bytearray(memoryview(self._data)[self._start :])
            self._searched = max(0, self._searched - self._start)
            self._line_start = max(0, self._line_start - self._start)
            self._start = 0
        self._data += data

    def _begin_with(self, data: bytes) -> None:
        self._data = data
        self._start = self._searched = self._line_start = 0

    def take(self) -> bytes:
        """Remove and return all that is left."""
        rest = bytes(self._data[self._start :])
        self._begin_with(b"")
        return rest

    def next_head(self) -> bytes | None:
        """Cut off the next head with its final empty line; None while it is incomplete.

        Raises ``RequestRefused``: 400 for a line feed without carriage return and the reverse,
        414 for a request line that is too long, 431 for header lines that are too long or too many.
        """
        data, start = self._data, self._start
        if start == len(data):
            return None
        if data.startswith(b"\r\n", start):
            start = self._skip_empty_lines()
        searched = self._searched - 3
        end = data.find(_END, searched if searched > start else start)
        if end < 0:
            self._check_incomplete()
            return None
        head = bytes(data[start : end + 4])
        if end + 4 == len(data):
            self._begin_with(b"")
        else:
            self._start = self._searched = self._line_start = end + 4
        self._check(head)
        return head

    def _skip_empty_lines(self) -> int:
        """Skip empty lines before a request line (RFC 9112, 2.2); returns where it begins."""
        while self._data.startswith(b"\r\n", self._start):
            self._start += 2
        self._searched = max(self._searched, self._start)
        self._line_start = max(self._line_start, self._start)
        return self._start

    def _check_incomplete(self) -> None:
        """Refuse as early as possible what can only become a head that is refused."""
        data, size = self._data, len(self._data)
        if _BARE.search(data, max(self._start, self._searched - 1)):
            raise RequestRefused(400, "Each line of a request must end with CR LF.")
        line_end = data.rfind(b"\n", max(self._start, self._searched))
        if line_end >= 0:
            self._line_start = line_end + 1
        self._searched = size
        if self._line_start == self._start:
            self._check_request_line(size - self._start)
        elif size - self._line_start > self._options.header_line_limit:
            raise self._too_large("header_line_limit")
        elif size - self._start > self._total_limit():
            raise self._too_large("header_total_limit")

    def _check(self, head: bytes) -> None:
        options = self._options
        if len(head) > options.request_line_limit or len(head) > options.header_line_limit:
            self._check_lines(head)
        breaks = head.count(b"\r\n")
        if breaks - 2 > options.max_headers:
            raise self._too_large("max_headers")
        if head.count(b"\n") != breaks or head.count(b"\r") != breaks:
            raise RequestRefused(400, "Each line of a request must end with CR LF.")

    def _check_lines(self, head: bytes) -> None:
        request_line, _, fields = head.partition(b"\r\n")
        self._check_request_line(len(request_line))
        if len(fields) > self._options.header_total_limit:
            raise self._too_large("header_total_limit")
        if max(map(len, fields.split(b"\r\n"))) > self._options.header_line_limit:
            raise self._too_large("header_line_limit")

    def _check_request_line(self, length: int) -> None:
        if length > self._options.request_line_limit:
            raise RequestRefused(414, "The request line is too long.", option="request_line_limit")

    def _total_limit(self) -> int:
        return self._options.request_line_limit + self._options.header_total_limit

    def _too_large(self, option: str) -> RequestRefused:
        what = {
            "max_headers": "The request has too many header fields.",
            "header_line_limit": "A header field of the request is too long.",
            "header_total_limit": "The header fields of the request are too long.",
        }
        return RequestRefused(431, what[option], option=option)
