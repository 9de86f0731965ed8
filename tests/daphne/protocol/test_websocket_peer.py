"""The core against the client of another implementation, without sockets."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions import ClientExtensionFactory
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from tests.daphne.protocol.socket_driver import Driver, make_head


class Peer:
    """A ``websockets`` client connected to a core; the bytes are cut at random."""

    def __init__(
        self,
        seed: int = 0,
        offers: list[str] | None = None,
        extensions: list[ClientExtensionFactory] | None = None,
        **options: Any,
    ) -> None:
        self._random = random.Random(seed)
        names = [Subprotocol(name) for name in offers] if offers else None
        self.client = ClientProtocol(
            parse_uri("ws://example.com/chat/?room=1"),
            extensions=extensions,
            subprotocols=names,
            max_size=None,
        )
        request = self.client.connect()
        self.client.send_request(request)
        self.client.data_to_send()
        pairs = [
            (name.lower().encode(), value.encode()) for name, value in request.headers.raw_items()
        ]
        self.server = Driver(make_head(headers=pairs), **options)

    def exchange(self) -> "Peer":
        """Carry bytes both ways until there are none."""
        moved = True
        while moved:
            moved = False
            for data in self.client.data_to_send():
                for piece in self._cut(data):
                    self.server.receive(piece)
                    moved = True
            for piece in self._cut(self.server.take()):
                self.client.receive_data(piece)
                moved = True
        if self.server.closed:
            self.client.receive_eof()
        return self

    def _cut(self, data: bytes) -> Iterator[bytes]:
        while data:
            size = self._random.choice((1, 2, 7, 100, len(data)))
            yield data[:size]
            data = data[size:]

    def received(self) -> list[str | bytes]:
        """The whole messages that the client got."""
        frames = [event for event in self.client.events_received() if isinstance(event, Frame)]
        return [
            bytes(frame.data).decode() if frame.opcode is Opcode.TEXT else bytes(frame.data)
            for frame in frames
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY)
        ]


def opened(**keywords: Any) -> Peer:
    peer = Peer(**keywords)
    peer.server.reply({"accept": True})
    peer.exchange()
    assert peer.client.state is OPEN, peer.client.handshake_exc
    return peer


def test_a_client_connects_and_talks() -> None:
    peer = opened()
    peer.client.send_text("grüß dich".encode())
    peer.client.send_binary(b"\x00\xff")
    peer.exchange()
    assert peer.server.contents() == ["grüß dich", b"\x00\xff"]
    peer.server.reply({"text": "hallo"}).reply({"bytes": b"\xff\x00"}).reply({"text": ""})
    peer.exchange()
    assert peer.received() == ["hallo", b"\xff\x00", ""]


def test_a_client_is_refused() -> None:
    peer = Peer()
    peer.server.reply({"close": True})
    peer.exchange()
    assert "HTTP 403" in str(peer.client.handshake_exc)


def test_a_client_and_the_server_agree_on_a_sub_protocol() -> None:
    peer = opened(offers=["soap", "chat"], ws_protocols=("mqtt", "chat"))
    assert peer.client.subprotocol == "chat"


def test_a_client_closes() -> None:
    peer = opened()
    peer.client.send_close(4000, "enough")
    peer.exchange()
    assert peer.server.code == 4000
    assert peer.client.close_code == 4000 and peer.client.close_exc.rcvd_then_sent is False


def test_the_server_closes() -> None:
    peer = opened()
    peer.server.reply({"text": "last", "close": 4000})
    peer.exchange()
    assert peer.received() == ["last"]
    assert peer.server.code == 4000 and peer.client.close_code == 4000
    assert peer.client.close_exc.rcvd_then_sent is True


def test_pings_are_answered_on_both_sides() -> None:
    peer = opened(ping_interval=20.0, ping_timeout=30.0)
    peer.client.send_ping(b"one")
    peer.exchange()
    frames = [event for event in peer.client.events_received() if isinstance(event, Frame)]
    assert [(frame.opcode, bytes(frame.data)) for frame in frames] == [(Opcode.PONG, b"one")]
    for _ in range(20):
        peer.server.advance(10)
        peer.exchange()
    assert not peer.server.aborted and peer.client.state is OPEN


@pytest.mark.parametrize("size", [125, 126, 65535, 65536, 1024 * 1024])
def test_sizes_at_the_borders_of_the_length_field(size: int) -> None:
    peer = opened()
    peer.client.send_binary(b"x" * size)
    peer.exchange()
    assert peer.server.contents() == [b"x" * size]
    peer.server.reply({"bytes": b"y" * size})
    peer.exchange()
    assert peer.received() == [b"y" * size]


def test_a_client_that_sends_too_much_is_told_so() -> None:
    peer = opened(websocket_max_frame=1000)
    peer.client.send_binary(b"x" * 1001)
    peer.exchange()
    assert peer.client.close_code == 1009 and peer.server.code == 1009


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    contents=st.lists(st.one_of(st.text(max_size=200), st.binary(max_size=300)), max_size=20),
    pieces=st.integers(1, 5),
)
def test_echoes_survive_any_fragmentation(
    seed: int, contents: list[str | bytes], pieces: int
) -> None:
    peer = opened(seed=seed)
    for content in contents:
        _send_in_pieces(peer.client, content, pieces)
    peer.exchange()
    assert peer.server.contents() == contents
    for content in contents:
        peer.server.reply({"text" if isinstance(content, str) else "bytes": content})
    peer.exchange()
    assert peer.received() == contents


def _send_in_pieces(client: ClientProtocol, content: str | bytes, pieces: int) -> None:
    data = content.encode() if isinstance(content, str) else content
    size = max(1, -(-len(data) // pieces))
    parts = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
    send = client.send_text if isinstance(content, str) else client.send_binary
    send(parts[0], fin=len(parts) == 1)
    for index, part in enumerate(parts[1:], 2):
        client.send_continuation(part, fin=index == len(parts))
