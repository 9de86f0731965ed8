"""The head of a request, as the cores hand it on: parsed, checked and immutable.

Shared by the HTTP and the WebSocket core. How a head is found in what arrives is in
``head_buffer``, how it is parsed and checked in ``request``.
"""

from typing import NamedTuple

__all__ = ["Head"]


class Head(NamedTuple):
    """Request line, headers and addresses of one request, with proxies' headers applied."""

    #: Upper-case method name.
    method: str
    #: Request target in origin form (``/path?query``) or ``*``.
    target: bytes
    #: Path, percent escapes and UTF-8 decoded; without the query string.
    path: str
    #: What follows the first ``?`` of the target, not decoded.
    query_string: bytes
    #: ``"1.0"``, ``"1.1"`` or ``"2"``.
    http_version: str
    #: ``(name, value)`` in the order of arrival; names lower-cased, none with an underscore.
    headers: list[tuple[bytes, bytes]]
    #: Where the application is mounted: ``SCRIPT_NAME`` of WSGI.
    root_path: str
    #: ``"http"`` or ``"https"``; the WebSocket core makes ``"ws"`` and ``"wss"`` of them.
    scheme: str
    #: Host and port of the client, None where unknown (a unix socket).
    client: tuple[str, int] | None
    #: Host and port that the server listens on, None where unknown.
    server: tuple[str, int] | None

    def get(self, name: bytes) -> bytes | None:
        """The first value of the header ``name`` (lower-case), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        """All values of the header ``name`` (lower-case), in order."""
        return [value for key, value in self.headers if key == name]
