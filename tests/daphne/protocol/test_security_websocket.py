"""Each row of the table "WebSocket" in ``docs/security.md``, over both readers of frames.

What a row needs sockets for is in ``tests/daphne``, details are in the tests of the modules.
"""

import struct
import time
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from daphne.options import Options
from daphne.protocol import engine
from tests.daphne.protocol.socket_driver import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Driver,
    client_frame,
    make_head,
    make_headers,
    server_frame,
)

#: The reserved bit of a compressed message.
COMPRESSED = 4


@pytest.fixture(autouse=True, scope="module", params=list(engine.ENGINES))
def only_engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have sockets use this engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "ENGINES", {request.param: engine.ENGINES[request.param]})
        yield


def opened(compressed: bool = False, **options: object) -> Driver:
    extension = (b"sec-websocket-extensions", b"permessage-deflate")
    head = make_head(headers=make_headers(extension) if compressed else make_headers())
    return Driver(head, websocket_compression=compressed, **options).opened()


def code_sent(driver: Driver) -> int:
    """The code of the close frame that was written last."""
    assert driver.closed
    first, length = driver.written[:2]
    assert first == 0x80 | CLOSE and length == len(driver.written) - 2
    code: int = struct.unpack("!H", driver.written[2:4])[0]
    return code


@pytest.mark.costs
def test_size_limits_are_1_mib_by_default() -> None:
    assert Options().websocket_max_frame == Options().websocket_max_message == 1 << 20
    driver = opened().receive(client_frame(BINARY, b"x" * (1 << 20)))
    assert len(driver.contents()[0]) == 1 << 20
    assert code_sent(driver.receive(client_frame(BINARY, b"x" * ((1 << 20) + 1)))) == 1009
    halves = client_frame(BINARY, b"x" * (1 << 19), fin=False)
    driver = opened().receive(halves + client_frame(0, b"x" * ((1 << 19) + 1)))
    assert code_sent(driver) == 1009 and driver.contents() == []


def test_size_limits_are_looked_at_before_anything_is_allocated() -> None:
    driver = opened()
    header = client_frame(BINARY, length=struct.pack("!BQ", 127, 1 << 40))
    tracemalloc.start()
    try:
        driver.receive(header)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert code_sent(driver) == 1009
    assert peak < 256 * 1024


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, (1 << 63) - 1, 1 << 62, 5, 125, 65535])
def test_length_parsing_of_eight_bytes(length: int) -> None:
    frame = client_frame(BINARY, length=struct.pack("!BQ", 127, length))
    assert code_sent(opened().receive(frame)) in (1002, 1009)


@pytest.mark.parametrize("length", [0, 1, 125])
def test_length_parsing_of_two_bytes(length: int) -> None:
    frame = client_frame(BINARY, length=struct.pack("!BH", 126, length))
    assert code_sent(opened().receive(frame)) == 1002


@pytest.mark.costs
def test_fragment_flood_takes_bounded_memory() -> None:
    driver = opened()
    some = client_frame(0, b"x", fin=False) * 10_000
    tracemalloc.start()
    try:
        driver.receive(client_frame(TEXT, b"x", fin=False))
        for _ in range(100):
            if not driver.closed:
                driver.receive(some)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert code_sent(driver) in (1008, 1009) and driver.contents() == []
    assert peak < 4 << 20


def deflated(data: bytes, mode: int = zlib.Z_SYNC_FLUSH) -> bytes:
    compressor = zlib.compressobj(9, wbits=-15)
    return (compressor.compress(data) + compressor.flush(mode)).removesuffix(b"\0\0\xff\xff")


@pytest.mark.costs
@pytest.mark.parametrize("pieces", [1, 7], ids=["one frame", "fragments"])
def test_deflate_bombs_are_1009_in_bounded_memory_and_nothing_is_delivered(pieces: int) -> None:
    bomb = deflated(b"x" * (20 << 20))
    assert len(bomb) * 900 < 20 << 20
    size = len(bomb) // pieces + 1
    parts = [bomb[at : at + size] for at in range(0, len(bomb), size)]
    driver = opened(compressed=True)
    tracemalloc.start()
    try:
        for index, part in enumerate(parts):
            if not driver.closed:
                fin = index == len(parts) - 1
                opcode, rsv = (0, 0) if index else (TEXT, COMPRESSED)
                driver.receive(client_frame(opcode, part, fin=fin, rsv=rsv))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert code_sent(driver) == 1009 and driver.contents() == []
    assert peak < 8 << 20


@pytest.mark.costs
def test_deflate_bombs_what_follows_the_last_block_takes_linear_time() -> None:
    def seconds(count: int) -> float:
        driver = opened(compressed=True, websocket_max_fragments=1 << 20)
        start = client_frame(TEXT, deflated(b"x", zlib.Z_FINISH), fin=False, rsv=COMPRESSED)
        driver.receive(start)
        more = client_frame(0, b"y" * 50, fin=False)
        before = time.process_time()
        driver.receive(more * count)
        return time.process_time() - before

    few, many = min(seconds(2000) for _ in range(3)), min(seconds(16_000) for _ in range(3))
    assert many < few * 24, "eight times as much takes about eight times as long"


@pytest.mark.parametrize("compressed", [False, True])
def test_empty_messages_are_messages_in_both_directions(compressed: bool) -> None:
    driver = opened(compressed)
    driver.receive(client_frame(TEXT) + client_frame(BINARY))
    assert driver.contents() == ["", b""]
    driver.reply({"text": ""}).reply({"bytes": b""})
    assert driver.take() == server_frame(TEXT) + server_frame(BINARY)


@pytest.mark.parametrize(
    "frame",
    [
        *[client_frame(opcode, b"x", fin=False) for opcode in (PING, PONG)],
        *[client_frame(opcode, b"x" * 126) for opcode in (CLOSE, PING, PONG)],
        *[client_frame(TEXT, b"x", rsv=rsv) for rsv in range(1, 8)],
        *[client_frame(opcode, b"x") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
        *[client_frame(opcode, b"x", masked=False) for opcode in (TEXT, BINARY, PING, PONG)],
    ],
    ids=lambda frame: frame[:2].hex(),
)
def test_control_frames_and_all_others_keep_the_rules_or_are_1002(frame: bytes) -> None:
    driver = opened().receive(frame + client_frame(TEXT, b"later"))
    assert code_sent(driver) == 1002
    assert driver.contents() == [] and driver.code == 1002
