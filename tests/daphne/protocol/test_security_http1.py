"""Each row of the table "HTTP/1.1" in ``docs/security.md``, against the core alone.

What a row needs sockets for is in ``tests/daphne``, details are in the tests of the modules.
"""

import random
import time
from collections.abc import Callable

import pytest

from channels.spec import http_response, http_response_chunk
from daphne.options import Options
from daphne.protocol.request import parse_request
from tests.daphne.protocol.conversation import Conversation, outcome_of
from tests.daphne.protocol.driving import PREFIX, Driver, make_context

PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n"
UPGRADE = (
    PLAIN + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

kinds = pytest.mark.parametrize("head", [PLAIN, UPGRADE], ids=["plain", "upgrade"])


def seconds_for(function: Callable[[bytes], object], data: bytes) -> float:
    """CPU time, the least of three."""
    return min(_once(function, data) for _ in range(3))


def _once(function: Callable[[bytes], object], data: bytes) -> float:
    start = time.process_time()
    function(data)
    return time.process_time() - start


# -- control bytes in headers ---------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("byte", [*range(9), *range(10, 32), 0x7F], ids=hex)
def test_control_bytes_in_headers_are_400(head: bytes, byte: int) -> None:
    control = bytes([byte])
    for value in (b"a" + control + b"b", control + b"ab", b"ab" + control, control):
        for name in (b"X-Any", b"Cookie", b"Sec-WebSocket-Protocol", b"Content-Type"):
            outcome = outcome_of([head + name + b": " + value + b"\r\n\r\n"])
            assert (outcome.statuses, outcome.closed) == ((400,), True)
            assert outcome.requests == () and outcome.socket is None


@kinds
def test_control_bytes_in_headers_leave_high_bytes_and_tabs_as_they_were_sent(head: bytes) -> None:
    for byte in range(0x80, 0x100):
        value = b"a%cb,c%c" % (byte, byte)
        outcome = outcome_of([head + b"X-High: " + value + b"\r\nX-Tab: a\tb\r\n\r\n"])
        (request,) = outcome.requests or (outcome.socket,)
        assert request is not None
        assert request.headers[-2:] == ((b"x-high", value), (b"x-tab", b"a\tb"))


# -- limits of heads ------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"X: y\r\n" * 130 + b"\r\n", 431),
        (b"X: " + b"y" * 8190 + b"\r\n\r\n", 431),
        (b"X: " + b"y" * 8190, 431),
        ((b"X: " + b"y" * 1020 + b"\r\n") * 64 + b"\r\n", 431),
    ],
    ids=["more than 128", "a line over 8 KiB", "a line without end", "over 64 KiB in all"],
)
def test_header_limits_are_431(head: bytes, fields: bytes, status: int) -> None:
    outcome = outcome_of([head + fields])
    assert (outcome.statuses, outcome.closed, outcome.requests) == ((status,), True, ())
    assert outcome.socket is None


def test_header_limits_a_request_line_that_is_too_long_is_414() -> None:
    outcome = outcome_of([PLAIN.replace(b"/ ", b"/" + b"a" * 8192 + b" ") + b"\r\n"])
    assert (outcome.statuses, outcome.closed, outcome.requests) == ((414,), True, ())


@kinds
def test_header_names_are_tokens(head: bytes) -> None:
    tokens = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for byte in range(256):
        if byte in tokens or byte == ord(":"):
            continue
        outcome = outcome_of([head + b"X%cY: z\r\n\r\n" % byte])
        assert (outcome.statuses, outcome.requests, outcome.socket) == ((400,), (), None), byte


@kinds
def test_header_names_with_an_underscore_never_arrive(head: bytes) -> None:
    fields = b"X_Real_Ip: 1\r\nX-Real_Ip: 2\r\nContent_Length: 9\r\nTransfer_Encoding: chunked\r\n"
    outcome = outcome_of([head + fields + b"\r\n"])
    (request,) = outcome.requests or (outcome.socket,)
    assert request is not None
    assert not [name for name, _ in request.headers if b"_" in name]


# -- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Content-Length: 101\r\n\r\n",
        CHUNKED + b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n",
        CHUNKED + b"1\r\nx\r\n" * 101,
        CHUNKED + b"ffffff\r\n" + b"x" * 101,
    ],
    ids=["announced", "a chunk", "many chunks", "no end"],
)
@pytest.mark.parametrize("chunk_size", [10, 1000], ids=["body channel", "inline"])
def test_body_limits_count_what_is_received(data: bytes, chunk_size: int) -> None:
    options = Options(max_body=100, body_chunk_size=chunk_size)
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        outcome = outcome_of(pieces, options)
        assert (outcome.statuses, outcome.closed) == ((413,), True)
        assert not any(request.whole for request in outcome.requests)


