"""Server push, as the reference says (ASGI spec, HTTP, Server Push)."""

from typing import Any

import pytest
from h2.settings import SettingCodes

from channels.exceptions import ChannelFull
from channels.spec import http_server_push
from daphne.options import Options
from tests.daphne.protocol.driving import Driver
from tests.daphne.protocol.http2.peers import OK, Peer

CSS = dict(http_server_push("GET", "/style.css", [(b"accept", b"text/css")], query_string=b"v=1"))


def pushing(options: Options | None = None, **changes: Any) -> tuple[Peer, int]:
    """A client whose request was answered by a push, and not by more yet."""
    peer = Peer(options, **changes)
    stream = peer.request("/page")
    peer.reply(CSS)
    return peer, stream


def test_a_pushed_request_travels_like_a_new_one_with_its_own_reply_channel() -> None:
    peer, stream = pushing()
    page, style = peer.driver.requests
    assert style == {
        "reply_channel": style["reply_channel"],
        "http_version": "2",
        "method": "GET",
        "scheme": "http",
        "path": "/style.css",
        "query_string": b"v=1",
        "root_path": "",
        "headers": [(b"host", b"example.com"), (b"accept", b"text/css")],
        "body": b"",
        "client": page["client"],
        "server": page["server"],
    }
    assert style["reply_channel"] not in ("", page["reply_channel"])
    assert peer.response(2).promise == [
        (b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"example.com"),
        (b":path", b"/style.css?v=1"), (b"accept", b"text/css"),
    ]  # fmt: skip
    peer.reply({"status": 200, "content": b"css"}, request=1)
    peer.reply(OK, request=0)
    assert (peer.response(2).body, peer.response(2).ended) == (b"css", True)
    assert (peer.response(stream).body, peer.response(stream).ended) == (b"ok", True)
    assert [log["path"] for log in peer.driver.logs] == ["/style.css?v=1", "/page"]
    assert len(peer.driver.on("http.disconnect")) == 2
    assert peer.driver.is_over
    again = peer.request()
    peer.reply(OK)
    assert peer.response(again).status == 200


def test_the_promise_comes_before_the_response() -> None:
    peer, _ = pushing()
    peer.reply(OK, request=0)
    names = [type(event).__name__ for event in peer.seen]
    assert names.index("PushedStreamReceived") < names.index("ResponseReceived")


@pytest.mark.parametrize("kind", ["disabled", "no streams", "leaving"])
def test_a_push_is_dropped_where_the_client_does_not_take_it(kind: str) -> None:
    settings = {
        "disabled": {SettingCodes.ENABLE_PUSH: 0},
        "no streams": {SettingCodes.MAX_CONCURRENT_STREAMS: 0},
        "leaving": {},
    }[kind]
    peer = Peer(Options(drain=0), settings=settings)
    stream = peer.request("/page")
    if kind == "leaving":
        peer.driver.do(peer.driver.core.shutdown)
        peer.driver.output = b""
    peer.reply(CSS)
    assert len(peer.driver.requests) == 1
    peer.reply(OK)
    assert (peer.response(stream).status, peer.response(stream).body) == (200, b"ok")


def test_a_push_is_dropped_on_http_1() -> None:
    driver = Driver().feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").reply(CSS)
    assert (driver.output, len(driver.requests)) == (b"", 1)
    assert driver.reply(OK).status == 200


def test_a_push_does_not_push() -> None:
    peer, _ = pushing()
    peer.reply(CSS, request=1)
    assert len(peer.driver.requests) == 2
    peer.reply(OK, request=1)
    assert peer.response(2).status == 200


def test_a_full_queue_gives_up_the_whole_response() -> None:
    peer = Peer()
    stream = peer.request("/page")
    peer.driver.full.add("http.request")
    peer.reply(CSS)
    assert peer.response(2).reset == 2
    assert (peer.response(stream).status, peer.response(stream).ended) == (503, True)
    assert len(peer.driver.on("http.disconnect")) == 1
    peer.driver.full.clear()
    peer.driver.reply(OK, 0)
    assert peer.talk().response(stream).status == 503


