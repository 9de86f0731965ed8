"""Where a frame begins and ends (RFC 9113, 4.1).

``h2`` is given one whole frame at a time. So what it found in the frames before a broken one is not
lost, however they came in; a frame's length is checked before the frame is waited for; and what a
frame costs is counted before anything is done for it (``guard``).
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from h2.errors import ErrorCodes

__all__ = ["PREFACE", "ConnectionFailure", "Flag", "Frame", "FrameSplitter", "Type"]

#: What a client says first (RFC 9113, 3.4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

#: Bytes of payload in a frame: the initial value of SETTINGS_MAX_FRAME_SIZE, which we keep.
_MAX_PAYLOAD = 16 * 1024

_HEADER = 9


class Type(IntEnum):
    """Types of frames that are looked at here (RFC 9113, 6)."""

    DATA = 0x0
    HEADERS = 0x1
    PRIORITY = 0x2
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PUSH_PROMISE = 0x5
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8
    CONTINUATION = 0x9


class Flag(IntEnum):
    """Flags that are looked at here."""

    END_STREAM = 0x1
    ACK = 0x1
    END_HEADERS = 0x4


class ConnectionFailure(Exception):
    """The client broke the protocol, or a limit: the connection ends with a GOAWAY.

    ``option`` names the option whose limit was exceeded. ``said``: the GOAWAY was written already.
    """

    def __init__(self, code: ErrorCodes, reason: str, option: str = "", said: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.option = option
        self.said = said


class Frame(NamedTuple):
    """One frame as it came."""

    type: int
    flags: int
    stream_id: int
    #: The whole frame with its header.
    data: bytes

    @property
    def payload(self) -> bytes:
        """What follows the header."""
        return self.data[_HEADER:]

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return len(self.data) - _HEADER


class FrameSplitter:
    """Finds the frames in what arrives, after the preface."""

    __slots__ = ("_data", "_preface")

    def __init__(self) -> None:
        self._data = bytearray()
        #: What of the preface has not come yet.
        self._preface = PREFACE

    def __len__(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._data)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that ``data`` completes.

        Raises ``ConnectionFailure`` where the preface is another one, or a frame too long.
        """
        if self._preface:
            expected, self._preface = self._preface, self._preface[len(data) :]
            data, came = data[len(expected) :], data[: len(expected)]
            if not expected.startswith(came):
                raise ConnectionFailure(ErrorCodes.PROTOCOL_ERROR, "the preface is missing")
        self._data += data
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        buffer = self._data
        start, end = 0, len(buffer)
        try:
            while end - start >= _HEADER:
                size = int.from_bytes(buffer[start : start + 3])
                if size > _MAX_PAYLOAD:
                    raise ConnectionFailure(ErrorCodes.FRAME_SIZE_ERROR, "a frame is too long")
                after = start + _HEADER + size
                if after > end:
                    return
                kind, flags = buffer[start + 3], buffer[start + 4]
                stream_id = int.from_bytes(buffer[start + 5 : start + 9]) & 0x7FFFFFFF
                frame = Frame(kind, flags, stream_id, bytes(buffer[start:after]))
                start = after
                yield frame
        finally:
            del buffer[:start]
