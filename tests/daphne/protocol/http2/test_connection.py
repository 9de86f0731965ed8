"""Plain requests over HTTP/2: what reaches the application, and what comes back."""

from typing import Any

import pytest
from hyperframe.frame import GoAwayFrame, RstStreamFrame

from channels.spec import check_http_request
from daphne.options import Options
from daphne.protocol.http2 import exchange
from daphne.protocol.http2.response import render_start
from daphne.protocol.operations import Abort, Close, Respond, Write
from tests.daphne.protocol.http2.peers import OK, Attacker, Peer, request_fields


def test_a_request_and_its_response() -> None:
    peer = Peer()
    stream = peer.request("/a%20b?c=d")
    (message,) = peer.driver.requests
    assert check_http_request(message, strict=True) == {**message, "body_channel": None}
    assert message == {
        "reply_channel": message["reply_channel"],
        "http_version": "2",
        "method": "GET",
        "scheme": "http",
        "path": "/a b",
        "query_string": b"c=d",
        "root_path": "",
        "headers": [(b"host", b"example.com")],
        "body": b"",
        "client": ["192.0.2.1", 4711],
        "server": ["127.0.0.1", 8000],
    }
    peer.reply(OK)
    response = peer.response(stream)
    assert response.headers == [
        (b":status", b"200"),
        (b"content-length", b"2"),
        (b"server", b"Daphne"),
        (b"date", b"Fri, 14 Jul 2017 02:40:00 GMT"),
    ]
    assert (response.body, response.ended, response.reset) == (b"ok", True, None)
    (disconnect,) = peer.driver.on("http.disconnect")
    assert disconnect == {"reply_channel": message["reply_channel"], "path": "/a b"}
    (log,) = peer.driver.logs
    assert (log["path"], log["status"], log["size"]) == ("/a%20b?c=d", 200, 2)
    assert peer.driver.is_over
    assert not peer.driver.closed


def test_requests_are_answered_in_any_order() -> None:
    peer = Peer()
    streams = [peer.request(f"/{number}") for number in range(5)]
    for number in (3, 1, 4, 0, 2):
        peer.reply({**OK, "content": b"%02d" % number}, request=number)
    assert [peer.response(stream).body for stream in streams] == [b"00", b"01", b"02", b"03", b"04"]
    assert len({message["reply_channel"] for message in peer.driver.requests}) == 5


@pytest.mark.parametrize("end", [True, False], ids=["stream is gone", "stream lingers"])
def test_who_streams_to_a_request_that_is_over_is_told(end: bool) -> None:
    peer = Peer(Options(body_chunk_size=10))
    stream = peer.request("/", "POST", end=False)
    peer.send(stream, b"x" * 11, end)
    peer.reply(OK)
    peer.request()
    peer.reply({"content": b"x", "more_content": True}, request=0)
    mirror = peer.driver.requests[0]["reply_channel"].replace("!", "?")
    assert peer.driver.on(mirror) == [{"closed": True}]
    assert (stream in peer.driver.core._streams) is not end  # type: ignore[attr-defined]
    assert peer.response(stream).body == b"ok"


def test_a_response_in_several_messages() -> None:
    peer = Peer()
    stream = peer.request()
    peer.reply({"status": 200, "headers": [[b"X-Name", b" a "]], "more_content": True})
    assert peer.response(stream).get(b"x-name") == b"a"
    assert not peer.response(stream).ended
    peer.reply({"content": b"hello ", "more_content": True}, {"content": b"world"})
    response = peer.response(stream)
    assert (response.body, response.ended) == (b"hello world", True)
    assert response.get(b"content-length") is None


def test_head_and_statuses_without_a_body_have_none() -> None:
    peer = Peer()
    cases: list[tuple[str, int, bytes | None]] = [
        ("HEAD", 200, b"2"), ("GET", 204, None), ("GET", 205, b"0"), ("GET", 304, b"2"),
    ]  # fmt: skip
    for method, status, length in cases:
        stream = peer.request("/", method)
        peer.reply({**OK, "status": status})
        response = peer.response(stream)
        assert (response.status, response.body, response.ended) == (status, b"", True)
        assert response.get(b"content-length") == length
        assert not [one for one in peer.seen if getattr(one, "data", None)]


