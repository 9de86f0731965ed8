"""Where a request's body goes."""

from typing import Any

import pytest

from channels.exceptions import ChannelFull, LayerUnavailable
from daphne.options import Options
from tests.daphne.protocol.driving import Driver

KIB = 1024
CHUNK = 512 * KIB
CHANNEL = "http.request.body?x1"
OK = {"status": 200, "headers": [(b"Content-Length", b"2")], "content": b"ok"}


def head(length: int, fields: bytes = b"") -> bytes:
    return b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n" % (length, fields)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNKED = b"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def content(driver: Driver) -> bytes:
    """The body as a worker would put it together."""
    parts = [driver.requests[0]["body"], *[m.get("content", b"") for m in driver.on(CHANNEL)]]
    return b"".join(parts)


def test_a_body_of_512_kib_travels_in_the_request() -> None:
    body = bytes(range(256)) * (CHUNK // 256)
    driver = Driver().feed(head(CHUNK) + body[:1000], body[1000:])
    assert driver.requests[0]["body"] == body
    assert "body_channel" not in driver.requests[0]
    assert len(driver.sends) == 1


def test_a_small_chunked_body_travels_in_the_request() -> None:
    driver = Driver().feed(CHUNKED, chunk(b"hello "), chunk(b"world"), b"0\r\n\r\n")
    assert driver.requests[0]["body"] == b"hello world"


def test_the_request_of_a_larger_body_leaves_at_once_and_the_rest_follows_in_chunks() -> None:
    body = bytes(range(256)) * 8 * KIB  # 2 MiB
    driver = Driver().feed(head(len(body)))
    request = driver.requests[0]
    assert (request["body"], request["body_channel"]) == (b"", CHANNEL)
    for start in range(0, len(body), 60_000):
        driver.feed(body[start : start + 60_000])
    assert content(driver) == body
    chunks = driver.on(CHANNEL)
    assert all(len(message["content"]) <= CHUNK for message in chunks)
    assert [message["more_content"] for message in chunks] == [True] * (len(chunks) - 1) + [False]
    assert len(chunks) < len(body) / 60_000


def test_a_chunked_body_is_switched_to_a_channel_when_it_grows_large() -> None:
    piece = b"x" * 100 * KIB
    driver = Driver().feed(CHUNKED)
    driver.feed(*[chunk(piece)] * 5)
    assert driver.sends == []
    driver.feed(chunk(piece))
    assert len(driver.requests[0]["body"]) == CHUNK
    driver.feed(chunk(piece), b"0\r\n\r\n")
    assert content(driver) == piece * 7
    assert driver.on(CHANNEL)[-1]["more_content"] is False


def test_the_next_chunk_waits_until_the_layer_has_taken_the_one_before() -> None:
    driver = Driver()
    driver.slow_layer = True
    driver.feed(head(3 * CHUNK), b"a" * CHUNK)
    assert len(driver.sends) == 1
    driver.confirm()
    assert len(driver.on(CHANNEL)) == 1
    driver.feed(b"b" * CHUNK)
    assert len(driver.on(CHANNEL)) == 1
    driver.confirm()
    assert [m["content"][:1] for m in driver.on(CHANNEL)] == [b"a", b"b"]


def test_a_full_body_channel_stops_the_client_and_room_lets_it_go_on() -> None:
    driver = Driver().feed(head(4 * CHUNK))
    driver.full.add(CHANNEL)
    driver.feed(b"a" * CHUNK)
    assert [channel for channel, _ in driver.waiting] == [CHANNEL]
    assert driver.reading
    driver.feed(b"b" * CHUNK)
    assert not driver.reading
    driver.room()
    assert driver.reading
    driver.feed(b"c" * 2 * CHUNK)
    assert content(driver) == b"a" * CHUNK + b"b" * CHUNK + b"c" * 2 * CHUNK


def test_a_room_that_was_taken_again_is_waited_for_again() -> None:
    driver = Driver().feed(head(CHUNK + 1))
    driver.full.add(CHANNEL)
    driver.feed(b"a" * (CHUNK + 1))
    for _ in range(3):
        (waiting,) = driver.waiting
        driver.waiting = []
        driver.do(driver.core.room, waiting[1])
    driver.room()
    assert content(driver) == b"a" * (CHUNK + 1)


def test_a_slow_but_steady_body_is_passed_on_about_every_second() -> None:
    driver = Driver().feed(head(CHUNK * 2))
    for _ in range(8):
        driver.time += 0.5
        driver.feed(b"x" * 1000)
    assert 3 <= len(driver.on(CHANNEL)) <= 4


def test_a_full_request_queue_is_503_also_for_a_large_body() -> None:
    driver = Driver()
    driver.full.add("http.request")
    driver.feed(head(2 * CHUNK, b"Expect: 100-continue\r\n"))
    assert (driver.status, driver.closed) == (503, True)
    assert b"100 Continue" not in driver.output
    assert driver.sends == []


def test_a_layer_that_gives_no_channel_name_is_503() -> None:
    driver = Driver()
    driver.failing["http.request.body?"] = LayerUnavailable("away")
    driver.feed(head(2 * CHUNK))
    assert (driver.status, driver.closed, driver.sends) == (503, True, [])


def test_a_layer_that_fails_in_the_midst_of_a_body_is_503() -> None:
    driver = Driver().feed(head(2 * CHUNK))
    driver.failing[CHANNEL] = LayerUnavailable("away")
    driver.feed(b"a" * CHUNK)
    assert (driver.status, driver.closed) == (503, True)


# -- clients that go away ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["connection_lost", "receive_eof"])
def test_a_client_that_goes_away_in_its_body_closes_the_body_channel(how: str) -> None:
    driver = Driver().feed(head(2 * CHUNK), b"a" * 1000)
    driver.do(getattr(driver.core, how))
    assert driver.on(CHANNEL)[-1] == {"closed": True}
    assert len(driver.on("http.disconnect")) == 1
    assert driver.output == b""


def test_the_closed_chunk_waits_for_the_send_under_way() -> None:
    driver = Driver()
    driver.slow_layer = True
    driver.feed(head(2 * CHUNK), b"a" * CHUNK)
    driver.confirm()
    driver.lose()
    assert {"closed": True} not in driver.on(CHANNEL)
    driver.confirm()
    assert driver.on(CHANNEL)[-1] == {"closed": True}


def test_the_closed_chunk_waits_for_room() -> None:
    driver = Driver().feed(head(2 * CHUNK))
    driver.full.add(CHANNEL)
    driver.feed(b"a" * CHUNK)
    driver.lose()
    driver.room()
    assert driver.on(CHANNEL) == [{"closed": True}]


def test_the_closed_chunk_is_tried_again_when_the_send_under_way_fails() -> None:
    driver = Driver()
    driver.slow_layer = True
    driver.feed(head(2 * CHUNK), b"a" * CHUNK)
    driver.confirm()
    driver.lose()
    driver.do(driver.core.send_failed, driver.unconfirmed.pop().key, ChannelFull(CHANNEL))
    driver.room()
    assert driver.on(CHANNEL)[-1] == {"closed": True}


def test_a_client_that_leaves_before_the_channel_has_a_name_leaves_no_trace() -> None:
    driver = Driver()
    driver.core.receive_data(head(2 * CHUNK))
    (new_channel,) = [op for op in driver.core.operations() if not _is_timer(op)]
    driver.lose()
    driver.do(driver.core.channel_made, new_channel.key, CHANNEL)
    assert driver.sends == []


def _is_timer(operation: Any) -> bool:
    return type(operation).__name__ == "Timer"


def test_a_malformed_rest_of_a_large_body_closes_its_channel() -> None:
    driver = Driver().feed(CHUNKED, chunk(b"x" * (CHUNK + 1)), b"zz\r\n")
    assert (driver.status, driver.closed) == (400, True)
    assert driver.on(CHANNEL)[-1] == {"closed": True}


# -- responses before the end of the body ---------------------------------------------------------


def test_an_early_response_ends_the_connection_and_the_rest_is_never_a_request() -> None:
    driver = Driver().feed(head(2 * CHUNK), b"a" * 1000)
    driver.reply(OK)
    assert driver.status == 200
    assert b"Connection: close" in driver.output
    assert driver.closed
    assert driver.on(CHANNEL)[-1] == {"closed": True}


def test_the_rest_of_a_body_is_ignored_while_an_early_response_streams() -> None:
    driver = Driver().feed(head(2 * CHUNK), b"a" * 1000)
    driver.reply({"status": 200, "content": b"x", "more_content": True})
    driver.feed(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n" * 5000)
    assert driver.reading
    assert len(driver.core._buffer) == 0  # type: ignore[attr-defined]
    driver.reply({"content": b"y"})
    assert driver.closed
    assert len(driver.requests) == 1


# -- Expect: 100-continue --------------------------------------------------------------------------

EXPECT = b"Expect: 100-continue\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_a_waiting_client_is_told_to_continue_once() -> None:
    driver = Driver().feed(head(5, EXPECT))
    assert driver.take_output() == CONTINUE
    driver.feed(b"hel", b"lo")
    assert driver.output == b""
    assert driver.requests[0]["body"] == b"hello"


def test_a_client_that_did_not_wait_is_not_told_to_continue() -> None:
    driver = Driver().feed(head(5, EXPECT) + b"h")
    assert driver.output == b""


def test_a_request_without_body_is_not_told_to_continue() -> None:
    assert Driver().feed(b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n").output == b""


def test_the_client_of_a_large_body_is_told_when_the_layer_has_taken_the_request() -> None:
    driver = Driver()
    driver.slow_layer = True
    driver.feed(head(2 * CHUNK, EXPECT))
    assert driver.output == b""
    driver.confirm()
    assert driver.output == CONTINUE


def test_an_answer_that_comes_first_takes_the_place_of_continue() -> None:
    driver = Driver()
    driver.slow_layer = True
    driver.feed(head(2 * CHUNK, EXPECT))
    driver.reply(OK)
    driver.confirm()
    assert CONTINUE not in driver.output
    assert (driver.status, driver.closed) == (200, True)


# -- slow bodies -----------------------------------------------------------------------------------


def test_a_body_that_comes_too_slowly_is_408() -> None:
    driver = Driver(Options(body_grace=10.0, body_min_rate=100)).feed(head(100_000))
    for _ in range(3):
        driver.feed(b"x" * 1001)
        driver.sleep(10)
        assert not driver.closed
    driver.feed(b"x" * 999)
    driver.sleep(10)
    assert (driver.status, driver.closed) == (408, True)


def test_a_body_that_stops_coming_is_408_without_a_rate_too() -> None:
    driver = Driver(Options(body_grace=10.0, body_min_rate=None)).feed(head(100), b"x")
    driver.sleep(10)
    assert not driver.closed
    driver.sleep(10)
    assert (driver.status, driver.closed) == (408, True)


def test_a_client_is_not_blamed_for_a_full_channel_but_the_application_is() -> None:
    driver = Driver(Options(http_timeout=60.0)).feed(head(4 * CHUNK))
    driver.full.add(CHANNEL)
    driver.feed(b"a" * 2 * CHUNK)
    driver.sleep(59)
    assert not driver.closed
    driver.sleep(2)
    assert (driver.status, driver.closed) == (503, True)


def test_a_held_client_gets_its_time_again_when_there_is_room() -> None:
    driver = Driver().feed(head(8 * CHUNK))
    driver.full.add(CHANNEL)
    driver.feed(b"a" * 2 * CHUNK)
    driver.sleep(50)
    driver.room()
    driver.sleep(5)
    assert not driver.closed
    driver.sleep(10)
    assert driver.status == 408
