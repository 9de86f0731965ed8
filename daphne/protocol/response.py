"""From response messages to bytes on the wire: status line, headers and body framing.

What an application sends is checked before any byte of it is written (response splitting), and
framed by the rules of RFC 9112, 6.3, whatever it says about framing itself. When a response is
written, and on which connection, is decided in ``http1``.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from channels.exceptions import InvalidMessage
from channels.spec import check_http_response, check_http_response_chunk
from daphne.protocol.status import date_header, server_header, status_line

__all__ = ["Framing", "ResponseBody", "Start", "render_start"]


class Framing:
    """How the end of a body is marked."""

    #: There is none: HEAD, 204, 205, 304.
    NONE = 0
    #: Content-Length.
    LENGTH = 1
    #: Transfer-Encoding: chunked.
    CHUNKED = 2
    #: The end of the connection, for HTTP/1.0.
    CLOSE = 3


#: Header lines that are safe to write: a token, and no control character but tab.
_LINES = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n)*")

_LENGTH = re.compile(rb"[0-9]{1,18}")

#: Headers about the connection, which the application does not own (RFC 9110, 7.6.1).
_DROPPED = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_MANAGED = _DROPPED | {b"content-length", b"date", b"server"}

#: Responses that never have a body (RFC 9110, 15.3.5, 15.3.6, 15.4.5).
_BODYLESS = frozenset({204, 205, 304})


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


class _Headers(NamedTuple):
    """The application's headers, sorted out."""

    lines: list[bytes]
    length: int | None
    has_date: bool
    has_server: bool
    close: bool


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
    status, content, more = _fields(message)
    app = _sort_headers(message)
    close = app.close or not keep_alive
    framing, framing_line = _framing(status, method, http_version, app.length)
    close = close or framing == Framing.CLOSE
    body, remaining, problem = content, None, ""
    if framing == Framing.NONE:
        body = b""
    elif framing == Framing.LENGTH:
        body, remaining, problem = _measure(content, app.length or 0, more)
        close = close or bool(problem)
    lines = [
        status_line(status),
        *app.lines,
        b"" if app.has_server else server_header(server_name),
        b"" if app.has_date else date_header(int(now)),
        framing_line,
        _connection_line(close, http_version),
    ]
    lines.append(_frame(body, more) if framing == Framing.CHUNKED else body)
    return Start(b"".join(lines), status, framing, remaining, len(body), more, close, problem)


def _fields(message: Mapping[str, Any]) -> tuple[int, bytes, bool]:
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


def _sort_headers(message: Mapping[str, Any]) -> _Headers:
    headers = message.get("headers") or ()
    try:
        lines, managed = _lines(headers)
        safe = _LINES.fullmatch(b"".join(lines)) is not None
    except (TypeError, ValueError, AttributeError):
        safe = False
    if not safe or b"".join(lines).count(b"\n") != len(lines):
        lines, managed = _lines(_checked_headers(message))
    return _manage(lines, managed) if managed else _Headers(lines, None, False, False, False)


def _lines(headers: Any) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """Header lines of what passes through as it is, and the headers that need a decision."""
    lines = []
    managed = []
    for name, value in headers:
        key = name.lower()
        if key in _MANAGED:
            managed.append((key, value))
            if key in _DROPPED or key == b"content-length":
                continue
        lines.append(name + b": " + value + b"\r\n")
    return lines, managed


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


def _checked_headers(message: Mapping[str, Any]) -> list[Any]:
    """The headers of an unusual message; raises ``InvalidMessage`` where they cannot be written."""
    headers = check_http_response(_with_byte_headers(message))["headers"]
    for name, value in headers:
        line = name + b": " + value + b"\r\n"
        if not _LINES.fullmatch(line) or line.count(b"\n") != 1:
            raise InvalidMessage(
                f"http.response: the header {name!r} has the value {value!r}; control characters "
                "must not be in it (RFC 9110, 5.5)"
            )
    return headers


def _manage(lines: list[bytes], managed: list[tuple[bytes, bytes]]) -> _Headers:
    lengths = {value for key, value in managed if key == b"content-length"}
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise InvalidMessage(
            f"http.response: the header Content-Length has the value {sorted(lengths)!r}; it must "
            "be one number (RFC 9110, 8.6)"
        )
    keys = {key for key, _ in managed}
    close = b"connection" in keys and any(
        b"close" in value.lower() for key, value in managed if key == b"connection"
    )
    length = int(lengths.pop()) if lengths else None
    return _Headers(lines, length, b"date" in keys, b"server" in keys, close)


def _framing(status: int, method: str, version: str, length: int | None) -> tuple[int, bytes]:
    """How the body is framed, and the header line that says so."""
    given = b"" if length is None else b"Content-Length: %d\r\n" % length
    if status in _BODYLESS:
        if status == 205:
            return Framing.NONE, b"Content-Length: 0\r\n"
        return Framing.NONE, given if status == 304 else b""
    if method == "HEAD":
        return Framing.NONE, given
    if length is not None:
        return Framing.LENGTH, given
    if version == "1.0":
        return Framing.CLOSE, b""
    return Framing.CHUNKED, b"Transfer-Encoding: chunked\r\n"


def _connection_line(close: bool, version: str) -> bytes:
    """The Connection header where it says something, and the end of the head."""
    if close:
        return b"Connection: close\r\n\r\n"
    return b"Connection: keep-alive\r\n\r\n" if version == "1.0" else b"\r\n"


def _measure(content: bytes, allowed: int, more: bool) -> tuple[bytes, int, str]:
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
            content, self._remaining, problem = _measure(content, self._remaining, self.more)
            self.problem = self.problem or problem
        self.size += len(content)
        return _frame(content, self.more) if self._framing == Framing.CHUNKED else content
