"""The WebSocket message formats: connect, receive, disconnect, and the reply (Send/Close/Accept).

The source is the reference's "HTTP & WebSocket ASGI Message Format". What a reply does to a socket
in each of its states is decided by the interface server; here is only what a reply may look like.
"""

from collections.abc import Sequence
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
    text,
    whole_number,
)

__all__ = [
    "WEBSOCKET_CONNECT",
    "WEBSOCKET_DISCONNECT",
    "WEBSOCKET_RECEIVE",
    "WebsocketConnect",
    "WebsocketDisconnect",
    "WebsocketReceive",
    "WebsocketReply",
    "check_websocket_connect",
    "check_websocket_disconnect",
    "check_websocket_receive",
    "check_websocket_reply",
    "websocket_connect",
    "websocket_disconnect",
    "websocket_receive",
    "websocket_reply",
]

#: The channel of new connections.
WEBSOCKET_CONNECT = "websocket.connect"

#: The channel of frames from clients.
WEBSOCKET_RECEIVE = "websocket.receive"

#: The channel that tells of closed connections.
WEBSOCKET_DISCONNECT = "websocket.disconnect"

# The formats have a key named like the built-in type.
_Bytes = bytes


class WebsocketConnect(TypedDict):
    """A client opened a connection (channel ``websocket.connect``)."""

    reply_channel: str
    scheme: NotRequired[str]
    path: str
    query_string: NotRequired[bytes]
    root_path: NotRequired[bytes]
    headers: Headers
    client: NotRequired[Address | None]
    server: NotRequired[Address | None]
    order: int


class WebsocketReceive(TypedDict):
    """A frame came from a client (channel ``websocket.receive``)."""

    reply_channel: str
    path: str
    bytes: _Bytes | None
    text: str | None
    order: int


class WebsocketDisconnect(TypedDict):
    """A connection was lost or closed by either side (channel ``websocket.disconnect``)."""

    reply_channel: str
    code: int
    path: str
    order: int


class WebsocketReply(TypedDict):
    """Send/Close/Accept (the connection's reply channel)."""

    bytes: NotRequired[_Bytes | None]
    text: NotRequired[str | None]
    close: NotRequired[bool | int]
    accept: NotRequired[bool | None]


_SECTION = "ASGI spec, WebSocket, "


def _text_or_bytes(value: object) -> bool:
    return isinstance(value, (str, bytes))


def _zero(value: object) -> bool:
    return value == 0 and isinstance(value, int) and value is not False


def _close(value: object) -> bool:
    return value is None or (isinstance(value, int) and value >= 0)


_REPLY_CHANNEL = Field("reply_channel", channel_name, "the name of a channel")
_PATH = Field("path", text, "a str, with percent escapes decoded")
_FRAME_FIELDS = (
    Field("bytes", optional(byte_string), "a byte string or None", None),
    Field("text", optional(text), "a str or None", None),
)
_CONNECT = Format(
    WEBSOCKET_CONNECT,
    _SECTION + "Connection",
    _REPLY_CHANNEL,
    Field("scheme", non_empty_text, "a str that is not empty", "ws"),
    _PATH,
    Field("query_string", byte_string, "a byte string, not decoded", b""),
    Field("root_path", _text_or_bytes, "a byte string (a str is taken as well)", b""),
    Field(
        "headers",
        request_headers,
        "a list of [name, value] pairs of byte strings with names in lower case",
    ),
    Field("client", optional(address), "[host as a str, port as an integer] or None", None),
    Field("server", optional(address), "[host as a str, port as an integer] or None", None),
    Field("order", _zero, "the integer 0"),
)
_RECEIVE = Format(
    WEBSOCKET_RECEIVE,
    _SECTION + "Receive",
    _REPLY_CHANNEL,
    _PATH,
    *_FRAME_FIELDS,
    Field("order", whole_number(1), "an integer from 1 on"),
)
_DISCONNECT = Format(
    WEBSOCKET_DISCONNECT,
    _SECTION + "Disconnection",
    _REPLY_CHANNEL,
    Field("code", whole_number(0), "a close code as an integer"),
    _PATH,
    Field("order", whole_number(1), "an integer from 1 on"),
)
_REPLY = Format(
    "websocket.send",
    _SECTION + "Send/Close/Accept",
    *_FRAME_FIELDS,
    Field("close", _close, "True, False or a close code as a positive integer", False),
    Field("accept", optional(boolean), "True, False or None", None),
)


