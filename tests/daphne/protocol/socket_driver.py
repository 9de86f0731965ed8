"""Drives a ``WebSocketCore`` as the shell would, without sockets, clock or layer."""

import struct
from collections.abc import Callable
from itertools import cycle
from typing import Any

from channels.exceptions import ChannelFull
from daphne.options import Options
from daphne.protocol.core import ConnectionContext
from daphne.protocol.head import Head
from daphne.protocol.operations import (
    Abort,
    AwaitRoom,
    Close,
    Log,
    PauseReading,
    ResumeReading,
    Send,
    Timer,
    Write,
)
from daphne.protocol.websocket import WebSocketCore

PREFIX = "daphne.response.0123456789abcdef!"
NAME = "fedcba9876543210"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def make_head(**changes: Any) -> Head:
    """The head of a proper handshake, with fields replaced."""
    fields: dict[str, Any] = {
        "method": "GET",
        "target": b"/chat/?room=1",
        "path": "/chat/",
        "query_string": b"room=1",
        "http_version": "1.1",
        "headers": make_headers(),
        "root_path": "",
        "scheme": "http",
        "client": ["192.0.2.7", 50000],
        "server": ["192.0.2.1", 8000],
    }
    return Head(**(fields | changes))


def make_headers(*more: tuple[bytes, bytes], without: bytes = b"") -> list[tuple[bytes, bytes]]:
    """The headers of a proper handshake, with some more or one less."""
    basic = [
        (b"host", b"example.com"),
        (b"upgrade", b"websocket"),
        (b"connection", b"keep-alive, Upgrade"),
        (b"sec-websocket-key", KEY),
        (b"sec-websocket-version", b"13"),
    ]
    return [pair for pair in basic if pair[0] != without] + list(more)


def mask(payload: bytes, key: bytes = b"\x12\x34\x56\x78") -> bytes:
    """The payload as a client masks it."""
    return bytes(byte ^ part for byte, part in zip(payload, cycle(key), strict=False))


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: bytes | None = None,
) -> bytes:
    """A frame as a client sends it; ``length`` replaces the length's bytes of the header."""
    if length is None:
        size = len(payload)
        if size < 126:
            length = bytes([size])
        elif size < 65536:
            length = struct.pack("!BH", 126, size)
        else:
            length = struct.pack("!BQ", 127, size)
    first = fin << 7 | rsv << 4 | opcode
    if not masked:
        return bytes([first]) + length + payload
    return bytes([first, length[0] | 0x80]) + length[1:] + b"\x12\x34\x56\x78" + mask(payload)


def close_frame(code: int | None = None, reason: bytes = b"") -> bytes:
    """A client's close frame."""
    return client_frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def server_frame(opcode: int, payload: bytes = b"") -> bytes:
    """A short frame as the server is to send it."""
    assert len(payload) < 126
    return bytes([0x80 | opcode, len(payload)]) + payload


def server_close(code: int | None, reason: bytes = b"") -> bytes:
    """The server's close frame."""
    return server_frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


