"""Every engine reads a client's frames in the same way."""

import random
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels import _speedups
from daphne.protocol.engine import (
    ENGINES,
    Binary,
    Closed,
    Engine,
    Event,
    Failure,
    Limits,
    Ping,
    Pong,
    Text,
    load_engine,
)
from tests.daphne.protocol.socket_driver import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    client_frame,
    close_frame,
)

CONTINUATION = 0
LIMITS = Limits(frame=1000, message=2000, fragments=50)

MakeEngine = Callable[[Limits], Engine]


@pytest.fixture(scope="module", params=list(ENGINES))
def make_engine(request: pytest.FixtureRequest) -> MakeEngine:
    return load_engine(request.param)


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    return make_engine(LIMITS)


def code_of(events: list[Event]) -> int:
    """The code of the failure that ends the events."""
    failure = events[-1]
    assert isinstance(failure, Failure)
    assert len(failure.reason.encode()) <= 123
    return failure.code


# -- messages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 64, 125, 126, 127, 999, 1000])
def test_messages_of_any_size(engine: Engine, size: int) -> None:
    assert engine.feed(client_frame(TEXT, b"x" * size)) == [Text("x" * size)]
    assert engine.feed(client_frame(BINARY, b"\xff" * size)) == [Binary(b"\xff" * size)]


@pytest.mark.parametrize("size", [65535, 65536, 300_000])
def test_messages_of_a_long_length(make_engine: MakeEngine, size: int) -> None:
    engine = make_engine(Limits(1 << 20, 1 << 20, 10))
    assert engine.feed(client_frame(BINARY, b"x" * size)) == [Binary(b"x" * size)]


def test_empty_messages_are_messages(engine: Engine) -> None:
    frames = client_frame(TEXT) + client_frame(BINARY)
    assert engine.feed(frames) == [Text(""), Binary(b"")]


def test_a_read_may_hold_many_frames(engine: Engine) -> None:
    frames = [client_frame(TEXT, b"%d" % number) for number in range(5000)]
    assert engine.feed(b"".join(frames)) == [Text(str(number)) for number in range(5000)]


def test_fragments_become_one_message(engine: Engine) -> None:
    assert engine.feed(client_frame(TEXT, b"Hel", fin=False)) == []
    assert engine.feed(client_frame(CONTINUATION, b"", fin=False)) == []
    assert engine.feed(client_frame(CONTINUATION, b"lo")) == [Text("Hello")]
    assert engine.feed(client_frame(BINARY, b"next")) == [Binary(b"next")]


def test_an_empty_message_may_be_fragmented(engine: Engine) -> None:
    frames = client_frame(TEXT, fin=False) + client_frame(CONTINUATION)
    assert engine.feed(frames) == [Text("")]


def test_control_frames_come_between_fragments(engine: Engine) -> None:
    frames = [
        client_frame(TEXT, b"a", fin=False),
        client_frame(PING, b"are you there"),
        client_frame(CONTINUATION, b"b", fin=False),
        client_frame(PONG),
        client_frame(CONTINUATION, b"c"),
    ]
    assert engine.feed(b"".join(frames)) == [Ping(b"are you there"), Pong(b""), Text("abc")]


def test_control_frames_may_carry_125_bytes(engine: Engine) -> None:
    assert engine.feed(client_frame(PING, b"x" * 125)) == [Ping(b"x" * 125)]


@pytest.mark.parametrize("piece", [1, 3, 1021, 3000])
@pytest.mark.parametrize("size", [1, 5, 125, 1024, 1025, 10_000])
def test_frames_may_be_cut_anywhere(make_engine: MakeEngine, size: int, piece: int) -> None:
    engine = make_engine(Limits(1 << 20, 1 << 20, 10))
    content = random.Random(size).randbytes(size)
    data = client_frame(BINARY, content) + client_frame(PING, content[:125])
    events = [
        event for at in range(0, len(data), piece) for event in engine.feed(data[at:][:piece])
    ]
    assert events == [Binary(content), Ping(content[:125])]


