"""What is agreed on about compression, and how messages to clients are compressed (RFC 7692)."""

import random
import zlib

import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from daphne.protocol.deflate import Deflate, negotiate
from daphne.protocol.handshake import build_acceptance, check_handshake
from daphne.protocol.replies import Reply, read_reply
from tests.daphne.protocol.socket_driver import BINARY, TEXT, Driver, make_head, make_headers
from tests.daphne.protocol.test_websocket_peer import Peer

NO_CONTEXT = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
LONG = "Nothing is compressed that is short. " * 10


def agreed(*offers: bytes) -> Deflate | None:
    headers = [(b"sec-websocket-extensions", offer) for offer in offers]
    return negotiate(make_head(headers=make_headers(*headers)))


def reply(**message: object) -> Reply:
    read = read_reply(message, {})
    assert read is not None
    return read


def inflated(frame: bytes, window_bits: int = 15) -> bytes:
    """The payload of a compressed frame, inflated without anything that came before."""
    assert frame[0] & 0x70 == 0x40, "the frame is not marked as compressed"
    start = 2 if frame[1] < 126 else 4
    return zlib.decompressobj(-window_bits).decompress(frame[start:] + b"\x00\x00\xff\xff")


# -- what is agreed on --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "offer",
    [
        b"permessage-deflate",
        b"permessage-deflate; client_max_window_bits",
        b'permessage-deflate; client_max_window_bits="12"',
        b"permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        b" Permessage-Deflate ;\tclient_no_context_takeover",
        b"x-webkit-deflate-frame, permessage-deflate",
        b'strange; a="b c", permessage-deflate',
    ],
)
def test_offers_that_are_accepted(offer: bytes) -> None:
    deflate = agreed(offer)
    assert deflate is not None
    assert deflate.header() == NO_CONTEXT


@pytest.mark.parametrize("bits", range(9, 16))
def test_the_window_that_a_client_asks_for_is_kept_to(bits: int) -> None:
    deflate = agreed(b"permessage-deflate; server_max_window_bits=%d" % bits)
    assert deflate is not None
    assert deflate.header() == NO_CONTEXT + b"; server_max_window_bits=%d" % bits
    payload = random.Random(bits).randbytes(600) * 100
    write = deflate.write_of(reply(bytes=payload))
    assert write is not None
    assert inflated(write.data, bits) == payload


@pytest.mark.parametrize(
    "offer",
    [
        b"",
        b"permessage-bzip2",
        b"permessage-deflate; unknown",
        b"permessage-deflate; server_max_window_bits",
        b"permessage-deflate; server_max_window_bits=7",
        b"permessage-deflate; server_max_window_bits=16",
        b"permessage-deflate; server_max_window_bits=x",
        b"permessage-deflate; client_max_window_bits=99",
        b"permessage-deflate; client_no_context_takeover=1",
        b"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        b"permessage-deflate; client_max_window_bits=",
        b'permessage-deflate; client_max_window_bits="12',
        b"permessage-deflate; \xff",
        b"permessage-deflate;;",
    ],
)
def test_offers_that_are_declined(offer: bytes) -> None:
    assert agreed(offer) is None


def test_the_first_offer_that_can_be_met_is_accepted() -> None:
    worse = b"permessage-deflate; server_max_window_bits=99"
    better = b"permessage-deflate; server_max_window_bits=10"
    assert agreed(worse + b", " + better, b"permessage-deflate") == Deflate(10, True)
    assert agreed(worse, b"permessage-deflate", better) == Deflate(15, False)


def test_compression_is_agreed_on_only_where_the_server_has_it_on() -> None:
    headers = make_headers((b"sec-websocket-extensions", b"permessage-deflate"))
    head = make_head(headers=headers)
    assert b"Extensions" not in build_acceptance(check_handshake(head, ()), "")
    accepted = build_acceptance(check_handshake(head, (), compression=True), "")
    assert b"\r\nSec-WebSocket-Extensions: %b\r\n" % NO_CONTEXT in accepted
    response = Driver(head).reply({"accept": True}).take()
    assert b" 101 " in response and b"Extensions" not in response


# -- what is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [{"text": LONG}, {"bytes": LONG.encode()}])
def test_a_message_is_compressed(message: dict[str, object]) -> None:
    write = Deflate(15, False).write_of(reply(**message))
    assert write is not None
    assert write.data[0] & 0x0F == (TEXT if "text" in message else BINARY)
    assert len(write.data) < len(LONG) / 4
    assert inflated(write.data) == LONG.encode()


@pytest.mark.parametrize("text", ["", "short", "x" * 64])
def test_a_short_message_is_sent_as_it_is(text: str) -> None:
    short = reply(text=text)
    assert Deflate(15, False).write_of(short) is short.write


def test_a_message_without_data_writes_nothing() -> None:
    assert Deflate(15, False).write_of(reply(close=True)) is None


def test_a_group_s_message_is_compressed_once_for_all_with_the_same_window() -> None:
    message = reply(text=LONG)
    first, again = (Deflate(15, limited).write_of(message) for limited in (False, True))
    other = Deflate(9, True).write_of(message)
    assert first is again
    assert other is not None and other is not first
    assert message.write is not None and LONG.encode() in message.write.data


# -- another implementation ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "client",
    [
        ClientPerMessageDeflateFactory(),
        ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9),
        ClientPerMessageDeflateFactory(
            server_no_context_takeover=True, client_no_context_takeover=True
        ),
    ],
    ids=["default", "small-windows", "no-context"],
)
@pytest.mark.parametrize("seed", range(5))
def test_another_implementation_agrees_and_is_understood(
    client: ClientPerMessageDeflateFactory, seed: int
) -> None:
    peer = Peer(seed, extensions=[client], websocket_compression=True)
    peer.server.reply({"accept": True})
    peer.exchange()
    assert [extension.name for extension in peer.client.extensions] == ["permessage-deflate"]
    source = random.Random(seed)
    texts = [LONG[: source.randrange(len(LONG))] for _ in range(20)]
    for text in texts:
        peer.client.send_text(text.encode())
        peer.server.reply({"text": text})
        peer.exchange()
    assert peer.received() == texts
    sent = [message["text"] for channel, message in peer.server.messages if "receive" in channel]
    assert sent == texts
