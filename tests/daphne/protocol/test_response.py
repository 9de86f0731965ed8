"""From response messages to bytes on the wire."""

from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.exceptions import InvalidMessage
from daphne.protocol.response import Framing, ResponseBody, Start, render_start


def render(message: dict[str, Any], **changes: Any) -> Start:
    settings: dict[str, Any] = {
        "method": "GET",
        "http_version": "1.1",
        "keep_alive": True,
        "now": 1500000000.0,
        "server_name": "Daphne",
    }
    return render_start(message, **{**settings, **changes})


def split(start: Start) -> tuple[list[bytes], bytes]:
    head, _, body = start.data.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


COMMON = [b"Server: Daphne", b"Date: Fri, 14 Jul 2017 02:40:00 GMT"]


def test_a_response_with_its_length() -> None:
    start = render(
        {"status": 200, "headers": [[b"X-Y", b"z"], (b"content-length", b"5")], "content": b"hello"}
    )
    expected = [b"HTTP/1.1 200 OK", b"X-Y: z", *COMMON, b"Content-Length: 5"]
    assert split(start) == (expected, b"hello")
    assert (start.size, start.close, start.more, start.problem) == (5, False, False, "")


def test_a_response_without_length_is_chunked() -> None:
    lines, body = split(render({"status": 200, "content": b"hello"}))
    assert lines == [b"HTTP/1.1 200 OK", *COMMON, b"Transfer-Encoding: chunked"]
    assert body == b"5\r\nhello\r\n0\r\n\r\n"


def test_an_empty_chunked_response() -> None:
    assert split(render({"status": 200}))[1] == b"0\r\n\r\n"


def test_http_1_0_has_no_chunks_but_the_end_of_the_connection() -> None:
    start = render({"status": 200, "content": b"hello"}, http_version="1.0")
    lines, body = split(start)
    assert lines == [b"HTTP/1.1 200 OK", *COMMON, b"Connection: close"]
    assert (body, start.close, start.framing) == (b"hello", True, Framing.CLOSE)


def test_http_1_0_may_keep_the_connection_where_the_length_is_known() -> None:
    message = {"status": 200, "headers": [(b"Content-Length", b"5")], "content": b"hello"}
    start = render(message, http_version="1.0")
    assert split(start)[0][-1] == b"Connection: keep-alive"
    assert not start.close


def test_a_connection_that_must_end_says_so() -> None:
    start = render({"status": 200}, keep_alive=False)
    assert split(start)[0][-1] == b"Connection: close"
    assert start.close


@pytest.mark.parametrize(
    ("status", "method", "given", "line"),
    [
        (200, "HEAD", b"5", b"Content-Length: 5"),
        (200, "HEAD", None, None),
        (204, "GET", b"5", None),
        (204, "GET", None, None),
        (205, "GET", b"5", b"Content-Length: 0"),
        (304, "GET", b"5", b"Content-Length: 5"),
        (304, "GET", None, None),
        (304, "HEAD", b"5", b"Content-Length: 5"),
    ],
)
@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_there_is_no_body_where_there_must_be_none(
    status: int, method: str, given: bytes | None, line: bytes | None, more: bool, version: str
) -> None:
    headers = [] if given is None else [(b"Content-Length", given)]
    message = {"status": status, "headers": headers, "content": b"hello", "more_content": more}
    start = render(message, method=method, http_version=version)
    lines, body = split(start)
    framing = [line for line in lines if line.lower().startswith((b"content-l", b"transfer"))]
    assert framing == ([] if line is None else [line])
    assert body == b""
    assert not start.close
    rest = ResponseBody(start)
    assert rest.render({"content": b"more", "more_content": False}) == b""
    assert (rest.size, rest.problem) == (0, "")


@pytest.mark.parametrize("status", [99, 100, 101, 103, 199, 1000, 0, -200])
def test_a_status_that_cannot_end_a_request_is_invalid(status: int) -> None:
    with pytest.raises(InvalidMessage, match="status"):
        render({"status": status})


