"""Driving a connection's core without sockets: bytes and messages in, operations out."""

import secrets
from collections.abc import Callable
from typing import Any

from channels.exceptions import ChannelFull
from daphne.options import Options
from daphne.protocol.core import NAME_LENGTH, ConnectionContext, Core
from daphne.protocol.http1 import Http1Core
from daphne.protocol.operations import (
    Abort,
    AwaitRoom,
    Close,
    Log,
    NewChannel,
    PauseReading,
    ResumeReading,
    Send,
    Timer,
    Upgrade,
    Write,
)

__all__ = ["Driver", "make_context"]

PREFIX = "daphne.response.0123456789abcdef!"


def make_context(options: Options | None = None, **changes: Any) -> ConnectionContext:
    """A context with a clock that stands still at 1000, and at 1500000000 for the Date."""
    settings: dict[str, Any] = {
        "options": options or Options(),
        "reply_prefix": PREFIX,
        "name": secrets.token_hex(NAME_LENGTH // 2),
        "client": ("192.0.2.1", 4711),
        "server": ("127.0.0.1", 8000),
        "secure": False,
        "trusted_peer": False,
        "clock": lambda: 1000.0,
        "now": lambda: 1500000000.0,
        "has_listener": lambda channel: True,
    }
    return ConnectionContext(**{**settings, **changes})


class Driver:
    """A shell for one core: applies its operations to lists, and answers its sends.

    ``full`` holds the names of channels whose sends are refused; ``answer`` may turn a request
    into the messages that it is answered with at once. With ``slow_layer`` sends have no outcome
    until ``confirm`` is called.
    """

    def __init__(
        self,
        options: Options | None = None,
        make_core: Callable[[ConnectionContext], Core] = Http1Core,
        **changes: Any,
    ) -> None:
        self.time = 1000.0
        changes.setdefault("clock", lambda: self.time)
        self.core: Core = make_core(make_context(options, **changes))
        self.output = b""
        self.sends: list[tuple[str, dict[str, Any]]] = []
        self.logs: list[dict[str, Any]] = []
        self.actions: list[str] = []
        self.timers: dict[str, float] = {}
        self.waiting: list[tuple[str, object]] = []
        self.unconfirmed: list[Send] = []
        self.full: set[str] = set()
        self.failing: dict[str, Exception] = {}
        self.slow_layer = False
        self.reading = True
        self.closed = False
        self.aborted = False
        self.upgraded: Upgrade | None = None
        self.answer: Callable[[dict[str, Any]], list[dict[str, Any]]] | None = None
        self.do(self.core.connection_made)

    @property
    def locals(self) -> list[str]:
        """Local parts of the reply channels that the application was told of."""
        return [
            message["reply_channel"].removeprefix(PREFIX)
            for channel, message in self.sends
            if channel in ("http.request", "websocket.connect")
        ]

    @property
    def is_over(self) -> bool:
        """Whether none of them leads anywhere: a worker that streams to one is told so."""
        return all(self._misses(local) for local in self.locals)

    def _misses(self, local: str) -> bool:
        self.core.deliver(local, {"more_content": True}, {})
        operations = self.core.operations()
        farewell = Send(f"{PREFIX[:-1]}?{local}", {"closed": True})
        for operation in operations:
            if operation != farewell:
                self.apply(operation)
        return farewell in operations

    def do(self, method: Callable[..., None], *args: Any) -> None:
        """Call an input of the core, then apply what it asks for until it asks no more."""
        method(*args)
        while operations := self.core.operations():
            for operation in operations:
                self.apply(operation)

    def apply(self, operation: Any) -> None:
        """Carry out one operation."""
        match operation:
            case Write(data):
                assert not self.closed, "written after Close"
                self.output += data
            case Send():
                self._send(operation)
            case NewChannel(pattern, key):
                if pattern in self.failing:
                    self.core.send_failed(key, self.failing[pattern])
                else:
                    self.core.channel_made(key, pattern + "x1")
            case AwaitRoom(channel, key):
                self.waiting.append((channel, key))
            case Close():
                self.closed = True
            case Abort():
                self.closed = self.aborted = True
            case PauseReading():
                self.reading = False
            case ResumeReading():
                self.reading = True
            case Timer(name, at):
                self.timers.pop(name, None)
                if at is not None:
                    self.timers[name] = at
            case Log():
                self.logs.append(operation.details)
                self.actions.append(f"{operation.protocol} {operation.action}")
            case Upgrade():
                self.upgraded = operation
            case _:
                raise AssertionError(f"unknown operation {operation!r}")

    def _send(self, send: Send) -> None:
        channel, message, key = send.channel, dict(send.message), send.key
        error = ChannelFull(channel) if channel in self.full else self.failing.get(channel)
        if error is not None:
            if key is not None:
                self.core.send_failed(key, error)
            return
        self.sends.append((channel, message))
        if self.slow_layer and key is not None:
            self.unconfirmed.append(send)
        elif send.confirmed:
            self.core.sent(key)
        if channel == "http.request" and self.answer is not None:
            for reply in self.answer(message):
                self.core.deliver(message["reply_channel"][len(PREFIX) :], reply, {})

    def feed(self, *pieces: bytes) -> "Driver":
        """Hand bytes to the core, as far as the connection is open."""
        for piece in pieces:
            if not self.closed:
                self.do(self.core.receive_data, piece)
        return self

    def confirm(self) -> None:
        """Have the oldest send of a slow layer succeed."""
        send = self.unconfirmed.pop(0)
        if send.confirmed:
            self.do(self.core.sent, send.key)

    def room(self) -> None:
        """Make room in every channel, and wake those that wait for it."""
        self.full.clear()
        waiting, self.waiting = self.waiting, []
        for _, key in waiting:
            self.do(self.core.room, key)

    def reply(self, message: dict[str, Any], request: int = -1, shared: Any = None) -> "Driver":
        """Deliver a message to the reply channel of one of the requests."""
        local = self.requests[request]["reply_channel"][len(PREFIX) :]
        self.do(self.core.deliver, local, message, {} if shared is None else shared)
        return self

    def sleep(self, seconds: float) -> None:
        """Let time pass, with the timers that expire meanwhile."""
        end = self.time + seconds
        while due := [(at, name) for name, at in self.timers.items() if at <= end]:
            at, name = min(due)
            del self.timers[name]
            self.time = max(self.time, at)
            self.do(self.core.timer, name)
        self.time = end

    def lose(self) -> None:
        """The connection is gone."""
        self.closed = True
        self.do(self.core.connection_lost)

    def on(self, channel: str) -> list[dict[str, Any]]:
        """The messages that were sent on a channel."""
        return [message for name, message in self.sends if name == channel]

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests that have reached the application."""
        return self.on("http.request")

    @property
    def status(self) -> int:
        """Status of the first response."""
        return int(self.output.split(b" ", 2)[1])

    def take_output(self) -> bytes:
        """What was written since the last call."""
        output, self.output = self.output, b""
        return output
