"""Reading WebSocket frames in one process: both engines, and the ``websockets`` library."""

import time
from collections.abc import Callable

from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from daphne.protocol.engine import ENGINES, Limits, load_engine

#: Payload bytes, and how often a frame of that size is read.
SIZES = {64: 50_000, 1_000: 50_000, 60_000: 5_000}
#: Rounds; the quickest counts, since what else runs only makes them slower.
ROUNDS = 5
LIMIT = 1024 * 1024
_MASK = b"\x12\x34\x56\x78"


def _frame(size: int) -> bytes:
    """A text frame as a client sends it."""
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 65_536:
        length = b"\xfe" + size.to_bytes(2)
    else:
        length = b"\xff" + size.to_bytes(8)
    masked = bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(b"x" * size))
    return b"\x81" + length + _MASK + masked


def _websockets() -> Callable[[bytes], object]:
    protocol = ServerProtocol(state=OPEN, max_size=LIMIT)

    def read(data: bytes) -> object:
        protocol.receive_data(data)
        return protocol.events_received()

    return read


def _microseconds(read: Callable[[bytes], object], frame: bytes, times: int) -> float:
    begin = time.process_time()
    for _ in range(times):
        read(frame)
    return (time.process_time() - begin) / times * 1e6


def main() -> None:
    """Print a line for each size and reader."""
    limits = Limits(LIMIT, LIMIT, 100)
    readers = {name: load_engine(name)(limits).feed for name in ENGINES}
    readers["websockets"] = _websockets()
    for size, times in SIZES.items():
        frame = _frame(size)
        used = {
            name: min(_microseconds(read, frame, times) for _ in range(ROUNDS))
            for name, read in readers.items()
        }
        first = next(iter(used.values()))
        for name, value in used.items():
            print(f"  {size:6,} bytes  {name:12}{value:9.2f} us  {value / first:6.1f} x")


if __name__ == "__main__":
    main()
