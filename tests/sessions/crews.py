"""Several workers at once, as threads or as processes, and the traffic of sockets for them."""

import os
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from channels.asgi import ChannelLayerWrapper
from channels.message import Message
from channels.names import random_part
from channels.worker import Worker, WorkerGroup

__all__ = ["REPLIES", "Journal", "Traffic", "processes", "threads"]

#: The process channel of all sockets here.
REPLIES = "daphne.response.crew!"

#: How many workers there are.
WORKERS = 8


class Journal:
    """A file to which all workers write: what they were given, and what they consumed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def given(self, channel: str, message: Message) -> None:
        """A worker's callback."""
        self._write("given", message)

    def consumed(self, message: Message) -> None:
        """For consumers."""
        self._write("consumed", message)

    def orders(self, what: str) -> dict[str, list[int]]:
        """The orders of the messages that were "given" or "consumed", by socket."""
        found: dict[str, list[int]] = defaultdict(list)
        for line in self._path.read_text().splitlines():
            kind, name, order = line.split()
            if kind == what:
                found[name].append(int(order))
        return found

    def _write(self, what: str, message: Message) -> None:
        line = f"{what} {message['reply_channel']} {message['order']}\n"
        os.write(self._file, line.encode())  # which O_APPEND makes one step


class Traffic:
    """Sockets that send as an interface server does: each message once the last one was taken."""

    def __init__(self, layer: Any, sockets: int, messages: int) -> None:
        self.layer = layer
        self.messages = messages
        self.names = [f"{REPLIES}{random_part()}" for _ in range(sockets)]
        #: What each socket was sent.
        self.replies: dict[str, list[dict[str, Any]]] = {name: [] for name in self.names}
        self._opened = {name: threading.Event() for name in self.names}

    def run(self, timeout: float = 100.0) -> None:
        """Send everything, and read replies until each socket has one for each frame."""
        senders = [threading.Thread(target=self._send_all, args=(name,)) for name in self.names]
        for sender in senders:
            sender.start()
        while any(len(found) < self.messages for found in self.replies.values()):
            name, content = self.layer.receive([REPLIES], block=True, timeout=timeout)
            assert name is not None, {name: len(found) for name, found in self.replies.items()}
            if "accept" in content:
                self._opened[name].set()
            else:
                self.replies[name].append(content)
        for sender in senders:
            sender.join()

    def disconnect(self) -> None:
        """Let all sockets end."""
        for name in self.names:
            self.send("websocket.disconnect", name, self.messages + 1)

    def _send_all(self, name: str) -> None:
        self.send("websocket.connect", name, 0)
        assert self._opened[name].wait(60)
        for order in range(1, self.messages + 1):
            self.send("websocket.receive", name, order)

    def send(self, channel: str, name: str, order: int) -> None:
        """Send a message as soon as there is room."""
        content = {"reply_channel": name, "path": "/", "order": order, "text": "hello"}
        while True:
            try:
                return self.layer.send(channel, content)
            except self.layer.ChannelFull:
                self.layer.wait_for_room(channel, 10)


@contextmanager
def threads(layer: Any, routing: list[Any], journal: Journal) -> Iterator[None]:
    """Workers of one process."""
    group = WorkerGroup(
        ChannelLayerWrapper(layer, "default", routing),
        callback=journal.given,
        signal_handlers=False,
        n_threads=WORKERS,
    )
    thread = threading.Thread(target=group.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        group.stop()
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def processes(
    make: Callable[[], Any], routing: list[Any], journal: Journal, killed: int = 0
) -> Iterator[None]:
    """A process for each worker, which makes its own layer object.

    ``killed`` of them end by SIGKILL meanwhile, and all others in order.
    """
    pids = [_forked(make, routing, journal) for _ in range(WORKERS)]
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)  # a zombie takes no notice of it
        ends = [os.waitpid(pid, 0)[1] for pid in pids]
    assert sorted(ends) == [0] * (WORKERS - killed) + [signal.SIGKILL] * killed


def _forked(make: Callable[[], Any], routing: list[Any], journal: Journal) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            wrapper = ChannelLayerWrapper(make(), "default", routing)
            Worker(wrapper, callback=journal.given).run()
            status = 0
        finally:
            os._exit(status)
    return pid
