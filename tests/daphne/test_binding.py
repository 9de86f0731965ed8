"""Sockets that a parent binds by endpoint strings, without a reactor."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daphne.binding import Listener, bind
from daphne.exceptions import ListenError
from tests.daphne.certificates import write_certificate
from tests.management.project import ROOT


@pytest.fixture
def bound() -> Iterator[Callable[[str], Listener]]:
    """Binds; the sockets are closed with the test."""
    listeners: list[Listener] = []

    def make(description: str) -> Listener:
        listeners.append(bind(description))
        return listeners[-1]

    yield make
    for listener in listeners:
        listener.close()


def accepts(listener: Listener) -> bool:
    """Whether a client gets through to the socket."""
    with socket.socket(listener.socket.family) as client:
        client.connect(listener.socket.getsockname())
        listener.socket.setblocking(True)
        server, _ = listener.socket.accept()
        server.close()
    return True


@pytest.mark.parametrize(
    ("description", "family"),
    [
        ("tcp:0:interface=127.0.0.1", socket.AF_INET),
        (r"tcp:0:interface=\:\:1", socket.AF_INET6),
        ("haproxy:tcp:0:interface=127.0.0.1", socket.AF_INET),
    ],
)
def test_internet_sockets(bound, description, family):
    listener = bound(description)
    assert listener.socket.family == family
    assert accepts(listener)
    number = listener.socket.fileno()
    assert listener.inherited() == f"fd:fileno={number}:as={description}"


def test_an_empty_interface_is_every_address_of_ipv4_and_two_colons_are_both_kinds(bound):
    assert bound("tcp:0").socket.getsockname()[0] == "0.0.0.0"
    both = bound(r"tcp:0:interface=\:\:")
    with socket.create_connection(("127.0.0.1", both.socket.getsockname()[1]), timeout=10):
        assert both.socket.accept()[1][0] == "::ffff:127.0.0.1"


def test_tls(bound, tmp_path):
    key, certificate = write_certificate(tmp_path)
    assert accepts(bound(f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"))


def test_a_unix_socket_has_its_mode_and_is_removed_in_the_end(tmp_path):
    path = tmp_path / "a.sock"
    listener = bind(f"unix:{path}:mode=620")
    assert stat.S_IMODE(path.stat().st_mode) == 0o620
    assert accepts(listener)
    listener.close()
    assert not path.exists()


def test_a_unix_socket_that_has_taken_the_place_of_ours_is_left_alone(tmp_path):
    path = tmp_path / "a.sock"
    listener = bind(f"unix:{path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        listener.close()
        assert path.exists()


def test_a_descriptor_stays_that_of_whoever_handed_it_over(bound):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        number = listening.fileno()
        listener = bound(f"fd:fileno={number}")
        assert listener.inherited() == f"fd:fileno={listener.socket.fileno()}"
        spoken = bound(f"fd:fileno={number}:as=ssl:0:privateKey=k")
        assert spoken.inherited().endswith(":as=ssl:0:privateKey=k")
        listener.close()
        with socket.create_connection(listening.getsockname(), timeout=10):
            pass


def test_what_cannot_be_bound_is_told(bound, tmp_path):
    taken = bound("tcp:0:interface=127.0.0.1").socket.getsockname()[1]
    with pytest.raises(ListenError, match="Address already in use") as caught:
        bind(f"tcp:{taken}:interface=127.0.0.1")
    assert caught.value.errno is not None
    for description in ("nonsense:1", f"unix:{tmp_path}/missing/a.sock", "fd:fileno=99999", "fd:x"):
        with pytest.raises(ListenError):
            bind(description)
    with pytest.raises(ListenError, match="0 to 65535"):
        bind("tcp:75000:interface=127.0.0.1")
    with pytest.raises(ListenError, match="no such number"):
        bind("fd:fileno=99999999999")
    with open(os.devnull) as null, pytest.raises(ListenError, match="is no socket"):
        bind(f"fd:fileno={null.fileno()}")


@pytest.mark.parametrize("kind", ["tcp", "ssl"])
def test_a_parent_has_no_reactor(tmp_path: Path, kind: str) -> None:
    key, certificate = write_certificate(tmp_path)
    options = f":privateKey={key}:certKey={certificate}" if kind == "ssl" else ""
    program = (
        "import sys, daphne.cli; from daphne.binding import bind\n"
        f"bind('{kind}:0:interface=127.0.0.1{options}')\n"
        "print([name for name in sys.modules if name == 'twisted.internet.reactor'])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout.strip() == "[]"