def test_body_limits_hold_for_what_an_understated_length_leaves() -> None:
    outcome = outcome_of([POST + b"Content-Length: 3\r\n\r\n" + b"x" * 500], Options(max_body=100))
    assert outcome.requests[0].body == b"xxx"
    assert outcome.statuses == (200,), "what follows is no request, and incomplete"


def test_body_limits_of_memory_large_bodies_wait_in_the_client() -> None:
    driver = Driver(Options(body_chunk_size=1000))
    driver.full.add("http.request.body?x1")
    driver.feed(POST + b"Content-Length: 1000000\r\n\r\n")
    while driver.reading:
        driver.feed(b"x" * 100)
    received = sum(len(message["body"]) for message in driver.requests)
    assert received + 3000 > driver.core._exchange.received  # type: ignore[attr-defined]


# -- pipelining -----------------------------------------------------------------------------------


def test_pipelining_answers_a_hundred_requests_in_order_whenever_they_are_answered() -> None:
    chance = random.Random(1)
    driver = Driver()
    driver.feed(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(100)))
    local = None
    for number in range(100):
        assert [request["path"] for request in driver.requests] == [
            f"/{n}" for n in range(number + 1)
        ]
        driver.sleep(chance.random())
        body = b"%03d" % number
        if local is not None:  # a late message of the request before
            driver.do(driver.core.deliver, local, dict(http_response(200, [], b"wrong")), {})
        local = driver.requests[-1]["reply_channel"][len(PREFIX) :]
        driver.reply(dict(http_response(200, [(b"Content-Length", b"3")], body)))
    bodies = [part[:3] for part in driver.output.split(b"\r\n\r\n")[1:]]
    assert bodies == [b"%03d" % number for number in range(100)]


# -- chunked lines --------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_chunked_lines_over_8_kib_are_400(end: bytes) -> None:
    outcome = outcome_of([CHUNKED + b"1;" + b"a" * 8200 + end])
    assert (outcome.statuses, outcome.closed, outcome.requests) == ((400,), True, ())
    trailer = outcome_of([CHUNKED + b"0\r\nX: " + b"a" * 8200 + end])
    assert (trailer.statuses, trailer.closed, trailer.requests) == ((400,), True, ())


@pytest.mark.costs
def test_chunked_lines_take_linear_time() -> None:
    def feed(data: bytes) -> None:
        outcome_of([CHUNKED, *[data[at : at + 1000] for at in range(0, len(data), 1000)]])

    line = b"1;" + b"a" * 8000 + b"\r\nx\r\n"
    few, many = seconds_for(feed, line * 100), seconds_for(feed, line * 400)
    assert many < few * 12, "four times as much takes about four times as long"


@pytest.mark.parametrize("end", [b"XX", b"\n", b"\r", b"\n\r", b"0\r\n", b"\r\r", b"\r0"])
def test_chunked_lines_the_end_of_a_chunk_is_enforced(end: bytes) -> None:
    outcome = outcome_of([CHUNKED + b"5\r\nhello" + end + b"0\r\n\r\n" + PLAIN + b"\r\n"])
    assert (outcome.statuses, outcome.closed, outcome.requests) == ((400,), True, ())


# -- what the application sends -------------------------------------------------------------------


@pytest.mark.parametrize("control", [b"\r", b"\n", b"\r\n", b"\0", b"\r\n\r\n", b"\n "])
def test_response_splitting_is_an_error_in_the_log_and_500(
    control: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    injected = b"a" + control + b"Set-Cookie: stolen=1"
    for header in [(b"X-A", injected), (b"Location", b"/" + injected), (injected, b"b")]:
        caplog.clear()
        driver = Driver().feed(PLAIN + b"\r\n")
        driver.reply({"status": 302, "headers": [header], "content": b"secret"})
        assert driver.status == 500
        assert b"stolen" not in driver.output and b"secret" not in driver.output
        assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize("status", ["200 OK\r\nSet-Cookie: stolen=1", b"200 OK\r\n", "200", 200.0])
def test_response_splitting_by_the_status_is_500(status: object) -> None:
    driver = Driver().feed(PLAIN + b"\r\n")
    driver.reply({"status": status, "headers": [], "content": b""})
    assert driver.status == 500
    assert b"stolen" not in driver.output


# -- time -----------------------------------------------------------------------------------------


def test_slowloris_slow_read_every_wait_for_the_client_has_an_end() -> None:
    silent = Driver()
    silent.sleep(10)
    assert silent.closed and not silent.output

    head = Driver()
    for _ in range(12):
        head.feed(b"GET / HTTP/1.1\r\n" if not head.timers else b"X").sleep(1)
    assert head.closed and head.status == 408

    body = Driver().feed(POST + b"Content-Length: 1000000\r\n\r\n")
    for _ in range(25):
        body.feed(b"x").sleep(1)
    assert body.closed and body.status == 408

    idle = Conversation().feed(PLAIN + b"\r\n")
    idle.sleep(80)
    assert idle.closed and idle.status == 200

    reader = Driver().feed(PLAIN + b"\r\n")
    reader.reply(dict(http_response(200, [], b"x" * 100, more_content=True)))
    reader.do(reader.core.pause_writing)
    reader.sleep(61)
    assert reader.aborted


# -- framing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [204, 205, 304])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_expect_head_1xx_204_304_no_body_where_there_must_be_none(
    status: int, stream: bool
) -> None:
    driver = Driver().feed(PLAIN + b"\r\n")
    driver.reply(dict(http_response(status, [], b"never", more_content=stream)))
    if stream:
        driver.reply(dict(http_response_chunk(b"sent")))
    head, _, body = driver.take_output().partition(b"\r\n\r\n")
    assert body == b"" and b"Transfer-Encoding" not in head
    assert (b"Content-Length: 0" in head) == (status == 205)
    assert driver.feed(PLAIN + b"\r\n").requests[1:], "the connection stays, in step"


