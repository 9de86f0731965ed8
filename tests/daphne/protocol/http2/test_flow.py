"""Bodies in both directions: windows, credit, who waits for whom, and for how long."""

import pytest
from h2.settings import SettingCodes

from channels.spec import RESPONSE_WINDOW, http_response_chunk
from daphne.options import Options
from daphne.protocol.http2.settings import STREAM_WINDOW
from tests.daphne.protocol.http2.peers import OK, Attacker, Peer, request_fields

START = {"status": 200, "more_content": True}
CHUNKS = "http.request.body?x1"


def body_of(peer: Peer, request: int = -1) -> bytes:
    """What the layer has of a request's body."""
    chunks = b"".join(chunk.get("content", b"") for chunk in peer.driver.on(CHUNKS))
    return bytes(peer.driver.requests[request]["body"]) + chunks


# -- uploads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [True, False])
def test_a_small_body_travels_in_the_request(length: bool) -> None:
    peer = Peer()
    more = [(b"content-length", b"5")] if length else []
    stream = peer.request("/", "POST", *more, end=False)
    peer.send(stream, b"he").send(stream, b"llo", end=True)
    (message,) = peer.driver.requests
    assert (message["body"], "body_channel" in message) == (b"hello", False)
    peer.reply(OK)
    assert peer.response(stream).status == 200


def test_a_body_that_turns_out_to_be_empty() -> None:
    peer = Peer()
    stream = peer.request("/", "POST", end=False)
    assert peer.driver.requests == []
    peer.h2.end_stream(stream)
    peer.talk()
    assert peer.driver.requests[0]["body"] == b""


def test_a_large_body_goes_by_a_channel_and_the_window_is_given_back() -> None:
    peer = Peer()
    body = bytes(range(256)) * 8192  # 2 MiB
    stream = peer.request("/", "POST", (b"content-length", b"%d" % len(body)), end=False)
    peer.send(stream, body, end=True)
    assert body_of(peer) == body
    assert peer.driver.on(CHUNKS)[-1]["more_content"] is False


def test_a_slow_worker_stops_its_own_upload_and_no_other() -> None:
    peer = Peer(Options(body_chunk_size=64 * 1024))
    slow, fast = peer.request("/slow", "POST", end=False), 0
    peer.driver.full.add(CHUNKS)
    sent = 0
    while (room := min(16384, peer.window(slow))) > 0 and sent < 10_000_000:
        peer.send(slow, b"s" * room)
        sent += room
    assert STREAM_WINDOW <= sent <= 2 * STREAM_WINDOW + 128 * 1024
    fast = peer.request("/fast", "POST", end=False)
    for _ in range(3):  # the chunks of this one have room; the connection's window is open
        peer.send(fast, b"f" * 16384)
    peer.send(fast, b"", end=True)
    peer.h2.end_stream(fast)
    peer.talk()
    assert peer.driver.requests[-1]["path"] == "/fast"
    assert len(peer.driver.requests[-1]["body"]) == 3 * 16384
    assert peer.window(slow) == 0
    while peer.driver.waiting:
        peer.driver.room()
    peer.talk()
    assert peer.window(slow) > 0
    peer.send(slow, b"!", end=True)
    while peer.driver.waiting:
        peer.driver.room()
    assert len(body_of(peer, 0)) == sent + 1


def test_body_limits_count_data_as_received() -> None:
    peer = Peer(Options(max_body=10))
    stream = peer.request("/", "POST", end=False)
    peer.send(stream, b"12345678").send(stream, b"901")
    response = peer.response(stream)
    assert (response.status, response.ended, response.reset) == (413, True, None)
    announced = peer.request("/", "POST", (b"content-length", b"11"), end=False)
    assert peer.response(announced).status == 413
    assert peer.driver.requests == []
    peer.h2.get_next_available_stream_id()
    fine = peer.request("/", "POST", end=False)
    peer.send(fine, b"1234567890", end=True)
    assert peer.driver.requests[0]["body"] == b"1234567890"


