"""``daphne --workers N``: a small Django site over the in-memory layer, from one command."""

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from channels.layers.inmemory import ChannelLayer
from daphne.exceptions import StartError
from daphne.exit_codes import ExitCode
from daphne.workers import Workers
from tests.daphne.clients import HttpClient
from tests.daphne.commands import Command, get
from tests.management.project import Project

ASGI = """
from channels.asgi import get_channel_layer
channel_layer = get_channel_layer()
"""

ROUTING = """
import os, time

def echo(message):
    message.reply_channel.send({"text": message["text"]})

def goodbye(message):
    print("goodbye", message["code"], flush=True)

def slow(message):
    print("slow begins", flush=True)
    while not os.path.exists("go"):
        time.sleep(0.01)
    print("slow ends", flush=True)

def start_slow(message):
    from channels import Channel
    Channel("slow").send({}, immediately=True)

channel_routing = {
    "websocket.receive": echo, "websocket.disconnect": goodbye, "slow": slow,
    "websocket.connect": lambda m: (m.reply_channel.send({"accept": True}), start_slow(m))
        if m["path"] == "/slow" else m.reply_channel.send({"accept": True}),
}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Starts the command for the project."""
    project = Project(tmp_path)
    project.write("asgi.py", ASGI)
    project.write("routing.py", ROUTING)
    started: list[Command] = []

    def start(*args: str) -> Command:
        environment = {"DJANGO_SETTINGS_MODULE": "settings", "DAPHNE_PORT": "0"}
        started.append(Command(tmp_path, *args, environment=environment))
        return started[-1]

    yield start
    for command in started:
        command.end()


def test_one_command_serves_a_site_over_the_in_memory_layer(site):
    command = site("--workers", "2", "asgi:channel_layer")
    assert re.search(r"inmemory.*; 2 worker thread\(s\)\n", command.listening())
    assert "exists in this process only" not in command.output()
    address = ("127.0.0.1", command.port)
    assert get(address, "/hello/").body == b"hello"
    assert get(address, "/workers/").body == b"2"
    with connect(f"ws://127.0.0.1:{command.port}/") as socket:
        socket.send("text")
        assert socket.recv(timeout=10) == "text"
        command.tell(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(timeout=10)
    assert caught.value.rcvd is not None and caught.value.rcvd.code == 1012
    assert command.wait(30) == ExitCode.STOPPED
    assert "goodbye 1012" in command.output()


def test_consumers_are_finished_when_the_command_is_stopped(site, tmp_path):
    command = site("--workers", "1", "asgi:channel_layer")
    with connect(f"ws://127.0.0.1:{command.port}/slow"):
        command.wait_for("slow begins")
    command.tell(signal.SIGTERM)
    with pytest.raises(OSError):
        while True:  # until nobody listens
            HttpClient(("127.0.0.1", command.port)).close()
    assert command.running
    (tmp_path / "go").touch()
    assert command.wait(30) == ExitCode.STOPPED
    assert "slow ends" in command.output() and "goodbye" in command.output()


@pytest.mark.slow
def test_a_consumer_that_does_not_end_is_cut_off_by_a_second_signal(site):
    command = site("--workers", "1", "--shutdown-timeout", "600", "asgi:channel_layer")
    with connect(f"ws://127.0.0.1:{command.port}/slow"):
        command.wait_for("slow begins")
    command.tell(signal.SIGTERM)
    with pytest.raises(OSError):
        while True:  # until nobody listens
            HttpClient(("127.0.0.1", command.port)).close()
    command.tell(signal.SIGTERM)
    assert command.wait(30) == ExitCode.CUT_SHORT
    assert "Consumers that did not finish are cut off" in command.output()


def test_a_layer_without_routing_is_an_error():
    with pytest.raises(StartError, match="--workers: .* no layer of the setting CHANNEL_LAYERS"):
        Workers(ChannelLayer(), 1)