def test_characters_may_be_split_between_fragments(engine: Engine) -> None:
    data = "κόσμε 🎉".encode()
    frames = [client_frame(CONTINUATION, data[i : i + 1], fin=False) for i in range(1, len(data))]
    frames = [client_frame(TEXT, data[:1], fin=False), *frames, client_frame(CONTINUATION)]
    assert engine.feed(b"".join(frames)) == [Text("κόσμε 🎉")]


@pytest.mark.costs
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_nothing_depends_on_how_the_bytes_come(
    make_engine: MakeEngine, data: st.DataObject
) -> None:
    contents = data.draw(st.lists(st.one_of(st.text(max_size=60), st.binary(max_size=200))))
    stream, expected = b"", []
    for content in contents:
        raw = content.encode() if isinstance(content, str) else content
        cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=3)))
        parts = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
        for index, part in enumerate(parts):
            opcode = (TEXT if isinstance(content, str) else BINARY) if index == 0 else CONTINUATION
            if data.draw(st.booleans()):
                stream += client_frame(PING, b"%d" % index)
                expected.append(Ping(b"%d" % index))
            stream += client_frame(opcode, part, fin=index == len(parts) - 1)
        expected.append(Text(content) if isinstance(content, str) else Binary(content))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    engine = make_engine(LIMITS)
    events = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        events += engine.feed(stream[start:end])
    assert events == expected


# -- the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4999])
def test_a_close_frame_with_a_code(engine: Engine, code: int) -> None:
    assert engine.feed(close_frame(code, "tschüß".encode())) == [Closed(code, "tschüß")]


def test_a_close_frame_without_a_code(engine: Engine) -> None:
    assert engine.feed(close_frame()) == [Closed(None, "")]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535])
def test_a_close_frame_with_an_invalid_code(engine: Engine, code: int) -> None:
    assert code_of(engine.feed(close_frame(code))) == 1002


def test_a_close_frame_of_one_byte(engine: Engine) -> None:
    assert code_of(engine.feed(client_frame(CLOSE, b"\x03"))) == 1002


def test_a_close_reason_that_is_not_utf_8(engine: Engine) -> None:
    assert code_of(engine.feed(close_frame(1000, b"\xff"))) == 1007


def test_nothing_is_read_after_a_close_frame(engine: Engine) -> None:
    assert engine.feed(close_frame(1000) + client_frame(TEXT, b"late")) == [Closed(1000, "")]
    assert engine.feed(client_frame(TEXT, b"later")) == []


def test_nothing_is_read_after_a_failure(engine: Engine) -> None:
    events = engine.feed(client_frame(TEXT, b"ok") + client_frame(3) + client_frame(TEXT, b"late"))
    assert events[0] == Text("ok") and len(events) == 2
    assert engine.feed(client_frame(TEXT, b"later")) == []


# -- broken rules -------------------------------------------------------------------------------


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
def test_reserved_bits_are_an_error(engine: Engine, opcode: int, rsv: int) -> None:
    assert code_of(engine.feed(client_frame(opcode, rsv=rsv))) == 1002


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes_are_an_error(engine: Engine, opcode: int) -> None:
    assert code_of(engine.feed(client_frame(opcode))) == 1002


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
def test_unmasked_frames_are_an_error(engine: Engine, opcode: int) -> None:
    assert code_of(engine.feed(client_frame(opcode, b"", masked=False))) == 1002


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_fragmented_control_frames_are_an_error(engine: Engine, opcode: int) -> None:
    assert code_of(engine.feed(client_frame(opcode, fin=False))) == 1002


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@pytest.mark.parametrize("size", [126, 1000, 70_000])
def test_control_frames_over_125_bytes_are_an_error(engine: Engine, opcode: int, size: int) -> None:
    assert code_of(engine.feed(client_frame(opcode, b"x" * size))) == 1002


