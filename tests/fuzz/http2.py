"""The HTTP/2 core under any frames: however they are cut they mean the same, and to hyperframe too.

An input is what follows the client's preface and first SETTINGS. Every request that the core passes
on must be the one that hyperframe and hpack find on the same stream, read here without any state of
the protocol. What they find and the core refuses is no difference.
"""

from collections import Counter
from dataclasses import dataclass

from hpack import Decoder, Encoder, HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from daphne.options import Options
from daphne.protocol.core import NAME_LENGTH
from daphne.protocol.http2 import Http2Core
from daphne.protocol.http2.frames import PREFACE
from daphne.protocol.request import decode_path
from tests.daphne.protocol.conversation import Conversation
from tests.fuzz.cutting import chance_of, pieces

__all__ = ["DICTIONARY", "SEEDS", "check"]

_START = PREFACE + SettingsFrame(0).serialize()

#: Bodies of more than this go by a channel of their own, and there are few streams at a time.
_OPTIONS = Options(body_chunk_size=16, http2_max_streams=3, http2_max_resets=5)

#: Characters of a reply channel's local part before the number of its stream.
_NAME = NAME_LENGTH + 1

Header = tuple[bytes, bytes]
Meaning = tuple[str, str, bytes, tuple[Header, ...], bytes]


def _headers(stream_id: int, *fields: Header, flags: tuple[str, ...] = ()) -> Frame:
    frame = HeadersFrame(stream_id, flags=["END_HEADERS", *flags])
    pseudo = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"x"),
        (b":path", b"/a?b"),
    ]
    names = {name for name, _ in fields}
    kept = [pair for pair in pseudo if pair[0] not in names]
    frame.data = Encoder().encode([*kept, *fields], huffman=False)
    return frame


def _data(stream_id: int, data: bytes, *flags: str) -> Frame:
    frame = DataFrame(stream_id, data, flags=flags)
    if "PADDED" in flags:
        frame.pad_length = 3
    return frame


def _split(frame: Frame, at: int) -> list[Frame]:
    """A block of fields in two frames."""
    rest = ContinuationFrame(frame.stream_id, frame.data[at:], flags=["END_HEADERS"])
    frame.data = frame.data[:at]
    frame.flags.discard("END_HEADERS")
    return [frame, rest]


def _post(stream_id: int, *more: Header) -> Frame:
    return _headers(stream_id, (b":method", b"POST"), *more)


_END = ("END_STREAM",)
_WEBSOCKET = (
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b"sec-websocket-version", b"13"),
)

SEEDS = [
    b"".join(frame.serialize() for frame in frames)
    for frames in (
        [_headers(1, flags=_END), _headers(3, (b"cookie", b"a"), (b"cookie", b"b"), flags=_END)],
        [_post(1), _data(1, b"hello"), _data(1, b"x" * 40, *_END)],
        [_post(1, (b"content-length", b"5")), _data(1, b"hello", "PADDED", *_END)],
        [_post(1), _data(1, b"body"), _headers(1, (b":path", b""), flags=_END)],
        [*_split(_headers(1, (b"x-a", b"b"), flags=_END), 9), PingFrame(0, b"12345678")],
        [_headers(1), RstStreamFrame(1, 8), _headers(3, (b"host", b"x"), flags=_END)],
        [WindowUpdateFrame(0, 1000), SettingsFrame(0, {4: 5, 1: 0}), _headers(1, flags=_END)],
        [_headers(1, *_WEBSOCKET), _data(1, b"\x81\x85\0\0\0\0hello\x88\x80\0\0\0\0")],
        [_headers(1, (b"expect", b"100-continue"), (b":method", b"PUT")), _data(1, b"", *_END)],
        [_headers(1, (b"Upper", b"x"), flags=_END), _headers(3, (b"te", b"gzip"), flags=_END)],
    )
]

DICTIONARY = [
    *[bytes([0, 0, size, kind, flags, 0, 0, 0, stream]) for size, kind, flags, stream in (
        (0, 0, 1, 1), (5, 0, 0, 1), (8, 6, 0, 0), (4, 3, 0, 1), (4, 8, 0, 0), (4, 8, 0, 1),
        (0, 4, 0, 0), (6, 4, 0, 0), (5, 2, 0, 1), (8, 7, 0, 0), (1, 1, 4, 1), (1, 1, 5, 3),
        (1, 9, 4, 1),
    )],
    b"\x82\x86\x84\x41\x01x", b"\x83\x87", b"\x40\x01a\x01b", b"\x00\x07:method\x04HEAD",
    b"\x00\x06cookie\x01a", b"\x0f\x0d\x015", b"\x7f\x00", b"\x20", b"\x3f\xe1\x1f",
]  # fmt: skip


