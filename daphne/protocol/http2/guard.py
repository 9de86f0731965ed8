"""Floods: what a client may send that costs us something and itself nothing.

Two budgets refill with time, so that no count of a long-lived connection ever ends it:

- frames that carry nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM, unknown ones, and
  DATA or CONTINUATION without content (CVE-2019-9512, -9514, -9515, -9518). A new request, and what
  the client takes of responses, earn a share, since they come with some of these;
- streams that are reset (rapid reset, CVE-2023-44487), by the client or by us for its mistakes.

A block of header fields is bounded while it comes, in bytes and in frames: all of it has to be
kept, and decompressed, even for a request that is refused (CONTINUATION flood, HPACK bomb,
CVE-2016-6581).
"""

from h2.errors import ErrorCodes

from daphne.options import Options
from daphne.protocol.http2.frames import ConnectionFailure, Flag, Frame, Type

__all__ = ["Budget", "Guard", "header_list_limit"]

#: Seconds in which an empty budget gets full again.
_REFILL = 10.0

#: What a request earns, in frames: clients of old send a PRIORITY and a WINDOW_UPDATE with each.
_REQUEST_EARNS = 3

#: Bytes of a response that earn one frame.
_BYTES_EARN = 1024

#: Bytes that each header field counts beside itself (RFC 9113, 6.5.2).
_FIELD_OVERHEAD = 32

#: CONTINUATION frames of one block.
_MAX_CONTINUATIONS = 32

_COUNTED_BLOCKS = frozenset({Type.HEADERS, Type.CONTINUATION})


def header_list_limit(options: Options) -> int:
    """Bytes of header fields as HPACK counts them, that no request within the limits exceeds."""
    fields = options.header_total_limit + options.request_line_limit
    return fields + _FIELD_OVERHEAD * (options.max_headers + 8)


class Budget:
    """So many at once, and as many again every ten seconds."""

    __slots__ = ("_at", "_left", "_size")

    def __init__(self, size: int, now: float) -> None:
        self._size = size
        self._left = float(size)
        self._at = now

    def spend(self, now: float) -> bool:
        """Take one; false where none is left."""
        earned = (now - self._at) * self._size / _REFILL
        self._at = now
        self._left = min(self._size, self._left + earned) - 1
        return self._left >= 0

    def earn(self, count: float) -> None:
        """Give some back."""
        self._left = min(self._size, self._left + count)


class Guard:
    """What one client has sent lately."""

    __slots__ = ("_block", "_block_limit", "_continuations", "_frames", "_resets")

    def __init__(self, options: Options, now: float) -> None:
        """``now`` is in seconds of a monotonic clock."""
        self._frames = Budget(options.http2_max_control_frames, now)
        self._resets = Budget(options.http2_max_resets, now)
        self._block_limit = header_list_limit(options)
        #: Bytes and continuations of the block of header fields that is not complete.
        self._block = 0
        self._continuations = 0

    def look(self, frame: Frame, now: float) -> None:
        """Count a frame; raises ``ConnectionFailure`` over a limit."""
        if frame.type in _COUNTED_BLOCKS:
            self._look_at_block(frame)
        elif frame.type == Type.DATA and (frame.size or frame.flags & Flag.END_STREAM):
            return
        else:
            self.empty(now)

    def _look_at_block(self, frame: Frame) -> None:
        if frame.type == Type.HEADERS:
            self._block = self._continuations = 0
        else:
            self._continuations += 1
        self._block += frame.size
        if self._block > self._block_limit or self._continuations > _MAX_CONTINUATIONS:
            raise ConnectionFailure(
                ErrorCodes.ENHANCE_YOUR_CALM,
                "the header fields are too long",
                "header_total_limit",
            )

    def empty(self, now: float) -> None:
        """A frame carries nothing; DATA may hold nothing but padding."""
        if not self._frames.spend(now):
            raise ConnectionFailure(
                ErrorCodes.ENHANCE_YOUR_CALM,
                "too many frames without content",
                "http2_max_control_frames",
            )

    def reset(self, now: float) -> None:
        """A stream was reset by the client, or because of it."""
        if not self._resets.spend(now):
            raise ConnectionFailure(
                ErrorCodes.ENHANCE_YOUR_CALM, "too many streams are reset", "http2_max_resets"
            )

    def requested(self) -> None:
        """A request came."""
        self._frames.earn(_REQUEST_EARNS)

    def took(self, count: int) -> None:
        """The client lets us send ``count`` bytes more of a response."""
        self._frames.earn(count / _BYTES_EARN)
