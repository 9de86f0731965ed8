"""A request as a WSGI server hands it over, on its way into messages.

What is sent when, and what comes back, is in ``wsgi``.
"""

from collections.abc import Iterator
from typing import Any

from channels.interfaces.http import TOO_LARGE, client_headers, http_version
from channels.spec import BODY_CHUNK, HttpRequest, http_request
from daphne.exceptions import RequestRefused
from daphne.protocol.request import decode_octets

__all__ = ["Environ", "Upload", "request_of"]

Environ = dict[str, Any]


def request_of(environ: Environ, reply_channel: str) -> HttpRequest:
    """The message of a request, its body left to be filled in."""
    root_path = decode_octets(environ.get("SCRIPT_NAME", "").encode("latin-1"))
    path = decode_octets(environ.get("PATH_INFO", "").encode("latin-1"))
    return http_request(
        reply_channel,
        environ["REQUEST_METHOD"].upper(),
        root_path + path or "/",
        client_headers(_headers(environ)),
        http_version=http_version(environ.get("SERVER_PROTOCOL", "HTTP/1.1").rpartition("/")[2]),
        scheme=environ.get("wsgi.url_scheme", "http"),
        query_string=environ.get("QUERY_STRING", "").encode("latin-1"),
        root_path=root_path,
        client=_address(environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")),
        server=_address(environ.get("SERVER_NAME"), environ.get("SERVER_PORT")),
    )


def _headers(environ: Environ) -> Iterator[tuple[bytes, bytes]]:
    """Headers as far as the environ has them: repeated ones were joined by the server."""
    for key, value in environ.items():
        if key.startswith("HTTP_") and key not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
            name = key[5:]
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            name = key
        else:
            continue
        yield name.replace("_", "-").encode("latin-1"), value.encode("latin-1")


def _address(host: str | None, port: Any) -> list[Any] | None:
    """``[host, port]``; None for a unix socket, and where the server does not tell."""
    if not host or not str(port or "0").isdecimal():
        return None
    return [host, int(port or 0)]


class Upload:
    """The body of a request, in parts that fit into a message."""

    def __init__(self, environ: Environ, limit: int | None) -> None:
        self._read = environ["wsgi.input"].read
        self._limit = limit
        self._taken = 0
        length = environ.get("CONTENT_LENGTH") or ""
        #: Bytes that are still to come; None where only the end of the stream tells.
        self._left: int | None = int(length) if length.isdecimal() else 0
        #: What was read to see whether it is there.
        self._ahead = b""
        if not length and environ.get("wsgi.input_terminated"):
            self._left = None
            self._ahead = self._part()
        if limit is not None and self._left is not None and self._left > limit:
            raise RequestRefused(*TOO_LARGE, option="max_body")

    def take(self) -> tuple[bytes, bool]:
        """The next part, and whether more follow. Raises ``RequestRefused``."""
        if self._left is not None:
            return self._part(), self._left > 0
        part = self._ahead
        self._ahead = self._part() if len(part) == BODY_CHUNK else b""
        return part, bool(self._ahead)

    def _part(self) -> bytes:
        """Up to ``BODY_CHUNK`` bytes, fewer at the end only."""
        size = BODY_CHUNK if self._left is None else min(self._left, BODY_CHUNK)
        part = bytearray()
        while len(part) < size:
            data = self._read_some(size - len(part))
            if not data:
                break
            part += data
        self._account(len(part), size)
        return bytes(part)

    def _read_some(self, size: int) -> bytes:
        try:
            data: bytes = self._read(size)
        except Exception as error:  # each server has its own for a client that went away
            raise RequestRefused(400, "The request's body could not be read.") from error
        return data

    def _account(self, size: int, asked: int) -> None:
        self._taken += size
        if self._limit is not None and self._taken > self._limit:
            raise RequestRefused(*TOO_LARGE, option="max_body")
        if self._left is not None:
            self._left -= size
            if size < asked:
                raise RequestRefused(400, "The request's body is shorter than its Content-Length.")
