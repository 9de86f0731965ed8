"""A WebSocket from its handshake through its messages; how it ends is in test_websocket_close."""

from typing import Any

import pytest

from channels.exceptions import ChannelFull, LayerUnavailable
from channels.spec import (
    check_websocket_connect,
    check_websocket_disconnect,
    check_websocket_receive,
)
from tests.daphne.protocol.socket_driver import (
    ACCEPT,
    BINARY,
    NAME,
    PING,
    PONG,
    PREFIX,
    TEXT,
    Driver,
    client_frame,
    close_frame,
    make_head,
    make_headers,
    server_close,
    server_frame,
)


def status(driver: Driver) -> int:
    return int(driver.written.split(b" ")[1])


# -- the handshake waits for the application ------------------------------------------------------


def test_the_handshake_pauses_until_the_application_answers() -> None:
    driver = Driver()
    assert [channel for channel, _ in driver.messages] == ["websocket.connect"]
    assert driver.written == b"" and not driver.closed
    driver.reply({"accept": True})
    assert driver.written.startswith(b"HTTP/1.1 101 ") and ACCEPT in driver.written
    assert driver.actions == ["connecting", "connected"]
    assert driver.code is None


def test_the_connect_message_has_every_key_of_the_reference() -> None:
    headers = make_headers((b"origin", b"null"), (b"x-a", b"1"), (b"x-b", b"\xff"), (b"x-a", b"2"))
    driver = Driver(make_head(headers=headers, root_path="/mounted"))
    ((channel, message),) = driver.messages
    assert channel == "websocket.connect"
    assert message == {
        "reply_channel": PREFIX + NAME,
        "scheme": "ws",
        "path": "/chat/",
        "query_string": b"room=1",
        "root_path": b"/mounted",
        "headers": [list(pair) for pair in headers],
        "client": ["192.0.2.7", 50000],
        "server": ["192.0.2.1", 8000],
        "order": 0,
    }
    check_websocket_connect(message, strict=True)


def test_an_encrypted_connection_has_the_scheme_wss() -> None:
    assert Driver(make_head(scheme="https")).messages[0][1]["scheme"] == "wss"


def test_a_unix_socket_has_no_addresses() -> None:
    driver = Driver(make_head(client=None, server=None))
    assert driver.messages[0][1]["client"] is driver.messages[0][1]["server"] is None
    assert driver.logged[0][2]["client"] is None


def test_the_action_log_names_path_and_client() -> None:
    driver = Driver()
    details = {
        "path": "/chat/",
        "client": "192.0.2.7:50000",
        "reply_channel": driver.messages[0][1]["reply_channel"],
    }
    connecting = ("websocket", "connecting", {**details, "headers": make_headers()})
    assert driver.logged == [connecting]
    driver.advance(1.5).opened().advance(10).receive(close_frame(4001))
    assert driver.logged[1:] == [
        ("websocket", "connected", {**details, "time_taken": 1.5}),
        ("websocket", "disconnected", {**details, "time_taken": 10.0, "code": 4001}),
    ]


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"method": "POST"}, 405),
        ({"headers": make_headers(without=b"sec-websocket-version")}, 426),
        ({"headers": make_headers(without=b"sec-websocket-key")}, 400),
        ({"headers": make_headers((b"sec-websocket-protocol", b"\xe4"))}, 400),
    ],
)
def test_a_bad_handshake_is_refused_and_nobody_hears_of_it(
    changes: dict[str, Any], expected: int
) -> None:
    driver = Driver(make_head(**changes))
    assert status(driver) == expected and driver.closed
    assert b"\r\nConnection: close\r\n" in driver.written
    assert (driver.messages, driver.timers) == ([], {}) and driver.is_over
    ((_, action, details),) = driver.logged
    assert (action, details["status"], details["path"]) == ("complete", expected, "/chat/?room=1")
    driver.lose()
    assert driver.messages == [] and len(driver.logged) == 1


def test_another_version_is_told_which_one_is_spoken() -> None:
    driver = Driver(make_head(headers=make_headers(without=b"sec-websocket-version")))
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in driver.written
    assert b"\r\nUpgrade: websocket\r\n" in driver.written


