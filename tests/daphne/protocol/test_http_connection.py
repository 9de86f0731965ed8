"""Deadlines of a connection, exact and cheap."""

import pytest

from daphne.options import Options
from daphne.protocol.operations import Timer
from tests.daphne.protocol.driving import Driver

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
OK = {"status": 200, "headers": [(b"Content-Length", b"2")], "content": b"ok"}
START = {"status": 200, "content": b"a", "more_content": True}


@pytest.fixture
def driver() -> Driver:
    return Driver(
        Options(header_timeout=10, keep_alive_timeout=75, http_timeout=30, write_timeout=20)
    )


def test_a_client_that_sends_nothing_is_closed_without_a_word(driver: Driver) -> None:
    driver.sleep(9.9)
    assert not driver.closed
    driver.sleep(0.2)
    assert (driver.closed, driver.output) == (True, b"")


def test_a_head_that_drips_in_is_408(driver: Driver) -> None:
    for byte in GET[:9]:
        driver.feed(bytes([byte]))
        driver.sleep(1)
    assert not driver.closed
    driver.sleep(2)
    assert (driver.closed, driver.status) == (True, 408)


def test_the_next_head_has_the_same_time_from_its_first_byte(driver: Driver) -> None:
    driver.feed(GET).reply(OK)
    driver.sleep(60)
    driver.take_output()
    driver.feed(GET[:5])
    driver.sleep(9.9)
    assert not driver.closed
    driver.sleep(0.2)
    assert (driver.closed, driver.status) == (True, 408)


def test_an_idle_connection_is_closed_without_a_word(driver: Driver) -> None:
    driver.feed(GET).reply(OK)
    driver.take_output()
    driver.sleep(74.9)
    assert not driver.closed
    driver.sleep(0.2)
    assert (driver.closed, driver.output) == (True, b"")


def test_empty_lines_do_not_keep_a_connection_open(driver: Driver) -> None:
    driver.feed(GET).reply(OK)
    driver.take_output()
    driver.sleep(60)
    for _ in range(11):
        driver.feed(b"\r\n")
        driver.sleep(1)
    assert (driver.closed, driver.output) == (True, b"")


def test_a_request_after_empty_lines_is_answered(driver: Driver) -> None:
    driver.feed(GET).reply(OK).feed(b"\r\n", b"\r\n", GET).reply(OK)
    driver.sleep(60)
    assert not driver.closed
    assert driver.output.count(b" 200 OK") == 2


def test_a_head_has_its_time_once_the_response_before_it_was_read(driver: Driver) -> None:
    driver.feed(GET).reply(OK).feed(GET[:5])
    driver.do(driver.core.pause_writing)
    driver.do(driver.core.resume_writing)
    driver.sleep(9.9)
    assert not driver.closed
    driver.sleep(0.2)
    assert driver.closed


def test_a_client_that_has_read_its_response_may_be_idle_again(driver: Driver) -> None:
    driver.feed(GET).reply(OK)
    driver.do(driver.core.pause_writing)
    driver.sleep(19)
    driver.do(driver.core.resume_writing)
    driver.sleep(74)
    assert not driver.closed


def test_an_application_that_does_not_answer_in_time_is_503_to_the_second(driver: Driver) -> None:
    driver.sleep(5)
    driver.feed(GET)
    driver.sleep(29.9)
    assert not driver.closed
    driver.sleep(0.2)
    assert (driver.closed, driver.status) == (True, 503)
    assert b"Worker server failed to respond within time limit." in driver.output
    assert len(driver.on("http.disconnect")) == 1
    driver.reply(OK)
    assert driver.output.count(b"HTTP/1.1") == 1


def test_the_time_counts_anew_for_each_request(driver: Driver) -> None:
    for _ in range(5):
        driver.feed(GET)
        driver.sleep(29)
        driver.reply(OK)
    assert not driver.closed


def test_a_stream_whose_next_part_is_late_is_cut(driver: Driver) -> None:
    driver.feed(GET).reply(START)
    for _ in range(3):
        driver.sleep(29)
        driver.reply({"content": b"a", "more_content": True})
    assert not driver.closed
    driver.sleep(30.1)
    assert driver.aborted
    assert len(driver.on("http.disconnect")) == 1


def test_the_second_part_of_a_stream_has_its_time_from_the_first_one(driver: Driver) -> None:
    driver.feed(GET)
    driver.sleep(29)
    driver.reply(START)
    driver.sleep(29)
    assert not driver.closed
    driver.sleep(1.1)
    assert driver.aborted


def test_a_client_that_stops_reading_a_stream_is_cut(driver: Driver) -> None:
    driver.feed(GET).reply(START)
    driver.do(driver.core.pause_writing)
    driver.sleep(19)
    driver.do(driver.core.drained, 1)
    driver.sleep(19)
    assert not driver.closed
    driver.sleep(1.1)
    assert driver.aborted


def test_a_client_that_reads_on_gives_the_application_its_time_back(driver: Driver) -> None:
    driver.feed(GET).reply(START)
    driver.do(driver.core.pause_writing)
    driver.sleep(19)
    driver.do(driver.core.resume_writing)
    driver.sleep(29)
    assert not driver.closed
    driver.sleep(2)
    assert driver.aborted


def test_a_client_that_does_not_read_its_last_response_is_dropped(driver: Driver) -> None:
    driver.feed(GET).reply(OK)
    driver.do(driver.core.pause_writing)
    driver.sleep(20.1)
    assert driver.aborted


def test_no_limits_no_deadlines() -> None:
    driver = Driver(Options(header_timeout=None, keep_alive_timeout=None, http_timeout=None))
    driver.feed(GET)
    driver.sleep(10_000)
    driver.reply(OK)
    driver.sleep(10_000)
    assert not driver.closed
    assert driver.timers == {}


def test_a_busy_connection_costs_hardly_any_timer_work(driver: Driver) -> None:
    armed = []
    apply = driver.apply

    def count(operation: object) -> None:
        if isinstance(operation, Timer):
            armed.append(operation)
        apply(operation)

    driver.apply = count  # type: ignore[method-assign]
    for _ in range(1000):
        driver.feed(GET).reply(OK)
    assert armed == []
    driver.sleep(60)
    assert len(armed) <= 3
    assert not driver.closed


def test_a_closed_connection_ignores_what_comes_later(driver: Driver) -> None:
    driver.sleep(11)
    driver.do(driver.core.receive_data, GET)
    driver.do(driver.core.receive_eof)
    driver.do(driver.core.pause_writing)
    driver.do(driver.core.resume_writing)
    driver.do(driver.core.shutdown)
    driver.do(driver.core.timer, "http")
    driver.do(driver.core.connection_lost)
    assert (driver.output, driver.sends, driver.aborted) == (b"", [], False)
