"""Status lines and the headers of every response."""

from daphne.protocol.status import common_headers, date_header, server_header, status_line


def test_status_lines() -> None:
    assert status_line(200) == b"HTTP/1.1 200 OK\r\n"
    assert status_line(404) == b"HTTP/1.1 404 Not Found\r\n"
    assert status_line(799) == b"HTTP/1.1 799 \r\n"


def test_dates_are_in_the_format_of_http() -> None:
    assert date_header(784111777) == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


def test_an_empty_server_name_sends_no_header() -> None:
    assert server_header("") == b""
    assert common_headers(0, "") == date_header(0)
    assert common_headers(0, "Daphne") == b"Server: Daphne\r\n" + date_header(0)