@pytest.mark.parametrize("headers", [[], [(b"Content-Length", b"5")]])
def test_expect_head_1xx_204_304_head_has_the_headers_of_get_and_no_body(
    headers: list[tuple[bytes, bytes]],
) -> None:
    driver = Driver().feed(b"HEAD" + PLAIN[3:] + b"\r\n")
    driver.reply(dict(http_response(200, headers, b"hello")))
    head, _, body = driver.take_output().partition(b"\r\n\r\n")
    assert body == b""
    assert (b"Content-Length: 5" in head) == bool(headers)
    assert driver.feed(PLAIN + b"\r\n").requests[1:]


@pytest.mark.parametrize("status", [100, 101, 102, 103, 199, 99, 0, -1, 1000])
def test_expect_head_1xx_204_304_an_interim_status_ends_no_request(status: int) -> None:
    driver = Driver().feed(PLAIN + b"\r\n")
    driver.reply({"status": status, "headers": [], "content": b""})
    assert driver.status == 500


def test_expect_head_1xx_204_304_continue_comes_once_and_only_to_who_waits() -> None:
    waiting = b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    driver = Driver().feed(POST + waiting)
    assert driver.take_output() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert driver.feed(b"hello").take_output() == b""
    assert driver.requests[0]["body"] == b"hello"
    for other in (
        POST + waiting + b"h",  # it does not wait
        POST.replace(b"1.1", b"1.0") + waiting,  # RFC 9110, 10.1.1
        PLAIN + b"Expect: 100-continue\r\n\r\n",  # there is no body
    ):
        assert b"100 Continue" not in Driver().feed(other).output
    refused = Driver(Options(max_body=4)).feed(POST + waiting)
    assert refused.status == 413 and refused.closed


# -- Host -----------------------------------------------------------------------------------------


@pytest.mark.costs
def test_host_is_read_in_linear_time() -> None:
    def refuse(data: bytes) -> None:
        outcome_of([b"GET / HTTP/1.1\r\nHost: " + data + b"\r\n\r\n"])

    for valid in (b"a", b"%20", b"a%20", b"1.", b"::1"):
        for prefix, suffix in ((b"", b"@"), (b"[", b"@"), (b"", b"%"), (b"[v1.", b"@")):
            host = prefix + valid * (8000 // len(valid)) + suffix
            assert seconds_for(refuse, host) < 0.5, host[:20]
            target = b"GET http://" + host[:8000] + b"/ HTTP/1.1\r\nHost: x\r\n\r\n"
            assert seconds_for(lambda data: outcome_of([data]), target) < 0.5, host[:20]


@pytest.mark.parametrize("host", [b"<script>alert(1)</script>", b'"><img>', b"a b", b"{}", b"a@b"])
def test_host_is_validated_and_never_echoed(host: bytes) -> None:
    outcome = outcome_of([b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"])
    assert outcome.statuses == (400,) and host not in outcome.output
    target = outcome_of([b"GET http://%b/ HTTP/1.1\r\nHost: x\r\n\r\n" % host.replace(b" ", b"^")])
    assert target.statuses == (400,) and host not in target.output


# -- proxies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("option", [False, True])
def test_forwarded_headers_need_the_option_and_a_listed_proxy(trusted: bool, option: bool) -> None:
    options = Options(
        proxy_forwarded_address_header="X-Forwarded-For" if option else None,
        proxy_forwarded_proto_header="X-Forwarded-Proto" if option else None,
    )
    fields = b"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n\r\n"
    head = parse_request(PLAIN + fields, make_context(options, trusted_peer=trusted)).head
    believed = trusted and option
    assert head.client == (("198.51.100.7", 0) if believed else ("192.0.2.1", 4711))
    assert head.scheme == ("https" if believed else "http")
