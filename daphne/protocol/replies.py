"""What the application's Send/Close/Accept messages mean (ASGI spec, WebSocket, Send/Close/Accept).

A message is read once, however many sockets a group send brings it to: the frame is built then, and
the verdict needs no more than an attribute. What a core does with it is in
``daphne.protocol.websocket``.

In the handshake:

================================  =====================================================
``accept: True``                  accept; send the data, if any, even if it is empty;
                                  then close if ``close`` says so
``accept: False``                 reject, whatever else there is
data that is not empty            accept, send it, then close if ``close`` says so
``close`` without such data       reject; the code is ignored
anything else                     nothing: ``{}``, ``{"text": ""}``, ``close: 0``
================================  =====================================================

On an open socket data is sent, empty or not, then the socket is closed if ``close`` says so;
``accept`` is ignored. A message with both ``text`` and ``bytes``, with an unknown key or with a
value of a wrong type is logged and ignored.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from channels.exceptions import InvalidMessage
from channels.spec import check_websocket_reply
from daphne.protocol.frames import Opcode, build_frame, is_close_code
from daphne.protocol.operations import Write

__all__ = ["Meaning", "Reply", "Verdict", "read_meaning", "read_reply"]

_logger = logging.getLogger("daphne.ws_protocol")

#: Where a delivery's ``shared`` dictionary keeps its reply.
_SHARED = "websocket.reply"


class Verdict(Enum):
    """What a reply does to a handshake."""

    WAIT = "wait"
    ACCEPT = "accept"
    REJECT = "reject"


class Meaning(NamedTuple):
    """What a Send/Close/Accept message says, whoever carries it out."""

    #: Content of the frame to be sent, None where there is none.
    data: str | bytes | None
    #: Close code; None does not close.
    close: int | None
    #: What it does to a socket in its handshake.
    verdict: Verdict


@dataclass(slots=True)
class Reply:
    """A Send/Close/Accept message, ready to be carried out."""

    #: The frame to be sent, None where the message has no data.
    write: Write | None
    #: Close code; None does not close.
    close: int | None
    #: What it does to a socket in its handshake.
    verdict: Verdict
    #: What is in the frame.
    opcode: int = Opcode.TEXT
    payload: bytes = b""
    #: The frames with the same in a compressed form, by the size of its window.
    compressed: dict[int, Write] = field(default_factory=dict)


def read_reply(message: Mapping[str, Any], shared: dict[Any, Any]) -> Reply | None:
    """The reply that ``message`` is, or None where it is invalid, which is logged.

    ``shared`` is the delivery's dictionary: the cores of a group send read the message once.
    """
    try:
        reply: Reply | None = shared[_SHARED]
    except KeyError:
        reply = shared[_SHARED] = _read_or_log(message)
    return reply


def _read_or_log(message: Mapping[str, Any]) -> Reply | None:
    try:
        return _read(message)
    except InvalidMessage as error:
        _logger.error("A message to a WebSocket was ignored: %s", error)
        return None


def _read(message: Mapping[str, Any]) -> Reply:
    data, close, verdict = read_meaning(message)
    if data is None:
        return Reply(None, close, verdict)
    if isinstance(data, bytes):
        opcode, payload = Opcode.BINARY, data
    else:
        opcode, payload = Opcode.TEXT, _utf8(data)
    return Reply(Write(build_frame(opcode, payload)), close, verdict, opcode, payload)


def read_meaning(message: Mapping[str, Any]) -> Meaning:
    """Read a Send/Close/Accept message; raises ``InvalidMessage`` where it is none."""
    checked = check_websocket_reply(message, strict=True)
    data = checked["text"] if checked["bytes"] is None else checked["bytes"]
    close = _close_code(checked["close"])
    return Meaning(data, close, _judge(checked["accept"], bool(data), close is not None))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidMessage(
            f"the key 'text' is not a valid string: {error}; remove lone surrogates"
        ) from error


def _close_code(close: bool | int) -> int | None:
    if not close:
        return None
    if close is True:
        return 1000
    if is_close_code(close):
        return close
    _logger.error(
        "An application closed a WebSocket with the code %d; it may use 1000 to 1003, 1007 to "
        "1014 and 3000 to 4999. 1011 is sent instead.",
        close,
    )
    return 1011


def _judge(accept: bool | None, has_data: bool, closes: bool) -> Verdict:
    if accept is not None:
        return Verdict.ACCEPT if accept else Verdict.REJECT
    if has_data:
        return Verdict.ACCEPT
    return Verdict.REJECT if closes else Verdict.WAIT
