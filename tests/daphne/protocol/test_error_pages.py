"""Responses that the server makes itself."""

import pytest

from daphne.protocol.error_pages import error_page, error_response


def response(status: int = 503, detail: str = "Request queue full.", **kwargs: object) -> bytes:
    return error_response(status, detail, now=1500000000.0, server_name="Daphne", **kwargs)  # type: ignore[arg-type]


def test_a_page_is_a_whole_response() -> None:
    head, _, page = response().partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 503 Service Unavailable",
        b"Server: Daphne",
        b"Date: Fri, 14 Jul 2017 02:40:00 GMT",
        b"Content-Type: text/html; charset=utf-8",
        b"Content-Length: %d" % len(page),
        b"Connection: close",
    ]
    assert b"<h1>Service Unavailable</h1><p>Request queue full.</p>" in page


def test_everything_in_a_page_is_escaped() -> None:
    page = error_page(400, "<script>alert('\"&')</script>")
    assert b"<script>" not in page
    assert b"&lt;script&gt;alert(&#x27;&quot;&amp;&#x27;)&lt;/script&gt;" in page


def test_an_answer_to_head_has_no_page_but_its_length() -> None:
    assert response(head_only=True) == response()[: -len(error_page(503, "Request queue full."))]


def test_a_connection_that_stays_is_not_announced_to_close() -> None:
    assert b"Connection" not in response(500, "x", close=False)


def test_further_headers() -> None:
    assert b"\r\nAllow: GET\r\n" in response(405, "x", headers=[(b"Allow", b"GET")])


@pytest.mark.parametrize("status", [400, 408, 413, 414, 417, 431, 499, 503, 505])
def test_any_status_has_a_page(status: int) -> None:
    assert b"HTTP/1.1 %d " % status in response(status)
    assert b"<title>%d " % status in response(status)
