"""Many streams in one connection: their cores are served here as the shell serves a connection's.

What a stream's core asks for is carried out: its bytes become frames as far as the client's windows
and the transport have room, a frame of each stream in turn; its deadlines are those of the
connection; its messages go to the layer with the stream as a part of their key. A core hears
``pause_writing`` while bytes of its stream wait, ``drained`` for those that were framed.

At most ``_IN_FLIGHT`` bytes are handed to the transport at once, so that what is small and late
does not wait behind what is large and early.

What the client sends is read in ``connection``.
"""

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes

from daphne.protocol.core import ConnectionContext
from daphne.protocol.http2.exchange import PushedCore
from daphne.protocol.http2.guard import Guard, header_list_limit
from daphne.protocol.http2.settings import STREAM_WINDOW, local_settings
from daphne.protocol.http2.streams import Stream
from daphne.protocol.http2.timers import TimedCore
from daphne.protocol.operations import (
    Abort,
    AwaitRoom,
    Close,
    Log,
    NewChannel,
    PauseReading,
    Promise,
    Respond,
    ResumeReading,
    Send,
    Timer,
    Write,
)
from daphne.protocol.responder import logger

__all__ = ["DRAIN", "Multiplexer"]

#: Bytes of frames that may be on their way to the client's socket before more are made.
_IN_FLIGHT = 128 * 1024

#: The same at which the client is not read any more: answers to what it sends, which it does not
#: take.
_MOST_IN_FLIGHT = 2 * _IN_FLIGHT

#: Bytes of payload in one of our DATA frames, at most: what every client takes.
_FRAME = 16 * 1024

#: Seconds that a stream waits for its client's end after ours. What comes meanwhile, the rest of a
#: body that nobody wants, is read and ignored: some clients take a reset for a failure, though it
#: follows a whole response (RFC 9113, 8.1).
_LINGER = 2.0

#: Names of a stream's deadlines that are not its core's.
DRAIN, _FLUSH, _LAST = "drain", "flush", "last"


class _H2(H2Connection):
    """``h2`` with less memory of streams that are over."""

    MAX_CLOSED_STREAMS = 1000


