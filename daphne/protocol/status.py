"""Status lines and the headers that every HTTP/1.1 response of this server has.

Both are the same for many responses, so they are rendered once and kept.
"""

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

__all__ = ["common_headers", "date_header", "reason_phrase", "server_header", "status_line"]


@lru_cache(maxsize=512)
def reason_phrase(status: int) -> str:
    """The registered phrase of a status code, empty for a code that is not registered."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


@lru_cache(maxsize=1024)
def status_line(status: int) -> bytes:
    """The status line; always HTTP/1.1, also towards older clients (RFC 9110, 2.5)."""
    return b"HTTP/1.1 %d %b\r\n" % (status, reason_phrase(status).encode("ascii"))


@lru_cache(maxsize=8)
def date_header(second: int) -> bytes:
    """The Date header for a whole second since the epoch (RFC 9110, 6.6.1)."""
    return b"Date: %b\r\n" % formatdate(second, usegmt=True).encode("ascii")


@lru_cache(maxsize=8)
def server_header(server_name: str) -> bytes:
    """The Server header; no header at all where the name is empty."""
    return b"Server: %b\r\n" % server_name.encode("latin-1") if server_name else b""


@lru_cache(maxsize=8)
def common_headers(second: int, server_name: str) -> bytes:
    """Server and Date together."""
    return server_header(server_name) + date_header(second)