@pytest.mark.parametrize("offered, chosen", [(b"b, a", b"b"), (b"c, a", b"a"), (b"c", None)])
def test_the_first_sub_protocol_offered_that_is_spoken(offered: bytes, chosen: bytes) -> None:
    head = make_head(headers=make_headers((b"sec-websocket-protocol", offered)))
    driver = Driver(head, ws_protocols=("a", "b")).reply({"accept": True})
    line = b"Sec-WebSocket-Protocol: %b\r\n"
    if chosen is None:
        assert b"Sec-WebSocket-Protocol" not in driver.written
    else:
        assert line % chosen in driver.written


def test_a_full_connect_channel_is_a_503() -> None:
    driver = Driver(connect=False)
    driver.fails = lambda channel: ChannelFull()
    driver.start()
    assert status(driver) == 503 and driver.closed
    assert driver.actions == ["connecting", "rejected"]
    driver.empty().lose()
    assert driver.messages == []
    assert driver.is_over


def test_a_failing_layer_is_a_503_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver(connect=False)
    driver.fails = lambda channel: LayerUnavailable("no route to the store")
    driver.start()
    assert status(driver) == 503 and driver.closed
    assert "no route to the store" in caplog.text


def test_a_silent_application_is_a_503() -> None:
    driver = Driver(websocket_connect_timeout=7.0)
    driver.advance(6.9)
    assert driver.written == b""
    driver.advance(0.2)
    assert status(driver) == 503 and driver.closed
    assert driver.actions[-1] == "rejected"
    assert driver.code == 1006


@pytest.mark.parametrize("connect, handshake", [(7.0, 20.0), (20.0, 7.0), (None, 7.0)])
def test_the_shorter_limit_of_a_handshake_counts(connect: float | None, handshake: float) -> None:
    driver = Driver(websocket_connect_timeout=connect, websocket_handshake_timeout=handshake)
    driver.advance(6.9)
    assert driver.written == b""
    driver.advance(0.2)
    assert status(driver) == 503


def test_an_answer_after_the_refusal_is_too_late() -> None:
    driver = Driver(websocket_connect_timeout=7.0).advance(8)
    written = driver.take()
    driver.reply({"text": "late"})
    assert written and driver.written == b""


def test_without_a_timeout_the_application_may_take_its_time() -> None:
    driver = Driver(websocket_connect_timeout=None).advance(10_000)
    assert driver.reply({"accept": True}).written.startswith(b"HTTP/1.1 101 ")


def test_a_client_that_leaves_in_its_handshake_is_a_disconnect() -> None:
    driver = Driver().lose()
    assert driver.code == 1006
    assert driver.disconnects()[0]["order"] == 1
    assert driver.actions == ["connecting", "rejected"]


def test_a_client_that_leaves_before_the_layer_took_connect() -> None:
    driver = Driver(connect=False)
    driver.prompt = False
    driver.start().lose()
    assert driver.messages == []
    driver.settle()
    assert [channel for channel, _ in driver.messages] == [
        "websocket.connect",
        "websocket.disconnect",
    ]


def test_a_client_that_leaves_while_connect_fails_was_never_there() -> None:
    driver = Driver(connect=False)
    driver.prompt = False
    driver.start().lose().settle(ChannelFull())
    assert driver.messages == []


# -- frames that come early -----------------------------------------------------------------------


def test_frames_in_the_handshake_wait_for_its_end() -> None:
    driver = Driver().receive(client_frame(TEXT, b"early"))
    assert driver.contents() == []
    driver.reply({"accept": True})
    assert driver.contents() == ["early"]


def test_frames_in_a_refused_handshake_are_dropped() -> None:
    driver = Driver().receive(client_frame(TEXT, b"early")).reply({"close": True})
    assert status(driver) == 403
    assert driver.contents() == []


def test_a_client_that_sends_much_in_its_handshake_is_not_read() -> None:
    driver = Driver()
    frame = client_frame(BINARY, b"x" * 10_000)
    sent = 0
    while driver.reading:
        driver.receive(frame)
        sent += 1
    assert sent < 10
    driver.reply({"accept": True})
    assert driver.reading
    assert driver.contents() == [b"x" * 10_000] * sent


