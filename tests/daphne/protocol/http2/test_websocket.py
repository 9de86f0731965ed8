"""WebSockets on streams of HTTP/2 (RFC 8441)."""

import zlib
from typing import Any

import pytest
from h2.settings import SettingCodes

from daphne.options import Options
from tests.daphne.protocol.http2.peers import OK, Fields, Peer, request_fields
from tests.daphne.protocol.socket_driver import (
    BINARY,
    PING,
    PONG,
    TEXT,
    client_frame,
    close_frame,
    server_close,
    server_frame,
)

HANDSHAKE = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"http"),
    (b":authority", b"example.com"),
    (b":path", b"/chat/?room=1"),
    (b"sec-websocket-version", b"13"),
    (b"origin", b"http://example.com"),
]


class Socket:
    """A WebSocket on the next stream of a client."""

    def __init__(self, peer: Peer | None = None, *more: tuple[bytes, bytes], **options: Any):
        self.peer = peer or Peer(Options(**options))
        self.stream = self.peer.send_fields([*HANDSHAKE, *more], end=False)
        connects = self.peer.driver.on("websocket.connect")
        self.connect = connects[-1] if connects else {}

    @property
    def response(self) -> Any:
        return self.peer.response(self.stream)

    def reply(self, **message: Any) -> "Socket":
        local = self.connect["reply_channel"].partition("!")[2]
        self.peer.driver.do(self.peer.driver.core.deliver, local, message, {})
        self.peer.talk()
        return self

    def send(self, *frames: bytes) -> "Socket":
        self.peer.send(self.stream, b"".join(frames))
        return self

    def take(self) -> bytes:
        body, self.response.body = self.response.body, b""
        return bytes(body)

    @property
    def codes(self) -> list[int]:
        return [one["code"] for one in self.peer.driver.on("websocket.disconnect")]


def test_it_is_announced() -> None:
    assert Peer().h2.remote_settings.enable_connect_protocol == 1


def test_the_life_of_a_socket() -> None:
    socket = Socket()
    assert socket.connect == {
        "reply_channel": socket.connect["reply_channel"],
        "path": "/chat/",
        "headers": [[b"host", b"example.com"], *(list(pair) for pair in HANDSHAKE[5:])],
        "query_string": b"room=1",
        "root_path": b"",
        "scheme": "ws",
        "client": ["192.0.2.1", 4711],
        "server": ["127.0.0.1", 8000],
        "order": 0,
    }
    assert not socket.response.headers
    socket.reply(accept=True, text="hi")
    assert socket.response.headers == [(b":status", b"200"), (b"server", b"Daphne")]
    assert socket.take() == server_frame(TEXT, b"hi")
    socket.send(client_frame(TEXT, b"a"), client_frame(PING, b"p"), client_frame(BINARY, b"b"))
    assert socket.take() == server_frame(PONG, b"p")
    received = socket.peer.driver.on("websocket.receive")
    assert [(one["order"], one["text"], one["bytes"]) for one in received] == [
        (1, "a", None), (2, None, b"b"),
    ]  # fmt: skip
    socket.send(close_frame(1001))
    assert socket.take() == server_close(1001)
    assert socket.response.ended
    assert socket.codes == [1001]
    socket.peer.h2.end_stream(socket.stream)
    socket.peer.talk()
    assert socket.peer.driver.is_over
    assert socket.peer.driver.actions == [
        "websocket connecting", "websocket connected", "websocket disconnected",
    ]  # fmt: skip
    assert not socket.peer.driver.closed


def test_it_shares_its_connection_with_requests() -> None:
    first = Socket()
    second = Socket(first.peer)
    stream = first.peer.request("/plain")
    first.reply(accept=True)
    first.peer.reply(OK)
    second.reply(accept=True, bytes=b"2")
    first.reply(text="1")
    assert first.take() == server_frame(TEXT, b"1")
    assert second.take() == server_frame(BINARY, b"2")
    assert first.peer.response(stream).body == b"ok"
    first.peer.h2.reset_stream(first.stream)
    first.peer.talk()
    assert first.codes == [1006]
    second.reply(text="still here")
    assert b"still here" in second.take()


