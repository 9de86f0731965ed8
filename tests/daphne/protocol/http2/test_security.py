"""Each row of the table "HTTP/2" of the security requirements, against the core alone."""

import logging
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterable

import pytest
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from daphne.options import Options
from tests.daphne.protocol.http2.peers import OK, Attacker, Fields, Peer, request_fields

CALM, PROTOCOL_ERROR, FRAME_SIZE, FLOW = 11, 1, 6, 3


def reset_of(stream_id: int) -> RstStreamFrame:
    frame = RstStreamFrame(stream_id)
    frame.error_code = 8
    return frame


def ended_with(client: Attacker) -> int:
    """The error code with which the connection was closed."""
    assert client.driver.closed
    assert client.driver.is_over
    return int(client.last(GoAwayFrame).error_code)


# -- rapid reset (CVE-2023-44487) -----------------------------------------------------------------


def test_rapid_reset_ends_in_goaway_within_a_bounded_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = Attacker(Options(http2_max_resets=50))
    for _ in range(3000):
        head = client.headers(request_fields(), "END_STREAM")
        client.write(head, reset_of(head.stream_id))
    assert ended_with(client) == CALM
    assert len(client.driver.requests) == 51
    replies = [one["reply_channel"] for one in client.driver.requests]
    assert [one["reply_channel"] for one in client.driver.on("http.disconnect")] == replies
    assert "http2_max_resets" in caplog.text


def test_rapid_reset_in_one_read_is_bounded_as_well() -> None:
    client = Attacker(Options(http2_max_resets=50))
    frames: list[Frame] = []
    for _ in range(3000):
        head = client.headers(request_fields(), "END_STREAM")
        frames += [head, reset_of(head.stream_id)]
    client.write(*frames)
    assert ended_with(client) == CALM
    assert len(client.driver.requests) == len(client.driver.on("http.disconnect")) == 51


def test_rapid_reset_provoked_by_mistakes_of_flow_control_is_the_same() -> None:
    client = Attacker(Options(http2_max_resets=50))
    for _ in range(300):
        head = client.headers(request_fields(), "END_STREAM")
        window = WindowUpdateFrame(head.stream_id)
        window.window_increment = 2**31 - 1
        client.write(head, window)
    assert ended_with(client) == CALM
    assert len(client.driver.requests) == len(client.driver.on("http.disconnect")) == 51


@pytest.mark.parametrize("again", ["data", "headers"])
def test_rapid_reset_provoked_by_frames_after_the_end_is_the_same(again: str) -> None:
    client = Attacker(Options(http2_max_resets=50))
    for _ in range(300):
        head = client.headers(request_fields(), "END_STREAM")
        more: Frame = client.data(head.stream_id, b"x")
        if again == "headers":
            more = client.headers([(b"x", b"y")], "END_STREAM", stream_id=head.stream_id)
        client.write(head, more)
    assert ended_with(client) == CALM
    assert len(client.driver.requests) == len(client.driver.on("http.disconnect")) == 51


def test_rapid_reset_provoked_by_wrong_trailers_is_the_same() -> None:
    client = Attacker(Options(http2_max_resets=50))
    for _ in range(300):
        head = client.headers(request_fields("/", "POST"))
        trailers = client.headers([(b":path", b"/")], "END_STREAM", stream_id=head.stream_id)
        client.write(head, trailers)
    assert ended_with(client) == CALM


def test_rapid_reset_beyond_the_limit_of_streams_is_the_same() -> None:
    client = Attacker(Options(http2_max_streams=1, http2_max_resets=50))
    for _ in range(300):
        client.write(client.headers(request_fields(), "END_STREAM"))
    assert ended_with(client) == CALM
    assert len(client.driver.requests) == 1


def test_a_page_that_is_left_now_and_then_is_no_rapid_reset() -> None:
    client = Attacker()
    for _ in range(6):
        heads = [client.headers(request_fields(), "END_STREAM") for _ in range(100)]
        client.write(*heads, *[reset_of(head.stream_id) for head in heads])
        client.driver.sleep(5)
    assert not client.driver.closed


# -- floods (CVE-2019-9512, -9514, -9515, -9518) --------------------------------------------------


def priority(stream_id: int = 1) -> PriorityFrame:
    frame = PriorityFrame(stream_id)
    frame.depends_on, frame.stream_weight, frame.exclusive = 0, 15, False
    return frame


