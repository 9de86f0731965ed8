"""Sockets that others have bound: systemd's, supervisor's, and what is spoken on them."""

import os
import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daphne.activation import passed_endpoints, read_numbers
from daphne.exit_codes import ExitCode
from tests.daphne.certificates import client_context, write_certificate
from tests.daphne.commands import Passed, get, write_project

LAYER = "project:channel_layer"

#: Binds as systemd does, and becomes the command.
SYSTEMD = """
import os, socket, sys
tcp, unix = socket.socket(), socket.socket(socket.AF_UNIX)
tcp.bind(("127.0.0.1", 0)); unix.bind("passed.sock")
tcp.listen(); unix.listen()
for number, one in ((10, tcp), (11, unix)): os.dup2(one.fileno(), number)
for number in (3, 4): os.dup2(number + 7, number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="a:b")
os.execv(sys.executable, [sys.executable, "-m", "daphne", *sys.argv[1:]])
"""

#: Binds as supervisor does for a program of the kind fcgi, and becomes the command.
SUPERVISOR = """
import os, socket, sys
unix = socket.socket(socket.AF_UNIX)
os.umask(0o177)
unix.bind("passed.sock"); unix.listen()
os.dup2(unix.fileno(), 0)
os.execv(sys.executable, [sys.executable, "-m", "daphne", *sys.argv[1:]])
"""


@pytest.fixture
def passed(tmp_path: Path) -> Iterator[Callable[..., Passed]]:
    """Starts commands that are given sockets."""
    write_project(tmp_path)
    started: list[Passed] = []

    def start(program: str, *args: str) -> Passed:
        started.append(Passed(tmp_path, program, *args, LAYER))
        return started[-1]

    yield start
    for command in started:
        command.end()


def test_sockets_of_systemd_are_listened_on(passed, tmp_path):
    command = passed(SYSTEMD)
    path = str(tmp_path / "passed.sock")
    assert "unix:passed.sock" in command.listening()
    mode = os.stat(path).st_mode
    assert get(("127.0.0.1", command.port)).status == 200
    assert get(path).status == 200
    command.stop()
    assert command.wait(30) == ExitCode.STOPPED
    assert os.stat(path).st_mode == mode


def test_a_socket_of_supervisor_is_shared_by_processes(passed, tmp_path):
    command = passed(SUPERVISOR, "--fd", "0", "--processes", "1")
    path = str(tmp_path / "passed.sock")
    assert "unix:passed.sock" in command.listening()
    assert get(path).status == 200
    command.stop()
    assert command.wait(30) == ExitCode.STOPPED
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_what_the_variables_tell_this_process():
    own = {"LISTEN_PID": str(os.getpid())}
    assert list(read_numbers({**own, "LISTEN_FDS": "2"})) == [3, 4]
    for nothing in ({}, own, {**own, "LISTEN_FDS": "x"}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}):
        assert not read_numbers(nothing)
    assert passed_endpoints() == []


def test_tls_is_spoken_on_a_socket_that_is_passed(serve, tmp_path):
    key, certificate = write_certificate(tmp_path)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        spoken = f"ssl:443:privateKey={key}:certKey={certificate}"
        one = serve(endpoints=[f"fd:fileno={os.dup(listening.fileno())}:as={spoken}"])
        application = one.application(http_request=lambda message: {"status": 204})
        context: ssl.SSLContext = client_context(certificate)
        assert get(("127.0.0.1", one.port), tls=context).status == 204
    assert application.messages("http.request")[0]["scheme"] == "https"


def test_a_unix_socket_that_is_passed_stays_as_it_is(serve, tmp_path):
    path = str(tmp_path / "passed.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        os.chmod(path, 0o600)
        listening.listen()
        one = serve(endpoints=[f"fd:fileno={os.dup(listening.fileno())}"])
        one.application(http_request=lambda message: {"status": 204})
        assert get(path).status == 204
        one.close()
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        # Others may still listen on it.
        listening.setblocking(False)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            listening.accept()[0].close()


def test_clients_of_a_socket_for_both_kinds_of_addresses_have_their_own(serve):
    one = serve(endpoints=[r"tcp:0:interface=\:\:"], max_connections_per_address=1)
    application = one.application(http_request=lambda message: {"status": 204})
    for host in ("127.0.0.1", "::1"):
        assert get((host, one.port)).status == 204
    clients = [message["client"][0] for message in application.messages("http.request")]
    assert clients == ["127.0.0.1", "::1"]
    assert application.messages("http.request")[0]["server"][0] == "127.0.0.1"
