"""Which request of a connection is read when, and what becomes of it."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.exceptions import LayerUnavailable, MessageTooLarge
from daphne.options import Options
from daphne.protocol import http1
from daphne.protocol.response import Start, render_start
from daphne.protocol.websocket import WebSocketCore
from tests.daphne.protocol.driving import PREFIX, Driver

GET = b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"
OK = {"status": 200, "headers": [(b"Content-Length", b"2")], "content": b"ok"}


def get(path: str) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode()


def bodies(driver: Driver) -> list[bytes]:
    """The bodies of the responses written so far; all have two digits of length or less."""
    output, found = driver.output, []
    while output:
        head, _, output = output.partition(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0])
        found.append(output[:length])
        output = output[length:]
    return found


def test_a_request_has_exactly_the_keys_of_the_reference() -> None:
    driver = Driver().feed(GET)
    (request,) = driver.requests
    assert request.pop("reply_channel").startswith(PREFIX)
    assert request == {
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a",
        "query_string": b"b",
        "root_path": "",
        "headers": [(b"host", b"x")],
        "body": b"",
        "client": ["192.0.2.1", 4711],
        "server": ["127.0.0.1", 8000],
    }


@pytest.mark.parametrize(
    "data",
    [
        GET,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\nhe\r\n3\r\nllo"
        b"\r\n0\r\nX: y\r\n\r\n",
        b"HEAD http://y/%20 HTTP/1.0\r\nA: b\r\n\r\n",
    ],
    ids=lambda data: data[:4].decode(),
)
def test_a_request_is_the_same_however_it_is_split(data: bytes) -> None:
    def result(*pieces: bytes) -> tuple[Any, bytes]:
        driver = Driver().feed(*pieces)
        request = dict(driver.requests[0])
        del request["reply_channel"]
        driver.reply(OK)
        return request, driver.output

    whole = result(data)
    for position in range(1, len(data)):
        assert result(data[:position], data[position:]) == whole
    assert result(*[data[i : i + 1] for i in range(len(data))]) == whole


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_conversation_is_the_same_however_it_is_split(data: st.DataObject) -> None:
    conversation = (
        get("/1")
        + b"POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 600\r\n\r\n"
        + b"b" * 600
        + b"POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"2bc\r\n"
        + b"c" * 700
        + b"\r\n0\r\n\r\n"
        + b"GET /4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    cuts = data.draw(st.lists(st.integers(0, len(conversation)), max_size=12).map(sorted))
    driver = Driver()
    driver.answer = lambda message: [{**OK, "content": message["path"][-2:].encode()}]
    for start, end in zip([0, *cuts], [*cuts, len(conversation)], strict=True):
        driver.feed(conversation[start:end])
    assert bodies(driver) == [b"/1", b"/2", b"/3", b"/4"]
    assert [len(request["body"]) for request in driver.requests] == [0, 600, 700, 0]
    assert driver.closed


def test_a_connection_serves_many_requests_each_with_its_own_reply_channel() -> None:
    driver = Driver()
    for number in range(5):
        driver.feed(get(f"/{number}")).reply({**OK, "content": b"%02d" % number})
    assert bodies(driver) == [b"00", b"01", b"02", b"03", b"04"]
    assert len({request["reply_channel"] for request in driver.requests}) == 5
    assert not driver.closed
    assert driver.is_over


def test_reply_channels_of_two_connections_differ() -> None:
    first, second = Driver().feed(GET), Driver().feed(GET)
    assert first.locals != second.locals
    assert len(first.locals[0]) >= 17


def test_pipelined_requests_are_handled_one_at_a_time_and_in_order() -> None:
    driver = Driver().feed(b"".join(get(f"/{number}") for number in range(100)))
    random_numbers = random.Random(5)
    for number in range(100):
        assert len(driver.requests) == number + 1
        for stale in random_numbers.sample(range(number), min(number, 2)):
            driver.reply({**OK, "content": b"no"}, stale)
        driver.reply({**OK, "content": b"%02d" % number})
    assert bodies(driver) == [b"%02d" % number for number in range(100)]


def test_a_late_or_unknown_reply_is_dropped() -> None:
    driver = Driver().feed(GET).reply(OK)
    driver.take_output()
    driver.reply(OK)
    driver.do(driver.core.deliver, "unknown", OK, {})
    driver.feed(GET).reply(OK, 0)
    assert driver.output == b""
    assert driver.reply(OK, 1).status == 200


def test_a_head_that_is_almost_too_long_is_read_on_until_it_is_refused() -> None:
    line = b"X: " + b"a" * 995 + b"\r\n"
    driver = Driver().feed(b"GET /" + b"a" * 4000 + b" HTTP/1.1\r\nHost: a\r\n")
    for _ in range(62):
        driver.feed(line)
    driver.feed(line[:990])  # over 64 KiB with the request line, and not yet without
    assert driver.reading
    while not driver.closed:
        driver.feed(line)
    assert driver.status == 431


@pytest.mark.costs
def test_a_client_that_sends_far_ahead_is_not_read_until_it_is_answered() -> None:
    driver = Driver().feed(GET, GET * 1000)
    assert driver.reading
    driver.feed(GET * 2000)
    assert not driver.reading
    while not driver.reading:
        driver.reply(OK)
    assert len(driver.requests) < 3001
    while len(driver.requests) < 3001:
        driver.reply(OK)


def test_a_client_that_does_not_read_its_responses_gets_no_further_request_handled() -> None:
    driver = Driver().feed(GET * 3)
    driver.do(driver.core.pause_writing)
    driver.reply(OK)
    assert len(driver.requests) == 1
    driver.do(driver.core.resume_writing)
    assert len(driver.requests) == 2


def test_a_full_queue_is_503_and_the_end_of_the_connection() -> None:
    driver = Driver()
    driver.full.add("http.request")
    driver.feed(GET + GET)
    assert driver.status == 503
    assert b"Request queue full." in driver.output
    assert b"Connection: close" in driver.output
    assert driver.closed
    assert driver.output.count(b"HTTP/1.1") == 1
    assert driver.sends == []


@pytest.mark.parametrize(
    "error", [LayerUnavailable("secret"), MessageTooLarge("secret"), OSError("secret")]
)
def test_a_layer_that_fails_is_503_and_an_error_in_the_log(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Driver()
    driver.failing["http.request"] = error
    driver.feed(GET)
    assert (driver.status, driver.closed) == (503, True)
    assert "could not be sent" in caplog.text
    assert str(error) not in driver.output.decode()


def test_a_body_limit_is_413() -> None:
    options = Options(max_body=10)
    announced = Driver(options).feed(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n"
    )
    counted = Driver(options).feed(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n",
        b"5\r\nworld\r\n0\r\n\r\n",
    )
    for driver in (announced, counted):
        assert (driver.status, driver.closed, driver.requests) == (413, True, [])
        assert b"100 Continue" not in driver.output
    fits = Driver(options).feed(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello worl"
    )
    assert fits.requests[0]["body"] == b"hello worl"


def test_refused_requests_echo_nothing() -> None:
    driver = Driver().feed(b"GET /<b>secret HTTP/1.1\r\nHost: <i>evil\r\n\r\n")
    assert driver.status == 400
    for word in (b"<b>", b"secret", b"evil"):
        assert word not in driver.output


def test_a_refused_head_request_is_answered_without_a_page() -> None:
    driver = Driver().feed(b"HEAD / HTTP/1.1\r\n\r\n")
    assert driver.output.endswith(b"\r\n\r\n")
    assert driver.status == 400


# -- what the application and the access log are told at the end ----------------------------------


def test_every_finished_request_has_its_disconnect_message() -> None:
    driver = Driver().feed(GET).reply(OK)
    reply_channel = driver.requests[0]["reply_channel"]
    expected = [{"reply_channel": reply_channel, "path": "/a"}]
    assert driver.on("http.disconnect") == expected
    driver.lose()
    assert driver.on("http.disconnect") == expected


def test_a_client_that_leaves_has_its_disconnect_message() -> None:
    driver = Driver().feed(GET)
    driver.lose()
    assert [message["path"] for message in driver.on("http.disconnect")] == ["/a"]
    assert driver.logs[0]["status"] == 499
    assert driver.is_over
    driver.reply(OK)
    assert driver.output == b""


def test_nobody_is_told_where_nobody_listens() -> None:
    driver = Driver(has_listener=lambda channel: channel != "http.disconnect")
    driver.feed(GET).reply(OK)
    assert driver.on("http.disconnect") == []


def test_a_request_that_the_application_never_saw_has_no_disconnect_message() -> None:
    driver = Driver().feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel")
    driver.lose()
    assert driver.sends == []


def test_the_access_log_has_one_line_for_each_request() -> None:
    driver = Driver().feed(GET)
    driver.time += 1.5
    driver.reply(OK)
    assert driver.logs == [
        {
            "path": "/a?b",
            "status": 200,
            "method": "GET",
            "client": "192.0.2.1:4711",
            "time_taken": 1.5,
            "size": 2,
            "first_byte": 1.5,
            "http_version": "1.1",
            "headers": [(b"host", b"x")],
            "reply_channel": driver.requests[0]["reply_channel"],
        }
    ]
    driver.feed(b"GET /b HTTP/3.0\r\n\r\n")
    assert [(log["method"], log["path"], log["status"]) for log in driver.logs[1:]] == [
        ("GET", "/b", 505)
    ]


def test_the_access_log_names_what_it_can_of_a_request_that_is_none() -> None:
    driver = Driver(client=None).feed(b"\x16\x03\x01\x00\xff\r\n\r\n")
    assert [(log["method"], log["path"], log["client"]) for log in driver.logs] == [
        ("-", "-", None)
    ]


# -- the end of the connection --------------------------------------------------------------------


def test_a_client_that_closes_its_side_between_requests_is_closed() -> None:
    driver = Driver().feed(GET).reply(OK)
    driver.do(driver.core.receive_eof)
    assert driver.closed


def test_a_client_that_closes_its_side_is_still_answered_in_order() -> None:
    driver = Driver().feed(GET * 2)
    driver.do(driver.core.receive_eof)
    assert not driver.closed
    driver.reply(OK)
    assert not driver.closed
    driver.reply(OK)
    assert driver.closed
    assert bodies(driver) == [b"ok", b"ok"]


def test_a_client_that_closes_its_side_is_given_up_after_a_grace() -> None:
    driver = Driver(Options(half_close_grace=2.0)).feed(GET)
    driver.do(driver.core.receive_eof)
    driver.sleep(1.9)
    assert driver.on("http.disconnect") == []
    driver.sleep(0.2)
    assert len(driver.on("http.disconnect")) == 1
    assert driver.closed
    assert driver.output == b""


def test_shutdown_closes_an_idle_connection_at_once_without_a_drain() -> None:
    driver = Driver(Options(drain=0.0)).feed(GET).reply(OK)
    driver.do(driver.core.shutdown)
    assert driver.closed


@pytest.mark.parametrize("before", [b"", GET, GET[:9]])
def test_a_client_that_is_idle_at_a_shutdown_may_ask_once_more(before: bytes) -> None:
    driver = Driver().feed(before)
    if before == GET:
        driver.reply(OK)
    driver.do(driver.core.shutdown)
    driver.sleep(1.9)
    driver.output = b""
    driver.feed(GET[9:] if before == GET[:9] else GET).reply(OK)
    assert driver.output.startswith(b"HTTP/1.1 200 ") and b"Connection: close" in driver.output
    assert driver.closed


def test_a_client_that_stays_idle_at_a_shutdown_is_closed() -> None:
    driver = Driver().feed(GET).reply(OK)
    driver.do(driver.core.shutdown)
    assert not driver.closed
    driver.sleep(2.1)
    assert driver.closed


def test_a_client_that_reads_nothing_may_not_ask_once_more() -> None:
    driver = Driver().feed(GET).reply(OK)
    driver.do(driver.core.pause_writing)
    driver.do(driver.core.shutdown)
    assert driver.closed


def test_a_websocket_may_be_opened_at_a_shutdown() -> None:
    driver = Driver()
    driver.do(driver.core.shutdown)
    driver.feed(UPGRADE)
    assert driver.upgraded is not None


def test_shutdown_lets_the_request_under_way_be_the_last_one() -> None:
    driver = Driver().feed(GET * 2)
    driver.do(driver.core.shutdown)
    assert not driver.closed
    driver.reply(OK)
    assert driver.closed
    assert b"Connection: close" in driver.output
    assert len(driver.requests) == 1


# -- upgrades -------------------------------------------------------------------------------------

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def test_a_websocket_handshake_is_handed_over_with_what_came_after_it() -> None:
    driver = Driver().feed(UPGRADE + b"\x81\x80rest")
    assert driver.upgraded is not None
    assert isinstance(driver.upgraded.core, WebSocketCore)
    assert driver.upgraded.rest == b"\x81\x80rest"
    assert driver.requests == []
    assert driver.output == b""


def test_a_websocket_handshake_waits_for_the_response_before_it() -> None:
    driver = Driver().feed(GET + UPGRADE)
    assert driver.upgraded is None
    driver.reply(OK)
    assert driver.upgraded is not None


def test_other_upgrades_are_ignored() -> None:
    driver = Driver().feed(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n" + GET
    )
    driver.reply(OK).reply(OK)
    assert bodies(driver) == [b"ok", b"ok"]


# -- many long polls ------------------------------------------------------------------------------


def test_a_group_send_renders_its_response_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drivers = [Driver().feed(GET) for _ in range(1000)]
    leavers = drivers[::10]
    for driver in leavers:
        driver.lose()
    rendered = []

    def render(*args: Any, **kwargs: Any) -> Start:
        rendered.append(args)
        return render_start(*args, **kwargs)

    monkeypatch.setattr(http1, "render_start", render)
    shared: dict[Any, Any] = {}
    for driver in drivers:
        driver.reply(OK, shared=shared)
    answered = [driver for driver in drivers if driver not in leavers]
    assert len(rendered) == 1
    assert all(driver.status == 200 for driver in answered)
    assert all(not driver.output for driver in leavers)
    assert all(len(driver.on("http.disconnect")) == 1 for driver in drivers)


def test_what_is_shared_fits_each_connection() -> None:
    kinds = [
        GET,
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ]
    message = {"status": 200, "content": b"hello"}
    shared: dict[Any, Any] = {}
    for data in kinds:
        together = Driver().feed(data).reply(message, shared=shared)
        alone = Driver().feed(data).reply(message)
        assert (together.output, together.closed) == (alone.output, alone.closed)


@pytest.mark.parametrize(
    ("data", "option"),
    [
        (b"GET /" + b"a" * 9000, "request_line_limit"),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 9000, "header_line_limit"),
        (b"GET / HTTP/1.1\r\n" + b"A: bcdefgh\r\n" * 7000, "header_total_limit"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", "max_headers"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", "max_body"),
    ],
)
def test_a_limit_that_bites_is_named_in_the_log(
    data: bytes, option: str, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Driver(Options(max_body=50)).feed(data)
    assert driver.closed
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert option in caplog.text
    assert option not in driver.output.decode()


def test_huge_heads_are_refused_after_little_of_them() -> None:
    for huge in (b"GET / HTTP/1.1\r\nA: " + b"b" * 1_000_000, b"A: b\r\n" * 10_000, b"\r\n" * 10):
        driver = Driver()
        pieces = [huge[start : start + 4096] for start in range(0, len(huge), 4096)]
        fed = 0
        for piece in pieces:
            if driver.closed:
                break
            driver.feed(piece)
            fed += len(piece)
        assert fed < 90_000
