"""Both readers of frames under any bytes: cut anywhere they mean the same, and wsproto agrees.

The first byte of an input says whether compression was agreed on and how tight the limits are. Each
message that an engine delivers must be one that wsproto finds at the same place with the same
content; what wsproto accepts and the engine refuses is no difference. The exceptions are listed
with ``_agree``.
"""

import zlib
from functools import partial

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from daphne.protocol.engine import (
    Binary,
    Closed,
    Event,
    Failure,
    Limits,
    Ping,
    Pong,
    Text,
    load_engine,
)
from tests.daphne.protocol.socket_driver import BINARY, PING, TEXT, client_frame, close_frame
from tests.fuzz.cutting import chance_of, pieces

__all__ = ["DICTIONARY", "SEEDS", "check", "check_fallback"]

_DEFLATE, _TIGHT = 1, 2


def _plain(opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0) -> bytes:
    """A frame whose mask changes nothing, so that what is mutated is what arrives."""
    return bytes([fin << 7 | rsv << 4 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


def _deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


SEEDS = [
    b"\0" + _plain(TEXT, b"hello") + _plain(BINARY, b"\xff\0"),
    b"\0" + client_frame(TEXT, "κόσμε".encode()) + close_frame(1000, b"bye"),
    b"\0" + _plain(TEXT, b"a\xce", fin=False) + _plain(PING, b"p") + _plain(0, b"\xba"),
    b"\0" + client_frame(BINARY, b"x" * 126) + client_frame(BINARY, b"y" * 300),
    b"\0" + client_frame(BINARY, b"z" * 66000)[:2000],
    b"\1" + _plain(TEXT, _deflated(b"hello" * 9), rsv=4) + _plain(TEXT, b"plain"),
    b"\1"
    + _plain(TEXT, _deflated(b"hello")[:3], fin=False, rsv=4)
    + _plain(0, _deflated(b"hello")[3:]),
    b"\3" + _plain(BINARY, _deflated(b"x" * 4000), rsv=4),
    b"\2" + _plain(BINARY, b"x" * 100) + _plain(TEXT, fin=False) * 3 + _plain(0),
    b"\0" + close_frame(1005) + b"\x88\x81\0\0\0\0a",
    b"\0\x82\xff" + (1 << 40).to_bytes(8) + bytes(4),
    b"\0" + _plain(10) + _plain(8),
]

DICTIONARY = [
    b"\x81\x80\0\0\0\0", b"\x82\x80\0\0\0\0", b"\x01\x80\0\0\0\0", b"\x80\x80\0\0\0\0",
    b"\x88\x80\0\0\0\0", b"\x88\x82\0\0\0\0\x03\xe8", b"\x89\x80\0\0\0\0", b"\xc1\x80\0\0\0\0",
    b"\xfe\0\x7e", b"\xff\0\0\0\0\0\1\0\0", b"\xf0\x9f\x98\x80", b"\x03\0",
]  # fmt: skip


def check(data: bytes, engine: str | None = None) -> None:
    """Raise where an engine, by default the first, does with ``data`` what it should not."""
    flags, stream = data[:1], data[1:]
    deflate = bool(flags and flags[0] & _DEFLATE)
    limits = Limits(64, 128, 3, deflate) if flags and flags[0] & _TIGHT else _wide(deflate)
    whole = _read([stream], limits, engine)
    cut = _read(pieces(stream, chance_of(data)), limits, engine)
    alike = _without_reasons if engine is None else _delivered
    assert alike(whole) == alike(cut), (whole, cut)
    _agree(whole, *_events_of_peer(stream, deflate))
    if engine is not None:
        others = _read([stream], limits, None)
        assert _delivered(whole) == _delivered(others), (whole, others)


#: The same for the engine that is used where nothing was compiled; then the two have to agree, too.
check_fallback = partial(check, engine="autobahn")


def _wide(deflate: bool) -> Limits:
    return Limits(1 << 20, 1 << 20, 1000, deflate)


def _read(cut: list[bytes], limits: Limits, engine: str | None) -> list[Event]:
    reader = load_engine(engine)(limits)
    events = [event for piece in cut for event in reader.feed(piece)]
    assert all(not isinstance(event, Failure | Closed) for event in events[:-1])
    assert reader.feed(b"\x81\x80\0\0\0\0") == [] or not _has_ended(events)
    return events


def _has_ended(events: list[Event]) -> bool:
    return bool(events) and isinstance(events[-1], Failure | Closed)


def _without_reasons(events: list[Event]) -> list[object]:
    """Which of two rules that a client has broken is found first depends on how its bytes came."""
    return [Failure if isinstance(event, Failure) else event for event in events]


def _delivered(events: list[Event]) -> list[Event]:
    """Without a failure, of which Autobahn may learn earlier or later than others.

    It judges the text of a frame when the next part of it comes, control frames by their header.
    """
    return [event for event in events if not isinstance(event, Failure)]


def _agree(ours: list[Event], theirs: list[Event], end: str) -> None:
    """Raise where wsproto does not find what an engine delivers.

    Exceptions, where wsproto refuses what we take:

    - the close code 1014 (registered since) is unknown to it;
    - it judges the text of a frame of which a part has come, where we may wait for the rest.

    And of messages that it loses track of, see ``_events_of_peer``.
    """
    refused = bool(ours) and isinstance(ours[-1], Failure)
    delivered = ours[:-1] if refused else ours
    if end == "lost":
        delivered = delivered[: len(theirs)]
    if end == "failed" and delivered and _closes_with_1014(delivered[-1]):
        delivered = delivered[:-1]
    assert delivered == theirs[: len(delivered)], (ours, theirs)
    assert refused or end or len(delivered) == len(theirs), (ours, theirs)


def _closes_with_1014(event: Event) -> bool:
    return isinstance(event, Closed) and event.code == 1014


def _events_of_peer(stream: bytes, deflate: bool) -> tuple[list[Event], str]:
    """What wsproto reads, and why it reads no further, if it does not: it "failed", or is "lost".

    It forgets that a message is compressed when a control frame comes between its fragments: from
    there on nothing is compared. It has no limits, so it reads on where we do not.
    """
    extension = PerMessageDeflate(client_no_context_takeover=True)
    if deflate:
        extension.accept("permessage-deflate; client_no_context_takeover")
    protocol = FrameProtocol(client=False, extensions=[extension])
    protocol.receive_bytes(stream)
    events: list[Event] = []
    parts: list[bytes | str] = []
    try:
        for frame in protocol.received_frames():
            if frame.opcode.iscontrol():
                events.append(_control(frame.opcode, frame.payload))
                if frame.opcode is Opcode.CLOSE:
                    return events, ""
                if parts and deflate:
                    return events, "lost"
                continue
            parts.append(frame.payload)
            if frame.message_finished:
                events.append(_message(frame.opcode, parts))
                parts = []
    except (ParseFailed, AssertionError):  # it asserts that the reserved bits are as they should be
        return events, "failed"
    return events, ""


def _control(opcode: Opcode, payload: object) -> Event:
    if opcode is Opcode.CLOSE:
        code, reason = payload  # type: ignore[misc]
        return Closed(None if code == 1005 else int(code), reason or "")
    assert isinstance(payload, bytes)
    return Ping(payload) if opcode is Opcode.PING else Pong(payload)


def _message(opcode: Opcode, parts: list[bytes | str]) -> Event:
    if opcode is Opcode.TEXT:
        return Text("".join(map(str, parts)))
    return Binary(b"".join(part for part in parts if isinstance(part, bytes)))