def test_a_group_send_reaches_all_its_sockets() -> None:
    sockets = [Socket()]
    sockets += [Socket(sockets[0].peer) for _ in range(4)]
    for socket in sockets:
        socket.reply(accept=True)
    shared: dict[Any, Any] = {}
    for socket in sockets:
        local = socket.connect["reply_channel"].partition("!")[2]
        socket.peer.driver.do(socket.peer.driver.core.deliver, local, {"text": "all"}, shared)
    sockets[0].peer.talk()
    assert [socket.take() for socket in sockets] == [server_frame(TEXT, b"all")] * 5


def test_the_application_closes() -> None:
    socket = Socket().reply(accept=True).reply(close=4001)
    assert socket.take() == server_close(4001)
    assert not socket.response.ended
    socket.send(close_frame(4001))
    assert (socket.response.ended, socket.response.reset) == (True, None)
    socket.peer.driver.sleep(2.5)
    socket.peer.talk()
    assert socket.response.reset == 0
    assert socket.codes == [4001]


def test_a_refusal_is_403() -> None:
    socket = Socket().reply(accept=False)
    assert (socket.response.status, socket.response.ended) == (403, True)
    assert socket.response.get(b"content-type") == b"text/html; charset=utf-8"
    assert socket.codes == [1006]


def test_a_full_queue_is_503() -> None:
    peer = Peer()
    peer.driver.full.add("websocket.connect")
    assert Socket(peer).response.status == 503


def without(name: bytes) -> Fields:
    return [pair for pair in HANDSHAKE if pair[0] != name]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (without(b"sec-websocket-version"), 400),
        ([*without(b"sec-websocket-version"), (b"sec-websocket-version", b"8")], 400),
        ([*HANDSHAKE, (b"origin", b"http://b")], 400),
        ([*HANDSHAKE, (b"sec-websocket-protocol", b"a b")], 400),
        ([*HANDSHAKE, (b"content-length", b"5")], 400),
        (without(b":path"), 400),
    ],
    ids=["no version", "version", "origins", "protocol", "length", "path"],
)
def test_a_handshake_that_is_none_is_refused(fields: Fields, status: int) -> None:
    peer = Peer()
    stream = peer.send_fields(fields, end=False)
    assert peer.response(stream).status == status
    assert peer.driver.on("websocket.connect") == []
    assert peer.driver.requests == []
    if status == 400 and b"sec-websocket-version" not in dict(fields):
        assert peer.response(stream).get(b"sec-websocket-version") == b"13"


def test_a_sub_protocol_and_compression_are_agreed_on() -> None:
    offers = [
        (b"sec-websocket-protocol", b"x, chat"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
    ]
    socket = Socket(None, *offers, ws_protocols=("chat",), websocket_compression=True)
    socket.reply(accept=True)
    assert socket.response.get(b"sec-websocket-protocol") == b"chat"
    assert b"permessage-deflate" in (socket.response.get(b"sec-websocket-extensions") or b"")
    text = b"again and again " * 50
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)
    socket.send(client_frame(TEXT, data[:-4], rsv=4))
    assert socket.peer.driver.on("websocket.receive")[0]["text"] == text.decode()
    socket.reply(text=text.decode())
    frame = socket.take()
    assert len(frame) < 100
    assert zlib.decompressobj(wbits=-15).decompress(frame[2:] + b"\x00\x00\xff\xff") == text


def test_without_a_name_the_server_is_not_named() -> None:
    assert Socket(None, server_name="").reply(accept=True).response.headers == [
        (b":status", b"200")
    ]


def test_the_end_of_the_stream_is_the_end_of_the_socket() -> None:
    socket = Socket().reply(accept=True)
    socket.peer.h2.end_stream(socket.stream)
    socket.peer.talk()
    assert (socket.response.ended, socket.codes) == (True, [1006])
    connecting = Socket(socket.peer)
    socket.peer.h2.end_stream(connecting.stream)
    socket.peer.talk()
    assert connecting.response.reset == 8
    assert socket.codes == [1006, 1006]