def websocket_connect(
    reply_channel: str,
    path: str,
    headers: Headers,
    query_string: bytes = b"",
    root_path: str | bytes = b"",
    scheme: str = "ws",
    client: Sequence[Any] | None = None,
    server: Sequence[Any] | None = None,
) -> WebsocketConnect:
    """Build the first message of a connection; ``root_path`` is sent as a byte string, in UTF-8."""
    return {
        "reply_channel": reply_channel,
        "scheme": scheme,
        "path": path,
        "query_string": query_string,
        "root_path": root_path.encode() if isinstance(root_path, str) else root_path,
        "headers": headers,
        "client": None if client is None else list(client),
        "server": None if server is None else list(server),
        "order": 0,
    }


def check_websocket_connect(message: Message, strict: bool = False) -> WebsocketConnect:
    """Return the message with its defaults, ``root_path`` as bytes; ``strict`` refuses unknown
    keys.

    Raises ``InvalidMessage``.
    """
    checked = _CONNECT.check(message, strict)
    if isinstance(checked["root_path"], str):
        checked["root_path"] = checked["root_path"].encode()
    return cast(WebsocketConnect, checked)


def websocket_receive(
    reply_channel: str,
    path: str,
    order: int,
    text: str | None = None,
    bytes: _Bytes | None = None,
) -> WebsocketReceive:
    """Build the message of a frame, of which ``text`` or ``bytes`` is the content, the other is
    None.

    ``order`` counts the frames of the connection from 1.
    """
    return {
        "reply_channel": reply_channel,
        "path": path,
        "bytes": bytes,
        "text": text,
        "order": order,
    }


def check_websocket_receive(message: Message, strict: bool = False) -> WebsocketReceive:
    """Return the message with its defaults; ``strict`` refuses unknown keys.

    Raises ``InvalidMessage``, also where ``text`` and ``bytes`` are both given or both missing.
    """
    checked = _RECEIVE.check(message, strict)
    if (checked["bytes"] is None) == (checked["text"] is None):
        raise InvalidMessage(
            f"{_RECEIVE.title}: one of the keys 'bytes' and 'text' must hold the frame, the other "
            f"must be None ({_RECEIVE.source})"
        )
    return cast(WebsocketReceive, checked)


def websocket_disconnect(
    reply_channel: str, path: str, order: int, code: int
) -> WebsocketDisconnect:
    """Build the last message of a connection; ``order`` follows on that of its frames."""
    return {"reply_channel": reply_channel, "code": code, "path": path, "order": order}


def check_websocket_disconnect(message: Message, strict: bool = False) -> WebsocketDisconnect:
    """Return the message; ``strict`` refuses unknown keys. Raises ``InvalidMessage``."""
    return cast(WebsocketDisconnect, _DISCONNECT.check(message, strict))


def websocket_reply(
    text: str | None = None,
    bytes: _Bytes | None = None,
    close: bool | int = False,
    accept: bool | None = None,
) -> WebsocketReply:
    """Build a reply; only the keys that say something are in it."""
    message: WebsocketReply = {}
    if text is not None:
        message["text"] = text
    if bytes is not None:
        message["bytes"] = bytes
    if close:
        message["close"] = close
    if accept is not None:
        message["accept"] = accept
    return message


def check_websocket_reply(message: Message, strict: bool = False) -> WebsocketReply:
    """Return the reply with its defaults, ``close`` never being None; ``strict`` refuses unknown
    keys.

    Raises ``InvalidMessage``, also where both ``text`` and ``bytes`` are given: such a reply is to
    be ignored.
    """
    checked = _REPLY.check(message, strict)
    if checked["bytes"] is not None and checked["text"] is not None:
        raise InvalidMessage(
            f"{_REPLY.title}: the keys 'bytes' and 'text' both hold a frame; send two messages "
            f"({_REPLY.source})"
        )
    if checked["close"] is None:
        checked["close"] = False
    return cast(WebsocketReply, checked)
