"""The server of lines over real sockets: replies, groups, who leaves, who reads or sends badly."""

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from channels import Group
from channels.asgi import channel_layers
from channels.layers.inmemory import ChannelLayer
from channels.worker import Worker
from tests.waiting import wait_until
from tests.worker.workers import make_layer, running

pytestmark = pytest.mark.compiled_only  # what it is made of has tests of its own

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("line_server", ROOT / "examples/line_server.py")
assert _spec is not None and _spec.loader is not None
line_server: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(line_server)

left: "Queue[str]" = Queue()


def connect(message):
    Group("lines").add(message.reply_channel)
    message.reply_channel.send({"text": f"hello {message['client']}"})


def receive(message):
    if message["text"] == "quit":
        message.reply_channel.send({"text": "bye", "close": True})
    elif message["text"] == "flood":
        message.reply_channel.send({"text": "x" * 1_000_000})
    else:
        Group("lines").send({"text": message["text"].upper()})


def disconnect(message):
    Group("lines").discard(message.reply_channel)
    left.put(message["reply_channel"])


ROUTING = {"tcp.connect": connect, "tcp.receive": receive, "tcp.disconnect": disconnect}


@contextmanager
def serving(layer: Any) -> Iterator[tuple[str, int]]:
    """The server in a thread; gives its address."""
    address: Queue[tuple[str, int]] = Queue()
    loop = asyncio.new_event_loop()
    server = line_server.LineServer(layer)

    def ready(*where: Any, flush: bool) -> None:
        address.put(where)

    task = loop.create_task(server.run("127.0.0.1", 0, ready))

    def serve() -> None:
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        for other in asyncio.all_tasks(loop):
            other.cancel()
            loop.run_until_complete(asyncio.wait([other]))
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield address.get(timeout=20)
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def layer() -> Any:
    return ChannelLayer(capacity=100)


@pytest.fixture
def address(layer: Any) -> Iterator[tuple[str, int]]:
    """The server with a worker."""
    wrapper = make_layer(ROUTING, layer)
    earlier = channel_layers.set("default", wrapper)
    try:
        with serving(layer) as address, running(Worker(wrapper, signal_handlers=False)):
            yield address
    finally:
        channel_layers.set("default", earlier)


class Client:
    """A client that has been greeted."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=20)
        self.lines = self.socket.makefile("rb")
        assert self.lines.readline() == b"hello 127.0.0.1\n"

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.lines.close()
        self.socket.close()

    def send(self, line: bytes) -> None:
        self.socket.sendall(line)


def test_it_is_no_longer_than_is_said():
    assert len((ROOT / "examples/line_server.py").read_text().splitlines()) <= 60


def test_what_one_client_sends_reaches_all(address):
    with Client(address) as one, Client(address) as two:
        one.send(b"hello, \xff both\r\n")

        assert one.lines.readline() == two.lines.readline() == "HELLO, � BOTH\n".encode()


def test_a_consumer_may_close_and_hears_of_it(address):
    with Client(address) as client:
        client.send(b"quit\n")

        assert client.lines.read() == b"bye\n"
    assert left.get(timeout=20).startswith("tcp.reply.")


def test_a_line_that_is_too_long_ends_its_connection_alone(address):
    with Client(address) as one, Client(address) as two:
        one.send(b"x" * 100_000)
        with pytest.raises(ConnectionError):  # what was not read is answered by a reset
            while one.socket.recv(1000):
                pass
            raise ConnectionResetError
        left.get(timeout=20)
        two.send(b"still here\n")

        assert two.lines.readline() == b"STILL HERE\n"


def test_a_client_that_does_not_read_is_cut(address):
    with Client(address) as slow, Client(address) as other:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.send(b"flood\n" * 20)
        left.get(timeout=30)
        other.send(b"on\n")

        assert other.lines.readline() == b"ON\n"


def test_a_full_channel_stops_reading_until_there_is_room(layer):
    layer.capacity = 1
    with serving(layer) as address, socket.create_connection(address, timeout=20) as client:
        client.sendall(b"".join(b"%d\n" % number for number in range(50)))
        assert layer.receive(["tcp.connect"], block=True, timeout=20)[1] is not None
        texts = []
        for _ in range(50):
            _, message = layer.receive(["tcp.receive"], block=True, timeout=20)
            texts.append(message["text"])

        assert texts == [str(number) for number in range(50)]
        client.close()
        channel, _ = layer.receive(["tcp.disconnect"], block=True, timeout=20)
        assert channel == "tcp.disconnect"


def test_the_command_serves_until_it_is_told_to_stop(tmp_path):
    (tmp_path / "lines.py").write_text(
        "from channels.layers.inmemory import ChannelLayer\nlayer = ChannelLayer()\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "examples/line_server.py"), "lines:layer", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        host, port = process.stdout.readline().decode().split()
        socket.create_connection((host, int(port)), timeout=20).close()
        process.send_signal(signal.SIGINT)
        wait_until(lambda: process.poll() is not None)
    finally:
        process.kill()
        process.wait(20)