def check(data: bytes) -> None:
    """Raise where the core does with ``data`` what it should not."""
    whole = _talk([_START + data])
    cut = _talk([_START, *pieces(data, chance_of(data))])
    theirs = _streams_of_peer(data)
    # What came just before the end of a connection or of a stream may have ended with it, or not;
    # what comes on a stream that we refuse is an error until the refusal was written.
    disturbed = whole.closed or cut.closed or any(one.is_disturbed for one in theirs.values())
    assert whole == cut or disturbed, (whole, cut)
    for stream_id, request in [*whole.requests.items(), *cut.requests.items()]:
        assert request == theirs[stream_id].meaning(), (request, theirs[stream_id])


@dataclass
class _Outcome:
    #: The whole requests, by the number of their stream.
    requests: dict[int, Meaning]
    messages: tuple[str | bytes, ...]
    closed: bool


def _talk(cut: list[bytes]) -> _Outcome:
    conversation = Conversation(_OPTIONS, Http2Core)
    for piece in cut:
        conversation.feed(piece)
        _check_bounds(conversation.core)
    outcome = conversation.outcome()
    replies = [message["reply_channel"] for message in conversation.requests]
    numbers = [int(name.partition("!")[2][_NAME:]) for name in replies]
    whole = {
        number: (one.method, one.path, one.query_string, one.headers, one.body)
        for number, one in zip(numbers, outcome.requests, strict=True)
        if one.whole
    }
    conversation.lose()
    assert conversation.is_over, "a reply channel leads somewhere"
    ends = Counter(message["reply_channel"] for message in conversation.on("http.disconnect"))
    assert Counter(replies) == ends, "a request has not one end"
    return _Outcome(whole, outcome.messages, outcome.closed)


def _check_bounds(core: object) -> None:
    """No more is kept of a client than its options allow."""
    assert isinstance(core, Http2Core)
    assert len(core._streams) <= _OPTIONS.http2_max_streams
    assert len(core._splitter._data) < 16 * 1024 + 9


# -- the same by hyperframe -----------------------------------------------------------------------


@dataclass
class _Stream:
    """What came on a stream: its first block of fields, and its body."""

    fields: list[Header]
    body: bytes = b""
    #: Whether the client said that nothing follows.
    ended: bool = False
    #: Whether something came all the same, or the stream was reset.
    is_disturbed: bool = False

    def meaning(self) -> Meaning:
        """The request that this is, as the application is to get it."""
        pseudo = {name: value for name, value in self.fields if name.startswith(b":")}
        path, _, query = pseudo[b":path"].partition(b"?")
        headers = _joined_cookies([pair for pair in self.fields if not pair[0].startswith(b":")])
        host = pseudo.get(b":authority", dict(headers).get(b"host", b""))
        kept = [pair for pair in headers if b"_" not in pair[0] and pair[0] not in _DROPPED]
        method = pseudo[b":method"].decode()
        # An empty body is not waited for, though one that comes all the same ends the connection.
        body = b"" if (b"content-length", b"0") in kept else self.body
        return method, decode_path(path), query, ((b"host", host), *kept), body


#: The host stands first; the other one only a trusted proxy may send.
_DROPPED = frozenset({b"host", b"daphne-root-path"})


def _joined_cookies(headers: list[Header]) -> list[Header]:
    """One header for all crumbs, in the place of the first (RFC 9113, 8.2.3)."""
    crumbs = [value for name, value in headers if name == b"cookie"]
    if not crumbs:
        return headers
    place = [name for name, _ in headers].index(b"cookie")
    others = [pair for pair in headers if pair[0] != b"cookie"]
    return [*others[:place], (b"cookie", b"; ".join(crumbs)), *others[place:]]


def _streams_of_peer(data: bytes) -> dict[int, _Stream]:
    """The streams, up to the first bytes that are no frame or no fields."""
    streams: dict[int, _Stream] = {}
    decoder = Decoder()
    block, ends = b"", False
    view = memoryview(data)
    try:
        while len(view) >= 9:
            frame, size = Frame.parse_frame_header(view[:9])
            if len(view) < 9 + size:
                break
            frame.parse_body(view[9 : 9 + size])
            view = view[9 + size :]
            stream = streams.get(frame.stream_id)
            if stream is not None and (stream.ended or isinstance(frame, RstStreamFrame)):
                stream.is_disturbed = True
            if stream is not None and isinstance(frame, DataFrame) and not stream.ended:
                stream.body += frame.data
            elif isinstance(frame, HeadersFrame | ContinuationFrame):
                if isinstance(frame, HeadersFrame):  # its flag counts from the end of the block on
                    block, ends = b"", "END_STREAM" in frame.flags
                block += frame.data
                if "END_HEADERS" in frame.flags:
                    fields = [(bytes(n), bytes(v)) for n, v in decoder.decode(block, raw=True)]
                    stream = streams.setdefault(frame.stream_id, _Stream(fields))
                    stream.ended |= ends
            if isinstance(frame, DataFrame) and stream is not None and "END_STREAM" in frame.flags:
                stream.ended = True
    except (HyperframeError, HPACKError):
        pass
    return streams