def window(increment: int = 1) -> WindowUpdateFrame:
    frame = WindowUpdateFrame(0)
    frame.window_increment = increment
    return frame


def padded() -> DataFrame:
    frame = DataFrame(1, flags=["PADDED"])
    frame.pad_length, frame.data = 10, b""
    return frame


FLOODS: dict[str, Callable[[], Frame | bytes]] = {
    "ping": lambda: PingFrame(0, b"12345678"),
    "ping answers": lambda: PingFrame(0, b"12345678", flags=["ACK"]),
    "settings": lambda: SettingsFrame(0),
    "settings answers": lambda: SettingsFrame(0, flags=["ACK"]),
    "reset": lambda: reset_of(1),
    "priority": lambda: priority(),
    "window": lambda: window(),
    "empty data": lambda: DataFrame(1),
    "padding": padded,
    "unknown": lambda: b"\x00\x00\x00\xbb\x00\x00\x00\x00\x00",
}


@pytest.mark.parametrize("kind", FLOODS)
def test_floods_take_bounded_buffers_and_close_the_connection(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = Attacker(Options(http2_max_control_frames=200))
    client.write(client.headers(request_fields("/", "POST")))
    flood = FLOODS[kind]()
    data = flood if isinstance(flood, bytes) else flood.serialize()
    client.write_bytes(data * 5000)
    assert ended_with(client) == CALM
    assert len(client.driver.output) < 220 * 17 + 200
    assert "http2_max_control_frames" in caplog.text


def test_floods_of_what_is_never_read_stop_the_reading() -> None:
    peer = Peer(Options(http2_max_control_frames=100_000))
    peer.drains = False
    pings = PingFrame(0, b"12345678").serialize() * 250
    for _ in range(100):
        peer.driver.feed(pings)
        if not peer.driver.reading:
            break
    assert not peer.driver.reading
    assert len(peer.driver.output) < 300_000
    peer.driver.do(peer.driver.core.drained, len(peer.driver.output))
    assert peer.driver.reading


@pytest.mark.parametrize("size", [0, 1, 16384])
def test_floods_of_continuation_close_the_connection(size: int) -> None:
    client = Attacker()
    head = HeadersFrame(1)
    head.data = client.encoder.encode(request_fields())
    more = ContinuationFrame(1)
    more.data = b"\x00" * size
    client.write(head)
    tracemalloc.start()
    for _ in range(200):
        client.write(more)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ended_with(client) == CALM
    assert peak < 1_000_000
    assert client.driver.requests == []


def test_floods_of_continuation_that_drip_are_ended_in_time() -> None:
    client = Attacker(Options(header_timeout=10, http_timeout=None))
    client.write(client.headers(request_fields(), "END_STREAM"))
    head = HeadersFrame(3)
    head.data = client.encoder.encode(request_fields())
    client.write(head)
    client.driver.sleep(6)
    client.write(ContinuationFrame(3))
    assert not client.driver.closed
    client.driver.sleep(6)
    assert ended_with(client) == CALM


def test_a_long_frame_is_refused_before_it_comes() -> None:
    client = Attacker()
    client.write_bytes(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01")
    assert ended_with(client) == FRAME_SIZE


def settings(codes: Iterable[int]) -> bytes:
    """A SETTINGS frame, since hyperframe cuts the codes off."""
    payload = b"".join(struct.pack("!HL", code, 1) for code in codes)
    return len(payload).to_bytes(3) + b"\x04\x00" + bytes(4) + payload


def test_at_most_one_frame_waits_for_its_rest() -> None:
    client = Attacker()
    core = client.driver.core
    whole = PingFrame(0, b"12345678").serialize() * 100
    for start in range(0, len(whole), 10):
        client.write_bytes(whole[start : start + 10])
        assert len(core._splitter) < 17  # type: ignore[attr-defined]
    assert len(core._splitter) == 0  # type: ignore[attr-defined]


def test_settings_that_nobody_knows_are_not_kept() -> None:
    client = Attacker(Options(header_timeout=None, keep_alive_timeout=None))
    tracemalloc.start()
    for base in range(0x100, 0x4000, 32):
        client.write_bytes(settings(range(base, base + 32)))
        client.driver.output = b""
        client.driver.sleep(1)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000
    assert not client.driver.closed
    assert ended_with(client.write_bytes(settings(range(0x100, 0x200)))) == CALM


def test_a_huge_table_of_header_fields_is_not_built_for_a_client() -> None:
    peer = Peer(settings={SettingCodes.HEADER_TABLE_SIZE: 2**31})
    peer.request()
    for number in range(100):
        peer.request()
        peer.reply({"status": 200, "headers": [(b"x-%d" % number, b"y" * 1000)]})
    encoder = peer.driver.core._h2.encoder  # type: ignore[attr-defined]
    assert encoder.header_table._current_size <= 4096


# -- HPACK bomb (CVE-2016-6581) -------------------------------------------------------------------


def test_hpack_bomb_takes_bounded_memory_and_closes_the_connection() -> None:
    client = Attacker()
    big = (b"x-bomb", b"b" * 3900)
    first = client.headers([*request_fields(), big], "END_STREAM")
    client.write(first)
    assert len(client.driver.requests) == 1
    bomb = client.headers([*request_fields(), *[big] * 16_000], "END_STREAM")
    assert len(bomb.data) < 16_384
    tracemalloc.start()
    client.write(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ended_with(client) == CALM
    assert peak < 1_000_000
    assert len(client.driver.requests) == 1


@pytest.mark.parametrize(
    ("more", "option"),
    [
        ([(b"x-%d" % number, b"") for number in range(129)], "max_headers"),
        ([(b"x", b"y" * 8200)], "header_line_limit"),
        ([(b"x-%d" % number, b"y" * 8000) for number in range(9)], "header_total_limit"),
    ],
    ids=["many", "long", "together"],
)
def test_hpack_bombs_that_are_small_are_431_on_their_stream(
    more: Fields, option: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer = Peer()
    stream = peer.send_fields([*request_fields(), *more])
    assert (peer.response(stream).status, peer.response(stream).ended) == (431, True)
    assert option in caplog.text
    fine = peer.request()
    peer.reply(OK)
    assert peer.response(fine).status == 200


def test_header_limits_count_the_crumbs_of_cookies_as_one_and_join_them_in_linear_time() -> None:
    peer = Peer()
    crumbs = [(b"cookie", b"a%d=b" % number) for number in range(500)]
    peer.send_fields([*request_fields(), *crumbs])
    (message,) = peer.driver.requests
    assert message["headers"][1] == (b"cookie", b"; ".join(value for _, value in crumbs))

    def seconds(count: int) -> float:
        start = time.process_time()
        Peer().send_fields([*request_fields(), *[(b"cookie", b"a=b")] * count])
        return time.process_time() - start

    assert min(seconds(2000) for _ in range(3)) < 20 * min(seconds(200) for _ in range(3)) + 0.05


# -- header smuggling (CVE-2025-57804) ------------------------------------------------------------

GOOD = dict(request_fields())


def changed(**pseudo: bytes | None) -> Fields:
    """The fields of a request with pseudo-header fields replaced or left out."""
    fields = {**GOOD, **{b":" + name.encode(): value for name, value in pseudo.items()}}
    return [(name, value) for name, value in fields.items() if value is not None]


def plus(*fields: tuple[bytes, bytes]) -> Fields:
    return [*request_fields(), *fields]


SMUGGLED: dict[str, Fields] = {
    **{f"name {byte:#x}": plus((b"x%cy" % byte, b"z")) for byte in (0, 9, 10, 13, 32, 58, 65, 127)},
    **{f"name {byte:#x}": plus((b"x%cy" % byte, b"z")) for byte in (0x28, 0x80, 0xFF)},
    **{
        f"value {byte:#x}": plus((b"x", b"a%cb" % byte))
        for byte in [*range(9), *range(10, 32), 127]
    },
    **{f"end {byte:#x}": plus((b"x", b"a%c" % byte)) for byte in (0, 9, 10, 13, 32)},
    **{f"cookie {byte:#x}": plus((b"cookie", b"a=%c" % byte)) for byte in (0, 10, 13)},
    "empty name": plus((b"", b"x")),
    "upper case": plus((b"X-Upper", b"x")),
    "connection": plus((b"connection", b"close")),
    "keep-alive": plus((b"keep-alive", b"1")),
    "proxy-connection": plus((b"proxy-connection", b"close")),
    "transfer-encoding": plus((b"transfer-encoding", b"chunked")),
    "upgrade": plus((b"upgrade", b"h2c")),
    "te": plus((b"te", b"gzip")),
    "root path": plus((b"daphne-root-path", b"/a\r\nb")),
    "no method": changed(method=None),
    "lower method": changed(method=b"get"),
    "method with crlf": changed(method=b"GET / HTTP/1.1\r\nX: y"),
    "no scheme": changed(scheme=None),
    "scheme": changed(scheme=b"http://evil/"),
    "no path": changed(path=None),
    "empty path": changed(path=b""),
    "path with blank": changed(path=b"/a HTTP/1.1"),
    "path with crlf": changed(path=b"/a\r\nX: y"),
    "path with fragment": changed(path=b"/a#b"),
    "path with high byte": changed(path=b"/\xe4"),
    "relative path": changed(path=b"a"),
    "asterisk": changed(path=b"*"),
    "no host": changed(authority=None),
    "user": changed(authority=b"a@b"),
    "host with crlf": changed(authority=b"a\r\nb"),
    "two hosts": plus((b"host", b"other")),
    "host twice": plus((b"host", b"example.com"), (b"host", b"example.com")),
    "status": [(b":status", b"200"), *request_fields()],
    "unknown pseudo": [*request_fields(), (b":other", b"x")],
    "method twice": [*request_fields(), (b":method", b"GET")],
    "pseudo after field": [*request_fields()[1:], (b"x", b"y"), (b":method", b"GET")],
    "pseudo after cookie": [*request_fields()[1:], (b"cookie", b"y"), (b":method", b"GET")],
    "protocol": [*request_fields(), (b":protocol", b"websocket")],
    "length": plus((b"content-length", b"1")),
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_header_smuggling_is_refused_on_its_stream(name: str) -> None:
    client = Attacker()
    head = client.headers(SMUGGLED[name], "END_STREAM")
    client.write(head)
    assert client.driver.requests == []
    answer = client.last(HeadersFrame)
    assert answer.stream_id == head.stream_id
    assert [log["status"] for log in client.driver.logs] == [400]
    client.write(client.headers(request_fields(), "END_STREAM"))
    assert len(client.driver.requests) == 1
    assert not client.driver.closed


@pytest.mark.parametrize("length", [b"+1", b"0x1", b"1,1", b"", b"1 ", b"-1"])
def test_header_smuggling_by_a_malformed_length_is_refused(length: bytes) -> None:
    client = Attacker()
    client.write(client.headers(plus((b"content-length", length)), "END_STREAM"))
    assert client.driver.requests == []
    client = Attacker()
    client.write(client.headers(plus(*[(b"content-length", b"1"), (b"content-length", b"2")])))
    assert client.driver.requests == []
    client = Attacker()
    client.write(client.headers(plus(*[(b"content-length", b"1")] * 2)))
    assert client.driver.requests == []
    assert [log["status"] for log in client.driver.logs] == [400]


def test_header_smuggling_by_a_wrong_length_is_no_request() -> None:
    for body in ([b"123456"], [b"1234"], [b"123", b"456"]):
        client = Attacker()
        head = client.headers(request_fields("/", "POST", (b"content-length", b"5")))
        frames = [client.data(1, part) for part in body]
        frames[-1].flags.add("END_STREAM")
        client.write(head, *frames)
        assert client.driver.requests == []
        assert [log["status"] for log in client.driver.logs] == [400]
        client.write(client.headers(request_fields(), "END_STREAM"))
        assert len(client.driver.requests) == 1


def test_header_smuggling_by_an_understated_length_is_found_at_once() -> None:
    peer = Peer(Options(body_chunk_size=10))
    stream = peer.request("/", "POST", (b"content-length", b"20"), end=False)
    peer.send(stream, b"x" * 21)
    assert peer.response(stream).status == 400
    assert peer.driver.on("http.request.body?x1")[-1] == {"closed": True}


def test_header_smuggling_by_a_short_body_with_trailers_is_no_request() -> None:
    client = Attacker()
    head = client.headers(request_fields("/", "POST", (b"content-length", b"5")))
    trailers = client.headers([(b"x", b"y")], "END_STREAM", stream_id=1)
    client.write(head, client.data(1, b"123"), trailers)
    assert client.driver.requests == []
    assert [log["status"] for log in client.driver.logs] == [400]


@pytest.mark.parametrize(
    "trailer", [(b":path", b"/"), (b"X", b"y"), (b"x", b"a\nb"), (b"connection", b"close")]
)
def test_header_smuggling_by_trailers_resets_the_stream(trailer: tuple[bytes, bytes]) -> None:
    client = Attacker()
    head = client.headers(request_fields("/", "POST"))
    client.write(head, client.data(1, b"12"))
    client.write(client.headers([trailer], "END_STREAM", stream_id=1))
    assert client.driver.requests == []
    assert client.last(RstStreamFrame).error_code == PROTOCOL_ERROR
    assert not client.driver.closed


def test_trailers_are_limited_and_dropped() -> None:
    peer = Peer(Options(max_headers=2))
    stream = peer.request("/", "POST", end=False)
    peer.send(stream, b"body")
    peer.h2.send_headers(stream, [(b"x-sum", b"1"), (b"x-sum", b"2")], end_stream=True)
    peer.talk().reply(OK)
    assert peer.driver.requests[0]["body"] == b"body"
    stream = peer.request("/", "POST", end=False)
    peer.h2.send_headers(stream, [(b"x-sum", b"1")] * 3, end_stream=True)
    peer.talk()
    assert peer.response(stream).reset == PROTOCOL_ERROR


def test_connect_is_refused_and_so_are_protocols_but_websocket() -> None:
    peer = Peer()
    plain = peer.send_fields([(b":method", b"CONNECT"), (b":authority", b"example.com")])
    assert peer.response(plain).status == 405
    other = peer.send_fields([*changed(method=b"CONNECT"), (b":protocol", b"connect-udp")])
    assert peer.response(other).status == 501
    assert peer.driver.requests == []


def test_a_target_that_is_too_long_is_414() -> None:
    peer = Peer()
    assert peer.response(peer.request("/" + "a" * 8200)).status == 414


# -- what h2 refuses, or leaves to us -------------------------------------------------------------


def promise() -> Frame:
    frame = PushPromiseFrame(1, flags=["END_HEADERS"])
    frame.promised_stream_id, frame.data = 2, b""
    return frame


BROKEN: dict[str, tuple[Iterable[Frame | bytes], int]] = {
    "push": ([promise()], PROTOCOL_ERROR),
    "settings of a stream": ([b"\x00\x00\x00\x04\x00\x00\x00\x00\x01"], PROTOCOL_ERROR),
    "settings of odd length": ([b"\x00\x00\x01\x04\x00\x00\x00\x00\x00x"], FRAME_SIZE),
    "data without stream": ([DataFrame(1)], PROTOCOL_ERROR),
    "even stream": ([b"\x00\x00\x01\x01\x05\x00\x00\x00\x02\x82"], PROTOCOL_ERROR),
    "window": ([window(2**31 - 1)], FLOW),
    "hpack": ([b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\xff"], PROTOCOL_ERROR),
    "lone continuation": ([ContinuationFrame(1)], PROTOCOL_ERROR),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_the_protocol_ends_the_connection(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    frames, code = BROKEN[name]
    client = Attacker()
    for frame in frames:
        client.write_bytes(frame if isinstance(frame, bytes) else frame.serialize())
    assert ended_with(client) == code
    assert sum(isinstance(frame, GoAwayFrame) for frame in client.frames()) == 1
    assert "HTTP/2 with 192.0.2.1:4711 ends" in caplog.text


def test_what_came_before_a_broken_frame_counts_also_in_the_same_read() -> None:
    client = Attacker()
    head = client.headers(request_fields("/before"), "END_STREAM")
    client.write(head, promise())
    assert [one["path"] for one in client.driver.requests] == ["/before"]
    assert [one["path"] for one in client.driver.on("http.disconnect")] == ["/before"]


def test_a_stream_sends_no_more_than_its_window() -> None:
    client = Attacker()
    client.driver.slow_layer = True
    client.write(client.headers(request_fields("/", "POST")))
    for _ in range(100):
        client.write(client.data(1, b"x" * 16384))
    assert ended_with(client) == FLOW


def test_the_first_frame_must_be_settings() -> None:
    client = Attacker()
    for first in (PingFrame(0, b"12345678"), SettingsFrame(0, flags=["ACK"])):
        fresh = Attacker.__new__(Attacker)
        fresh.driver = type(client.driver)(None, type(client.driver.core))
        fresh.driver.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + first.serialize())
        assert ended_with(fresh) == PROTOCOL_ERROR


def test_another_preface_is_refused() -> None:
    client = Attacker()
    driver = type(client.driver)(None, type(client.driver.core))
    driver.feed(b"PRI * HTTP/2.0\r\n\r\nXX")
    assert driver.closed
    assert struct.unpack("!I", driver.output[-4 - len(b"the preface is missing") :][:4]) == (1,)
