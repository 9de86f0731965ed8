"""From response messages to header fields and body (RFC 9113, 8.3.2).

The messages are checked as for HTTP/1.1 (``daphne.protocol.response``), before any byte is written.
Names become lower-case; what an application says about connections is left out.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from daphne.protocol.operations import Headers
from daphne.protocol.response import (
    Framing,
    Start,
    choose_framing,
    measure,
    response_fields,
    sort_headers,
)
from daphne.protocol.status import date_header

__all__ = ["CONTINUE", "page_headers", "render_start"]

#: The interim response that asks for a body (RFC 9110, 10.1.1).
CONTINUE = [(b":status", b"100")]


def render_start(
    message: Mapping[str, Any], *, method: str, now: float, server_name: str
) -> tuple[Headers, Start]:
    """Render the first message of a response: its head, and the rest.

    ``method`` is the request's, ``now`` is seconds since the epoch. Raises ``InvalidMessage`` where
    the message is no response, or could not be written without harm.
    """
    status, content, more = response_fields(message)
    block, managed = sort_headers(message)
    framing, length, _ = choose_framing(status, method, "2", managed)
    remaining, problem = None, ""
    body = content if framing else b""
    if framing == Framing.LENGTH:
        body, remaining, problem = measure(content, length or 0, more)
    headers = [(b":status", b"%d" % status), *_fields(block)]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    headers += _own(now, server_name, managed)
    start = Start(body, status, framing, remaining, len(body), more, False, problem)
    return headers, start


def _fields(block: bytes) -> Headers:
    """The fields in checked header lines."""
    lines = [line.partition(b": ") for line in block.split(b"\r\n")[:-1]]
    return [(name.lower(), value.strip(b" \t")) for name, _, value in lines]


def _own(now: float, server_name: str, given: Mapping[bytes, bytes]) -> Headers:
    """Server and Date, as far as the application has not sent them."""
    headers = []
    if server_name and b"server" not in given:
        headers.append((b"server", server_name.encode("ascii")))
    if b"date" not in given:
        headers.append((b"date", date_header(int(now))[len(b"Date: ") : -2]))
    return headers


def page_headers(
    status: int,
    length: int,
    *,
    now: float,
    server_name: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> Headers:
    """The head of an error page of ``length`` bytes, with further ``headers``."""
    return [
        (b":status", b"%d" % status),
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", b"%d" % length),
        *_own(now, server_name, {}),
        *((name.lower(), value) for name, value in headers),
    ]
