"""Answering one request: streamed responses, and applications that do it wrong."""

from typing import Any

import pytest

from channels.spec import RESPONSE_WINDOW
from daphne.options import Options
from tests.daphne.protocol.driving import Driver

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n"
OK = {"status": 200, "headers": [(b"Content-Length", b"2")], "content": b"ok"}


def part(content: bytes, more: bool = True) -> dict[str, Any]:
    return {"content": content, "more_content": more}


def start(length: bytes | None = None, content: bytes = b"") -> dict[str, Any]:
    headers = [] if length is None else [(b"Content-Length", length)]
    return {"status": 200, "headers": headers, "content": content, "more_content": True}


def body(driver: Driver) -> bytes:
    return driver.output.partition(b"\r\n\r\n")[2]


def test_a_response_in_several_messages() -> None:
    driver = Driver().feed(GET)
    driver.reply(start()).reply(part(b"hello ")).reply(part(b"")).reply(part(b"world", False))
    assert body(driver) == b"6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"
    assert not driver.closed
    assert [(log["status"], log["size"]) for log in driver.logs] == [(200, 11)]
    assert len(driver.on("http.disconnect")) == 1
    driver.feed(GET).reply(OK)
    assert len(driver.requests) == 2


def test_nothing_of_a_stream_is_withheld() -> None:
    driver = Driver().feed(GET).reply(start())
    assert driver.take_output().endswith(b"\r\n\r\n")
    driver.reply(part(b"x"))
    assert driver.take_output() == b"1\r\nx\r\n"


def test_pipelined_requests_wait_for_the_end_of_a_stream() -> None:
    driver = Driver().feed(GET * 2).reply(start(b"4", b"ab"))
    assert len(driver.requests) == 1
    driver.reply(part(b"cd", False))
    assert len(driver.requests) == 2


def test_messages_after_the_end_of_a_stream_are_ignored() -> None:
    driver = Driver().feed(GET).reply(start()).reply(part(b"a", False))
    driver.take_output()
    driver.reply(part(b"late", False))
    assert driver.output == b""


def test_a_stream_in_answer_to_head_has_no_body() -> None:
    driver = Driver().feed(HEAD).reply(start(None, b"")).reply(part(b"", False))
    assert body(driver) == b""
    assert not driver.closed
    driver.feed(GET).reply(OK)
    assert driver.output.endswith(b"\r\n\r\nok")


@pytest.mark.parametrize(("request_", "status"), [(HEAD, 200), (GET, 204), (GET, 304)])
def test_a_response_without_a_body_is_complete_with_its_head(request_: bytes, status: int) -> None:
    first = {"status": status, "content": b"x" * RESPONSE_WINDOW, "more_content": True}
    driver = Driver().feed(request_).reply(first)
    # Whoever goes on to send the body is told that nobody waits for it, as there is no such part.
    assert driver.is_over
    assert driver.feed(GET).reply(OK).output.endswith(b"ok")


def test_a_full_response_to_head_has_its_length_and_no_body() -> None:
    driver = Driver().feed(HEAD).reply(OK)
    assert b"Content-Length: 2\r\n" in driver.output
    assert body(driver) == b""
    assert driver.logs[0]["size"] == 0


def test_a_stream_to_http_1_0_ends_with_the_connection() -> None:
    driver = Driver().feed(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    driver.reply(start()).reply(part(b"hello"))
    assert not driver.closed
    driver.reply(part(b"!", False))
    assert (body(driver), driver.closed) == (b"hello!", True)


def test_a_stream_that_the_application_wants_closed_is_closed_at_its_end() -> None:
    driver = Driver().feed(GET)
    driver.reply({**start(b"2"), "headers": [(b"Content-Length", b"2"), (b"Connection", b"close")]})
    assert not driver.closed
    driver.reply(part(b"ok", False))
    assert driver.closed


def test_a_server_push_is_dropped() -> None:
    driver = Driver().feed(GET)
    driver.reply({"request": {"method": "GET", "path": "/b"}})
    assert driver.output == b""
    driver.reply(OK)
    assert driver.status == 200


# -- applications that do it wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"content": b"hello"},
        {"closed": True},
        {"status": "200"},
        {"status": 101},
        {"status": 200, "content": "text"},
        {"status": 200, "headers": [(b"Location", b"/\r\nSet-Cookie: evil=1")]},
        {"status": 302, "headers": [(b"Location", b"/a\nb")]},
        {"status": 200, "headers": [(b"X", b"a\x00b")]},
        {"status": 200, "headers": [(b"Set-Cookie\r\nX", b"y")]},
        {"status": 200, "headers": [(b"Content-Length", b"-1")]},
    ],
    ids=repr,
)
def test_a_response_that_is_none_is_500_and_an_error_in_the_log(
    message: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    driver = Driver().feed(GET).reply(message)
    assert driver.status == 500
    assert b"evil" not in driver.output
    assert "/a" in caplog.text
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert [log["status"] for log in driver.logs] == [500]
    assert len(driver.on("http.disconnect")) == 1
    driver.feed(GET).reply(OK)
    assert driver.output.endswith(b"\r\n\r\nok")


def test_a_second_status_cuts_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver().feed(GET).reply(start()).reply(part(b"a"))
    driver.take_output()
    driver.reply(OK)
    assert driver.output == b""
    assert driver.aborted
    assert "status" in caplog.text


def test_an_invalid_chunk_cuts_the_connection() -> None:
    driver = Driver().feed(GET).reply(start()).reply({"content": "text"})
    assert driver.aborted
    assert not driver.output.endswith(b"0\r\n\r\n")


def test_a_worker_that_failed_in_the_midst_cuts_the_connection() -> None:
    driver = Driver().feed(GET).reply(start()).reply({"closed": True})
    assert driver.aborted
    assert not driver.output.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("content", [b"hello", b"h"])
def test_a_body_that_is_not_as_long_as_it_said_is_logged_and_ends_the_connection(
    content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    at_once = Driver().feed(GET).reply({**OK, "content": content})
    later = Driver().feed(GET).reply(start(b"2")).reply(part(content, False))
    for driver in (at_once, later):
        assert body(driver) == content[:2]
        assert (driver.closed, driver.aborted) == (True, False)
    assert caplog.text.count("than its Content-Length") == 2


# -- clients that do not read ---------------------------------------------------------------------


def test_a_client_that_reads_nothing_is_cut_when_too_much_waits_for_it() -> None:
    driver = Driver(Options(response_write_limit=10_000)).feed(GET).reply(start())
    driver.reply(part(b"x" * 5_000))
    driver.do(driver.core.drained, 5_000)
    driver.reply(part(b"x" * 5_000))
    assert not driver.closed
    driver.reply(part(b"x" * 5_000))
    assert driver.aborted
    assert len(driver.on("http.disconnect")) == 1


def test_the_details_of_a_request_are_not_collected_where_nobody_hears_of_it() -> None:
    driver = Driver(logs_requests=False).feed(GET).reply({"status": 200, "content": b"x"})
    assert b"200 OK" in driver.output
    assert driver.logs == []