def test_a_body_that_nobody_wants_may_come_to_its_end() -> None:
    peer = Peer(Options(max_body=10))
    stream = peer.request("/", "POST", (b"content-length", b"1000000"), end=False)
    peer.send(stream, b"x" * 1_000_000, end=True)
    assert (peer.response(stream).status, peer.response(stream).reset) == (413, None)
    peer.driver.sleep(5)
    peer.talk()
    assert peer.response(stream).reset is None
    assert len(peer.driver.core._streams) == 0  # type: ignore[attr-defined]


def test_a_last_part_that_is_too_much_is_413_with_and_without_a_page() -> None:
    for method in ("POST", "HEAD"):
        peer = Peer(Options(max_body=10))
        stream = peer.request("/", method, end=False)
        peer.send(stream, b"12345678901", end=True)
        response = peer.response(stream)
        assert (response.status, response.ended, response.reset) == (413, True, None)


def test_a_client_that_is_told_to_continue() -> None:
    peer = Peer()
    stream = peer.request("/", "POST", (b"expect", b"100-continue"), end=False)
    assert peer.response(stream).interim == [[(b":status", b"100")]]
    peer.send(stream, b"body", end=True).reply(OK)
    assert (peer.driver.requests[0]["body"], peer.response(stream).status) == (b"body", 200)
    other = peer.request("/", "POST", (b"expect", b"a miracle"), end=False)
    assert peer.response(other).status == 417


def test_a_body_that_comes_too_slowly_is_408_on_its_stream() -> None:
    peer = Peer(Options(body_grace=5, body_min_rate=100))
    stream, fast = peer.request("/", "POST", end=False), peer.request()
    peer.send(stream, b"x")
    peer.driver.sleep(6)
    peer.talk()
    assert peer.response(stream).status == 408
    assert peer.response(fast).status == 0


def test_an_upload_that_is_given_up_is_told_to_who_reads_it() -> None:
    peer = Peer(Options(body_chunk_size=1000))
    stream = peer.request("/", "POST", end=False)
    peer.send(stream, b"x" * 2000)
    peer.h2.reset_stream(stream)
    peer.talk()
    assert peer.driver.on(CHUNKS)[-1] == {"closed": True}
    assert len(peer.driver.on("http.disconnect")) == 1


def test_an_answer_before_the_end_of_the_body_ends_the_stream() -> None:
    peer = Peer(Options(body_chunk_size=1000))
    stream = peer.request("/", "POST", end=False)
    peer.send(stream, b"x" * 2000).reply(OK)
    response = peer.response(stream)
    assert (response.status, response.body, response.ended) == (200, b"ok", True)
    peer.send(stream, b"x" * 1_000_000)  # is read and ignored, for a moment
    assert response.reset is None
    peer.driver.sleep(2.5)
    peer.talk()
    assert response.reset == 0
    other = peer.request()
    peer.reply(OK)
    assert peer.response(other).status == 200


def test_what_comes_for_streams_that_are_over_is_given_back_too() -> None:
    client = Attacker(Options(max_body=10))
    for _ in range(100):  # 1.6 MB, more than the connection's window
        head = client.headers(request_fields("/", "POST"))
        client.write(head, client.data(head.stream_id, b"x" * 16384))
    assert not client.driver.closed
    assert {log["status"] for log in client.driver.logs} == {413}


# -- downloads ------------------------------------------------------------------------------------


def test_one_slow_stream_does_not_stop_others() -> None:
    peer = Peer(settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    peer.reads = False
    streams = [peer.request(f"/{number}") for number in range(3)]
    for number in range(3):
        peer.reply({"status": 200, "content": b"%d" % number * 3000}, request=number)
    assert [len(peer.response(stream).body) for stream in streams] == [1000, 1000, 1000]
    peer.h2.increment_flow_control_window(5000, streams[1])
    peer.talk()
    assert [len(peer.response(stream).body) for stream in streams] == [1000, 3000, 1000]
    assert peer.response(streams[1]).ended


def test_a_window_that_is_opened_by_settings_or_for_the_connection() -> None:
    peer = Peer(settings={SettingCodes.INITIAL_WINDOW_SIZE: 100})
    peer.reads = False
    stream = peer.request()
    peer.reply({"status": 200, "content": b"x" * 70_000})
    assert len(peer.response(stream).body) == 100
    peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100_000})
    peer.talk()
    assert len(peer.response(stream).body) == 65535
    peer.h2.increment_flow_control_window(10_000)
    peer.talk()
    assert (len(peer.response(stream).body), peer.response(stream).ended) == (70_000, True)


