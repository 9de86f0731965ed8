"""Responses that the server makes itself: small HTML pages, everything in them escaped.

They name a status and a fixed sentence, and echo nothing of the request. Rendering of the
application's responses is in ``response``.
"""

from collections.abc import Iterable
from functools import lru_cache
from html import escape

from daphne.protocol.status import common_headers, reason_phrase, status_line

__all__ = ["error_page", "error_response"]

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{status} {reason}</title></head>
<body><h1>{reason}</h1><p>{detail}</p></body>
</html>
"""


@lru_cache(maxsize=64)
def error_page(status: int, detail: str) -> bytes:
    """The page for ``status`` with the sentence ``detail``, which is escaped."""
    reason = escape(reason_phrase(status) or "Error")
    return _PAGE.format(status=status, reason=reason, detail=escape(detail)).encode()


def error_response(
    status: int,
    detail: str,
    *,
    now: float,
    server_name: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    head_only: bool = False,
    close: bool = True,
) -> bytes:
    """A whole HTTP/1.1 response with the page for ``status``.

    ``now`` is seconds since the epoch, for the Date header. ``head_only`` leaves the page out, as
    the answer to HEAD has to. ``close`` announces that the connection ends.
    """
    page = error_page(status, detail)
    lines = [
        status_line(status),
        common_headers(int(now), server_name),
        b"Content-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n" % len(page),
        *[b"%b: %b\r\n" % pair for pair in headers],
        b"Connection: close\r\n\r\n" if close else b"\r\n",
    ]
    return b"".join(lines if head_only else [*lines, page])