def test_headers_about_connections_are_left_out() -> None:
    peer = Peer()
    stream = peer.request()
    headers = [
        (b"Connection", b"close, x-other"), (b"Keep-Alive", b"1"), (b"Transfer-Encoding", b"gzip"),
        (b"Upgrade", b"x"), (b"Proxy-Connection", b"y"), (b"X-Kept", b"z"), (b"Server", b"Own"),
        (b"Date", b"never"),
    ]  # fmt: skip
    peer.reply({"status": 200, "headers": headers})
    assert peer.response(stream).headers == [
        (b":status", b"200"), (b"x-kept", b"z"), (b"server", b"Own"), (b"date", b"never"),
    ]  # fmt: skip
    assert not peer.driver.closed


def test_an_invalid_response_is_500_on_its_stream_alone() -> None:
    peer = Peer()
    bad, good = peer.request("/bad"), peer.request("/good")
    peer.reply({"status": 200, "headers": [(b"a", b"b\r\nc: d")]}, request=0)
    peer.reply(OK, request=1)
    assert (peer.response(bad).status, peer.response(good).status) == (500, 200)
    assert b"c: d" not in peer.response(bad).body


def test_a_response_that_breaks_off_is_reset() -> None:
    peer = Peer()
    stream, other = peer.request(), peer.request()
    peer.reply(
        {"status": 200, "content": b"part", "more_content": True}, {"closed": True}, request=0
    )
    assert peer.response(stream).reset == 2  # INTERNAL_ERROR
    peer.reply(OK, request=1)
    assert peer.response(other).body == b"ok"


def test_a_full_queue_is_503_on_that_stream_only() -> None:
    peer = Peer()
    early = peer.request("/early")
    peer.driver.full.add("http.request")
    late = peer.request("/late")
    assert (peer.response(late).status, peer.response(late).ended) == (503, True)
    peer.driver.full.clear()
    peer.reply(OK, request=0)
    assert peer.response(early).status == 200
    assert not peer.driver.closed


def test_an_application_that_is_silent_is_503() -> None:
    peer = Peer(Options(http_timeout=5))
    stream, _ = peer.request(), peer.driver.sleep(3)
    other = peer.request()
    peer.driver.sleep(2.5)
    peer.talk()
    assert (peer.response(stream).status, peer.response(other).status) == (503, 0)
    peer.driver.sleep(3)
    peer.talk()
    assert peer.response(other).status == 503


def test_a_client_that_resets_a_stream_is_told_to_the_application() -> None:
    peer = Peer()
    stream = peer.request("/left")
    peer.h2.reset_stream(stream)
    peer.talk()
    (disconnect,) = peer.driver.on("http.disconnect")
    assert disconnect["path"] == "/left"
    assert [log["status"] for log in peer.driver.logs] == [499]
    assert peer.driver.is_over
    peer.driver.reply(OK)  # too late
    assert peer.talk().response(stream).status == 0


def test_a_lost_connection_is_told_for_each_stream() -> None:
    peer = Peer()
    for number in range(3):
        peer.request(f"/{number}")
    peer.driver.lose()
    assert sorted(one["path"] for one in peer.driver.on("http.disconnect")) == ["/0", "/1", "/2"]
    assert peer.driver.is_over
    peer.driver.sleep(1000)
    assert peer.driver.timers == {}


@pytest.mark.parametrize("name", ["http2_max_streams", "header_total_limit"])
def test_a_limit_larger_than_what_a_setting_can_say_is_announced_as_the_largest(name: str) -> None:
    peer = Peer(Options(**{name: 2**40}))
    peer.request()
    peer.reply(OK)
    settings = peer.h2.remote_settings
    assert 2**32 - 1 in (settings.max_concurrent_streams, settings.max_header_list_size)


def test_more_streams_than_announced_are_refused_and_may_be_sent_again() -> None:
    peer = Peer(Options(http2_max_streams=2))
    assert peer.h2.remote_settings.max_concurrent_streams == 2
    peer.h2.remote_settings.max_concurrent_streams = 10
    peer.h2.remote_settings.acknowledge()
    streams = [peer.request(), peer.request(), peer.request()]
    assert [peer.response(stream).reset for stream in streams] == [None, None, 7]
    assert len(peer.driver.requests) == 2
    peer.reply(OK, request=0)
    peer.reply(OK, request=1)
    again = peer.request()
    peer.reply(OK)
    assert peer.response(again).status == 200


