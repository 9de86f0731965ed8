"""HTTP on its way between another server and a channel layer: what WSGI and ASGI 3 have in common.

Messages in, plain values out; no I/O.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from channels.exceptions import InvalidMessage, ResponseAborted
from channels.spec import (
    RESPONSE_WINDOW,
    HttpCredit,
    check_http_response,
    check_http_response_chunk,
    http_credit,
)
from daphne.exceptions import RequestRefused
from daphne.protocol.error_pages import error_page
from daphne.protocol.request import decode_path
from daphne.protocol.response import BODYLESS

__all__ = [
    "FULL",
    "INVALID",
    "LOST",
    "NO_ANSWER",
    "TOO_LARGE",
    "Chunk",
    "CreditCount",
    "Start",
    "client_headers",
    "http_version",
    "is_push",
    "path_of",
    "read_chunk",
    "read_start",
    "refusal_page",
    "socket_address",
]

#: Headers about one connection, which are the server's own business (RFC 9110, 7.6.1; PEP 3333).
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
    }
)

#: Bytes of a response for which a credit is sent: a quarter of what a worker may send without.
_CREDIT_STEP = RESPONSE_WINDOW // 4

# What clients are told where nobody answers; the sentences are Daphne's.
FULL = 503, "Request queue full."
NO_ANSWER = 503, "Worker server failed to respond within time limit."
LOST = 503, "The request could not be passed on."
INVALID = 500, "The application sent an invalid response."
TOO_LARGE = 413, "The request is too large."


class Start(NamedTuple):
    """The first message of a response, checked."""

    status: int
    #: Names in lower case, without those about the connection.
    headers: list[tuple[bytes, bytes]]
    content: bytes
    more: bool


class Chunk(NamedTuple):
    """A further message of a response, checked."""

    content: bytes
    more: bool


def is_push(message: Mapping[str, Any]) -> bool:
    """Whether this is a server push, which none of these servers takes: it is to be dropped."""
    return "request" in message and "status" not in message


def read_start(message: Mapping[str, Any], method: str) -> Start:
    """Read the first message of the response to a request with ``method``.

    Raises ``InvalidMessage`` for what is no response that could end a request.
    """
    checked = check_http_response(message)
    status = checked["status"]
    if status < 200:
        raise InvalidMessage(
            f"http.response: the status {status} cannot end a request; it must be an integer from "
            "200 to 999 (RFC 9110, 15)"
        )
    headers = [
        (bytes(name).lower(), bytes(value))
        for name, value in checked["headers"]
        if name.lower() not in _HOP_BY_HOP
    ]
    if method == "HEAD" or status in BODYLESS:
        return Start(status, headers, b"", False)
    return Start(status, headers, checked["content"], checked["more_content"])


def read_chunk(message: Mapping[str, Any]) -> Chunk:
    """Read a further message of a response.

    Raises ``InvalidMessage``, and ``ResponseAborted`` where the worker says that no more will come.
    """
    if message.get("closed") is True:
        raise ResponseAborted("the worker could not finish its response")
    if "status" in message:
        raise InvalidMessage(
            "http.response: a message with 'status' came after the response had begun; only chunks "
            "may follow (ASGI spec, HTTP, Response Chunk)"
        )
    checked = check_http_response_chunk(message)
    return Chunk(checked["content"], checked["more_content"])


def refusal_page(refusal: RequestRefused, method: str) -> Start:
    """The answer to a request that is not passed on, or that nobody answered."""
    page = error_page(refusal.status, refusal.detail)
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", b"%d" % len(page)),
        *refusal.headers,
    ]
    return Start(refusal.status, headers, b"" if method == "HEAD" else page, False)


def client_headers(pairs: Iterable[tuple[bytes, bytes]]) -> list[list[bytes]]:
    """Headers for a message: lower case, without names that could pass for a hyphenated one."""
    return [[name.lower(), value] for name, value in pairs if b"_" not in name]


def path_of(scope: Mapping[str, Any]) -> str:
    """The path of an ASGI 3 scope; octets that are no UTF-8 stay escaped, as they do in Daphne."""
    path: str = scope["path"]
    raw: bytes | None = scope.get("raw_path")
    if raw is not None and "\ufffd" in path:  # what servers put in the place of such octets
        return decode_path(raw.partition(b"?")[0])
    return path


def socket_address(address: Any) -> list[Any] | None:
    """``[host, port]`` of an ASGI 3 scope; None for a unix socket, and where nothing is known."""
    if not address or address[1] is None:
        return None
    return [address[0], address[1]]


def http_version(version: str) -> str:
    """The version as messages name it (ASGI spec, HTTP, Request); HTTP/3 is like HTTP/2."""
    return version if version in ("1.0", "1.1") else "2"


class CreditCount:
    """How much of a streamed response was taken and not yet reported to its worker."""

    __slots__ = ("_owed",)

    def __init__(self) -> None:
        self._owed = 0

    def advance(self, size: int) -> HttpCredit | None:
        """``size`` more bytes have left; the credit to be sent now, if it is time for one."""
        self._owed += size
        if self._owed < _CREDIT_STEP:
            return None
        return http_credit(self._owed)

    def given(self) -> None:
        """The layer took the credit; one that it refused is sent together with the next."""
        self._owed = 0