def test_a_broken_frame_fails_the_socket_alone() -> None:
    socket = Socket().reply(accept=True)
    other = Socket(socket.peer).reply(accept=True)
    socket.send(client_frame(TEXT, b"x", masked=False))
    assert socket.take()[2:4] == b"\x03\xea"  # 1002
    assert socket.response.ended
    other.send(client_frame(TEXT, b"fine"))
    assert socket.peer.driver.on("websocket.receive")[-1]["text"] == "fine"


def test_pings_and_their_timeout() -> None:
    socket = Socket(None, ping_interval=10, ping_timeout=5).reply(accept=True)
    socket.peer.driver.sleep(11)
    socket.peer.talk()
    assert socket.take() == server_frame(PING)
    socket.peer.driver.sleep(6)
    socket.peer.talk()
    assert (socket.response.reset, socket.codes) == (8, [1006])


def test_a_slow_consumer_is_closed_and_others_are_not_slowed() -> None:
    peer = Peer(Options(websocket_write_limit=100_000), {SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    peer.reads = False
    slow = Socket(peer).reply(accept=True)
    fast = Socket(peer).reply(accept=True)
    for _ in range(4):
        slow.reply(bytes=b"x" * 50_000)
    fast.reply(text="quick")
    assert fast.take() == server_frame(TEXT, b"quick")
    peer.h2.increment_flow_control_window(10**6, slow.stream)
    peer.h2.increment_flow_control_window(10**6)
    peer.talk()
    assert slow.take().endswith(server_close(1013, b"too slow"))


def test_a_full_queue_stops_its_own_socket() -> None:
    peer = Peer()
    full, other = Socket(peer).reply(accept=True), peer.request("/", "POST", end=False)
    peer.driver.full.add("websocket.receive")
    sent = 0
    while (room := min(16000, peer.window(full.stream) - 10)) > 0 and sent < 10**7:
        full.send(client_frame(BINARY, b"x" * room))
        sent += room
    assert sent < 10**6
    peer.send(other, b"y" * 100_000, end=True)
    assert len(peer.driver.requests[0]["body"]) == 100_000
    while peer.driver.waiting:
        peer.driver.room()
    peer.talk()
    assert peer.window(full.stream) > 100_000


def test_a_stop_of_the_server_closes_sockets_one_after_the_other() -> None:
    peer = Peer(Options(drain=4))
    sockets = [Socket(peer).reply(accept=True) for _ in range(4)]
    peer.driver.do(peer.driver.core.shutdown)
    counts = []
    for _ in range(5):
        peer.driver.sleep(0.9)
        output = peer.driver.output
        counts.append(output.count(b"server restart"))
    assert counts == [1, 2, 3, 4, 4]
    assert len(sockets) == 4
    peer.driver.lose()
    assert sorted(sockets[0].codes) == [1006] * 4


def test_a_lost_connection_leaves_frames_to_a_layer_that_has_room_later() -> None:
    socket = Socket(None, websocket_receive_wait=5).reply(accept=True)
    socket.peer.driver.full.add("websocket.receive")
    socket.send(client_frame(TEXT, b"late"))
    socket.peer.driver.timers.clear()
    socket.peer.driver.lose()
    assert socket.codes == []
    socket.peer.driver.room()
    assert socket.peer.driver.on("websocket.receive")[0]["text"] == "late"
    assert socket.codes == [1006]
    full = Socket(None, websocket_receive_wait=5).reply(accept=True)
    full.peer.driver.full.add("websocket.receive")
    full.send(client_frame(TEXT, b"never"))
    full.peer.driver.timers.clear()
    full.peer.driver.lose()
    full.peer.driver.sleep(6)
    assert full.peer.driver.on("websocket.receive") == []
    assert full.codes == [1006]


def test_over_tls_the_scheme_is_wss() -> None:
    assert Socket(Peer(secure=True)).connect["scheme"] == "wss"


def test_a_get_with_the_headers_of_http_1_is_a_plain_request() -> None:
    peer = Peer()
    peer.send_fields(request_fields("/", "GET", (b"sec-websocket-version", b"13")))
    assert len(peer.driver.requests) == 1