def test_a_full_queue_cuts_a_response_that_has_begun() -> None:
    peer = Peer()
    peer.driver.slow_layer = True
    stream = peer.request("/page")
    peer.driver.confirm()
    peer.reply(CSS, {"status": 200, "content": b"part", "more_content": True}, request=0)
    (send,) = peer.driver.unconfirmed
    peer.driver.do(peer.driver.core.send_failed, send.key, ChannelFull())
    peer.talk()
    assert peer.response(stream).reset == 2


def test_a_full_queue_after_the_end_of_the_response_costs_the_push_alone() -> None:
    peer = Peer()
    peer.driver.slow_layer = True
    stream = peer.request("/page")
    peer.driver.confirm()
    peer.reply(CSS, OK, request=0)
    send = peer.driver.unconfirmed[0]
    peer.driver.do(peer.driver.core.send_failed, send.key, ChannelFull())
    peer.talk()
    assert (peer.response(stream).body, peer.response(2).reset) == (b"ok", 2)


def test_a_layer_that_fails_costs_the_push_alone() -> None:
    peer = Peer()
    stream = peer.request("/page")
    peer.driver.failing["http.request"] = RuntimeError("away")
    peer.reply(CSS)
    assert (peer.response(2).reset, peer.response(stream).status) == (2, 0)
    peer.reply(OK)
    assert peer.response(stream).status == 200


def test_a_client_may_refuse_what_was_promised() -> None:
    peer, stream = pushing()
    for _ in range(210):  # such resets are no flood: it did not ask for the streams
        peer.h2.reset_stream(peer.h2.highest_inbound_stream_id)
        peer.talk()
        peer.reply(CSS, request=0)
    assert not peer.driver.closed
    assert len(peer.driver.on("http.disconnect")) == 210
    peer.reply(OK, request=0)
    assert peer.response(stream).status == 200


def test_pushes_are_limited() -> None:
    peer = Peer(Options(http2_max_streams=3))
    peer.request("/page")
    for _ in range(10):
        peer.reply(CSS, request=0)
    assert len(peer.driver.requests) == 4
    peer.request("/more")
    assert len(peer.driver.requests) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"body": b""},
        {"body_channel": None},
        {"reply_channel": "x!y"},
        {"method": "POST"},
        {"path": "relative"},
        {"query_string": b"a b"},
        {"headers": [(b"connection", b"close")]},
        {"headers": [(b"x", b"a\r\nb")]},
        {"headers": [(b":path", b"/")]},
        {"headers": [(b"host", b"a"), (b"host", b"b")]},
        {"headers": [(b"host", b"a/b")]},
    ],
    ids=str,
)
def test_an_invalid_push_spoils_the_response(
    change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    peer = Peer()
    stream = peer.request("/page")
    peer.reply({"request": {**CSS["request"], **change}})
    assert len(peer.driver.requests) == 1
    assert peer.response(stream).status == 500
    assert not peer.response(2).promise
    assert next(iter(change)) in caplog.text


def test_what_a_push_says_itself_is_kept() -> None:
    peer = Peer(secure=True)
    peer.request("/page")
    push = dict(http_server_push("HEAD", "/ä b", [(b"host", b"other:1")], root_path="/app"))
    push["request"]["client"] = ["192.0.2.9", 1]
    peer.reply(push)
    message = peer.driver.requests[1]
    assert (message["path"], message["root_path"], message["method"]) == ("/ä b", "/app", "HEAD")
    assert message["headers"] == [(b"host", b"other:1")]
    assert message["client"] == ["192.0.2.9", 1]
    promise = dict(peer.response(2).promise)
    assert promise[b":path"] == b"/%C3%A4%20b"
    assert (promise[b":authority"], promise[b":scheme"]) == (b"other:1", b"https")
    peer.reply({"status": 200, "content": b"never"}, request=1)
    assert (peer.response(2).status, peer.response(2).body) == (200, b"")