def _make_h2(context: ConnectionContext) -> H2Connection:
    # Header fields are checked by ``request``, and made by ``response``.
    config = H2Configuration(
        client_side=False,
        validate_inbound_headers=False,
        normalize_inbound_headers=False,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    connection = _H2(config)
    connection.local_settings = local_settings(context.options)
    connection.decoder.max_header_list_size = header_list_limit(context.options)
    return connection


class Multiplexer(TimedCore):
    """The streams of one connection."""

    __slots__ = (
        "_buffered",
        "_closed",
        "_guard",
        "_h2",
        "_in_flight",
        "_locals",
        "_pushed",
        "_reading",
        "_ready",
        "_streams",
        "_waiting",
    )

    def __init__(self, context: ConnectionContext) -> None:
        super().__init__(context)
        self._h2 = _make_h2(context)
        self._guard = Guard(context.options, context.clock())
        #: Streams that are not over, by their number; and how many of them were pushed.
        self._streams: dict[int, Stream] = {}
        self._pushed = 0
        #: The same by the local parts of their reply channels.
        self._locals: dict[str, Stream] = {}
        #: Streams with something to write and room in their window, in their turn.
        self._ready: deque[Stream] = deque()
        #: Streams with bytes that wait, and how many these are.
        self._waiting: set[Stream] = set()
        self._buffered = 0
        #: Bytes written that have not left for the client.
        self._in_flight = 0
        self._reading = True
        #: Whether the connection has ended, for us or altogether.
        self._closed = False

    # -- for the subclass -------------------------------------------------------------------------

    def _may_push(self) -> bool:
        """Whether the client takes another pushed stream."""
        raise NotImplementedError

    def _settle(self) -> None:
        """All that waits was written, as far as there is room."""
        raise NotImplementedError

    def _timed_out(self, name: str) -> None:
        """A deadline of the connection has passed."""
        raise NotImplementedError

    # -- the cores of streams ---------------------------------------------------------------------

    def _feed(self, stream: Stream, method: Callable[..., None], *args: Any) -> None:
        """Hand an input to a stream's core and carry out what it answers."""
        method(*args)
        core = stream.core
        while operations := core.operations():
            for operation in operations:
                _CARRY_OUT[type(operation)](self, stream, operation)
        if stream.is_open:
            self._write_head(stream)
            self._queue(stream)

    def _open(self, stream: Stream) -> str:
        """Take a new stream; the local part for its reply channel."""
        local = self._local(stream.id)
        self._streams[stream.id] = self._locals[local] = stream
        self._pushed += stream.is_pushed
        return local

    def _local(self, stream_id: int) -> str:
        """No request of HTTP/1.1 before an upgrade had the same."""
        return f"{self.context.name}s{stream_id}"

    def _reset(self, stream: Stream, code: ErrorCodes) -> None:
        """End a stream at once, and tell the client."""
        if stream.id in self._streams:
            if stream.is_open or not stream.half_closed:
                self._h2.reset_stream(stream.id, code)
            self._drop(stream)

    def _drop(self, stream: Stream) -> None:
        """A stream is over: its core hears what it would of a lost connection."""
        del self._streams[stream.id], self._locals[self._local(stream.id)]
        self._pushed -= stream.is_pushed
        self._shut(stream)
        for name in list(stream.timers):
            self._cancel(stream, name)
        self._feed(stream, stream.core.connection_lost)

    def _shut(self, stream: Stream) -> None:
        """Write nothing more on a stream."""
        stream.is_open = False
        stream.head = None
        self._buffered -= len(stream.buffer)
        stream.buffer.clear()
        self._waiting.discard(stream)

    # -- their operations -------------------------------------------------------------------------

    def _write(self, stream: Stream, operation: Write) -> None:
        if stream.is_open and not stream.closing:
            stream.buffer += operation.data
            self._buffered += len(operation.data)
            self._waiting.add(stream)

    def _respond(self, stream: Stream, operation: Respond) -> None:
        if stream.is_open:
            self._write_head(stream)
            stream.head = operation.headers
            stream.answered = not operation.headers[0][1].startswith(b"1")

    def _close(self, stream: Stream, operation: Close) -> None:
        stream.closing = True
        if not stream.answered:
            self._reset(stream, ErrorCodes.CANCEL)

    def _abort(self, stream: Stream, operation: Abort) -> None:
        self._reset(stream, ErrorCodes.CANCEL if stream.is_websocket else ErrorCodes.INTERNAL_ERROR)

    def _promise(self, stream: Stream, operation: Promise) -> None:
        if not self._may_push() or not stream.is_open or stream.closing:
            return
        promised_id = self._h2.get_next_available_stream_id()
        self._h2.push_stream(stream.id, promised_id, operation.headers)
        core = PushedCore(self.context, partial(self._feed, stream, operation.on_full))
        pushed = Stream(promised_id, core)
        pushed.half_closed = True
        self._feed(pushed, core.start, operation.request, self._open(pushed))

    def _send(self, stream: Stream, operation: Send) -> None:
        key = None if operation.key is None else (stream, operation.key)
        self.emit(Send(operation.channel, operation.message, key, operation.confirmed))

    def _new_channel(self, stream: Stream, operation: NewChannel) -> None:
        self.emit(NewChannel(operation.pattern, (stream, operation.key)))

    def _await_room(self, stream: Stream, operation: AwaitRoom) -> None:
        self.emit(AwaitRoom(operation.channel, (stream, operation.key)))

    def _pause_reading(self, stream: Stream, operation: PauseReading) -> None:
        stream.reading = False

    def _resume_reading(self, stream: Stream, operation: ResumeReading) -> None:
        stream.reading = True
        self._give_back(stream)

    def _timer(self, stream: Stream, operation: Timer) -> None:
        if operation.at is None:
            self._cancel(stream, operation.name)
        else:
            self._arm(stream, operation.name, operation.at)

    def _log(self, stream: Stream, operation: Log) -> None:
        self.emit(operation)

    # -- windows for what the client sends --------------------------------------------------------

    def _give_back(self, stream: Stream) -> None:
        """Let the client send more on a stream, once that is worth a frame."""
        wanted = stream.reading and not stream.half_closed
        if wanted and stream.withheld >= STREAM_WINDOW // 2 and stream.id in self._streams:
            self._h2.increment_flow_control_window(stream.withheld, stream.id)
            stream.withheld = 0

    # -- writing ----------------------------------------------------------------------------------

    def _write_head(self, stream: Stream) -> None:
        """Write the head of a response, and the end with it where nothing follows."""
        headers, stream.head = stream.head, None
        if headers is None:
            return
        ends = stream.closing and not stream.buffer
        self._h2.send_headers(stream.id, headers, ends)
        if ends:
            self._ended(stream)

    def _queue(self, stream: Stream) -> None:
        if stream.has_more and not stream.queued:
            stream.queued = True
            self._ready.append(stream)

    def _queue_all(self) -> None:
        """The client has opened the connection's window, or that of all streams."""
        for stream in list(self._waiting):
            self._queue(stream)

    def _flush(self) -> None:
        """Make frames of what waits, as far as there is room, and write them."""
        if self._closed:
            return
        ready = self._ready
        room = _IN_FLIGHT - self._in_flight
        while ready and room > 0:
            stream = ready.popleft()
            stream.queued = False
            if stream.has_more:
                room -= self._write_some(stream)
        self._bound_buffers()
        for stream in list(self._waiting):
            self._wait_for_client(stream)
        self._write_out()
        self._settle()

    def _write_some(self, stream: Stream) -> int:
        """Write one frame of a stream; the bytes it took, 0 where its window is closed."""
        buffer = stream.buffer
        size = min(len(buffer), _FRAME)
        if size:
            size = min(size, self._h2.local_flow_control_window(stream.id))
            if size <= 0:
                return 0
        ends = stream.closing and size == len(buffer)
        self._h2.send_data(stream.id, bytes(buffer[:size]), ends)
        del buffer[:size]
        self._buffered -= size
        self._guard.took(size)
        if not buffer:
            self._waiting.discard(stream)
        if ends:
            self._ended(stream)
        else:
            self._wrote(stream, size)
        return size + 9

    def _wrote(self, stream: Stream, size: int) -> None:
        """The client took some of what waits: tell the core."""
        if stream.closing:
            self._cancel(stream, _FLUSH)
        else:
            self._feed(stream, stream.core.drained, size)
        if stream.paused and not stream.buffer and stream.is_open:
            stream.paused = False
            self._feed(stream, stream.core.resume_writing)
        self._queue(stream)

    def _ended(self, stream: Stream) -> None:
        """Our side of a stream has ended."""
        self._shut(stream)
        if stream.half_closed:
            self._drop(stream)
        else:
            stream.reading = True
            self._arm(stream, _LAST, self.context.clock() + _LINGER)

    def _wait_for_client(self, stream: Stream) -> None:
        """Bytes of a stream wait for its client: have that not last for ever."""
        if not stream.closing:
            if not stream.paused:
                stream.paused = True
                self._feed(stream, stream.core.pause_writing)
        elif _FLUSH not in stream.timers:
            timeout = self.context.options.write_timeout
            if timeout is not None:
                self._arm(stream, _FLUSH, self.context.clock() + timeout)

    def _bound_buffers(self) -> None:
        """Give up the streams that most waits for, over the limit of a connection."""
        while self._buffered > self.context.options.http2_write_limit:
            stream = max(self._waiting, key=lambda one: len(one.buffer))
            logger.warning(
                "A stream of HTTP/2 was reset: the client does not read (http2_write_limit)"
            )
            self._reset(stream, ErrorCodes.CANCEL)

    def _write_out(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._in_flight += len(data)
            self.emit(Write(data))
            self._regulate()

    def _regulate(self) -> None:
        """Do not read a client that does not take our answers."""
        reading = self._in_flight <= _MOST_IN_FLIGHT
        if reading is not self._reading:
            self._reading = reading
            self.emit(ResumeReading() if reading else PauseReading())

    def drained(self, count: int) -> None:
        """See ``Core``."""
        self._in_flight -= count
        if self._closed:
            return
        if (None, "write") in self._timers:
            self._await_transport()
        self._regulate()
        self._flush()

    def pause_writing(self) -> None:
        """See ``Core``."""
        self._await_transport()

    def resume_writing(self) -> None:
        """See ``Core``."""
        self._cancel(None, "write")

    def _await_transport(self) -> None:
        timeout = self.context.options.write_timeout
        if timeout is not None and not self._closed:
            self._arm(None, "write", self.context.clock() + timeout)

    # -- from the channel layer -------------------------------------------------------------------

    def deliver(self, local: str, message: Mapping[str, Any], shared: dict[Any, Any]) -> None:
        """See ``Core``."""
        stream = self._locals.get(local)
        if stream is None:
            self._missed(local, message)
            return
        self._feed(stream, stream.core.deliver, local, message, shared)
        self._flush()

    def sent(self, key: Any) -> None:
        """See ``Core``."""
        stream, own = key
        self._feed(stream, stream.core.sent, own)
        self._flush()

    def send_failed(self, key: Any, error: Exception) -> None:
        """See ``Core``."""
        stream, own = key
        self._feed(stream, stream.core.send_failed, own, error)
        self._flush()

    def channel_made(self, key: Any, name: str) -> None:
        """See ``Core``."""
        stream, own = key
        self._feed(stream, stream.core.channel_made, own, name)
        self._flush()

    def room(self, key: Any) -> None:
        """See ``Core``."""
        stream, own = key
        self._feed(stream, stream.core.room, own)
        self._flush()

    # -- time -------------------------------------------------------------------------------------

    def _pass(self, stream: Stream | None, name: str) -> None:
        if stream is None:
            self._timed_out(name)
        elif name == _FLUSH:
            self._reset(stream, ErrorCodes.CANCEL)
        elif name == DRAIN:
            self._feed(stream, stream.core.shutdown)
        elif name == _LAST:
            self._reset(stream, ErrorCodes.NO_ERROR)
        else:
            self._feed(stream, stream.core.timer, name)


_CARRY_OUT: dict[type, Callable[[Multiplexer, Stream, Any], None]] = {
    Abort: Multiplexer._abort,
    AwaitRoom: Multiplexer._await_room,
    Close: Multiplexer._close,
    Log: Multiplexer._log,
    NewChannel: Multiplexer._new_channel,
    PauseReading: Multiplexer._pause_reading,
    Promise: Multiplexer._promise,
    Respond: Multiplexer._respond,
    ResumeReading: Multiplexer._resume_reading,
    Send: Multiplexer._send,
    Timer: Multiplexer._timer,
    Write: Multiplexer._write,
}