class Driver:
    """One connection; what its core does is in the attributes."""

    def __init__(self, head: Head | None = None, connect: bool = True, **options: Any) -> None:
        self.now = 1000.0
        self.context = ConnectionContext(
            options=Options(**options),
            reply_prefix=PREFIX,
            name=NAME,
            client=("192.0.2.7", 50000),
            server=("192.0.2.1", 8000),
            secure=False,
            trusted_peer=False,
            clock=lambda: self.now,
            now=lambda: 1700000000.0,
            has_listener=lambda channel: True,
        )
        self.written = b""
        #: Messages that the layer took, as (channel, message).
        self.messages: list[tuple[str, Any]] = []
        #: Sends whose outcome the layer has not told, while it is not ``prompt``.
        self.pending: list[Send] = []
        self.prompt = True
        self.fails: Callable[[str], Exception | None] = lambda channel: None
        self.waits: list[AwaitRoom] = []
        self.timers: dict[str, float] = {}
        self.timers_armed = 0
        self.wakeups = 0
        self.logged: list[tuple[str, str, Any]] = []
        self.reading = True
        self.closed = False
        self.aborted = False
        self.core = WebSocketCore(self.context, head or make_head(), NAME)
        if connect:
            self.start()

    # -- inputs ---------------------------------------------------------------------------------

    def start(self) -> "Driver":
        self.core.connection_made()
        return self.apply()

    def receive(self, data: bytes) -> "Driver":
        self.core.receive_data(data)
        return self.apply()

    def reply(self, message: dict[str, Any], shared: dict[Any, Any] | None = None) -> "Driver":
        self.core.deliver(NAME, message, {} if shared is None else shared)
        return self.apply()

    def opened(self, **message: Any) -> "Driver":
        """Accept, and forget what was written."""
        self.reply({"accept": True, **message})
        self.take()
        return self

    def lose(self) -> "Driver":
        self.timers.clear()
        self.core.connection_lost()
        return self.apply()

    def shutdown(self) -> "Driver":
        self.core.shutdown()
        return self.apply()

    def settle(self, error: Exception | None = None) -> "Driver":
        """Tell the outcome of the first pending send."""
        send = self.pending.pop(0)
        if error is None:
            self._took(send)
        else:
            self.core.send_failed(send.key, error)
        return self.apply()

    def make_room(self) -> "Driver":
        """There is room again, for one message or, if nothing fails any more, for all."""
        self.core.room(self.waits.pop(0).key)
        return self.apply()

    def fill(self) -> "Driver":
        """From now on ``websocket.receive`` is full."""
        self.fails = lambda channel: ChannelFull() if channel == "websocket.receive" else None
        return self

    def empty(self) -> "Driver":
        self.fails = lambda channel: None
        return self

    def advance(self, seconds: float) -> "Driver":
        """Let time pass, with the deadlines in it in their order."""
        end = self.now + seconds
        while self.timers and min(self.timers.values()) <= end:
            name = min(self.timers, key=lambda key: self.timers[key])
            self.now = max(self.now, self.timers.pop(name))
            self.wakeups += 1
            self.core.timer(name)
            self.apply()
        self.now = end
        return self

    @property
    def is_over(self) -> bool:
        """Whether nothing that comes from the application reaches the socket."""
        self.core.deliver(NAME, {"more_content": True}, {})
        farewell = Send(f"{PREFIX[:-1]}?{NAME}", {"closed": True})
        return self.core.operations() == [farewell]

    # -- outputs --------------------------------------------------------------------------------

    def take(self) -> bytes:
        """What was written since the last call."""
        written, self.written = self.written, b""
        return written

    def contents(self) -> list[str | bytes]:
        """Contents of the frames that the layer took."""
        return [
            message["bytes"] if message["text"] is None else message["text"]
            for channel, message in self.messages
            if channel == "websocket.receive"
        ]

    def disconnects(self) -> list[dict[str, Any]]:
        return [message for channel, message in self.messages if channel == "websocket.disconnect"]

    @property
    def code(self) -> int | None:
        """The code of the one disconnect message, None while there is none."""
        found = self.disconnects()
        assert len(found) <= 1
        return found[0]["code"] if found else None

    @property
    def actions(self) -> list[str]:
        return [action for _, action, _ in self.logged]

    def apply(self) -> "Driver":
        while operations := self.core.operations():
            for operation in operations:
                self._apply_one(operation)
        return self

    def _apply_one(self, operation: Any) -> None:
        match operation:
            case Write(data):
                assert not self.closed and not self.aborted
                self.written += data
            case Send():
                self._send(operation)
            case AwaitRoom():
                self.waits.append(operation)
            case Timer(name, None):
                self.timers.pop(name, None)
            case Timer(name, at):
                self.timers_armed += 1
                self.timers[name] = at
            case Log(protocol, action, details):
                self.logged.append((protocol, action, details))
            case PauseReading():
                self.reading = False
            case ResumeReading():
                self.reading = True
            case Close():
                self.closed = True
            case Abort():
                self.aborted = True

    def _send(self, send: Send) -> None:
        error = self.fails(send.channel)
        if send.key is None:
            if error is None:
                self.messages.append((send.channel, send.message))
        elif not self.prompt:
            assert not self.pending, "two sends of one core are under way"
            self.pending.append(send)
        elif error is not None:
            self.core.send_failed(send.key, error)
        else:
            self._took(send)

    def _took(self, send: Send) -> None:
        self.messages.append((send.channel, send.message))
        assert send.confirmed, "the next message waits for that"
        self.core.sent(send.key)
