"""From response messages to bytes on the wire: status line, headers and body framing.

What an application sends is checked before any byte of it is written (response splitting), and
framed by the rules of RFC 9112, 6.3, whatever it says about framing itself. When a response is
written, and on which connection, is decided in ``http1``; ``http2.response`` shares the checks.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from channels.exceptions import InvalidMessage
from channels.spec import check_http_response, check_http_response_chunk
from daphne.protocol.status import common_headers, date_header, server_header, status_line

__all__ = [
    "BODYLESS",
    "Framing",
    "ResponseBody",
    "Start",
    "choose_framing",
    "measure",
    "render_start",
    "response_fields",
    "sort_headers",
]


class Framing:
    """How the end of a body is marked."""

    #: There is none: HEAD, 204, 205, 304.
    NONE = 0
    #: Content-Length.
    LENGTH = 1
    #: Transfer-Encoding: chunked.
    CHUNKED = 2
    #: The end of the connection, for HTTP/1.0, or of the stream, for HTTP/2.
    CLOSE = 3


#: Header lines that say how a body without Content-Length is framed.
_FRAMING_LINES = (b"", b"", b"Transfer-Encoding: chunked\r\n", b"")

#: A header line that is safe to write: a token, and no control character but tab in the value.
_HEADER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n")

_LENGTH = re.compile(rb"[0-9]{1,18}")

#: Headers that the server adds where the application has not set them.
_OWN = frozenset({b"date", b"server"})

#: Headers that need a decision. Those about the connection are the server's (RFC 9110, 7.6.1).
_MANAGED = _OWN | {
    b"connection",
    b"content-length",
    b"keep-alive",
    b"proxy-connection",
    b"transfer-encoding",
    b"upgrade",
}

#: Responses that never have a body (RFC 9110, 15.3.5, 15.3.6, 15.4.5).
BODYLESS = frozenset({204, 205, 304})


class Start(NamedTuple):
    """The rendered first message of a response."""

    #: Head, and as much of the body as came with it.
    data: bytes
    status: int
    framing: int
    #: Bytes of body that Content-Length still allows; None where there is no Content-Length.
    remaining: int | None
    #: Bytes of body in ``data``.
    size: int
    #: Whether chunks follow.
    more: bool
    #: Whether the connection has to end with this response.
    close: bool
    #: What the application did wrong without spoiling the response so far; empty if nothing.
    problem: str


class _Line(NamedTuple):
    """One header of the application, checked."""

    #: The line to be written; empty where the server writes its own or none.
    line: bytes
    #: The name in lower case where it needs a decision, otherwise empty.
    key: bytes


def render_start(
    message: Mapping[str, Any],
    *,
    method: str,
    http_version: str,
    keep_alive: bool,
    now: float,
    server_name: str,
) -> Start:
    """Render the first message of a response.

    ``method`` and ``http_version`` are the request's, ``keep_alive`` says whether the connection
    may stay, ``now`` is seconds since the epoch. Raises ``InvalidMessage`` where the message is no
    response, or could not be written without harm.
    """
    status, content, more = response_fields(message)
    block, managed = sort_headers(message)
    framing, length, close = choose_framing(status, method, http_version, managed)
    close = close or not keep_alive
    remaining, problem = None, ""
    body = content if framing else b""
    if framing == Framing.LENGTH:
        remaining = 0
        if len(content) != length:
            body, remaining, problem = measure(content, length or 0, more)
            close = close or problem != ""
    data = b"".join(
        (
            status_line(status),
            block,
            _own_headers(managed, int(now), server_name),
            _FRAMING_LINES[framing] if length is None else b"Content-Length: %d\r\n" % length,
            _connection_line(close, http_version),
            _frame(body, more) if framing == Framing.CHUNKED else body,
        )
    )
    return Start(data, status, framing, remaining, len(body), more, close, problem)


def response_fields(message: Mapping[str, Any]) -> tuple[int, bytes, bool]:
    """Status, content and more_content; the types are right afterwards."""
    status = message.get("status")
    content = message.get("content", b"")
    more = message.get("more_content", False)
    right = type(status) is int and type(content) is bytes and type(more) is bool
    if not right:
        # Says what is wrong, or makes of an unusual message a usual one.
        checked = check_http_response(_with_byte_headers(message))
        status, content, more = checked["status"], checked["content"], checked["more_content"]
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise InvalidMessage(
            f"http.response: the status {status!r} cannot end a request; it must be an integer "
            "from 200 to 999 (RFC 9110, 15)"
        )
    return status, content, more


def sort_headers(message: Mapping[str, Any]) -> tuple[bytes, dict[bytes, bytes]]:
    """Header lines to be written as they are, and the headers that need a decision."""
    try:
        return _lines(message.get("headers") or ())
    except (TypeError, ValueError):
        headers = check_http_response(_with_byte_headers(message))["headers"]
        return _lines(headers)


def _lines(headers: Any) -> tuple[bytes, dict[bytes, bytes]]:
    """See ``sort_headers``; raises ``TypeError`` or ``ValueError`` for what is no header."""
    lines = []
    managed: dict[bytes, bytes] = {}
    for name, value in headers:
        line, key = _line(name, value) if len(value) <= _CACHED else _check_line(name, value)
        if key:
            if key == b"content-length" and managed.setdefault(key, value) != value:
                raise InvalidMessage(
                    "http.response: there are two headers Content-Length with different values; "
                    "send one (RFC 9110, 8.6)"
                )
            if key == b"connection":
                value = managed.get(key, b"") + b"," + value
            managed[key] = value
        lines.append(line)
    return b"".join(lines), managed


def _check_line(name: bytes, value: bytes) -> _Line:
    """Render one header. Raises ``InvalidMessage``, or ``TypeError`` for other than bytes."""
    line = name + b": " + value + b"\r\n"
    if not _HEADER_LINE.fullmatch(line):
        raise InvalidMessage(
            f"http.response: the header {name!r} has the value {value[:80]!r}; a name must be a "
            "token, and a value must not have control characters in it (RFC 9110, 5.1 and 5.5)"
        )
    key = name.lower()
    if key not in _MANAGED:
        return _Line(line, b"")
    if key == b"content-length" and not _LENGTH.fullmatch(value):
        raise InvalidMessage(
            f"http.response: the header Content-Length has the value {value[:80]!r}; it must be a "
            "number of bytes (RFC 9110, 8.6)"
        )
    return _Line(line if key in _OWN else b"", key)


#: Most headers of most responses are the same ones; only short values are worth keeping.
_CACHED = 64
_line = lru_cache(maxsize=1024)(_check_line)


def _with_byte_headers(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message with text in its headers encoded, which is tolerated."""
    headers = message.get("headers")
    if not isinstance(headers, (list, tuple)):
        return message
    pairs = [
        [_encoded(item) for item in pair] if isinstance(pair, (list, tuple)) else pair
        for pair in headers
    ]
    return {**message, "headers": pairs}


