"""When the command says that it is ready: it listens, and its layer has answered."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from channels.readiness import is_ready
from daphne.exit_codes import ExitCode
from tests.daphne.commands import Command, get, write_project
from tests.waiting import wait_until

#: Has the layer of a process away until the file "back" is there.
AWAY = """
import os
from channels.exceptions import LayerUnavailable

class AwayLayer(ChannelLayer):
    back = False

    def send_twisted(self, channel, message):
        self.back = self.back or os.path.exists("back")
        if not self.back:
            raise LayerUnavailable("away")
        return super().send_twisted(channel, message)

channel_layer = AwayLayer(capacity=1000)
"""

ORIGINAL = "channel_layer = ChannelLayer(capacity=1000)\n"

LAYER = "project:channel_layer"


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket that systemd reads."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reading:
        reading.bind(str(tmp_path / "notify"))
        reading.settimeout(60)
        yield reading


@pytest.fixture
def commands() -> Iterator[list[Command]]:
    """Commands that are ended with the test."""
    started: list[Command] = []
    yield started
    for command in started:
        command.end()


def test_a_server_is_ready_when_its_layer_answers_until_it_stops(tmp_path, systemd, commands):
    write_project(tmp_path, ORIGINAL, AWAY)
    file = tmp_path / "ready"
    environment = {"NOTIFY_SOCKET": systemd.getsockname()}
    command = Command(
        tmp_path, "-p", "0", "--ready-file", str(file), LAYER, environment=environment
    )
    commands.append(command)
    command.listening()
    assert not file.exists()
    (tmp_path / "back").touch()
    assert systemd.recv(4096).startswith(b"READY=1\nSTATUS=Listening on http://")
    assert is_ready(file, command.pid)
    command.tell(signal.SIGTERM)
    assert systemd.recv(4096) == b"STOPPING=1"
    assert command.wait(30) == ExitCode.STOPPED
    assert not file.exists()


def test_a_parent_is_ready_when_all_of_its_children_are(tmp_path, systemd, commands):
    write_project(tmp_path, ORIGINAL, AWAY)
    file = tmp_path / "ready"
    environment = {"NOTIFY_SOCKET": systemd.getsockname(), "DAPHNE_READY_FILE": str(file)}
    command = Command(tmp_path, "-p", "0", "--processes", "2", LAYER, environment=environment)
    commands.append(command)
    children = command.children()
    assert not file.exists()
    (tmp_path / "back").touch()
    assert systemd.recv(4096).startswith(b"READY=1\nSTATUS=Listening on http://")
    assert is_ready(file, command.pid)
    # The old processes serve until the new ones are ready.
    (tmp_path / "back").unlink()
    command.tell(signal.SIGHUP)
    assert systemd.recv(4096).startswith(b"RELOADING=1\n")
    assert get(("127.0.0.1", command.port)).status == 200
    (tmp_path / "back").touch()
    assert systemd.recv(4096).startswith(b"READY=1\n")
    assert is_ready(file, command.pid)
    wait_until(lambda: not set(children) & set(command.children()))
    command.tell(signal.SIGTERM)
    assert systemd.recv(4096) == b"STOPPING=1"
    assert command.wait(30) == ExitCode.STOPPED
    assert not file.exists()


def test_a_ready_file_that_cannot_be_written_is_refused(tmp_path, commands):
    write_project(tmp_path)
    command = Command(tmp_path, "-p", "0", "--ready-file", "missing/ready", LAYER)
    commands.append(command)
    assert command.wait(30) == ExitCode.FAILED
    assert "cannot write the ready file 'missing/ready': No such file" in command.output()
