"""The ``daphne`` command: options, where they end up, and what is said when something is wrong."""

import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from channels.distributions import Conflict
from channels.layers.inmemory import ChannelLayer
from daphne import cli
from daphne.access import AccessLogGenerator
from daphne.cli import CommandLineInterface, load_layer
from daphne.exceptions import ListenError
from daphne.options import Options

ROOT = Path(__file__).parents[2]


class RecordingServer:
    """Takes the place of the server, and keeps what it was given."""

    cut_short = False

    def __init__(self, channel_layer: Any, **arguments: Any) -> None:
        self.channel_layer = channel_layer
        self.arguments = arguments

    def run(self) -> None:
        """End at once."""


class Interface(CommandLineInterface):
    server_class = RecordingServer


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module ``project_asgi`` that can be imported, with a channel layer in it."""
    made = types.ModuleType("project_asgi")
    made.channel_layer = ChannelLayer()  # type: ignore[attr-defined]
    made.nested = types.SimpleNamespace(layer=made.channel_layer)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "project_asgi", made)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return made


@pytest.fixture
def arguments(module: types.ModuleType) -> Callable[..., dict[str, Any]]:
    """What the server gets for some options."""

    def run(*args: str) -> dict[str, Any]:
        interface = Interface()
        assert interface.run([*args, "project_asgi:channel_layer"]) == 0
        arguments: dict[str, Any] = interface.server.arguments
        return arguments

    return run


@pytest.mark.parametrize(
    ("args", "endpoints"),
    [
        ([], ["tcp:port=8000:interface=127.0.0.1"]),
        (["-p", "123"], ["tcp:port=123:interface=127.0.0.1"]),
        (["--port", "123"], ["tcp:port=123:interface=127.0.0.1"]),
        (["-b", "10.0.0.1"], ["tcp:port=8000:interface=10.0.0.1"]),
        (["-b", "200a::1"], [r"tcp:port=8000:interface=200a\:\:1"]),
        (["-b", "[200a::1]", "-p", "80"], [r"tcp:port=80:interface=200a\:\:1"]),
        (["-b", "10.0.0.1", "-p", "80"], ["tcp:port=80:interface=10.0.0.1"]),
        (["-u", "/tmp/a.sock"], ["unix:/tmp/a.sock"]),
        (["-u", "/tmp/a.sock", "--unix-socket-mode", "660"], ["unix:/tmp/a.sock:mode=660"]),
        (["--unix_socket", "/tmp/a.sock"], ["unix:/tmp/a.sock"]),
        (["--fd", "5"], ["fd:fileno=5"]),
        (["--fd", "0"], ["fd:fileno=0"]),
        (["-e", "ssl:443:privateKey=k"], ["ssl:443:privateKey=k"]),
        (["--udp", "127.0.0.1:5000"], []),
        (["--udp", "127.0.0.1:5000", "-p", "80"], ["tcp:port=80:interface=127.0.0.1"]),
        (
            ["-e", "tcp:9", "--endpoint", "ssl:8", "-e", "tcp:9", "-p", "80"],
            ["ssl:8", "tcp:9", "tcp:9", "tcp:port=80:interface=127.0.0.1"],
        ),
        (
            ["-u", "/a", "--fd", "3", "-b", "::"],
            ["fd:fileno=3", r"tcp:port=8000:interface=\:\:", "unix:/a"],
        ),
    ],
)
def test_where_to_listen(arguments, args, endpoints):
    assert arguments(*args)["endpoints"] == endpoints


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], {"http_timeout": 120, "ping_interval": 20, "ping_timeout": 30, "root_path": ""}),
        ([], {"websocket_timeout": None, "websocket_connect_timeout": 5, "force_sync": False}),
        ([], {"verbosity": 1, "ws_protocols": ()}),
        (["-t", "30"], {"http_timeout": 30}),
        (["--http-timeout", "0.5"], {"http_timeout": 0.5}),
        (["--http_timeout=none"], {"http_timeout": None}),
        (["-v", "2"], {"verbosity": 2}),
        (["--ping-interval", "5"], {"ping_interval": 5}),
        (["--ping_timeout", "6"], {"ping_timeout": 6}),
        (["--ws-protocol", "a", "b", "--"], {"ws_protocols": ("a", "b")}),
        (["--ws_protocol", "a", "--ws-protocol", "b", "-v", "0"], {"ws_protocols": ("a", "b")}),
        (["--root-path", "/a_b"], {"root_path": "/a_b"}),
        (["--root_path=/a_b"], {"root_path": "/a_b"}),
        (["--force-sync"], {"force_sync": True}),
        (["--ws-compression"], {"websocket_compression": True}),
        (["--websocket_compression"], {"websocket_compression": True}),
        (["--ws-compression", "--no-ws-compression"], {"websocket_compression": False}),
        (["--websocket_timeout", "-1"], {"websocket_timeout": -1}),
        (["--websocket-timeout", "60"], {"websocket_timeout": 60}),
        (["--websocket_connect_timeout", "7"], {"websocket_connect_timeout": 7}),
        (["--max-body", "10M"], {"max_body": 10 * 1024 * 1024}),
        (["--header_line_limit", "4k"], {"header_line_limit": 4096}),
        (["--keep-alive-timeout", "none"], {"keep_alive_timeout": None}),
        (["--ws-receive-wait", "1"], {"websocket_receive_wait": 1}),
        (["--websocket-receive-wait", "1"], {"websocket_receive_wait": 1}),
        (
            ["--trusted-proxies", "10.0.0.0/8, ::1", "--trusted_proxies", "unix"],
            {"trusted_proxies": ("10.0.0.0/8", "::1", "unix")},
        ),
        (
            ["--proxy-headers"],
            {
                "proxy_forwarded_address_header": "X-Forwarded-For",
                "proxy_forwarded_port_header": "X-Forwarded-Port",
                "proxy_forwarded_proto_header": "X-Forwarded-Proto",
                "proxy_forwarded_host_header": "X-Forwarded-Host",
                "proxy_forwarded": True,
            },
        ),
        (
            ["--udp", "127.0.0.1:5000", "--udp", "[::1]:5000"],
            {"udp": ("127.0.0.1:5000", "[::1]:5000")},
        ),
        (["--admin", "127.0.0.1:9100"], {"admin": "127.0.0.1:9100"}),
        (["--slow-request", "1.5"], {"slow_request": 1.5}),
        (["--websocket-slow-consumer", "drop"], {"websocket_slow_consumer": "drop"}),
        (["--websocket-message-rate", "none"], {"websocket_message_rate": None}),
        (["--websocket-byte-rate", "1M"], {"websocket_byte_rate": 1024 * 1024}),
    ],
)
def test_options_reach_the_server(arguments, args, expected):
    given = arguments(*args)
    assert {name: given[name] for name in expected} == expected


def test_without_proxy_headers_no_header_is_believed(arguments):
    assert not any(name.startswith("proxy_") for name in arguments())


def test_every_option_of_the_server_can_be_given(arguments):
    given = set(arguments("--proxy-headers", "--trusted-proxies", "unix"))
    assert {field.name for field in dataclasses.fields(Options)} <= given


def test_defaults_are_those_of_the_options(arguments):
    given = arguments()
    own = {"websocket_timeout": None, "websocket_connect_timeout": 5}
    for field in dataclasses.fields(Options):
        if not field.name.startswith("proxy_"):
            assert given[field.name] == own.get(field.name, field.default), field.name


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["-p", "x", "a:b"],
        ["-v", "7", "a:b"],
        ["--max-body", "lots", "a:b"],
        ["--max-body", "-5", "a:b"],
        ["--no-such-option", "a:b"],
        ["--udp", "5000", "a:b"],
        ["--slow-request", "0", "a:b"],
        ["--access-log-format", "xml", "a:b"],
        ["--websocket-slow-consumer", "wait", "a:b"],
    ],
)
def test_wrong_options_exit_with_2(args, capsys):
    with pytest.raises(SystemExit) as caught:
        CommandLineInterface().run(args)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_what_the_environment_says_reaches_the_server(arguments, monkeypatch):
    monkeypatch.setenv("DAPHNE_HTTP_TIMEOUT", "7")
    assert arguments()["http_timeout"] == 7
    assert arguments("-t", "8")["http_timeout"] == 8


def test_what_is_wrong_in_the_environment_exits_with_2(monkeypatch, capsys):
    monkeypatch.setenv("DAPHNE_MAX_BODY", "lots")
    with pytest.raises(SystemExit) as caught:
        CommandLineInterface().run(["a:b"])
    assert caught.value.code == 2
    assert "environment variable DAPHNE_MAX_BODY: 'lots' will not do" in capsys.readouterr().err


# -- the access log -------------------------------------------------------------------------------


def test_the_access_log_goes_to_the_standard_output_by_default(arguments):
    logger = arguments()["action_logger"]
    assert isinstance(logger, AccessLogGenerator) and logger.stream is sys.stdout


def test_with_verbosity_0_there_is_no_access_log(arguments):
    assert arguments("-v", "0")["action_logger"] is None


def test_a_dash_asks_for_the_standard_output(arguments):
    assert arguments("-v", "0", "--access-log", "-")["action_logger"].stream is sys.stdout


def test_an_access_log_is_appended_to(arguments, tmp_path):
    path = tmp_path / "access.log"
    path.write_text("earlier\n")
    logger = arguments("--access_log", str(path))["action_logger"]
    logger("websocket", "connected", {"path": "/", "client": None})
    lines = path.read_text().splitlines()
    assert lines[0] == "earlier" and "WSCONNECT /" in lines[1]
    logger.stream.close()


@pytest.mark.parametrize(("name", "end"), [("combined", '- - "-" "-"'), ("json", "}")])
def test_an_access_log_has_the_format_that_is_asked_for(arguments, tmp_path, name, end):
    path = tmp_path / "access.log"
    logger = arguments("--access-log", str(path), "--access-log-format", name)["action_logger"]
    logger("websocket", "connected", {"path": "/", "client": None})
    assert path.read_text().endswith(end + "\n")
    logger.stream.close()


def test_an_access_log_that_cannot_be_written_is_an_error(module, tmp_path, capsys):
    args = ["--access-log", str(tmp_path / "missing" / "log"), "project_asgi:channel_layer"]
    assert Interface().run(args) == 1
    assert "cannot write the access log" in capsys.readouterr().err


# -- the channel layer ----------------------------------------------------------------------------


def test_a_path_of_several_attributes(module):
    assert load_layer("project_asgi:nested.layer") is module.channel_layer


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("project_asgi", "does not name a channel layer; write module:attribute"),
        (":layer", "does not name a channel layer"),
        (".project_asgi:channel_layer", "does not name a channel layer"),
        ("project_asgi:", "does not name a channel layer"),
        ("no_such_module:layer", "there is no module 'no_such_module'"),
        ("project_asgi.sub:layer", "there is no module 'project_asgi.sub'"),
        ("project_asgi:missing", "'project_asgi' has no attribute 'missing'"),
        ("project_asgi:nested.missing", "'project_asgi.nested' has no attribute 'missing'"),
        ("project_asgi:nothing", "is None: configure the setting CHANNEL_LAYERS"),
        ("project_asgi:number", "is no channel layer but int 5"),
        ("project_asgi:application", "is an application, as ASGI 3 servers run them"),
        ("project_asgi:Application", "is an application, as ASGI 3 servers run them"),
    ],
)
def test_a_bad_path_is_explained(module, capsys, path, message):
    async def application(scope: object, receive: object, send: object) -> None: ...

    class Application:
        def __call__(self, scope: object) -> object: ...

    module.nothing, module.number = None, 5  # type: ignore[attr-defined]
    module.application, module.Application = application, Application  # type: ignore[attr-defined]
    assert Interface().run([path]) == 1
    error = capsys.readouterr().err
    assert error.startswith("daphne: ") and message in error
    assert error.count("\n") == 1


def test_a_layer_of_one_process_is_warned_of(module, caplog):
    assert Interface().run(["project_asgi:channel_layer"]) == 0
    assert "exists in this process only" in caplog.text


def test_an_import_error_inside_the_module_goes_through(monkeypatch, tmp_path):
    (tmp_path / "project_with_a_defect.py").write_text("import a_module_that_is_missing\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.path_importer_cache.pop(".", None)  # it remembers which directory that was
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_missing"):
        Interface().run(["project_with_a_defect:layer"])


def test_a_mixture_with_another_distribution_is_refused(module, monkeypatch, capsys):
    conflict = Conflict("daphne", "4.1", "daphne")
    monkeypatch.setattr(cli, "find_conflicts", lambda: [conflict])
    assert Interface().run(["project_asgi:channel_layer"]) == 1
    error = capsys.readouterr().err
    assert str(conflict) in error and conflict.remedy in error


def test_a_server_that_cannot_listen_gives_exit_code_1(module, capsys, monkeypatch):
    def run(self: object) -> None:
        raise ListenError("cannot listen on there")

    monkeypatch.setattr(RecordingServer, "run", run)
    assert Interface().run(["project_asgi:channel_layer"]) == 1
    assert capsys.readouterr().err == "daphne: cannot listen on there\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--http-timeout", "inf"], "argument -t/--http-timeout: 'inf' will not do"),
        (["--ping-interval", "nan"], "argument --ping-interval: 'nan' will not do"),
        (["--shutdown-timeout", "-5"], "'-5' will not do; expected a number, 0 or more"),
        (["--websocket-timeout", "inf"], "--websocket-timeout: 'inf' will not do"),
        (["--trusted-proxies", "nonsense"], "'nonsense' will not do; expected an address, a net"),
        (
            ["--body-chunk-size", "0"],
            "argument --body-chunk-size: body_chunk_size is 0; it must be a number, more than 0",
        ),
    ],
)
def test_a_value_that_no_server_could_work_with_is_an_error(module, capsys, args, message):
    with pytest.raises(SystemExit) as caught:
        CommandLineInterface().run([*args, "project_asgi:channel_layer"])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


# -- as a process ---------------------------------------------------------------------------------

PROJECT = """
import threading
from channels.layers.inmemory import ChannelLayer

