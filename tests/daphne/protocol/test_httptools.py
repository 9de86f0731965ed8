"""The traps of httptools, pinned: what it accepts, and what the server makes of that.

Where a release of httptools changes what is asserted of it here, the code that works around it may
go. The rest of what is refused is in the corpus.
"""

import random

import httptools
import pytest

from daphne.protocol.request import _fields
from tests.daphne.protocol.driving import Driver


class Events:
    """Records what the parser reports."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.seen.append(("url", url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.seen.append((name.decode("latin-1"), value))

    def on_body(self, body: bytes) -> None:
        self.seen.append(("body", body))

    def on_message_complete(self) -> None:
        self.seen.append(("end", b""))


def accepted(*pieces: bytes) -> list[tuple[str, bytes]] | None:
    """What the parser reports, None if it refuses."""
    events = Events()
    parser = httptools.HttpRequestParser(events)
    try:
        for piece in pieces:
            parser.feed_data(piece)
    except httptools.HttpParserError:
        return None
    except httptools.HttpParserUpgrade:
        events.seen.append(("upgrade", b""))
    return events.seen


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ,chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/0.9\r\nHost: x\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        b"DESCRIBE / RTSP/1.0\r\nHost: x\r\n\r\n",
        b"SOURCE / ICE/1.0\r\nHost: x\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 1_000_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=lambda data: repr(data[:60]),
)
def test_what_httptools_accepts_too_easily_is_refused(data: bytes) -> None:
    assert accepted(data) is not None
    driver = Driver().feed(data)
    assert driver.status >= 400
    assert driver.closed
    assert not driver.requests


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"unknown"])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 5", b"hello"),
        (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
    ],
)
def test_the_body_of_an_upgrade_is_framed_although_httptools_forgets_it(
    protocol: bytes, framing: bytes, body: bytes
) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: " + protocol
    data = head + b"\r\n" + framing + b"\r\n\r\n" + body
    assert ("body", b"hello") not in (accepted(data) or [])
    driver = Driver().feed(data)
    if protocol == b"websocket":
        assert (driver.status, driver.closed, driver.requests) == (400, True, [])
    else:
        assert [request["body"] for request in driver.requests] == [b"hello"]


def test_trailers_arrive_as_headers_there_and_are_dropped_here() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"1\r\na\r\n0\r\nX-Trailer: y\r\n\r\n"
    assert ("X-Trailer", b"y") in (accepted(head + body) or [])
    driver = Driver().feed(head + body)
    names = [name for name, _ in driver.requests[0]["headers"]]
    assert names == [b"host", b"transfer-encoding"]


def test_trailing_blanks_of_a_value_stay_there_and_go_here() -> None:
    data = b"GET / HTTP/1.1\r\nHost: x\r\nA: \t b c \t\r\n\r\n"
    assert ("A", b"b c \t") in (accepted(data) or [])
    assert (b"a", b"b c") in Driver().feed(data).requests[0]["headers"]


def test_unknown_methods_are_an_error_there_and_400_here() -> None:
    data = b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert accepted(data) is None
    assert Driver().feed(data).status == 400


def test_data_after_connection_close_is_an_error_there_but_the_request_is_answered() -> None:
    data = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert accepted(data + data) is None
    driver = Driver().feed(data + data)
    driver.reply({"status": 200})
    assert driver.status == 200
    assert driver.closed
    assert len(driver.requests) == 1


def test_a_url_comes_in_pieces_there_and_whole_here() -> None:
    pieces = [b"GET /a", b"b?c", b"d HTTP/1.1\r\nHost: x\r\n\r\n"]
    assert len([name for name, _ in accepted(*pieces) or [] if name == "url"]) == 3
    request = Driver().feed(*pieces).requests[0]
    assert (request["path"], request["query_string"]) == ("/ab", b"cd")


def test_one_read_holds_thousands_of_requests_of_which_one_is_handled() -> None:
    data = b"GET / HTTP/1.1\r\nHost:x\r\n\r\n"
    driver = Driver().feed(data * 2400)
    assert len(driver.requests) == 1


def test_the_preface_of_http2_is_an_error_there_and_505_here() -> None:
    data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    assert accepted(data) is None
    driver = Driver().feed(data)
    assert (driver.status, driver.closed) == (505, True)


def test_high_bytes_of_a_value_are_never_split_at() -> None:
    value = bytes(range(0x80, 0x100))
    for extra in (b"", b"Connection: x\r\nUpgrade: y\r\n"):
        data = b"GET / HTTP/1.1\r\nHost: x\r\n" + extra + b"A: a" + value + b"z\r\n\r\n"
        assert (b"a", b"a" + value + b"z") in Driver().feed(data).requests[0]["headers"]


def test_names_are_tokens_of_rfc_9110() -> None:
    tokens = b"!#$%&'*+-.^`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    for byte in set(range(256)) - set(b":_"):
        data = b"GET / HTTP/1.1\r\nHost: x\r\nA%cb: c\r\n\r\n" % byte
        driver = Driver().feed(data)
        assert bool(driver.requests) is (byte in tokens), byte


#: Lines as they should be, and pieces of others.
_LINES = (b"Host: x\r\n", b"x-Y:\t z \r\n", b"A:\r\n", b"Connection: a , b\t\r\n", b"b_c: d:e\r\n")
_PIECES = (
    *(b"Host", b"a", b"Content-Length", b"Upgrade", b"Transfer-Encoding", b"0", b"chunked", b"c d"),
    *(b":", b": ", b":\t", b" : ", b"::", b" ", b"\t", b";", b",", b'"', b"(", b"_"),
    *(b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n ", b" \r\n", b"\t\r\n"),
    *(b"\x00", b"\x0b", b"\x7f", b"\x85", b"\xa0", b"\xe9", b"\xff"),
)


class Fields:
    """Records the header fields that the parser reports."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.seen.append((name.lower(), value.strip(b" \t")))


@pytest.mark.parametrize("seed", range(8))
def test_the_fields_are_those_that_the_parser_finds(seed: int) -> None:
    """We split the lines of a head that it has passed, and must not read them differently."""
    choose = random.Random(seed)
    passed = 0
    for _ in range(20_000):
        head = b"GET / HTTP/1.1\r\n"
        for _ in range(choose.randint(0, 4)):
            pieces = choose.choices(_PIECES, k=choose.randint(1, 5))
            head += choose.choice(_LINES) if choose.random() < 0.7 else b"".join(pieces)
        head += b"\r\n\r\n"
        head = head[: head.index(b"\r\n\r\n") + 4]  # as ``HeadBuffer`` cuts it
        fields = Fields()
        try:
            httptools.HttpRequestParser(fields).feed_data(head)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            continue
        passed += 1
        assert _fields(head)[0] == [pair for pair in fields.seen if b"_" not in pair[0]], head
    assert passed > 5000
