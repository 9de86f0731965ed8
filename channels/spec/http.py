"""The HTTP message formats: requests and their bodies, responses, pushes, disconnects, credit.

The source is the reference's "HTTP & WebSocket ASGI Message Format"; credit, by which an interface
server slows down a worker that streams, is an addition of this package and is sent to no other
server.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NotRequired, TypedDict, cast

from channels.exceptions import InvalidMessage
from channels.spec.formats import (
    Address,
    Field,
    Format,
    Headers,
    Message,
    address,
    boolean,
    byte_string,
    channel_name,
    non_empty_text,
    optional,
    request_headers,
    response_headers,
    text,
    whole_number,
)

__all__ = [
    "BODY_CHUNK",
    "HTTP_DISCONNECT",
    "HTTP_REQUEST",
    "HTTP_REQUEST_BODY",
    "RESPONSE_PREFIX",
    "RESPONSE_WINDOW",
    "HttpCredit",
    "HttpDisconnect",
    "HttpRequest",
    "HttpRequestBodyChunk",
    "HttpResponse",
    "HttpResponseAborted",
    "HttpResponseChunk",
    "HttpServerPush",
    "check_http_credit",
    "check_http_disconnect",
    "check_http_request",
    "check_http_request_body_chunk",
    "check_http_response",
    "check_http_response_chunk",
    "check_http_server_push",
    "credit_channel",
    "http_credit",
    "http_disconnect",
    "http_request",
    "http_request_body_chunk",
    "http_response",
    "http_response_aborted",
    "http_response_chunk",
    "http_server_push",
]

#: The channel of requests.
HTTP_REQUEST = "http.request"

#: The pattern of channels that carry the rest of a request's body.
HTTP_REQUEST_BODY = "http.request.body?"

#: The channel that tells of closed connections.
HTTP_DISCONNECT = "http.disconnect"

#: How the reply channels of this package's own interface server begin.
RESPONSE_PREFIX = "daphne.response."

#: Bytes of body in one message: half of what a channel layer must carry at least (1 MiB, ASGI spec,
#: Details).
BODY_CHUNK = 512 * 1024

#: Bytes of a response that may be under way without credit: four chunks, so that a stream never
#: waits for its server
#: where the client keeps up, and a client that does not costs no more than this.
RESPONSE_WINDOW = 2 * 1024 * 1024


class HttpRequest(TypedDict):
    """A request (channel ``http.request``)."""

    reply_channel: str
    http_version: str
    method: str
    scheme: NotRequired[str]
    path: str
    query_string: bytes
    root_path: NotRequired[str]
    headers: Headers
    body: NotRequired[bytes]
    body_channel: NotRequired[str | None]
    client: NotRequired[Address | None]
    server: NotRequired[Address | None]


class HttpRequestBodyChunk(TypedDict):
    """A further part of a request's body (channel ``http.request.body?``)."""

    content: NotRequired[bytes]
    closed: NotRequired[bool]
    more_content: NotRequired[bool]


class HttpResponse(TypedDict):
    """A response, or its start (the request's reply channel)."""

    status: int
    headers: NotRequired[Headers]
    content: NotRequired[bytes]
    more_content: NotRequired[bool]


class HttpResponseChunk(TypedDict):
    """A further part of a response (the request's reply channel)."""

    content: NotRequired[bytes]
    more_content: NotRequired[bool]


class HttpResponseAborted(TypedDict):
    """The rest of a streamed response will never come (:func:`http_response_aborted`)."""

    closed: bool


class HttpServerPush(TypedDict):
    """A request to be pushed before the response (the request's reply channel)."""

    request: HttpRequest


class HttpDisconnect(TypedDict):
    """A connection was closed (channel ``http.disconnect``)."""

    reply_channel: str
    path: str


class HttpCredit(TypedDict):
    """How much of a streamed response has left for the client, or that the client is gone."""

    bytes: NotRequired[int]
    closed: NotRequired[bool]


_SECTION = "ASGI spec, HTTP, "


def _upper_case(value: object) -> bool:
    return isinstance(value, str) and value != "" and value == value.upper()


def _http_version(value: object) -> bool:
    return value in ("1.0", "1.1", "2")


def _single_reader(value: object) -> bool:
    return isinstance(value, str) and "?" in value and channel_name(value)


