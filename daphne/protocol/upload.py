"""Where a request's body goes: inline in ``http.request``, or by a body channel.

A body of up to ``body_chunk_size`` bytes is collected and travels in the request message. For a
larger one the message leaves as soon as its body channel has a name, and the rest follows in
chunks, each after the layer has taken the one before (ASGI spec, HTTP, Request Body Chunk).
Decoding of what the client sends is in ``body``.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

from channels.exceptions import ChannelFull
from channels.spec import HTTP_REQUEST, HTTP_REQUEST_BODY, http_request_body_chunk
from daphne.protocol.operations import AwaitRoom, NewChannel, Operation, Send

__all__ = ["Upload"]

#: A chunk leaves when it has this many bytes, an eighth of a full one: fewer messages than reads,
#: while the application need not wait for a full chunk.
_WORTHWHILE = 64 * 1024

#: Seconds after which less than that leaves too.
_LATE = 1.0


class State(Enum):
    """What an upload is doing."""

    #: The body is small so far, and is being collected.
    COLLECTING = 0
    #: A name for the body channel was asked for.
    NAMING = 1
    #: A message is on its way to the layer.
    SENDING = 2
    #: The channel is full.
    WAITING = 3
    #: The layer has taken what it was given.
    READY = 4
    #: Nothing more is sent.
    DONE = 5


class Upload:
    """A request with a body, on its way to the layer.

    It is the key of its own operations: ``sent``, ``failed``, ``room`` and ``channel_made`` are
    the answers to them.
    """

    __slots__ = (
        "_abandoned",
        "_channel",
        "_chunk_size",
        "_emit",
        "_last",
        "_latest",
        "_message",
        "_pending",
        "_state",
        "_whole",
    )

    def __init__(self, message: Any, emit: Callable[[Operation], None], chunk_size: int) -> None:
        """``message`` is the request without its body; ``emit`` takes the operations."""
        self._message = message
        self._emit = emit
        self._chunk_size = chunk_size
        self._pending = bytearray()
        self._channel = ""
        #: The message that was sent last.
        self._latest: Any = None
        #: When a chunk was sent last.
        self._last = 0.0
        #: Whether the client has sent the whole body.
        self._whole = False
        #: Whether nobody will send the rest.
        self._abandoned = False
        self._state = State.COLLECTING

    @property
    def is_announced(self) -> bool:
        """Whether the application knows of the request, or soon will."""
        return self._latest is not None

    @property
    def is_full(self) -> bool:
        """Whether the client should send nothing more for now."""
        if self._state in (State.COLLECTING, State.DONE):
            return False
        return len(self._pending) >= self._chunk_size

    @property
    def wants_body(self) -> bool:
        """Whether the body is needed now: not before the layer has taken a request without it."""
        return self._state in (State.COLLECTING, State.READY)

    def begin(self, length: int) -> None:
        """Start; ``length`` is the body's size in bytes, negative if it is not known."""
        if length > self._chunk_size:
            self._ask_for_channel()

    def feed(self, data: bytes, whole: bool, now: float) -> None:
        """Take a part of the body; ``whole`` says that it was the last one.

        ``now`` is in seconds of a monotonic clock.
        """
        if self._state is State.DONE:
            return
        self._pending += data
        self._whole = whole
        if self._state is State.COLLECTING:
            if len(self._pending) > self._chunk_size:
                self._ask_for_channel()
            elif whole:
                self._send_inline()
        elif self._state is State.READY:
            self._send_chunk(now)

    def _send_inline(self) -> None:
        self._message["body"] = bytes(self._pending)
        self._pending = bytearray()
        self._send(HTTP_REQUEST, self._message)

    def _ask_for_channel(self) -> None:
        self._state = State.NAMING
        self._emit(NewChannel(HTTP_REQUEST_BODY, self))

    def channel_made(self, name: str, now: float) -> None:
        """Send the request with what is there of its body; the rest goes to channel ``name``."""
        if self._state is not State.NAMING:
            return
        self._channel = name
        self._last = now
        self._message["body"] = self._take()
        self._message["body_channel"] = name
        self._send(HTTP_REQUEST, self._message)

    def _take(self) -> bytes:
        part = bytes(memoryview(self._pending)[: self._chunk_size])
        del self._pending[: self._chunk_size]
        return part

    def _send(self, channel: str, message: Any) -> None:
        self._state = State.SENDING
        self._latest = message
        self._emit(Send(channel, message, self, confirmed=True))

    def sent(self, now: float) -> None:
        """The layer took the latest message."""
        if self._state is not State.SENDING:
            return
        if not self._latest.get("more_content", self._latest is self._message and self._channel):
            self._state = State.DONE
        elif self._abandoned:
            self._send(self._channel, http_request_body_chunk(closed=True))
        else:
            self._state = State.READY
            self._send_chunk(now)

    def _send_chunk(self, now: float) -> None:
        """Send the next chunk, if there is one that is worth a message."""
        size = len(self._pending)
        if not self._whole and size < _WORTHWHILE and (not size or now - self._last < _LATE):
            return
        self._last = now
        more = not self._whole or size > self._chunk_size
        self._send(self._channel, http_request_body_chunk(self._take(), more))

    def failed(self, error: Exception) -> bool:
        """The layer refused the latest message, or gave no name.

        Returns whether that is in order: a full body channel, for whose room it waits, or a
        message that does not matter any more.
        """
        is_chunk = self._state is State.SENDING and self._latest is not self._message
        if is_chunk and isinstance(error, ChannelFull):
            self._state = State.WAITING
            if self._abandoned:
                self._latest = http_request_body_chunk(closed=True)
            self._emit(AwaitRoom(self._channel, self))
            return True
        self._state = State.DONE
        if not is_chunk:
            self._latest = None
        return self._abandoned

    def room(self) -> None:
        """Send the chunk again that the channel had no room for."""
        if self._state is State.WAITING:
            self._send(self._channel, self._latest)

    def abandon(self) -> None:
        """The rest of the body will never come: say so to who reads the channel."""
        self._abandoned = True
        self._pending = bytearray()
        if self._state is State.READY:
            self._send(self._channel, http_request_body_chunk(closed=True))
        elif self._state is State.WAITING:
            self._latest = http_request_body_chunk(closed=True)
        elif self._state is not State.SENDING:
            self._state = State.DONE
