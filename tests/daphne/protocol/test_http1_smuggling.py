"""One request in is one request at the application, whatever was sent."""

import re
from typing import Any

import pytest

from channels.spec import http_response
from tests.daphne.corpus.smuggling import ROWS, SMUGGLED, Row
from tests.daphne.protocol.driving import Driver

pytestmark = pytest.mark.costs

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def answering() -> Driver:
    driver = Driver()
    driver.answer = lambda message: [
        http_response(200, [(b"Content-Length", b"2")], b"ok")  # type: ignore[list-item]
    ]
    return driver


def check(driver: Driver, row: Row) -> None:
    assert tuple(map(int, STATUS.findall(driver.output))) == row.statuses
    assert driver.closed is row.closes
    assert tuple(request["path"] for request in driver.requests) == row.paths


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_row_of_the_corpus_is_answered_as_it_says(row: Row) -> None:
    driver = answering()
    driver.feed(row.data)
    check(driver, row)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_row_of_the_corpus_is_answered_alike_byte_by_byte(row: Row) -> None:
    driver = answering()
    driver.feed(*[row.data[i : i + 1] for i in range(len(row.data))])
    check(driver, row)


@pytest.mark.parametrize("row", [row for row in ROWS if len(row.data) < 300], ids=lambda r: r.name)
def test_a_row_of_the_corpus_is_answered_alike_when_split_anywhere(row: Row) -> None:
    for position in range(1, len(row.data)):
        driver = answering()
        driver.feed(row.data[:position], row.data[position:])
        check(driver, row)


def test_a_smuggled_body_reaches_the_application_as_a_body() -> None:
    driver = answering()
    head = (
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
        b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
    )
    driver.feed(head + SMUGGLED)
    assert [request["body"] for request in driver.requests] == [SMUGGLED]


def test_every_refused_row_leaves_one_line_for_the_access_log() -> None:
    logs: list[list[dict[str, Any]]] = []
    for row in ROWS:
        driver = answering()
        driver.feed(row.data)
        logs.append(driver.logs)
    assert [[log["status"] for log in lines] for lines in logs] == [list(r.statuses) for r in ROWS]