_REPLY_CHANNEL = Field("reply_channel", channel_name, "the name of a channel")
_PATH = Field("path", text, "a str, with percent escapes decoded")
_CONTENT = Field("content", byte_string, "a byte string", b"")
_MORE_CONTENT = Field("more_content", boolean, "True or False", False)

_PUSHED_FIELDS = (
    Field("http_version", _http_version, "'1.0', '1.1' or '2'"),
    Field("method", _upper_case, "the method's name as a str in upper case"),
    Field("scheme", non_empty_text, "a str that is not empty", "http"),
    _PATH,
    Field("query_string", byte_string, "a byte string, not decoded"),
    Field("root_path", text, "a str", ""),
    Field(
        "headers",
        request_headers,
        "a list of [name, value] pairs of byte strings with names in lower case",
    ),
    Field("client", optional(address), "[host as a str, port as an integer] or None", None),
    Field("server", optional(address), "[host as a str, port as an integer] or None", None),
)
_REQUEST = Format(
    HTTP_REQUEST,
    _SECTION + "Request",
    _REPLY_CHANNEL,
    *_PUSHED_FIELDS,
    Field("body", byte_string, "a byte string", b""),
    Field(
        "body_channel",
        optional(_single_reader),
        "the name of a single-reader channel (with a '?') or None",
        None,
    ),
)
_BODY_CHUNK = Format(
    HTTP_REQUEST_BODY,
    _SECTION + "Request Body Chunk",
    _CONTENT,
    Field("closed", boolean, "True or False", False),
    _MORE_CONTENT,
)
_RESPONSE = Format(
    "http.response",
    _SECTION + "Response",
    Field("status", whole_number(100, 999), "an integer from 100 to 999"),
    Field(
        "headers",
        response_headers,
        "a list of [name, value] pairs of byte strings, the names tokens (RFC 9110) and the values "
        "without CR, LF and NUL",
        (),
    ),
    _CONTENT,
    _MORE_CONTENT,
)
_RESPONSE_CHUNK = Format(
    "http.response chunk",
    _SECTION + "Response Chunk",
    Field("content", byte_string, "a byte string"),
    _MORE_CONTENT,
)
_PUSH = Format(
    "http.response server push",
    _SECTION + "Server Push",
    Field("request", lambda value: isinstance(value, dict), "a request message as a dict"),
)
_PUSHED = Format("http.response server push, request", _SECTION + "Server Push", *_PUSHED_FIELDS)
_DISCONNECT = Format(HTTP_DISCONNECT, _SECTION + "Disconnect", _REPLY_CHANNEL, _PATH)
_CREDIT = Format(
    "http.response credit",
    "flow control of streamed responses",
    Field("bytes", whole_number(0), "a number of bytes, 0 or more", 0),
    Field("closed", boolean, "True or False", False),
)


def http_request(
    reply_channel: str,
    method: str,
    path: str,
    headers: Headers,
    *,
    http_version: str = "1.1",
    scheme: str = "http",
    query_string: bytes = b"",
    root_path: str = "",
    body: bytes = b"",
    body_channel: str | None = None,
    client: Sequence[Any] | None = None,
    server: Sequence[Any] | None = None,
) -> HttpRequest:
    """Build a request; the key ``body_channel`` is there only where the rest of the body comes by a
    channel.

    ``path`` is decoded, ``query_string`` is not; header names are in lower case; ``method`` is in
    upper case.
    """
    message: HttpRequest = {
        "reply_channel": reply_channel,
        "http_version": http_version,
        "method": method,
        "scheme": scheme,
        "path": path,
        "query_string": query_string,
        "root_path": root_path,
        "headers": headers,
        "body": body,
        "client": None if client is None else list(client),
        "server": None if server is None else list(server),
    }
    if body_channel is not None:
        message["body_channel"] = body_channel
    return message


def check_http_request(message: Message, strict: bool = False) -> HttpRequest:
    """Return the request with its defaults.

    ``strict`` refuses unknown keys. Raises ``InvalidMessage``.
    """
    return cast(HttpRequest, _REQUEST.check(message, strict))


def http_request_body_chunk(
    content: bytes = b"", more_content: bool = False, closed: bool = False
) -> HttpRequestBodyChunk:
    """Build a part of a request's body.

    ``closed`` says that the client went away before the end of it.
    """
    if closed:
        return {"closed": True}
    return {"content": content, "more_content": more_content}