def _encoded(item: Any) -> Any:
    return item.encode("latin-1", "replace") if isinstance(item, str) else item


def choose_framing(
    status: int, method: str, version: str, managed: dict[bytes, bytes]
) -> tuple[int, int | None, bool]:
    """How the body is framed, its Content-Length or None, and whether the connection must end."""
    given = managed.get(b"content-length")
    length = None if given is None else int(given)
    close = b"close" in managed.get(b"connection", b"").lower()
    if status in BODYLESS:
        # 204 must have no length, 205 has no body, 304 may have that of the whole (RFC 9110, 8.6).
        return Framing.NONE, 0 if status == 205 else length if status == 304 else None, close
    if method == "HEAD":
        return Framing.NONE, length, close
    if length is not None:
        return Framing.LENGTH, length, close
    if version == "1.1":
        return Framing.CHUNKED, None, close
    return Framing.CLOSE, None, close or version == "1.0"


def _own_headers(managed: dict[bytes, bytes], second: int, server_name: str) -> bytes:
    """Server and Date, as far as the application has not sent them."""
    if b"date" not in managed and b"server" not in managed:
        return common_headers(second, server_name)
    if b"date" not in managed:
        return date_header(second)
    return b"" if b"server" in managed else server_header(server_name)


def _connection_line(close: bool, version: str) -> bytes:
    """The Connection header where it says something, and the end of the head."""
    if close:
        return b"Connection: close\r\n\r\n"
    return b"Connection: keep-alive\r\n\r\n" if version == "1.0" else b"\r\n"


def measure(content: bytes, allowed: int, more: bool) -> tuple[bytes, int, str]:
    """What of the content may be sent, how much is missing then, and what is wrong."""
    remaining = allowed - len(content)
    if remaining < 0:
        return content[:allowed], 0, f"the body is longer than its Content-Length of {allowed}"
    if remaining and not more:
        return content, remaining, f"the body is {remaining} bytes shorter than its Content-Length"
    return content, remaining, ""


def _frame(content: bytes, more: bool) -> bytes:
    """The content as a chunk, and the last chunk when nothing follows."""
    end = b"" if more else b"0\r\n\r\n"
    return b"%x\r\n%b\r\n%b" % (len(content), content, end) if content else end


class ResponseBody:
    """The rest of a response whose first message said that more follows."""

    __slots__ = ("_framing", "_remaining", "more", "problem", "size")

    def __init__(self, start: Start) -> None:
        self._framing = start.framing
        self._remaining = start.remaining or 0
        #: Whether chunks follow.
        self.more = start.more
        #: Bytes of body rendered so far.
        self.size = start.size
        #: What the application did wrong; the connection has to end then.
        self.problem = start.problem

    def render(self, message: Mapping[str, Any]) -> bytes:
        """Render a further message. Raises ``InvalidMessage``, also for a second ``status``."""
        if "status" in message:
            raise InvalidMessage(
                "http.response: a message with 'status' came after the response had begun; only "
                "chunks may follow (ASGI spec, HTTP, Response Chunk)"
            )
        chunk = check_http_response_chunk(message)
        content, self.more = chunk["content"], chunk["more_content"]
        if self._framing == Framing.NONE:
            return b""
        if self._framing == Framing.LENGTH:
            content, self._remaining, problem = measure(content, self._remaining, self.more)
            self.problem = self.problem or problem
        self.size += len(content)
        return _frame(content, self.more) if self._framing == Framing.CHUNKED else content
