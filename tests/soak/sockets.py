"""WebSockets of the soak: they connect again as the project's JavaScript client does.

They are written by hand, since a client library for each of hundreds of sockets would take more
time than the servers do.
"""

import random
import socket
import time
from collections.abc import Callable

from tests.soak.loop import Loop

__all__ = ["Socket"]

_UPGRADE = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10

#: Seconds of the JavaScript client (js/src/options.ts): the ceiling of the first wait, the highest
#: ceiling, over how long those spread that were told to come back, how long an attempt may take,
#: and how long a connection must have been open for its loss to count as the first failure.
_FIRST, _MOST, _ATTEMPT, _STABLE = 0.5, 20.0, 10.0, 5.0

#: Close codes that tell many sockets at once to come back.
_TOLD_TO_MANY = ("1012", "1013")


class Socket:
    """One client; ``opened``, ``lost`` (with the code) and ``text`` are called with it."""

    def __init__(
        self,
        loop: Loop,
        port: int,
        path: str,
        opened: Callable[["Socket"], object],
        lost: Callable[["Socket", str], object],
        text: Callable[["Socket", str], object],
        spread: float = 10.0,
    ) -> None:
        self._loop = loop
        self._port = port
        self.path = path
        self._opened, self._lost, self._text = opened, lost, text
        self._spread = spread
        self.is_open = False
        #: Whether it was ever open.
        self.was_open = False
        self._socket: socket.socket | None = None
        self._data = b""
        self._failures = 0
        self._attempts = 0
        self._open_since = 0.0

    def connect(self) -> None:
        """Begin an attempt."""
        self._attempts += 1
        attempt = self._attempts
        self._data = b""
        self._socket = client = socket.socket()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect_ex(("127.0.0.1", self._port))
        self._loop.watch(client, "write", self._connected)
        self._loop.at(time.monotonic() + _ATTEMPT, lambda: self._give_up(attempt))

    def send(self, text: str) -> None:
        """Send a short text, which fits into the buffers of the system."""
        assert self._socket is not None
        self._write(_TEXT, text.encode())

    def _write(self, opcode: int, payload: bytes) -> None:
        # A mask of zeros leaves the payload as it is (RFC 6455, 5.3).
        frame = bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload
        try:
            assert self._socket is not None
            self._socket.sendall(frame)
        except OSError:
            pass  # what reads will see that it is gone

    def _give_up(self, attempt: int) -> None:
        if attempt == self._attempts and not self.is_open and self._socket is not None:
            self._gone("slow")

    def _connected(self) -> None:
        assert self._socket is not None
        try:
            self._socket.sendall(_UPGRADE % self.path.encode())
        except OSError:
            return self._gone("1006")
        self._loop.watch(self._socket, "read", self._readable)

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self._gone("1006")
        self._data += data
        if not self.is_open and not self._shake_hands():
            return
        while self._socket is not None and self._frame():
            pass

    def _shake_hands(self) -> bool:
        head, end, rest = self._data.partition(b"\r\n\r\n")
        if not end:
            return False
        status = head.split(b" ", 2)[1].decode()
        if status != "101":
            self._gone(f"HTTP {status}")
            return False
        self._data = rest
        self.is_open = self.was_open = True
        self._open_since = time.monotonic()
        self._opened(self)
        return True

    def _frame(self) -> bool:
        """Take one frame off the data; False where none is whole."""
        data = self._data
        if len(data) < 2 or len(data) < 4 and data[1] == 126:
            return False
        start, length = (4, int.from_bytes(data[2:4])) if data[1] == 126 else (2, data[1])
        if len(data) < start + length:
            return False
        payload, self._data = data[start : start + length], data[start + length :]
        opcode = data[0] & 15
        if opcode == _TEXT:
            self._text(self, payload.decode())
        elif opcode == _PING:
            self._write(_PONG, payload)
        elif opcode == _CLOSE:
            self._gone(str(int.from_bytes(payload[:2])) if payload else "1005")
        return True

    def _gone(self, code: str) -> None:
        """The connection, or the attempt, is lost; the next one comes after a while."""
        assert self._socket is not None
        self._loop.close(self._socket)
        self._socket = None
        was_open, self.is_open = self.is_open, False
        stable = was_open and time.monotonic() - self._open_since >= _STABLE
        self._failures = 1 if stable else self._failures + 1
        ceiling = min(_MOST, _FIRST * 2 ** (self._failures - 1))
        if code in _TOLD_TO_MANY:
            ceiling = max(ceiling, self._spread)
        self._loop.at(time.monotonic() + random.random() * ceiling, self.connect)
        self._lost(self, code if was_open else f"not opened: {code}")
