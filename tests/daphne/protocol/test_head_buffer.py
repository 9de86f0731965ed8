"""Finding heads in what arrives, within limits, in linear time."""

import time

import pytest

from daphne.exceptions import RequestRefused
from daphne.options import Options
from daphne.protocol.head_buffer import HeadBuffer

HEAD = b"GET /a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"


def buffer(**options: int) -> HeadBuffer:
    return HeadBuffer(Options(**options))  # type: ignore[arg-type]


def refusal(data: bytes, step: int = 0, **options: int) -> int:
    """Status with which the buffer refuses the data, fed whole or in steps; 0 if it does not."""
    heads = buffer(**options)
    try:
        for start in range(0, len(data), step or len(data)):
            heads.append(data[start : start + (step or len(data))])
            heads.next_head()
    except RequestRefused as error:
        return error.status
    return 0


def test_a_head_is_cut_off_whole() -> None:
    heads = buffer()
    heads.append(HEAD + b"body")
    assert heads.next_head() == HEAD
    assert heads.take() == b"body"
    assert len(heads) == 0


@pytest.mark.parametrize("position", range(1, len(HEAD)))
def test_a_head_split_anywhere_is_found_when_it_is_complete(position: int) -> None:
    heads = buffer()
    heads.append(HEAD[:position])
    assert heads.next_head() is None
    heads.append(HEAD[position:] + HEAD)
    assert heads.next_head() == HEAD
    assert heads.next_head() == HEAD
    assert heads.next_head() is None


def test_heads_come_one_at_a_time_while_more_is_appended() -> None:
    heads = buffer()
    heads.append(HEAD * 2 + HEAD[:5])
    assert heads.next_head() == HEAD
    heads.append(HEAD[5:])
    assert [heads.next_head() for _ in range(3)] == [HEAD, HEAD, None]


def test_used_bytes_are_not_kept_while_the_client_is_always_ahead() -> None:
    heads = buffer()
    heads.append(HEAD[:10])
    for _ in range(20_000):
        heads.append(HEAD[10:] + HEAD[:10])
        assert heads.next_head() == HEAD
    assert len(heads._data) < 200_000
    assert len(heads) == 10


def test_empty_lines_before_a_request_are_skipped() -> None:
    heads = buffer()
    heads.append(b"\r\n\r")
    assert heads.next_head() is None
    heads.append(b"\n\r\n" + HEAD)
    assert heads.next_head() == HEAD


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 100, 414),
        (b"GET /" + b"a" * 100 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 100, 431),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 100 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: bcdefgh\r\n" * 30, 431),
        (b"GET / HTTP/1.1\r\n" + b"A: bcdefgh\r\n" * 30 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 6 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5 + b"\r\n", 0),
        (b"GET / HTTP/1.1\nA: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\rc", 400),
        (b"\n", 400),
    ],
)
def test_limits_and_line_ends_are_enforced_however_the_bytes_arrive(
    data: bytes, status: int, step: int
) -> None:
    limits = {"request_line_limit": 64, "header_line_limit": 64}
    assert refusal(data, step, header_total_limit=256, max_headers=5, **limits) == status


def test_lines_of_exactly_the_limit_pass() -> None:
    line = b"GET /" + b"a" * (64 - 14) + b" HTTP/1.1"
    assert len(line) == 64
    field = b"A: " + b"b" * 61
    limits = {"request_line_limit": 64, "header_line_limit": 64}
    assert refusal(line + b"\r\n" + field + b"\r\n\r\n", **limits) == 0
    assert refusal(line + b"a\r\n" + field + b"\r\n\r\n", **limits) == 414
    assert refusal(line + b"\r\n" + field + b"b\r\n\r\n", **limits) == 431


def test_an_endless_head_is_refused_before_it_takes_memory() -> None:
    heads = buffer()
    taken = 0
    with pytest.raises(RequestRefused) as caught:
        while taken < 10_000_000:
            heads.append(b"A: b\r\n" * 100)
            taken += 600
            heads.next_head()
    assert caught.value.status == 431
    assert taken < 80_000


def _seconds(count: int) -> float:
    """Time to take in a head of many bytes, one by one, with limits out of the way."""
    limits = dict.fromkeys(["request_line_limit", "header_line_limit", "header_total_limit"], 10**9)
    heads = buffer(max_headers=10**9, **limits)
    data = b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (count // 12) + b"B: " + b"c" * (count // 2)
    start = time.perf_counter()
    for position in range(len(data)):
        heads.append(data[position : position + 1])
        heads.next_head()
    return time.perf_counter() - start


@pytest.mark.costs
def test_a_head_fed_byte_by_byte_costs_linear_time() -> None:
    _seconds(10_000)
    small = min(_seconds(40_000) for _ in range(3))
    large = min(_seconds(160_000) for _ in range(3))
    assert large < 4 * 3 * small  # quadratic would be 16 times