def test_streams_take_turns_frame_by_frame() -> None:
    peer = Peer(settings={SettingCodes.INITIAL_WINDOW_SIZE: 2**20})
    peer.h2.increment_flow_control_window(2**24)
    big, small = peer.request("/big"), peer.request("/small")
    peer.drains = False
    peer.reply({"status": 200, "content": b"b" * 1_000_000}, request=0)
    first = len(peer.response(big).body)
    assert first <= 160 * 1024  # what is on its way; the rest does not stand before others
    peer.reply({"status": 200, "content": b"s" * 100_000}, request=1)
    peer.drains = True
    peer.driver.do(peer.driver.core.drained, first)
    peer.talk()
    order = [event.stream_id for event in peer.seen if type(event).__name__ == "DataReceived"]
    middle = order[order.index(small) : order.index(small) + 12]
    assert middle.count(small) == middle.count(big) == 6
    assert (len(peer.response(big).body), len(peer.response(small).body)) == (1_000_000, 100_000)


def test_a_stream_that_is_reset_before_its_turn_has_none() -> None:
    peer = Peer(settings={SettingCodes.INITIAL_WINDOW_SIZE: 2**20})
    peer.h2.increment_flow_control_window(2**24)
    big, small = peer.request("/big"), peer.request("/small")
    peer.drains = False
    peer.reply({"status": 200, "content": b"b" * 1_000_000}, request=0)
    peer.reply({"status": 200, "content": b"s" * 100_000}, request=1)
    peer.h2.reset_stream(small)
    peer.talk()
    peer.drains = True
    peer.driver.do(peer.driver.core.drained, len(peer.response(big).body))
    peer.talk()
    assert len(peer.response(big).body) == 1_000_000
    assert peer.response(small).body == b"" and not peer.driver.core._ready  # type: ignore[attr-defined]


