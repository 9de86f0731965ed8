"""Requests of the soak: so many a second, over connections that are kept."""

import itertools
import re
import socket
import time
from collections.abc import Callable

from tests.soak.loop import Loop

__all__ = ["Requests"]

#: Seconds that an answer may take.
_TIMEOUT = 30.0

#: One of so many is a POST, which a proxy does not repeat; one of so many takes a while.
_POST_EVERY, _SLOW_EVERY = 5, 7

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class _Connection:
    """A connection, with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", port))
        self.data = b""
        #: The request under way.
        self.number: int | None = None


class Requests:
    """``done`` is called with the number of a request and its status."""

    def __init__(self, loop: Loop, port: int, done: Callable[[int, str], object]) -> None:
        self._loop = loop
        self._port = port
        self._done = done
        self._idle: list[_Connection] = []
        self._numbers = itertools.count(1)

    def begin(self) -> int:
        """Send the next request; returns its number."""
        number = next(self._numbers)
        method = "POST" if number % _POST_EVERY == 0 else "GET"
        path = "slow" if number % _SLOW_EVERY == 0 else "page"
        length = "Content-Length: 0\r\n" if method == "POST" else ""
        request = f"{method} /{path}/{number}/ HTTP/1.1\r\nHost: localhost\r\n{length}\r\n".encode()
        connection = self._idle.pop() if self._idle else _Connection(self._port)
        connection.number = number
        self._loop.watch(connection.socket, "write", lambda: self._send(connection, request))
        self._loop.at(time.monotonic() + _TIMEOUT, lambda: self._time_out(connection, number))
        return number

    def _send(self, connection: _Connection, request: bytes) -> None:
        try:
            connection.socket.sendall(request)
        except OSError:
            return self._end(connection, "closed")
        self._loop.watch(connection.socket, "read", lambda: self._read(connection))

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self._end(connection, "closed")
        connection.data += data
        if _is_whole(connection.data):
            self._answered(connection)

    def _answered(self, connection: _Connection) -> None:
        head, _, body = connection.data.partition(b"\r\n\r\n")
        status = head.split(b" ", 2)[1].decode()
        number, connection.number, connection.data = connection.number, None, b""
        assert number is not None
        if status == "200" and str(number).encode() not in body:
            status = "wrong answer"
        if b"\r\nconnection: close" in head.lower():
            self._loop.close(connection.socket)
        else:
            self._idle.append(connection)
        self._done(number, status)

    def _time_out(self, connection: _Connection, number: int) -> None:
        if connection.number == number:
            self._end(connection, "timeout")

    def _end(self, connection: _Connection, how: str) -> None:
        self._loop.close(connection.socket)
        if connection in self._idle:
            self._idle.remove(connection)
        number, connection.number = connection.number, None
        if number is not None:
            self._done(number, how)


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return bool(end) and (len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n"))
