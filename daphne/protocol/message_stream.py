"""What the application hears of one WebSocket: connect, receive and disconnect, in their order.

A stream has one message at the layer at a time, so the order holds whatever the layer does; the
rest waits in a queue that the core keeps short by not reading its socket. When to open, to close or
to give up is the core's (``daphne.protocol.websocket``).
"""

from collections import deque
from collections.abc import Callable
from enum import Enum

from channels.exceptions import ChannelFull
from channels.spec import (
    WEBSOCKET_CONNECT,
    WEBSOCKET_DISCONNECT,
    WEBSOCKET_RECEIVE,
    WebsocketConnect,
    websocket_disconnect,
    websocket_receive,
)
from daphne.protocol.operations import AwaitRoom, Operation, Send

__all__ = ["MessageStream"]

#: What a queued frame costs beside its content, so that empty frames count too.
_FRAME_OVERHEAD = 64

#: Key of the one send, or wait for room, under way.
_KEY = "message"


class _State(Enum):
    IDLE = "the layer has all there is"
    SENDING = "a message is under way"
    WAITING = "a frame waits for room in a full channel"
    OVER = "no more messages"


class MessageStream:
    """The messages of one socket to the application.

    Every ``websocket.connect`` that the layer took is followed by one ``websocket.disconnect``,
    after the frames.
    """

    __slots__ = (
        "_code",
        "_current",
        "_emit",
        "_order",
        "_path",
        "_queue",
        "_queued_bytes",
        "_reply_channel",
        "_state",
        "connecting",
    )

    def __init__(self, emit: Callable[[Operation], None], reply_channel: str, path: str) -> None:
        self._emit = emit
        self._reply_channel = reply_channel
        self._path = path
        self._state = _State.IDLE
        self._queue: deque[str | bytes] = deque()
        self._queued_bytes = 0
        #: The frame at the layer, or waiting for room there.
        self._current: str | bytes = b""
        self._order = 0
        #: The close code once the socket has ended; no frames come then.
        self._code: int | None = None
        #: Whether ``websocket.connect`` is under way.
        self.connecting = False

    @property
    def waiting(self) -> bool:
        """Whether a frame waits for room in a full channel."""
        return self._state is _State.WAITING

    @property
    def over(self) -> bool:
        """Whether the layer was given the last message, or is to get none."""
        return self._state is _State.OVER

    @property
    def backlog(self) -> int:
        """Characters or bytes that wait for the layer, with a share for each frame."""
        return self._queued_bytes + _FRAME_OVERHEAD * len(self._queue)

    # -- from the socket ------------------------------------------------------------------------

    def connect(self, message: WebsocketConnect) -> None:
        """Send the first message."""
        self.connecting = True
        self._state = _State.SENDING
        self._emit(Send(WEBSOCKET_CONNECT, message, _KEY, confirmed=True))

    def receive(self, content: str | bytes) -> None:
        """Send a frame, or queue it behind others."""
        if self._state is _State.IDLE:
            self._order += 1
            self._current = content
            self._send()
        elif self._state is not _State.OVER:
            self._queue.append(content)
            self._queued_bytes += len(content)

    def end(self, code: int) -> None:
        """Send the last message, once the frames before it are gone; only the first call counts."""
        if self._code is not None:
            return
        self._code = code
        if self._state is _State.IDLE:
            self._send_next()

    def drop(self) -> None:
        """Forget the frames that the layer has not taken."""
        self._queue.clear()
        self._queued_bytes = 0
        if self._state is _State.WAITING:
            self._order -= 1
            self._send_next()

    # -- from the layer -------------------------------------------------------------------------

    def sent(self) -> None:
        """The layer took the message under way."""
        self.connecting = False
        self._send_next()

    def failed(self, error: Exception) -> None:
        """The layer did not take the message; on ``ChannelFull`` a frame waits for room.

        A ``websocket.connect`` that failed ends the stream: the application never heard of it. With
        another failure the frame and those behind it are dropped; the core closes the socket then.
        """
        if self.connecting:
            self.connecting = False
            self._state = _State.OVER
            self._queue.clear()
        elif isinstance(error, ChannelFull):
            self._state = _State.WAITING
            self._emit(AwaitRoom(WEBSOCKET_RECEIVE, _KEY))
        else:
            self._state = _State.WAITING
            self.drop()

    def room(self) -> None:
        """There may be room for the frame that waits."""
        if self._state is _State.WAITING:
            self._send()

    def _send(self) -> None:
        self._state = _State.SENDING
        name, path, content = self._reply_channel, self._path, self._current
        if isinstance(content, str):
            message = websocket_receive(name, path, self._order, text=content)
        else:
            message = websocket_receive(name, path, self._order, bytes=content)
        self._emit(Send(WEBSOCKET_RECEIVE, message, _KEY, confirmed=True))

    def _send_next(self) -> None:
        """The layer has nothing of ours to take: give it the next message, if there is one."""
        if self._queue:
            self._order += 1
            self._current = self._queue.popleft()
            self._queued_bytes -= len(self._current)
            self._send()
            return
        self._current = b""
        self._state = _State.IDLE
        if self._code is not None:
            self._state = _State.OVER
            order = self._order + 1
            message = websocket_disconnect(self._reply_channel, self._path, order, self._code)
            self._emit(Send(WEBSOCKET_DISCONNECT, message))