@pytest.mark.parametrize("status", [200, 226, 404, 451, 599, 799, 999])
def test_other_statuses_are_written_as_they_are(status: int) -> None:
    assert render({"status": status}).data.startswith(b"HTTP/1.1 %d " % status)


def test_headers_of_the_connection_are_the_servers() -> None:
    headers = [
        (b"Transfer-Encoding", b"gzip"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Proxy-Connection", b"x"),
        (b"Upgrade", b"h2c"),
        (b"Connection", b"upgrade"),
        (b"Connection", b"keep-alive"),
    ]
    start = render({"status": 200, "headers": headers})
    assert split(start)[0] == [b"HTTP/1.1 200 OK", *COMMON, b"Transfer-Encoding: chunked"]
    assert not start.close


def test_the_application_may_close_the_connection() -> None:
    headers = [(b"Connection", b"x"), (b"connection", b"Close")]
    start = render({"status": 200, "headers": headers})
    assert start.close
    assert split(start)[0][-1] == b"Connection: close"


def test_server_and_date_of_the_application_are_kept() -> None:
    headers = [(b"Server", b"mine"), (b"Date", b"today")]
    lines = split(render({"status": 200, "headers": headers}))[0]
    assert lines[1:3] == [b"Server: mine", b"Date: today"]
    assert len(lines) == 4
    assert b"Date: today" in split(render({"status": 200, "headers": headers[1:]}))[0]
    assert b"Server: Daphne" in split(render({"status": 200, "headers": headers[1:]}))[0]
    lines = split(render({"status": 200, "headers": headers[:1]}))[0]
    assert lines[1] == b"Server: mine" and lines[2].startswith(b"Date: ")


def test_a_status_of_pythons_own_is_tolerated() -> None:
    assert render({"status": HTTPStatus.OK}).data == render({"status": 200}).data


def test_text_in_headers_is_tolerated() -> None:
    lines = split(render({"status": 200, "headers": [("X-Y", "é"), (b"A", b"b")]}))[0]
    assert lines[1:3] == [b"X-Y: \xe9", b"A: b"]


def test_names_are_sent_as_the_application_wrote_them_and_repeats_are_kept() -> None:
    headers = [(b"Set-Cookie", b"a=b"), (b"sEt-cooKie", b"c=" + b"d" * 3000)]
    lines = split(render({"status": 200, "headers": headers}))[0]
    assert lines[1:3] == [b"Set-Cookie: a=b", b"sEt-cooKie: c=" + b"d" * 3000]


LONG = b"v" * 100  # beyond what is cached


@pytest.mark.parametrize("byte", [b"\r", b"\n", b"\x00", b"\x0b", b"\x1f", b"\x7f", b"\r\nX: y"])
@pytest.mark.parametrize("padding", [b"", LONG])
def test_a_header_value_cannot_split_a_response(byte: bytes, padding: bytes) -> None:
    for name in (b"Location", b"Content-Length", b"Connection", b"Date", b"Transfer-Encoding"):
        for value in (padding + byte, byte + padding, b"a" + byte + padding + b"b"):
            with pytest.raises(InvalidMessage):
                render({"status": 200, "headers": [(name, value)]})


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\nb", b"a\x00", b"\xe9", b"a\n", "a\r"])
def test_a_header_name_is_a_token(name: Any) -> None:
    with pytest.raises(InvalidMessage):
        render({"status": 200, "headers": [(name, b"x")]})


@given(st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=80)), max_size=4))
def test_no_header_of_any_bytes_adds_a_line(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        start = render({"status": 200, "headers": headers, "content": b"hello"})
    except InvalidMessage:
        return
    lines, body = split(start)
    dropped = (b"connection", b"keep-alive", b"upgrade", b"content-length", b"transfer-encoding")
    assert len(lines) <= 1 + len(headers) + 4
    assert body in (b"5\r\nhello\r\n0\r\n\r\n", b"hello", b"hello"[: start.size])
    for name, value in headers:
        if name.lower() not in dropped:
            assert name + b": " + value in lines


@pytest.mark.parametrize(
    "value", [b"", b"-1", b"+1", b"0x1", b"1,1", b"a", b"1 ", b"\xd9\xa5", b"9" * 30]
)
def test_a_length_of_the_application_is_a_number(value: bytes) -> None:
    with pytest.raises(InvalidMessage, match="Content-Length"):
        render({"status": 200, "headers": [(b"Content-Length", value)]})


def test_two_lengths_must_be_equal() -> None:
    same = [(b"Content-Length", b"5"), (b"content-length", b"5")]
    lines = split(render({"status": 200, "headers": same, "content": b"hello"}))[0]
    assert [line for line in lines if b"ength" in line] == [b"Content-Length: 5"]
    with pytest.raises(InvalidMessage, match="two headers Content-Length"):
        render({"status": 200, "headers": [*same, (b"Content-Length", b"6")]})


def test_a_body_longer_than_its_length_is_cut() -> None:
    message = {"status": 200, "headers": [(b"Content-Length", b"3")], "content": b"hello"}
    start = render(message)
    assert split(start)[1] == b"hel"
    assert start.close
    assert "longer" in start.problem


def test_a_body_shorter_than_its_length_ends_the_connection() -> None:
    message = {"status": 200, "headers": [(b"Content-Length", b"9")], "content": b"hello"}
    start = render(message)
    assert start.close
    assert "4 bytes shorter" in start.problem


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"content": b"hello"},
        {"status": "200"},
        {"status": 200.0},
        {"status": True},
        {"status": None},
        {"status": 200, "content": "text"},
        {"status": 200, "content": None},
        {"status": 200, "more_content": 1},
        {"status": 200, "headers": {b"a": b"b"}},
        {"status": 200, "headers": [b"ab"]},
        {"status": 200, "headers": [(b"a",)]},
        {"status": 200, "headers": [(b"a", b"b", b"c")]},
        {"status": 200, "headers": [(b"a", 5)]},
        {"status": 200, "headers": [(b"a", None)]},
        {"status": 200, "headers": 5},
        {"status": 200, "headers": "ab"},
        {"status": 200, "headers": [("\u20ac\n", "b")]},
    ],
    ids=repr,
)
def test_what_is_no_response_is_invalid(message: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage, match=r"http\.response"):
        render(message)