def test_a_slow_client_bounds_what_its_worker_sends_by_credit() -> None:
    peer = Peer()
    peer.reads = False
    stream = peer.request()
    peer.reply(START)
    channel = peer.driver.requests[0]["reply_channel"].replace("!", "?")
    for _ in range(4):
        peer.reply({"content": b"x" * (RESPONSE_WINDOW // 4), "more_content": True})
    assert sum(credit.get("bytes", 0) for credit in peer.driver.on(channel)) == 0
    assert len(peer.response(stream).body) == 65535
    peer.reads = True
    peer.h2.increment_flow_control_window(2**22, stream)
    peer.h2.increment_flow_control_window(2**22)
    peer.talk()
    assert len(peer.response(stream).body) == RESPONSE_WINDOW
    given = sum(credit.get("bytes", 0) for credit in peer.driver.on(channel))
    assert RESPONSE_WINDOW * 3 / 4 <= given <= RESPONSE_WINDOW  # in steps of a quarter
    peer.reply(dict(http_response_chunk(b"end")))
    assert peer.response(stream).ended


def test_a_client_that_takes_nothing_of_a_stream_loses_that_stream() -> None:
    peer = Peer(Options(write_timeout=10, http_timeout=100, keep_alive_timeout=None))
    peer.reads = False
    streamed, whole, other = peer.request("/a"), peer.request("/b"), peer.request("/c")
    peer.h2.increment_flow_control_window(2**20)
    peer.reply(START, {"content": b"x" * 100_000, "more_content": True}, request=0)
    peer.reply({"status": 200, "content": b"y" * 100_000}, request=1)
    peer.driver.sleep(9)
    peer.h2.increment_flow_control_window(1000, whole)
    peer.talk()
    peer.driver.sleep(2)
    peer.talk()
    assert (peer.response(streamed).reset, peer.response(whole).reset) == (2, None)
    peer.driver.sleep(9)
    peer.talk()
    assert peer.response(whole).reset == 8
    peer.reply(OK, request=2)
    assert peer.response(other).status == 200
    assert not peer.driver.closed


def test_a_client_without_any_time_limit_may_take_its_time() -> None:
    peer = Peer(Options(write_timeout=None, http_timeout=None))
    peer.reads = False
    stream = peer.request()
    peer.reply({"status": 200, "content": b"x" * 100_000})
    peer.driver.do(peer.driver.core.pause_writing)
    peer.driver.sleep(10_000)
    peer.driver.do(peer.driver.core.resume_writing)
    peer.h2.increment_flow_control_window(100_000)
    peer.h2.increment_flow_control_window(100_000, stream)
    peer.talk()
    assert peer.response(stream).ended


def test_a_transport_that_takes_nothing_is_dropped() -> None:
    peer = Peer(Options(write_timeout=10))
    peer.request()
    peer.drains = False
    peer.driver.do(peer.driver.core.pause_writing)
    peer.driver.sleep(9)
    peer.driver.do(peer.driver.core.drained, 1)
    peer.driver.sleep(9)
    assert not peer.driver.closed
    peer.driver.do(peer.driver.core.resume_writing)
    peer.driver.sleep(20)
    assert not peer.driver.closed
    peer.driver.do(peer.driver.core.pause_writing)
    peer.driver.sleep(11)
    assert peer.driver.aborted
    assert len(peer.driver.on("http.disconnect")) == 1


def test_what_waits_for_one_connection_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer(Options(http2_write_limit=1_000_000))
    peer.reads = False
    streams = [peer.request(f"/{number}") for number in range(4)]
    for number, size in enumerate((300_000, 500_000, 200_000, 100_000)):
        peer.reply({"status": 200, "content": b"x" * size}, request=number)
    assert [peer.response(stream).reset for stream in streams] == [None, 8, None, None]
    assert "http2_write_limit" in caplog.text


def test_a_stream_that_is_reset_frees_what_waited_for_it() -> None:
    peer = Peer(Options(http2_write_limit=1_000_000))
    peer.reads = False
    for _ in range(10):
        stream = peer.request()
        peer.reply({"status": 200, "content": b"x" * 900_000})
        peer.h2.reset_stream(stream)
        peer.talk()
    assert peer.driver.core._buffered == 0  # type: ignore[attr-defined]
    assert not peer.driver.core._waiting  # type: ignore[attr-defined]


# -- the end of input -----------------------------------------------------------------------------


def test_a_client_that_closes_its_side_is_answered_for_a_moment() -> None:
    peer = Peer(Options(half_close_grace=1))
    quick, slow = peer.request("/quick"), peer.request("/slow")
    upload = peer.request("/upload", "POST", end=False)
    peer.driver.do(peer.driver.core.receive_eof)
    peer.reply(OK, request=0)
    assert (peer.response(quick).status, peer.response(slow).status) == (200, 0)
    assert not peer.driver.closed
    peer.driver.sleep(1.5)
    assert peer.driver.closed
    assert sorted(log["status"] for log in peer.driver.logs) == [200, 499, 499]
    assert peer.response(upload).reset == 8
    peer.driver.do(peer.driver.core.receive_eof)
    peer.driver.do(peer.driver.core.receive_data, b"x")


def test_a_client_that_closes_its_side_without_a_stream_is_closed() -> None:
    peer = Peer()
    peer.driver.do(peer.driver.core.receive_eof)
    assert peer.driver.closed


def test_a_client_that_says_goaway_gets_its_responses() -> None:
    peer = Peer()
    stream = peer.request()
    out = peer.h2.data_to_send()
    goaway = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + b"\x00" * 8
    peer.driver.feed(out + goaway)
    assert not peer.driver.closed
    peer.driver.closed = False
    peer.driver.reply(OK)
    assert peer.driver.closed
    peer.driver.closed = False
    assert peer.talk().response(stream).body == b"ok"


def test_a_client_that_has_closed_its_side_is_not_waited_for_where_its_window_is_shut() -> None:
    peer = Peer(settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    peer.reads = False
    early, late, small = peer.request("/early"), peer.request("/late"), peer.request("/small")
    peer.reply({"status": 200, "content": b"x" * 1001}, request=0)
    peer.driver.do(peer.driver.core.receive_eof)
    peer.reply({"status": 200, "content": b"x" * 1001}, request=1)
    peer.talk()
    assert [peer.response(stream).reset for stream in (early, late)] == [8, 8]
    assert not peer.driver.closed
    peer.reply(OK, request=2)
    assert peer.response(small).body == b"ok"
    assert peer.driver.closed