def test_a_frame_may_begin_before_the_handshake_ends() -> None:
    frame = client_frame(TEXT, b"early")
    driver = Driver().receive(frame[:5]).reply({"accept": True}).receive(frame[5:])
    assert driver.contents() == ["early"]


def test_a_long_frame_may_begin_before_the_handshake_ends() -> None:
    frame = client_frame(BINARY, b"x" * 200_000)
    driver = Driver().receive(frame[:100_000])
    assert not driver.reading
    driver.reply({"accept": True})
    assert driver.reading
    assert driver.receive(frame[100_000:]).contents() == [b"x" * 200_000]


def test_a_close_frame_in_the_handshake() -> None:
    driver = Driver().receive(close_frame(1001)).opened(text="hello")
    assert driver.closed and driver.code == 1001


# -- the table of Send/Close/Accept, in the handshake ---------------------------------------------

DATA: list[dict[str, Any]] = [
    {},
    {"text": None},
    {"bytes": None},
    {"text": ""},
    {"bytes": b""},
    {"text": "x"},
    {"bytes": b"x"},
]
CLOSE: list[tuple[dict[str, Any], int | None]] = [
    ({}, None),
    ({"close": False}, None),
    ({"close": 0}, None),
    ({"close": True}, 1000),
    ({"close": 3001}, 3001),
    ({"close": 1006}, 1011),
]
ACCEPTS: list[dict[str, Any]] = [{}, {"accept": None}, {"accept": True}, {"accept": False}]


def data_frame(data: dict[str, Any]) -> bytes:
    if data.get("text") is not None:
        return server_frame(TEXT, data["text"].encode())
    if data.get("bytes") is not None:
        return server_frame(BINARY, data["bytes"])
    return b""


@pytest.mark.parametrize("accept", ACCEPTS)
@pytest.mark.parametrize("close, code", CLOSE)
@pytest.mark.parametrize("data", DATA)
def test_a_reply_in_the_handshake(
    accept: dict[str, Any], close: dict[str, Any], code: int | None, data: dict[str, Any]
) -> None:
    driver = Driver().reply({**accept, **close, **data})
    filled = any(data.values())
    head, _, frames = driver.written.partition(b"\r\n\r\n")
    if accept.get("accept") is False or (not accept.get("accept") and not filled and code):
        assert head.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert driver.closed and driver.code == 1006
        assert driver.actions == ["connecting", "rejected"]
    elif accept.get("accept") or filled:
        assert head.startswith(b"HTTP/1.1 101 ")
        assert frames == data_frame(data) + (b"" if code is None else server_close(code))
        assert driver.actions == ["connecting", "connected"]
        assert not driver.closed
    else:
        assert driver.written == b"" and not driver.closed
        assert driver.actions == ["connecting"]
        assert driver.reply({"accept": True}).written.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("data", [{"text": "news"}, {"bytes": b"news"}])
def test_data_of_a_group_accepts_a_socket_in_its_handshake(data: dict[str, Any]) -> None:
    sockets = [Driver() for _ in range(3)]
    sockets[0].opened()
    shared: dict[Any, Any] = {}
    for driver in sockets:
        driver.reply(data, shared)
    assert sockets[0].written == data_frame(data)
    for driver in sockets[1:]:
        head, _, frames = driver.written.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ") and frames == data_frame(data)


def test_a_group_that_closes_refuses_those_in_their_handshake() -> None:
    opened, shaking = Driver().opened(), Driver()
    shared: dict[Any, Any] = {}
    opened.reply({"close": 4000}, shared)
    shaking.reply({"close": 4000}, shared)
    assert opened.written == server_close(4000)
    assert status(shaking) == 403


def test_data_may_accept_before_the_layer_says_that_it_took_connect() -> None:
    driver = Driver(connect=False)
    driver.prompt = False
    driver.start().reply({"text": "hi"}).receive(client_frame(TEXT, b"question"))
    assert driver.contents() == []
    driver.settle().settle()
    assert driver.contents() == ["question"]


# -- the table of Send/Close/Accept, on an open socket --------------------------------------------


