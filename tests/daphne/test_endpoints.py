"""Endpoint strings, and listening on what they name."""

import errno
import os
import shutil
import socket
import subprocess
import sys

import pytest
from twisted.internet.error import CannotListenError

from daphne.endpoints import (
    build_endpoint_description_strings,
    describe,
    endpoint_from,
    listen_error,
)
from daphne.exceptions import ListenError
from daphne.twisted.fd_endpoint import parser
from tests.daphne.cores import Script
from tests.management.project import ROOT
from tests.reactor import in_reactor, reactor


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, []),
        ({"host": "127.0.0.1", "port": 8000}, ["tcp:port=8000:interface=127.0.0.1"]),
        ({"host": "::1", "port": 8000}, [r"tcp:port=8000:interface=\:\:1"]),
        ({"host": "[200a::1]", "port": 80}, [r"tcp:port=80:interface=200a\:\:1"]),
        ({"unix_socket": "/tmp/daphne.sock"}, ["unix:/tmp/daphne.sock"]),
        ({"unix_socket": "/tmp/a:b.sock"}, [r"unix:/tmp/a\:b.sock"]),
        ({"file_descriptor": 5}, ["fd:fileno=5"]),
        ({"file_descriptor": 0}, ["fd:fileno=0"]),
        (
            {"host": "10.0.0.1", "port": 0, "unix_socket": "/a", "file_descriptor": 3},
            ["tcp:port=0:interface=10.0.0.1", "unix:/a", "fd:fileno=3"],
        ),
    ],
)
def test_plain_arguments_become_endpoint_strings(arguments, expected):
    assert build_endpoint_description_strings(**arguments) == expected


@pytest.mark.parametrize("arguments", [{"host": "127.0.0.1"}, {"port": 8000}])
def test_host_and_port_come_together(arguments):
    with pytest.raises(ValueError, match="both host and port"):
        build_endpoint_description_strings(**arguments)


@pytest.mark.parametrize(
    "description", ["", "nonsense", "tcp:port=x", "gopher:80", "fd:x", "unix:"]
)
def test_a_string_that_is_no_endpoint_is_an_error_that_quotes_it(description):
    with pytest.raises(ListenError, match=f"'{description}'"):
        in_reactor(endpoint_from, reactor, description)


def test_a_key_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ListenError, match=r"missing\.pem: No such file or directory"):
        in_reactor(endpoint_from, reactor, f"ssl:0:privateKey={tmp_path}/missing.pem")


def test_a_key_that_is_none_is_an_error(tmp_path):
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(ListenError, match="is no endpoint string"):
        in_reactor(endpoint_from, reactor, f"ssl:0:privateKey={tmp_path}/key.pem")


def listen(description: str):
    """Listen for a moment; the address that was bound."""
    port = in_reactor(lambda: endpoint_from(reactor, description).listen(Factory()))
    address = port.getHost()
    in_reactor(port.stopListening)
    return address


class Factory:
    """The least that a listener needs."""

    def doStart(self) -> None: ...  # noqa: N802

    def doStop(self) -> None: ...  # noqa: N802

    def buildProtocol(self, address: object) -> None:  # noqa: N802
        return None


def test_tcp_is_listened_on():
    assert describe(listen("tcp:0:interface=127.0.0.1")).startswith("http://127.0.0.1:")


def test_ipv6_is_listened_on():
    assert describe(listen(r"tcp:port=0:interface=\:\:1")).startswith("http://[::1]:")


def test_a_unix_socket_is_listened_on(tmp_path):
    path = tmp_path / "a.sock"
    assert describe(listen(f"unix:{path}")) == f"unix:{path}"
    assert not path.exists()


def test_the_socket_of_a_dead_server_is_replaced(tmp_path):
    path = str(tmp_path / "a.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
        dead.listen()
    assert os.path.exists(path)
    listen(f"unix:{path}")


def test_the_socket_of_a_living_server_is_left_alone(tmp_path):
    path = str(tmp_path / "a.sock")
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(path)
        living.listen()
        with pytest.raises(ListenError, match="another process listens") as caught:
            endpoint_from(reactor, f"unix:{path}")
    assert caught.value.errno == errno.EADDRINUSE
    assert os.path.exists(path)


def test_a_file_in_the_way_is_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ListenError, match="is no socket"):
        endpoint_from(reactor, f"unix:{path}")
    assert path.read_text() == "data"


@pytest.mark.parametrize("make", [lambda n: endpoint_from(reactor, f"fd:fileno={n}"), None])
def test_a_listening_file_descriptor_is_taken_over(make):
    make = make or (lambda number: parser.parseStreamServer(reactor, str(number)))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        number = listening.getsockname()[1]
        endpoint = make(os.dup(listening.fileno()))
    port = in_reactor(lambda: endpoint.listen(Factory()))
    assert port.getHost().port == number
    with socket.create_connection(("127.0.0.1", number), timeout=10) as client:
        assert client.recv(1) == b""  # the factory above refuses
    in_reactor(port.stopListening)


def test_a_file_descriptor_that_is_no_socket_is_an_error():
    with open(os.devnull) as null, pytest.raises(ListenError, match="is no socket"):
        endpoint_from(reactor, f"fd:fileno={null.fileno()}")


def test_a_file_descriptor_that_is_not_open_is_an_error():
    with pytest.raises(ListenError, match="Bad file descriptor"):
        endpoint_from(reactor, "fd:fileno=99999")


def test_a_socket_that_does_not_listen_is_an_error():
    with socket.socket() as idle, pytest.raises(ListenError, match="does not listen"):
        endpoint_from(reactor, f"fd:{idle.fileno()}")


def test_a_host_that_does_not_exist_is_told():
    reason = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    error = listen_error("tcp:0:interface=nohost", CannotListenError("nohost", 0, reason))
    assert str(error) == "cannot listen on tcp:0:interface=nohost: Name or service not known"


def test_an_address_in_use_is_told_with_its_number(shell):
    port = shell(Script()).port.getHost().port
    description = f"tcp:{port}:interface=127.0.0.1"
    with pytest.raises(Exception) as caught:
        in_reactor(lambda: endpoint_from(reactor, description).listen(Factory()))
    error = listen_error(description, caught.value)
    assert error.errno == errno.EADDRINUSE
    assert str(error) == f"cannot listen on {description}: Address already in use"


def test_other_twisted_programs_find_the_plugin_where_it_is_installed(tmp_path):
    shutil.copytree(ROOT / "daphne" / "twisted" / "plugins", tmp_path / "twisted" / "plugins")
    program = (
        "import socket; from twisted.internet import reactor\n"
        "from twisted.internet.endpoints import serverFromString\n"
        "from twisted.internet.protocol import Factory\n"
        "number = socket.create_server(('127.0.0.1', 0)).detach()\n"
        "listening = serverFromString(reactor, f'fd:fileno={number}').listen(Factory())\n"
        "print(listening.result.getHost().port)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 0
