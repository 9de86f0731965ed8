"""Load from many connections, each of which sends its next request when the answer is there."""

import selectors
import socket
import time
from collections.abc import Callable

__all__ = ["echo_load", "http_load"]

#: Seconds that a server may stay silent before the benchmark gives up.
SILENCE = 20

HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n"
HTTP_BODY = b"Hello, world!"

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
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


def _upgraded(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), SILENCE)
    connection.sendall(UPGRADE)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = connection.recv(4096)
        if not piece:
            raise RuntimeError(f"the handshake failed: {answer!r}")
        answer += piece
    return connection


def _run(
    connections: list[socket.socket],
    request: bytes,
    is_whole: Callable[[bytes], bool],
    seconds: float,
) -> int:
    """Answers within ``seconds``; a connection has one request under way at a time."""
    selector = selectors.DefaultSelector()
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
    partial = dict.fromkeys(connections, b"")
    answers = 0
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
            if time.monotonic() < end:
                connection.sendall(request)
            else:
                waiting -= 1
    for connection in connections:
        connection.close()
    return answers


def http_load(port: int, clients: int, seconds: float) -> int:
    """Requests that ``clients`` keep-alive connections got answered within ``seconds``."""
    connections = [socket.create_connection(("127.0.0.1", port), SILENCE) for _ in range(clients)]
    return _run(connections, HTTP_REQUEST, _is_http_answer, seconds)


def echo_load(port: int, clients: int, seconds: float) -> int:
    """64-byte messages that ``clients`` WebSockets got echoed within ``seconds``."""
    return _run([_upgraded(port) for _ in range(clients)], ECHO_FRAME, _is_echo, seconds)