@pytest.mark.parametrize("accept", ACCEPTS)
@pytest.mark.parametrize("close, code", CLOSE)
@pytest.mark.parametrize("data", DATA)
def test_a_reply_on_an_open_socket(
    accept: dict[str, Any], close: dict[str, Any], code: int | None, data: dict[str, Any]
) -> None:
    driver = Driver().opened()
    driver.reply({**accept, **close, **data})
    assert driver.written == data_frame(data) + (b"" if code is None else server_close(code))
    assert not driver.closed
    assert driver.code is None
    still_open = driver.receive(client_frame(PING)).written.endswith(server_frame(PONG))
    assert still_open == (code is None)


INVALID: list[dict[str, Any]] = [
    {"text": "a", "bytes": b"b"},
    {"text": "", "bytes": b""},
    {"text": "a", "bytes": b"b", "close": True, "accept": False},
    {"text": "a", "unknown": 1},
    {"bytes": "a"},
    {"text": b"a"},
    {"close": "yes"},
    {"close": -5, "text": "a"},
    {"accept": 1},
]


@pytest.mark.parametrize("message", INVALID)
@pytest.mark.parametrize("opened", [False, True])
def test_an_invalid_reply_is_logged_and_the_socket_lives(
    message: dict[str, Any], opened: bool, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Driver().opened() if opened else Driver()
    driver.reply(message)
    assert driver.written == b"" and not driver.closed
    assert [record.name for record in caplog.records] == ["daphne.ws_protocol"]
    driver.reply({"text": "still here"})
    assert driver.written.endswith(server_frame(TEXT, b"still here"))


# -- messages -------------------------------------------------------------------------------------


def test_frames_become_messages_in_their_order() -> None:
    driver = Driver().opened()
    for frame in (client_frame(TEXT, b"a"), client_frame(BINARY, b"b"), client_frame(TEXT)):
        driver.receive(frame)
    driver.receive(close_frame(1000))
    received = [message for channel, message in driver.messages if channel == "websocket.receive"]
    reply_channel = driver.messages[0][1]["reply_channel"]
    common = {"reply_channel": reply_channel, "path": "/chat/"}
    assert received == [
        {**common, "order": 1, "text": "a", "bytes": None},
        {**common, "order": 2, "text": None, "bytes": b"b"},
        {**common, "order": 3, "text": "", "bytes": None},
    ]
    assert driver.disconnects() == [{**common, "order": 4, "code": 1000}]
    for message in received:
        check_websocket_receive(message, strict=True)
    check_websocket_disconnect(driver.disconnects()[0], strict=True)


@pytest.mark.parametrize(
    "opcode, content, data",
    [(TEXT, "", {"text": ""}), (BINARY, b"", {"bytes": b""})],
)
def test_empty_messages_are_kept_both_ways(
    opcode: int, content: str | bytes, data: dict[str, Any]
) -> None:
    driver = Driver().opened().receive(client_frame(opcode)).reply(data)
    assert driver.contents() == [content]
    assert driver.written == server_frame(opcode)


def test_a_ping_is_answered_with_its_payload() -> None:
    driver = Driver().opened().receive(client_frame(PING, b"hello?"))
    assert driver.written == server_frame(PONG, b"hello?")


def test_a_message_of_a_megabyte_passes() -> None:
    driver = Driver().opened().receive(client_frame(BINARY, b"x" * 1024 * 1024))
    assert driver.contents() == [b"x" * 1024 * 1024]


def test_one_send_is_under_way_at_a_time() -> None:
    driver = Driver().opened()
    driver.prompt = False
    driver.receive(b"".join(client_frame(TEXT, b"%d" % number) for number in range(5)))
    for number in range(5):
        assert len(driver.pending) == 1
        driver.settle()
        assert driver.contents() == [str(n) for n in range(number + 1)]


def test_messages_that_came_before_the_end_are_sent_before_it() -> None:
    driver = Driver().opened()
    driver.prompt = False
    driver.receive(client_frame(TEXT, b"1") + client_frame(TEXT, b"2") + close_frame(1001))
    assert driver.closed
    driver.lose().settle().settle()
    assert driver.contents() == ["1", "2"]
    assert driver.code == 1001
    assert driver.disconnects()[0]["order"] == 3


def test_a_reply_to_a_socket_that_is_gone_is_dropped() -> None:
    driver = Driver().opened().lose()
    driver.reply({"text": "anybody?"})
    assert driver.written == b""
    assert driver.is_over
