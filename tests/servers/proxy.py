"""A TCP proxy between a client and a server, which loses what the client sent last."""

import contextlib
import socket
import threading
from collections.abc import Callable

__all__ = ["Proxy"]


class Proxy:
    """Listens on ``port``, and passes everything on between its clients and the server's port."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._deserted: list[socket.socket] = []
        self._left: float = float("inf")
        #: Bytes of clients that the server did not get.
        self.withheld = 0
        self._spawn(self._accept)

    def hold_after(self, count: int) -> None:
        """Pass ``count`` bytes of clients on from now on, and withhold all others until a cut."""
        with self._lock:
            self._left = count

    def cut(self) -> None:
        """End all connections; what was withheld is lost. New ones are served."""
        with self._lock:
            for pair in self._pairs:
                for end in pair:
                    _end(end)
            self._forget()

    def desert(self) -> None:
        """End all connections to clients, of which the server hears nothing before the next cut."""
        with self._lock:
            for client, server in self._pairs:
                _end(client)
                self._deserted.append(server)
            self._forget()

    def end_deserted(self) -> None:
        """Have the server know of connections that were deserted."""
        with self._lock:
            while self._deserted:
                _end(self._deserted.pop())

    def close(self) -> None:
        """End everything."""
        _end(self._listening)
        self.cut()
        self.end_deserted()

    def _forget(self) -> None:
        self._pairs.clear()
        self._left, self.withheld = float("inf"), 0

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._pairs.append((client, server))
                self._spawn(self._pass_up, client, server)
                self._spawn(self._pass_down, client, server)

    def _spawn(self, function: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=function, args=arguments, daemon=True).start()

    def _pass_up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                with self._lock:
                    if (client, server) not in self._pairs:
                        return  # cut meanwhile
                    passed = data[: int(min(self._left, len(data)))]
                    self._left -= len(passed)
                    self.withheld += len(data) - len(passed)
                    server.sendall(passed)

    def _pass_down(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65_536):
                with contextlib.suppress(OSError):  # the client may be gone before the server is
                    client.sendall(data)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
