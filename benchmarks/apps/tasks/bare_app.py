"""The least that a queue over Redis does: RPUSH and BLPOP on bare sockets, replies read by hiredis.

Run as a program, it is the worker.
"""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import hiredis


class Server:
    """A connection to redis-server."""

    def __init__(self) -> None:
        url = urlsplit(os.environ["BENCH_REDIS"])
        self._socket = socket.create_connection((url.hostname, url.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def ask(self, *command: object) -> object:
        """The reply to a command."""
        self._socket.sendall(hiredis.pack_command(command))
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65536))
        return reply


server = Server()


def enqueue(number: int) -> None:
    """Work that is nothing."""
    server.ask("RPUSH", "queue", number)


def enqueue_finish(path: str) -> None:
    """The end of the work: a file."""
    server.ask("RPUSH", "queue", path)


if __name__ == "__main__":
    while True:
        _, task = server.ask("BLPOP", "queue", 0)
        if task.startswith(b"/"):
            Path(task.decode()).touch()
