"""Load from many connections, each of which sends its next request when the answer is there."""

import select
import selectors
import socket
import time
from collections.abc import Callable

__all__ = ["Members", "echo_load", "http_load"]

#: Seconds that a server may stay silent before the benchmark gives up.
SILENCE = 20

HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n"
HTTP_BODY = b"Hello, world!"

UPGRADE = (
    b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
ECHO_PAYLOAD = b"x" * 64
#: A masked text frame whose mask is zero, so that the payload stands in clear (RFC 6455, 5.2).
ECHO_FRAME = bytes([0x81, 0x80 | len(ECHO_PAYLOAD), 0, 0, 0, 0]) + ECHO_PAYLOAD
ECHO_REPLY = bytes([0x81, len(ECHO_PAYLOAD)]) + ECHO_PAYLOAD


def _is_http_answer(data: bytes) -> bool:
    """Whether the answer is whole: with a Content-Length, or in one chunk."""
    if not data.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"unexpected answer: {data[:200]!r}")
    return data.endswith((b"\r\n\r\n" + HTTP_BODY, HTTP_BODY + b"\r\n0\r\n\r\n"))


def _is_echo(data: bytes) -> bool:
    if not ECHO_REPLY.startswith(data):
        raise RuntimeError(f"unexpected answer: {data[:200]!r}")
    return data == ECHO_REPLY


def _upgrading(port: int, path: bytes) -> socket.socket:
    """A connection whose handshake has not been answered yet."""
    connection = socket.create_connection(("127.0.0.1", port), SILENCE)
    connection.sendall(UPGRADE % path)
    return connection


def _upgraded(port: int) -> socket.socket:
    connection = _upgrading(port, b"/")
    _finish_handshake(connection)
    return connection


def _finish_handshake(connection: socket.socket) -> None:
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = connection.recv(4096)
        if not piece:
            raise RuntimeError(f"the handshake failed: {answer!r}")
        answer += piece


def _run(
    connections: list[socket.socket],
    request: bytes,
    is_whole: Callable[[bytes], bool],
    seconds: float,
    latencies: list[float] | None = None,
) -> int:
    """Answers within ``seconds``; a connection has one request under way at a time.

    The seconds that each answer took are added to ``latencies``.
    """
    selector = selectors.DefaultSelector()
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
    partial = dict.fromkeys(connections, b"")
    answers = 0
    asked = dict.fromkeys(connections, time.monotonic())
    end = time.monotonic() + seconds
    for connection in connections:
        connection.sendall(request)
    waiting = len(connections)
    while waiting:
        ready = selector.select(SILENCE)
        if not ready:
            raise RuntimeError(f"silence for {SILENCE} s with {waiting} requests under way")
        for key, _ in ready:
            connection = key.fileobj  # type: ignore[assignment]
            partial[connection] += connection.recv(65536)
            if not is_whole(partial[connection]):
                continue
            partial[connection] = b""
            answers += 1
            now = time.monotonic()
            if latencies is not None:
                latencies.append(now - asked[connection])
                asked[connection] = now
            if now < end:
                connection.sendall(request)
            else:
                waiting -= 1
    for connection in connections:
        connection.close()
    return answers


def http_load(port: int, clients: int, seconds: float, latencies: list[float] | None = None) -> int:
    """Requests that ``clients`` keep-alive connections got answered within ``seconds``."""
    connections = [socket.create_connection(("127.0.0.1", port), SILENCE) for _ in range(clients)]
    return _run(connections, HTTP_REQUEST, _is_http_answer, seconds, latencies)


def echo_load(port: int, clients: int, seconds: float, latencies: list[float] | None = None) -> int:
    """64-byte messages that ``clients`` WebSockets got echoed within ``seconds``."""
    connections = [_upgraded(port) for _ in range(clients)]
    return _run(connections, ECHO_FRAME, _is_echo, seconds, latencies)


class Members:
    """WebSockets that are all members of one group, and one of them makes the server send to it.

    A context manager; the handshakes are done when it is entered, ``BATCH`` of them at a time.
    """

    BATCH = 50

    def __init__(self, port: int, number: int) -> None:
        self._port = port
        self._number = number
        self._connections: list[socket.socket] = []
        self._epoll = select.epoll()

    def __enter__(self) -> "Members":
        while (left := self._number - len(self._connections)) > 0:
            batch = [_upgrading(self._port, b"/members/") for _ in range(min(left, self.BATCH))]
            for connection in batch:
                _finish_handshake(connection)
                connection.setblocking(False)
                self._epoll.register(connection, select.EPOLLIN)
            self._connections += batch
        self._by_descriptor = {each.fileno(): each for each in self._connections}
        return self

    def __exit__(self, *exception: object) -> None:
        self._epoll.close()
        for connection in self._connections:
            connection.close()

    def send(self, sends: int) -> None:
        """Have ``sends`` messages sent to the group, each when the last one has reached all."""
        for _ in range(sends):
            self._connections[0].sendall(ECHO_FRAME)
            self._receive(len(ECHO_REPLY) * self._number)

    def _receive(self, length: int) -> None:
        while length:
            ready = self._epoll.poll(SILENCE)
            if not ready:
                raise RuntimeError(f"silence for {SILENCE} s with {length} bytes under way")
            for descriptor, _ in ready:
                connection = self._by_descriptor[descriptor]
                data = _without_pings(connection, connection.recv(65536))
                if not data.startswith(ECHO_REPLY[: len(data)]):
                    raise RuntimeError(f"unexpected message: {data[:200]!r}")
                length -= len(data)


def _without_pings(connection: socket.socket, data: bytes) -> bytes:
    """What a server sent besides pings, which are answered (RFC 6455, 5.5.2)."""
    while data.startswith(b"\x89"):
        end = 2 + data[1]
        connection.sendall(bytes([0x8A, 0x80 | data[1], 0, 0, 0, 0]) + data[2:end])
        data = data[end:]
    return data
