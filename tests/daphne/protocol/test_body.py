"""Decoding bodies, as strictly as llhttp."""

import time

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daphne.exceptions import RequestRefused
from daphne.protocol.body import ChunkedDecoder, LengthDecoder

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked() -> ChunkedDecoder:
    return ChunkedDecoder(line_limit=8192, total_limit=65536, max_trailers=128)


def decode(data: bytes, step: int = 0) -> tuple[bytes, bytes | None]:
    """Body and rest of chunked data that is fed whole or in steps."""
    decoder = chunked()
    body = b""
    step = step or max(1, len(data))
    for start in range(0, len(data), step):
        part, rest = decoder.feed(data[start : start + step])
        body += part
        if rest is not None:
            return body, rest + data[start + step :]
    return body, None


def test_a_body_by_length_ends_where_it_has_to() -> None:
    decoder = LengthDecoder(5)
    assert decoder.feed(b"he") == (b"he", None)
    assert decoder.feed(b"l") == (b"l", None)
    assert decoder.feed(b"loGET") == (b"lo", b"GET")


def test_a_body_by_length_that_ends_with_what_arrived_has_an_empty_rest() -> None:
    assert LengthDecoder(5).feed(b"hello") == (b"hello", b"")


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_chunks_are_joined_and_trailers_dropped(step: int) -> None:
    data = b"5\r\nhello\r\n1;a=b\r\n \r\n005\r\nworld\r\n0\r\nX: y\r\nZ:\r\n\r\nGET"
    assert decode(data, step) == (b"hello world", b"GET")


def test_an_incomplete_body_has_no_rest() -> None:
    assert decode(b"5\r\nhello\r\n0\r\nX: y\r\n") == (b"hello", None)


def llhttp(data: bytes) -> bytes | None:
    """The body as llhttp decodes it, None if it refuses or waits for more."""
    parts: list[bytes] = []
    ends: list[bool] = []

    class Receiver:
        on_body = staticmethod(parts.append)

        def on_message_complete(self) -> None:
            ends.append(True)

    parser = httptools.HttpRequestParser(Receiver())
    try:
        parser.feed_data(HEAD)
        parser.feed_data(data)
    except httptools.HttpParserError:
        return None
    return b"".join(parts) if len(ends) == 1 else None


PIECES = st.sampled_from(
    [b"5\r\nhello\r\n", b"0\r\n\r\n", b"\r\n", b"\n", b"\r", b"1", b"a", b";x", b" ", b"0x", b"-"]
    + [b"A\r\n0123456789\r\n", b"X: y\r\n", b"0\r\n", b"\x00", b"\xff", b"_", b"5\r\n", b"hello"]
)


@pytest.mark.costs
@settings(max_examples=600, deadline=None)
@given(st.lists(PIECES, max_size=8).map(b"".join), st.integers(0, 3))
def test_whatever_is_accepted_is_what_llhttp_accepts(data: bytes, step: int) -> None:
    try:
        body, rest = decode(data, step)
    except RequestRefused:
        return
    if rest == b"":
        assert llhttp(data) == body


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 9))
def test_any_chunked_body_comes_back_however_it_is_split(parts: list[bytes], step: int) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    assert decode(data, step) == (b"".join(parts), b"")
    assert llhttp(data) == b"".join(parts)


@pytest.mark.parametrize("step", [0, 1, 4096])
def test_a_chunk_line_is_limited(step: int) -> None:
    assert decode(b"5;" + b"a" * 8190 + b"\r\nhello\r\n0\r\n\r\n", step) == (b"hello", b"")
    for line in (b"5;" + b"a" * 8191 + b"\r\n", b"0" * 9000, b"5;" + b"a" * 1_000_000):
        with pytest.raises(RequestRefused) as caught:
            decode(line, step)
        assert caught.value.status == 400


def test_trailers_are_limited_in_all() -> None:
    trailer = b"X: " + b"y" * 8000 + b"\r\n"
    with pytest.raises(RequestRefused) as caught:
        decode(b"0\r\n" + trailer * 9)
    assert caught.value.status == 431


def _seconds(chunks: int) -> float:
    data = b"1\r\na\r\n" * chunks
    decoder = chunked()
    start = time.perf_counter()
    for position in range(0, len(data), 4096):
        decoder.feed(data[position : position + 4096])
    return time.perf_counter() - start


def test_a_trailer_that_is_no_field_is_refused() -> None:
    with pytest.raises(RequestRefused) as caught:
        ChunkedDecoder(100, 1000, 10).feed(b"0\r\nno field\r\n")
    assert caught.value.status == 400


@pytest.mark.parametrize("start", [b"1;", b"0\r\nX: "])
def test_a_line_that_is_too_long_or_ends_otherwise_is_refused(start: bytes) -> None:
    for end in (b"x" * 200, b"x\n", b"x\ry"):
        with pytest.raises(RequestRefused) as caught:
            ChunkedDecoder(100, 1000, 10).feed(start + end)
        assert caught.value.status == 400


@pytest.mark.costs
def test_tiny_chunks_cost_linear_time() -> None:
    _seconds(1000)
    small = min(_seconds(5_000) for _ in range(3))
    large = min(_seconds(20_000) for _ in range(3))
    assert large < 4 * 3 * small
