"""Frames as a server sends them."""

import pytest
from websockets.frames import Frame
from websockets.streams import StreamReader

from daphne.protocol.frames import Opcode, build_close_frame, build_frame, is_close_code


def parse(data: bytes) -> Frame:
    """Parse with the strict reader of another implementation, as a client would."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parser = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as stop:
        while True:
            next(parser)
    frame: Frame = stop.value.value
    return frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_a_frame_of_any_size_is_read_back_by_another_implementation(
    opcode: Opcode, size: int
) -> None:
    payload = b"x" * size
    frame = parse(build_frame(opcode, payload))
    assert (frame.opcode, frame.fin, frame.data) == (opcode, True, payload)


@pytest.mark.parametrize("size, header", [(125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_the_length_takes_the_fewest_bytes(size: int, header: int) -> None:
    assert len(build_frame(Opcode.BINARY, b"x" * size)) == header + size


def test_a_close_frame_carries_code_and_reason() -> None:
    assert build_close_frame(1001, "bye") == b"\x88\x05\x03\xe9bye"


def test_a_close_frame_without_a_code_is_empty() -> None:
    assert build_close_frame(None, "lost") == b"\x88\x00"


def test_a_long_reason_is_cut_between_characters() -> None:
    frame = build_close_frame(1000, "ä" * 100)
    assert frame == b"\x88\x7c\x03\xe8" + "ä".encode() * 61


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4000, 4999])
def test_codes_that_a_close_frame_may_carry(code: int) -> None:
    assert is_close_code(code)


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65536])
def test_codes_that_no_close_frame_may_carry(code: int) -> None:
    assert not is_close_code(code)