def start_of(framing: str) -> Start:
    headers = [(b"Content-Length", b"9")] if framing == "length" else []
    version = "1.0" if framing == "close" else "1.1"
    message = {"status": 200, "headers": headers, "content": b"abc", "more_content": True}
    return render(message, http_version=version)


@pytest.mark.parametrize(
    ("framing", "first", "pieces"),
    [
        ("length", b"abc", [b"def", b"", b"ghi"]),
        ("chunked", b"3\r\nabc\r\n", [b"3\r\ndef\r\n", b"", b"3\r\nghi\r\n0\r\n\r\n"]),
        ("close", b"abc", [b"def", b"", b"ghi"]),
    ],
)
def test_chunks_are_framed_as_the_start_said(
    framing: str, first: bytes, pieces: list[bytes]
) -> None:
    start = start_of(framing)
    assert start.more
    assert split(start)[1] == first
    body = ResponseBody(start)
    contents = [b"def", b"", b"ghi"]
    rendered = [
        body.render({"content": content, "more_content": content != b"ghi"}) for content in contents
    ]
    assert rendered == pieces
    assert (body.more, body.size, body.problem) == (False, 9, "")


def test_the_chunks_together_must_have_the_length_that_was_given() -> None:
    longer = ResponseBody(start_of("length"))
    assert longer.render({"content": b"defghijkl", "more_content": True}) == b"defghi"
    assert "longer" in longer.problem
    shorter = ResponseBody(start_of("length"))
    assert shorter.render({"content": b"def"}) == b"def"
    assert "3 bytes shorter" in shorter.problem


@pytest.mark.parametrize(
    "message",
    [
        {"status": 200},
        {"status": 200, "content": b"x", "more_content": True},
        {},
        {"content": "text"},
        {"content": b"x", "more_content": None},
    ],
    ids=repr,
)
def test_what_is_no_chunk_is_invalid(message: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage, match=r"http\.response"):
        ResponseBody(start_of("chunked")).render(message)