channel_layer = ChannelLayer()

def work():
    while True:
        channel, message = channel_layer.receive(["http.request"], block=True)
        if channel:
            response = {"status": 200, "headers": [], "content": b"hello"}
            channel_layer.send(message["reply_channel"], response)

threading.Thread(target=work, daemon=True).start()
"""


@pytest.fixture
def daphne(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command in a directory with the module ``project``."""
    (tmp_path / "project.py").write_text(PROJECT)
    started: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "daphne", *args],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def listening_line(process: subprocess.Popen[str]) -> str:
    """The line that says what listens where."""
    for line in process.stderr or ():
        if "Listening on" in line:
            return line
    raise AssertionError(f"daphne ended with {process.wait(10)}")


def get(port: int, path: str) -> bytes:
    """The whole response to a request."""
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request.encode())
        received = b""
        while data := client.recv(65536):
            received += data
    return received


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal_and_exits_with_0(daphne, number):
    process = daphne("-p", "0", "project:channel_layer")
    line = listening_line(process)
    found = re.search(r"Listening on http://127\.0\.0\.1:(\d+); channel layer .*ChannelLayer", line)
    assert found, line
    assert get(int(found[1]), "/path").endswith(b"hello\r\n0\r\n\r\n")
    process.send_signal(number)
    output, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    assert f"{number.name}: stopping" in error
    assert output.count("\n") == 1 and '"GET /path" 200 5' in output


def test_a_port_in_use_is_told_and_exits_with_1(daphne):
    first = daphne("-p", "0", "project:channel_layer")
    port = re.search(r":(\d+);", listening_line(first))[1]
    second = daphne("-p", port, "project:channel_layer")
    _, error = second.communicate(timeout=30)
    assert second.returncode == 1
    assert f"daphne: cannot listen on tcp:port={port}:interface=127.0.0.1: Address already" in error


def test_one_line_names_every_endpoint(daphne, tmp_path):
    path = tmp_path / "a.sock"
    process = daphne(
        "-p", "0", "-u", str(path), "-e", r"tcp:0:interface=\:\:1", "project:channel_layer"
    )
    line = listening_line(process)
    assert re.search(
        rf"Listening on http://\[::1\]:\d+, http://127\.0\.0\.1:\d+, unix:{path};", line
    )


def test_help_names_every_option_and_exits_with_0(daphne):
    process = daphne("--help")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    for flag in ("--bind", "--access-log", "--proxy-headers", "--trusted-proxies", "--max-body"):
        assert flag in output
