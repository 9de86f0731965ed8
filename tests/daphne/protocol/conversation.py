"""One connection from its first byte on, through an upgrade, over an application that takes all.

What a conversation came to is an ``Outcome``, in which nothing depends on how the client's bytes
were cut into reads: bodies are whole, and what is random is left out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from channels.spec import http_response
from daphne.options import Options
from daphne.protocol.operations import NewChannel, Send, Upgrade
from tests.daphne.protocol.driving import PREFIX, Driver

__all__ = ["Conversation", "Outcome", "Seen", "outcome_of"]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass(frozen=True)
class Seen:
    """A request, or a WebSocket's handshake, as it reached the application."""

    method: str
    path: str
    query_string: bytes
    http_version: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    #: Whether the client has sent all of the body.
    whole: bool


@dataclass(frozen=True)
class Outcome:
    """What became of a connection whose client has sent all that it sends."""

    requests: tuple[Seen, ...]
    statuses: tuple[int, ...]
    #: The request of the WebSocket that the connection became, and the client's messages.
    socket: Seen | None
    messages: tuple[str | bytes, ...]
    #: All that was written, but for ``100 Continue``.
    output: bytes
    closed: bool


class Conversation(Driver):
    """A driver that answers every request by 200, accepts every socket, and follows upgrades."""

    def __init__(self, options: Options | None = None, *args: Any, **changes: Any) -> None:
        self._channels = 0
        super().__init__(options, *args, **changes)
        self.answer = lambda message: [
            dict(http_response(200, [(b"Content-Length", b"2")], b"ok"))  # type: ignore[list-item]
        ]

    def apply(self, operation: Any) -> None:
        """Carry out one operation, an upgrade as the shell does."""
        if isinstance(operation, NewChannel):
            self._channels += 1
            name = f"{operation.pattern}x{self._channels}"
            self.core.channel_made(operation.key, name)
            return
        if not isinstance(operation, Upgrade):
            super().apply(operation)
            return
        self.timers.clear()
        self.upgraded = operation
        self.core = operation.core
        self.core.connection_made()
        if operation.rest:
            self.core.receive_data(operation.rest)

    def _send(self, send: Send) -> None:
        channel, message = send.channel, dict(send.message)
        answer, self.answer = self.answer, None
        super()._send(send)
        self.answer = answer
        if channel == "websocket.connect":
            self._deliver(message, {"accept": True})
        elif channel == "http.request" and "body_channel" not in message:
            self._answer(message)
        elif channel.startswith("http.request.body") and _is_end(message):
            requests = [one for one in self.requests if one.get("body_channel") == channel]
            self._answer(requests[0])

    def _answer(self, request: dict[str, Any]) -> None:
        for reply in self.answer(request) if self.answer is not None else ():
            self._deliver(request, reply)

    def _deliver(self, message: dict[str, Any], reply: dict[str, Any]) -> None:
        self.core.deliver(message["reply_channel"][len(PREFIX) :], reply, {})

    def seen(self) -> list[Seen]:
        """The requests, each with the whole body that came for it."""
        found: list[Seen] = []
        channels = [message.get("body_channel") for message in self.requests]
        for channel, message in self.sends:
            if channel == "http.request":
                found.append(_seen(message))
            elif channel.startswith("http.request.body"):
                one = found[channels.index(channel)]
                body = one.body + message.get("content", b"")
                found[channels.index(channel)] = replace(one, body=body, whole=_is_end(message))
        return found

    def outcome(self) -> Outcome:
        """What the conversation has come to so far."""
        written = self.output.replace(_CONTINUE, b"")
        connects = self.on("websocket.connect")
        return Outcome(
            requests=tuple(self.seen()),
            statuses=tuple(map(int, _STATUS.findall(written))),
            socket=_seen(connects[0]) if connects else None,
            messages=tuple(
                message["bytes"] if message["text"] is None else message["text"]
                for message in self.on("websocket.receive")
            ),
            output=written,
            closed=self.closed,
        )


def _is_end(chunk: dict[str, Any]) -> bool:
    """Whether this is the last chunk of a whole body."""
    return not chunk.get("more_content") and not chunk.get("closed")


def _seen(message: dict[str, Any]) -> Seen:
    return Seen(
        method=message.get("method", "GET"),
        path=message["path"],
        query_string=message["query_string"],
        http_version=message.get("http_version", "1.1"),
        headers=tuple((name, value) for name, value in message["headers"]),
        body=message.get("body", b""),
        whole="body_channel" not in message,
    )


def outcome_of(pieces: Iterable[bytes], options: Options | None = None) -> Outcome:
    """The outcome for a client that sends these pieces, and stays."""
    return Conversation(options).feed(*pieces).outcome()