def check_http_request_body_chunk(message: Message, strict: bool = False) -> HttpRequestBodyChunk:
    """Return the chunk with its defaults.

    ``strict`` refuses unknown keys. Raises ``InvalidMessage``.
    """
    checked = _BODY_CHUNK.check(message, strict)
    if not checked["closed"] and "content" not in message:
        raise InvalidMessage(
            f"{HTTP_REQUEST_BODY}: the key 'content' is missing; it must be a byte string unless "
            f"'closed' is True ({_BODY_CHUNK.source})"
        )
    return cast(HttpRequestBodyChunk, checked)


def http_response(
    status: int,
    headers: Iterable[Any] = (),
    content: bytes = b"",
    more_content: bool = False,
) -> HttpResponse:
    """Build a response, or the start of one where ``more_content`` says that chunks follow."""
    return {
        "status": status,
        "headers": list(headers),
        "content": content,
        "more_content": more_content,
    }


def check_http_response(message: Message, strict: bool = False) -> HttpResponse:
    """Return the response with its defaults; ``strict`` refuses unknown keys.

    Raises ``InvalidMessage``, also where a header could split the response (CR, LF or NUL, a name
    that is no token).
    """
    checked = _RESPONSE.check(message, strict)
    checked["headers"] = checked["headers"] or []
    return cast(HttpResponse, checked)


def http_response_chunk(content: bytes, more_content: bool = False) -> HttpResponseChunk:
    """Build a part of a response after its start."""
    return {"content": content, "more_content": more_content}


def check_http_response_chunk(message: Message, strict: bool = False) -> HttpResponseChunk:
    """Return the chunk with its defaults.

    ``strict`` refuses unknown keys. Raises ``InvalidMessage``.
    """
    return cast(HttpResponseChunk, _RESPONSE_CHUNK.check(message, strict))


def http_response_aborted() -> HttpResponseAborted:
    """Build the message that a response has failed midway, so that no client takes it for whole.

    An addition of this package, in the manner of body chunks; it is sent only to servers that have
    a :func:`credit_channel`.
    """
    return {"closed": True}


def http_server_push(
    method: str,
    path: str,
    headers: Headers,
    *,
    scheme: str = "http",
    query_string: bytes = b"",
    root_path: str = "",
) -> HttpServerPush:
    """Build a server push.

    A pushed request has no body and gets its reply channel from the server.
    """
    request = {
        "http_version": "2",
        "method": method,
        "scheme": scheme,
        "path": path,
        "query_string": query_string,
        "root_path": root_path,
        "headers": headers,
    }
    return {"request": cast(HttpRequest, request)}


def check_http_server_push(message: Message, strict: bool = False) -> HttpServerPush:
    """Return the push with the defaults of its request; ``strict`` refuses unknown keys.

    Raises ``InvalidMessage``, also where the request has one of the three keys that a push may not
    have.
    """
    request = _PUSH.check(message, strict)["request"]
    for name in ("body", "body_channel", "reply_channel"):
        if name in request:
            raise InvalidMessage(
                f"{_PUSHED.title}: the key {name!r} must be absent ({_PUSHED.source}); remove it"
            )
    return {"request": cast(HttpRequest, _PUSHED.check(request, strict))}


def http_disconnect(reply_channel: str, path: str) -> HttpDisconnect:
    """Build the message that a connection was closed."""
    return {"reply_channel": reply_channel, "path": path}


def check_http_disconnect(message: Message, strict: bool = False) -> HttpDisconnect:
    """Return the message; ``strict`` refuses unknown keys. Raises ``InvalidMessage``."""
    return cast(HttpDisconnect, _DISCONNECT.check(message, strict))


def credit_channel(reply_channel: str) -> str | None:
    """The channel on which a worker that streams to ``reply_channel`` is given credit.

    It mirrors the reply channel: ``daphne.response.X!Y`` has ``daphne.response.X?Y``. None for the
    names of other servers, which give no credit.
    """
    if not reply_channel.startswith(RESPONSE_PREFIX) or "!" not in reply_channel:
        return None
    return reply_channel.replace("!", "?", 1)


def http_credit(bytes: int = 0, closed: bool = False) -> HttpCredit:
    """Build a credit: ``bytes`` more have left for the client, or it is gone."""
    if closed:
        return {"closed": True}
    return {"bytes": bytes}


def check_http_credit(message: Message, strict: bool = False) -> HttpCredit:
    """Return the credit with its defaults.

    ``strict`` refuses unknown keys. Raises ``InvalidMessage``.
    """
    return cast(HttpCredit, _CREDIT.check(message, strict))
