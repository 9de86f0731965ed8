"""One stream of a connection: its core, what waits for its client, and its flow control."""

from daphne.protocol.http2.exchange import RequestCore
from daphne.protocol.http2.websocket import StreamWebSocketCore
from daphne.protocol.operations import Headers

__all__ = ["Stream", "StreamCore"]

#: Who speaks for a stream.
StreamCore = RequestCore | StreamWebSocketCore


class Stream:
    """A stream, and whoever speaks for it.

    It is a part of the keys of its core's operations, so that their outcome finds the core also
    when the stream is gone.
    """

    __slots__ = (
        "answered",
        "buffer",
        "closing",
        "core",
        "half_closed",
        "head",
        "id",
        "is_open",
        "paused",
        "queued",
        "reading",
        "timers",
        "withheld",
    )

    def __init__(self, stream_id: int, core: StreamCore) -> None:
        self.id = stream_id
        self.core = core
        #: Whether anything may still be written.
        self.is_open = True
        #: Whether the response has begun.
        self.answered = False
        #: Its head, until the batch is complete that may end it.
        self.head: Headers | None = None
        #: Bytes of body that wait for the client.
        self.buffer = bytearray()
        #: Whether the end follows what waits.
        self.closing = False
        #: Whether the client has ended its side.
        self.half_closed = False
        #: Whether the core was told that its client is slow.
        self.paused = False
        #: Whether it waits for its turn to be written.
        self.queued = False
        #: Whether the core wants to hear more, and the bytes received that were not given back.
        self.reading = True
        self.withheld = 0
        #: Names of deadlines that are armed.
        self.timers: set[str] = set()

    @property
    def is_websocket(self) -> bool:
        """Whether it lasts beyond one request and one response."""
        return isinstance(self.core, StreamWebSocketCore)

    @property
    def is_pushed(self) -> bool:
        """Whether it was begun by us."""
        return self.id % 2 == 0

    @property
    def has_more(self) -> bool:
        """Whether a DATA frame is due."""
        return self.is_open and (bool(self.buffer) or self.closing)
