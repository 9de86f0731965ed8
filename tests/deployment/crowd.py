"""Many sockets at a time, which are written by hand and read in one loop; and what a process holds.

A client library for each of thousands of sockets would take more time than the server does.
"""

import re
import select
import socket
from contextlib import suppress
from pathlib import Path

from tests.daphne.protocol.socket_driver import TEXT, client_frame, close_frame

__all__ = ["Crowd", "memory", "peak_memory"]

_UPGRADE = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

#: Handshakes that are under way at a time.
_BATCH = 50

#: Seconds of silence after which something is wrong.
_SILENCE = 60.0


def memory(pid: int) -> float:
    """MiB that a process has for itself (proc(5), RssAnon): no files, no shared memory."""
    return _status(pid, "RssAnon")


def peak_memory(pid: int) -> float:
    """MiB of memory that a process had at its most, shared memory included (proc(5), VmHWM)."""
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


class Crowd:
    """Open WebSockets; ``receive_buffer`` is how many bytes the system keeps for each of them."""

    def __init__(self, port: int, path: str, number: int, receive_buffer: int = 0) -> None:
        self.sockets: list[socket.socket] = []
        while len(self.sockets) < number:
            batch = []
            for _ in range(min(_BATCH, number - len(self.sockets))):
                client = socket.socket()
                if receive_buffer:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
                client.settimeout(_SILENCE)
                client.connect(("127.0.0.1", port))
                client.sendall(_UPGRADE % path.encode())
                batch.append(client)
            for client in batch:
                answer = b""
                while not answer.endswith(b"\r\n\r\n"):
                    piece = client.recv(4096)
                    assert piece, f"the handshake was refused: {answer!r}"
                    answer += piece
                assert answer.startswith(b"HTTP/1.1 101"), answer
            self.sockets += batch

    def say(self, text: bytes) -> None:
        """Have the first one send a message."""
        self.sockets[0].sendall(client_frame(TEXT, text))

    def read(self, length: int) -> None:
        """Read until each of them has got ``length`` bytes; pings count, and there are none yet."""
        left = dict.fromkeys(map(socket.socket.fileno, self.sockets), length)
        by_descriptor = {client.fileno(): client for client in self.sockets}
        poll = select.epoll()
        for descriptor in left:
            poll.register(descriptor, select.EPOLLIN)
        while left:
            ready = poll.poll(_SILENCE)
            assert ready, f"nothing came to {len(left)} sockets"
            for descriptor, _ in ready:
                data = by_descriptor[descriptor].recv(1 << 20)
                assert data, "a socket was closed"
                left[descriptor] -= len(data)
                if left[descriptor] <= 0:
                    assert left.pop(descriptor) == 0, "more came than was sent"
                    poll.unregister(descriptor)
        poll.close()

    def read_to_the_end(self) -> list[int]:
        """The bytes that are left for each of them, which the server has closed."""
        return [_rest_of(client) for client in self.sockets]

    def leave(self) -> None:
        """Close all of them in order."""
        for client in self.sockets:
            client.sendall(close_frame(1000))
        for client in self.sockets:
            while client.recv(4096):
                pass
            client.close()
        self.sockets.clear()

    def drop(self) -> None:
        """Close them without a word."""
        for client in self.sockets:
            client.close()
        self.sockets.clear()


def _rest_of(client: socket.socket) -> int:
    count = 0
    with suppress(ConnectionResetError):
        while piece := client.recv(1 << 20):
            count += len(piece)
    return count