def test_a_continuation_of_nothing_is_an_error(engine: Engine) -> None:
    assert code_of(engine.feed(client_frame(CONTINUATION, b"x"))) == 1002


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_within_a_message_is_an_error(engine: Engine, opcode: int) -> None:
    engine.feed(client_frame(TEXT, b"x", fin=False))
    assert code_of(engine.feed(client_frame(opcode, b"x"))) == 1002


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"ok\x80",
        b"\xc0\x80",  # not the shortest form
        b"\xed\xa0\x80",  # a surrogate
        b"\xf4\x90\x80\x80",  # beyond Unicode
        b"\xce",  # an incomplete character
        "ok🎉".encode()[:-1],
    ],
)
def test_text_that_is_not_utf_8(make_engine: MakeEngine, data: bytes) -> None:
    assert code_of(make_engine(LIMITS).feed(client_frame(TEXT, data))) == 1007
    engine = make_engine(LIMITS)
    frames = [client_frame(CONTINUATION, data[i : i + 1], fin=False) for i in range(1, len(data))]
    frames = [client_frame(TEXT, data[:1], fin=False), *frames, client_frame(CONTINUATION)]
    assert code_of(engine.feed(b"".join(frames))) == 1007


def test_bad_text_is_refused_before_what_follows_its_frame(engine: Engine) -> None:
    events = engine.feed(client_frame(TEXT, b"bad \xff", fin=False) + client_frame(PING))
    assert code_of(events) == 1007 and len(events) == 1


def test_bad_text_is_refused_before_its_message_ends(engine: Engine) -> None:
    engine.feed(client_frame(TEXT, b"good", fin=False))
    assert code_of(engine.feed(client_frame(CONTINUATION, b"\xff", fin=False))) == 1007


# -- lengths ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "length",
    [
        struct.pack("!BQ", 127, 1 << 63),
        struct.pack("!BQ", 127, (1 << 64) - 1),
        struct.pack("!BQ", 127, 1 << 62),
        struct.pack("!BQ", 127, (1 << 63) - 1),
    ],
)
def test_absurd_lengths_are_an_error(engine: Engine, length: bytes) -> None:
    assert code_of(engine.feed(client_frame(BINARY, length=length))) in (1002, 1009)


@pytest.mark.parametrize(
    "length",
    [
        struct.pack("!BH", 126, 0),
        struct.pack("!BH", 126, 125),
        struct.pack("!BQ", 127, 0),
        struct.pack("!BQ", 127, 125),
        struct.pack("!BQ", 127, 65535),
    ],
)
def test_lengths_in_more_bytes_than_needed_are_an_error(engine: Engine, length: bytes) -> None:
    assert code_of(engine.feed(client_frame(BINARY, length=length))) in (1002, 1009)


# -- limits -------------------------------------------------------------------------------------


def test_a_frame_over_its_limit(engine: Engine) -> None:
    assert code_of(engine.feed(client_frame(BINARY, b"x" * 1001))) == 1009


def test_a_message_over_its_limit(engine: Engine) -> None:
    engine.feed(client_frame(BINARY, b"x" * 1000, fin=False))
    engine.feed(client_frame(CONTINUATION, b"x" * 1000, fin=False))
    assert code_of(engine.feed(client_frame(CONTINUATION, b"x"))) == 1009


def test_messages_at_their_limits_pass(engine: Engine) -> None:
    frames = client_frame(BINARY, b"x" * 1000, fin=False) + client_frame(CONTINUATION, b"y" * 1000)
    assert engine.feed(frames + frames) == [Binary(b"x" * 1000 + b"y" * 1000)] * 2


def test_a_message_of_too_many_fragments(engine: Engine) -> None:
    frames = client_frame(TEXT, fin=False) + client_frame(CONTINUATION, fin=False) * 49
    assert engine.feed(frames + client_frame(PING)) == [Ping(b"")]
    assert code_of(engine.feed(client_frame(CONTINUATION))) == 1008


