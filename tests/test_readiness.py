"""What a process tells of itself: to systemd, to supervisor, and in a file."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from channels.readiness import Readiness, is_ready


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the file is to be."""
    return tmp_path / "ready"


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """The socket that systemd reads; ``NOTIFY_SOCKET`` names it by its address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reading:
        name = str(tmp_path / "notify")
        reading.bind(name if request.param == "path" else f"\0{name}")
        reading.settimeout(10)
        yield reading


def variable(reading: socket.socket) -> str:
    """The value of ``NOTIFY_SOCKET``."""
    name = reading.getsockname()
    return name if isinstance(name, str) else "@" + name[1:].decode()


def test_systemd_is_told_and_nobody_inherits_it(systemd):
    environ = {"NOTIFY_SOCKET": variable(systemd)}
    readiness = Readiness(environ=environ)
    assert environ == {}
    readiness.ready("serves\n2 sites")
    assert systemd.recv(4096) == b"READY=1\nSTATUS=serves 2 sites"
    readiness.reloading()
    state, clock = systemd.recv(4096).decode().split("\nMONOTONIC_USEC=")
    assert state == "RELOADING=1" and clock.isdecimal()
    readiness.ready()
    assert systemd.recv(4096) == b"READY=1"
    readiness.stopping()
    assert systemd.recv(4096) == b"STOPPING=1"


def test_nothing_is_said_twice_nor_after_the_end(systemd):
    readiness = Readiness(environ={"NOTIFY_SOCKET": variable(systemd)})
    for _ in range(2):
        readiness.ready()
    for _ in range(2):
        readiness.stopping()
    readiness.ready()
    assert [systemd.recv(4096) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]
    systemd.settimeout(0)
    with pytest.raises(BlockingIOError):
        systemd.recv(4096)


def test_a_socket_that_is_gone_is_a_warning(tmp_path, caplog):
    Readiness(environ={"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "was not told 'READY=1'" in caplog.text


def test_supervisor_is_told_by_tokens(capsys):
    readiness = Readiness(environ={"SUPERVISOR_ENABLED": "1"})
    readiness.ready("for people")
    readiness.stopping()
    token = "<!--XSUPERVISOR:BEGIN-->%s<!--XSUPERVISOR:END-->\n"
    assert capsys.readouterr().out == token % "READY=1" + token % "STOPPING=1"


def test_who_is_not_asked_says_nothing(capsys):
    with Readiness(environ={}) as readiness:
        readiness.ready()
    assert not readiness.is_watched
    assert capsys.readouterr() == ("", "")


def test_the_file_holds_the_process_while_it_is_ready(file):
    with Readiness(str(file), {}) as readiness:
        assert readiness.is_watched
        assert not file.exists()
        readiness.ready()
        assert file.read_text() == f"{os.getpid()}\n"
        assert is_ready(file, os.getpid()) and not is_ready(file, 1)
        first = file.stat().st_ino
        readiness.reloading()
        assert is_ready(file, os.getpid())
        readiness.ready()
        assert file.stat().st_ino != first
    assert os.listdir(file.parent) == []


def test_a_file_that_was_left_behind_is_removed_at_the_start(file):
    file.write_text("1\n")
    Readiness(str(file), {})
    assert not file.exists()


def test_the_file_of_a_successor_is_left_alone(file):
    readiness = Readiness(str(file), {})
    readiness.ready()
    file.write_text("1\n")
    readiness.stopping()
    assert file.read_text() == "1\n"


def test_the_file_stays_where_it_is_when_the_folder_changes(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    readiness = Readiness(file.name, {})
    monkeypatch.chdir("/")
    readiness.ready()
    assert is_ready(file, os.getpid())


@pytest.mark.parametrize("path", ["missing/ready", ".", "/"])
def test_a_file_that_cannot_be_written_is_refused(tmp_path, path):
    with pytest.raises(OSError):
        Readiness(str(tmp_path / path), {})
    assert os.listdir(tmp_path) == []


def test_a_file_that_cannot_be_written_any_more_stops_nothing(tmp_path, systemd, caplog):
    folder = tmp_path / "run"
    folder.mkdir()
    readiness = Readiness(str(folder / "ready"), {"NOTIFY_SOCKET": variable(systemd)})
    folder.rmdir()
    readiness.ready()
    assert systemd.recv(4096) == b"READY=1"
    assert f"The ready file {folder / 'ready'} cannot be written: No such file" in caplog.text
    readiness.stopping()
    assert systemd.recv(4096) == b"STOPPING=1"


def test_what_is_no_number_of_a_process_says_nothing(file):
    file.write_bytes(b"\xff")
    assert not is_ready(file, 1)
    assert not is_ready(file.parent / "none", 1)


def test_a_process_that_is_forked_off_changes_nothing(file):
    readiness = Readiness(str(file), {})
    readiness.ready()
    if not (child := os.fork()):
        readiness.stopping()
        os._exit(0)
    os.waitpid(child, 0)
    assert is_ready(file, os.getpid())
