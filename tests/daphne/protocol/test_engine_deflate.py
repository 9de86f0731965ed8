"""Every engine inflates what clients compress, to no more than a message may have (RFC 7692)."""

import random
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from daphne.protocol.engine import ENGINES, Binary, Engine, Event, Failure, Limits, Ping, Text
from daphne.protocol.engine import load_engine as load
from tests.daphne.protocol.socket_driver import BINARY, CLOSE, PING, TEXT, client_frame

CONTINUATION = 0
#: The reserved bits of a compressed message's first frame.
COMPRESSED = 4

MakeEngine = Callable[[Limits], Engine]


@pytest.fixture(scope="module", params=list(ENGINES))
def make_engine(request: pytest.FixtureRequest) -> MakeEngine:
    return load(request.param)


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    return make_engine(Limits(1 << 20, 1 << 20, 1000, deflate=True))


def deflated(data: bytes, mode: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """A message as a client compresses it, each by itself."""
    compressor = zlib.compressobj(wbits=-15)
    compressed = compressor.compress(data) + compressor.flush(mode)
    return compressed.removesuffix(b"\x00\x00\xff\xff")


def message(opcode: int, data: bytes, *cuts: int) -> bytes:
    """The frames of a compressed message, cut into fragments at ``cuts``."""
    payload = deflated(data)
    ends = [*cuts, len(payload)]
    parts = [payload[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    return b"".join(
        client_frame(
            opcode if index == 0 else CONTINUATION,
            part,
            fin=index == len(parts) - 1,
            rsv=COMPRESSED if index == 0 else 0,
        )
        for index, part in enumerate(parts)
    )


def code_of(events: list[Event]) -> int:
    failure = events[-1]
    assert isinstance(failure, Failure)
    return failure.code


@pytest.mark.parametrize("size", [0, 1, 100, 70_000, 1 << 20])
def test_compressed_messages(engine: Engine, size: int) -> None:
    text, data = "x" * size, random.Random(size).randbytes(size // 3)
    assert engine.feed(message(TEXT, text.encode())) == [Text(text)]
    assert engine.feed(message(BINARY, data)) == [Binary(data)]


def test_messages_that_are_not_compressed_come_between(engine: Engine) -> None:
    frames = message(TEXT, b"one") + client_frame(TEXT, b"two") + message(TEXT, b"three")
    assert engine.feed(frames) == [Text("one"), Text("two"), Text("three")]


def test_a_message_may_end_with_a_final_block(engine: Engine) -> None:
    payload = deflated(b"Hello", zlib.Z_FINISH) + b"\x00"  # RFC 7692, 7.2.3.4
    frame = client_frame(TEXT, payload, rsv=COMPRESSED)
    assert engine.feed(frame + message(TEXT, b"again")) == [Text("Hello"), Text("again")]


@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_fragments_and_pieces(engine: Engine, piece: int) -> None:
    text = "Nothing is lost between frames. " * 20
    stream = message(TEXT, text.encode(), 0, 1, 10, 10) + message(TEXT, b"then")
    events = []
    for start in range(0, len(stream), piece):
        events += engine.feed(stream[start : start + piece])
    assert events == [Text(text), Text("then")]


def test_control_frames_come_between_fragments(engine: Engine) -> None:
    payload = deflated(b"Hello")
    frames = [
        client_frame(TEXT, payload[:3], fin=False, rsv=COMPRESSED),
        client_frame(PING, b"there?"),
        client_frame(CONTINUATION, payload[3:]),
    ]
    assert engine.feed(b"".join(frames)) == [Ping(b"there?"), Text("Hello")]


# -- broken rules -------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_compression_that_was_not_agreed_on_is_an_error(
    make_engine: MakeEngine, opcode: int
) -> None:
    engine = make_engine(Limits(1000, 1000, 10))
    assert code_of(engine.feed(message(opcode, b"Hello"))) == 1002


@pytest.mark.parametrize("rsv", [1, 2, 3, 5, 6, 7])
def test_other_reserved_bits_are_an_error(engine: Engine, rsv: int) -> None:
    assert code_of(engine.feed(client_frame(TEXT, deflated(b"Hello"), rsv=rsv))) == 1002


@pytest.mark.parametrize("opcode", [PING, CLOSE])
def test_compressed_control_frames_are_an_error(engine: Engine, opcode: int) -> None:
    assert code_of(engine.feed(client_frame(opcode, rsv=COMPRESSED))) == 1002


def test_a_compressed_continuation_is_an_error(engine: Engine) -> None:
    payload = deflated(b"Hello")
    engine.feed(client_frame(TEXT, payload[:3], fin=False, rsv=COMPRESSED))
    assert code_of(engine.feed(client_frame(CONTINUATION, payload[3:], rsv=COMPRESSED))) == 1002


def test_data_that_cannot_be_inflated(engine: Engine) -> None:
    assert code_of(engine.feed(client_frame(BINARY, b"\xff" * 20, rsv=COMPRESSED))) == 1007


def test_what_comes_out_at_the_end_only_belongs_to_the_message(engine: Engine) -> None:
    # The last bytes are in a block without an end, which a client should not send.
    compressor = zlib.compressobj(wbits=-15, strategy=zlib.Z_FIXED)
    payload = compressor.compress(b"Hello" * 5) + compressor.flush(zlib.Z_FINISH)
    events = engine.feed(client_frame(BINARY, payload[:-1], rsv=COMPRESSED))
    inflater = zlib.decompressobj(wbits=-15)
    assert events == [Binary(inflater.decompress(payload[:-1] + b"\x00\x00\xff\xff"))]


@pytest.mark.parametrize("size", [4999, 5000, 5001, 5002, 5257, 5258])
def test_no_message_is_cut_at_its_limit(make_engine: MakeEngine, size: int) -> None:
    engine = make_engine(Limits(1 << 20, 5000, 10, deflate=True))
    events = engine.feed(message(BINARY, b"x" * size))
    assert events == [Binary(b"x" * size)] if size <= 5000 else code_of(events) == 1009


def test_text_that_is_not_utf_8(engine: Engine) -> None:
    assert code_of(engine.feed(message(TEXT, b"good, then \xff"))) == 1007


def test_nothing_is_kept_from_one_message_to_the_next(engine: Engine) -> None:
    compressor = zlib.compressobj(wbits=-15)
    first, second = (
        (compressor.compress(b"the very same words" * 3) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
        for _ in range(2)
    )
    assert len(second) < len(first), "the second refers to the first"
    frames = [client_frame(TEXT, payload, rsv=COMPRESSED) for payload in (first, second)]
    assert code_of(engine.feed(b"".join(frames))) == 1007


# -- limits: deflate bombs (GHSA-hxp9-w8x3-p566) --------------------------------------------------


def peak_of(engine: Engine, stream: bytes) -> tuple[list[Event], int]:
    """The events, and the most memory that was taken meanwhile."""
    tracemalloc.start()
    try:
        return engine.feed(stream), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("over", [0, 1])
def test_the_limit_counts_inflated_bytes(make_engine: MakeEngine, over: int) -> None:
    engine = make_engine(Limits(1 << 20, 5000, 10, deflate=True))
    events = engine.feed(message(BINARY, b"x" * (5000 + over)))
    if over:
        assert code_of(events) == 1009 and len(events) == 1
    else:
        assert events == [Binary(b"x" * 5000)]


@pytest.mark.costs
@pytest.mark.parametrize("cuts", [(), (10, 100, 1000)], ids=["one-frame", "fragments"])
def test_a_deflate_bomb_is_refused_within_bounded_memory(
    make_engine: MakeEngine, cuts: tuple[int, ...]
) -> None:
    size = 1 << 20
    engine = make_engine(Limits(size, size, 10, deflate=True))
    bomb = message(TEXT, b"x" * 200 * size, *cuts)
    assert len(bomb) < size, "a thousand times smaller"
    events, peak = peak_of(engine, bomb)
    assert code_of(events) == 1009 and len(events) == 1
    assert peak < 8 * size