def peak_of(engine: Engine, pieces: list[bytes]) -> tuple[list[Event], int]:
    """The events, and the most memory that was taken meanwhile."""
    tracemalloc.start()
    try:
        events = [event for piece in pieces for event in engine.feed(piece)]
        return events, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_announced_terabyte_is_refused_before_anything_is_allocated(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(Limits(1 << 20, 1 << 20, 1000))
    header = client_frame(BINARY, length=struct.pack("!BQ", 127, 1 << 40))
    events, peak = peak_of(engine, [header])
    assert code_of(events) == 1009
    assert peak < 64 * 1024


@pytest.mark.costs
def test_a_flood_of_fragments_takes_bounded_memory(make_engine: MakeEngine) -> None:
    engine = make_engine(Limits(1 << 20, 1 << 20, 16 * 1024))
    some = client_frame(CONTINUATION, b"x", fin=False) * 10_000
    events, peak = peak_of(engine, [client_frame(TEXT, b"x", fin=False), *[some] * 100])
    assert code_of(events) in (1008, 1009) and len(events) == 1
    assert peak < 4 * 1024 * 1024


@pytest.mark.costs
def test_a_frame_that_drips_takes_bounded_memory(make_engine: MakeEngine) -> None:
    size = 100_000
    engine = make_engine(Limits(size, size, 1))
    frame = client_frame(TEXT, b"x" * size)
    events, peak = peak_of(engine, [frame[i : i + 2] for i in range(0, len(frame), 2)][:-1])
    assert events == []
    assert peak < 20 * size  # the pieces themselves, and the content


# -- anything -----------------------------------------------------------------------------------


def test_random_bytes_never_crash_an_engine(make_engine: MakeEngine) -> None:
    source = random.Random(1)
    for _ in range(1000):
        events = make_engine(LIMITS).feed(source.randbytes(source.randrange(200)))
        assert all(not isinstance(event, Failure) for event in events[:-1])


def test_mutated_frames_never_crash_an_engine(make_engine: MakeEngine) -> None:
    source = random.Random(2)
    good = client_frame(TEXT, b"hello", fin=False) + client_frame(CONTINUATION, b"world" * 30)
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(source.randrange(1, 4)):
            data[source.randrange(len(data))] = source.randrange(256)
        events = make_engine(LIMITS).feed(bytes(data))
        assert all(not isinstance(event, Failure) for event in events[:-1])


def test_engines_share_nothing(make_engine: MakeEngine) -> None:
    first, second = make_engine(LIMITS), make_engine(LIMITS)
    first.feed(client_frame(TEXT, b"one ", fin=False))
    second.feed(client_frame(BINARY, b"two ", fin=False))
    assert first.feed(client_frame(CONTINUATION, b"1")) == [Text("one 1")]
    assert second.feed(client_frame(CONTINUATION, b"2")) == [Binary(b"two 2")]


# -- loading ------------------------------------------------------------------------------------


def test_the_compiled_engine_is_used_where_it_was_built() -> None:
    first = "compiled" if _speedups.is_available("wsframe") else "autobahn"
    assert next(iter(ENGINES)) == first
    assert type(load_engine()(LIMITS)) is type(load_engine(first)(LIMITS))


def test_an_unknown_engine_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        load_engine("abacus")


@pytest.mark.parametrize(
    "statement, loaded",
    [
        ("import daphne.protocol.websocket", "twisted autobahn"),
        ("from daphne.protocol.engine import *; load_engine()(Limits(1, 1, 1))", "reactor"),
    ],
)
def test_no_more_is_loaded_than_needed(statement: str, loaded: str) -> None:
    # The protocol alone needs neither Twisted nor Autobahn, an engine needs no reactor.
    modules = {"reactor": "twisted.internet.reactor"}
    names = [modules.get(name, name) for name in loaded.split()]
    check = f"import sys; {statement}; print([n for n in {names!r} if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("[]\n", "")