def test_a_shutdown_lets_streams_finish() -> None:
    peer = Peer(Options(drain=0))
    stream = peer.request()
    peer.driver.do(peer.driver.core.shutdown)
    output = peer.driver.output
    assert not peer.driver.closed
    peer.driver.reply(OK)
    assert peer.driver.closed
    assert not peer.driver.aborted
    peer.driver.output, rest = output, peer.driver.output[len(output) :]
    data = peer.driver.take_output() + rest
    # The client's ``h2`` does not take a response after GOAWAY, so the frames are looked at.
    assert data.index(b"\x00\x00\x08\x07") < data.index(b"ok")
    assert stream == 1


def test_a_client_that_is_about_to_ask_may_when_the_server_stops() -> None:
    client = Attacker(Options(drain=5))
    client.driver.do(client.driver.core.shutdown)
    assert client.last(GoAwayFrame).last_stream_id == 2**31 - 1
    client.write(client.headers(request_fields(), "END_STREAM"))
    client.driver.sleep(2.5)
    assert client.last(GoAwayFrame).last_stream_id == 1
    client.write(client.headers(request_fields(), "END_STREAM"))
    assert client.last(RstStreamFrame).stream_id == 3
    assert client.last(RstStreamFrame).error_code == 7  # REFUSED_STREAM
    client.driver.reply(OK)
    assert b"ok" in client.driver.output
    assert client.driver.closed
    assert len(client.driver.requests) == 1


def test_a_second_shutdown_says_nothing_new() -> None:
    client = Attacker(Options(drain=0))
    client.write(client.headers(request_fields(), "END_STREAM"))
    for _ in range(2):
        client.driver.do(client.driver.core.shutdown)
    assert sum(isinstance(frame, GoAwayFrame) for frame in client.frames()) == 1
    assert not client.driver.closed


def test_a_group_send_renders_its_response_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = []

    def render(*args: Any, **kwargs: Any) -> Any:
        rendered.append(args)
        return render_start(*args, **kwargs)

    monkeypatch.setattr(exchange, "render_start", render)
    peer = Peer()
    streams = [peer.request(f"/{number}") for number in range(5)]
    shared: dict[Any, Any] = {}
    for number in range(5):
        peer.driver.reply(OK, number, shared)
    peer.talk()
    assert [peer.response(stream).body for stream in streams] == [b"ok"] * 5
    assert len(rendered) == 1


def test_what_a_core_does_after_the_end_of_its_stream_goes_nowhere() -> None:
    peer = Peer()
    stream_id = peer.request()
    core: Any = peer.driver.core
    stream = core._streams[stream_id]
    peer.reply(OK)

    def late() -> None:
        for operation in (Respond([(b":status", b"200")]), Write(b"late"), Close(), Abort()):
            stream.core.emit(operation)

    peer.driver.do(core._feed, stream, late)
    peer.talk()
    assert (peer.response(stream_id).body, peer.response(stream_id).reset) == (b"ok", None)


def test_a_deadline_that_an_earlier_one_has_made_void_does_not_pass() -> None:
    peer = Peer(Options(write_timeout=10, http_timeout=10))
    peer.driver.do(peer.driver.core.pause_writing)
    stream = peer.request()
    peer.driver.timers = dict.fromkeys(peer.driver.timers, peer.driver.time + 30)
    peer.driver.sleep(40)
    assert peer.driver.aborted
    assert peer.response(stream).status == 0
    assert [log["status"] for log in peer.driver.logs] == [499]


def test_a_shutdown_ends_an_idle_connection() -> None:
    peer = Peer(Options(drain=0))
    peer.driver.do(peer.driver.core.shutdown)
    assert peer.driver.closed
    peer.driver.closed = False
    assert peer.talk().goaway is not None
    assert peer.goaway.error_code == 0
    peer.driver.do(peer.driver.core.shutdown)


def test_an_idle_connection_ends_after_a_while() -> None:
    peer = Peer(Options(keep_alive_timeout=30, header_timeout=5))
    peer.request()
    peer.driver.sleep(20)
    peer.reply(OK)
    peer.driver.sleep(29)
    assert not peer.driver.closed
    peer.driver.sleep(2)
    assert peer.driver.closed


def test_a_connection_without_any_request_ends_sooner() -> None:
    peer = Peer(Options(keep_alive_timeout=30, header_timeout=5))
    peer.driver.sleep(6)
    assert peer.driver.closed


def messages(peer: Peer) -> list[Any]:
    return peer.driver.requests
