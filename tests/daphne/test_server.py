"""The server object: what it is given, how it starts and ends, and that it sleeps when idle."""

import dataclasses
import inspect
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from channels import spec
from channels.layers.inmemory import ChannelLayer
from daphne.exceptions import ListenError
from daphne.options import Options
from daphne.server import Server, build_endpoint_description_strings
from tests.daphne.clients import HttpClient
from tests.reactor import in_reactor
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
ENDPOINTS = ["tcp:0:interface=127.0.0.1"]


def make(**arguments: object) -> Server:
    return Server(ChannelLayer(), **{"endpoints": ENDPOINTS, **arguments})  # type: ignore[arg-type]


# -- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("host", None),
        ("port", None),
        ("endpoints", None),
        ("unix_socket", None),
        ("file_descriptor", None),
        ("signal_handlers", True),
        ("action_logger", None),
        ("http_timeout", 120),
        ("websocket_timeout", None),
        ("websocket_connect_timeout", 20),
        ("ping_interval", 20),
        ("ping_timeout", 30),
        ("ws_protocols", None),
        ("root_path", ""),
        ("proxy_forwarded_address_header", None),
        ("proxy_forwarded_port_header", None),
        ("proxy_forwarded_proto_header", None),
        ("force_sync", False),
        ("verbosity", 1),
        ("websocket_handshake_timeout", 5),
    ],
)
def test_documented_arguments_and_defaults(name, default):
    assert inspect.signature(Server).parameters[name].default == default


def test_arguments_become_frozen_options():
    server = make(http_timeout=5, ws_protocols=["a"], max_headers=7, root_path="/x")
    assert isinstance(server.options, Options)
    assert (server.options.http_timeout, server.options.ws_protocols) == (5, ("a",))
    assert (server.options.max_headers, server.options.root_path) == (7, "/x")


def test_every_option_can_be_given_to_the_server():
    for field in dataclasses.fields(Options):
        if field.name != "websocket_timeout":  # None means the layer's own there
            value = getattr(make(**{field.name: field.default}).options, field.name)
            assert value == field.default, field.name


def test_an_unknown_argument_is_an_error():
    with pytest.raises(TypeError, match="no_such_thing"):
        make(no_such_thing=1)


@pytest.mark.parametrize(("given", "expected"), [(None, 777), (60, 60), (-1, None), (0.5, 0.5)])
def test_the_longest_life_of_a_socket_is_that_of_its_memberships(given, expected):
    layer = ChannelLayer(group_expiry=777)
    server = Server(layer, endpoints=ENDPOINTS, websocket_timeout=given)
    assert server.options.websocket_timeout == expected


def test_a_layer_without_a_group_expiry_gives_a_day():
    class Layer:
        send = receive = new_channel = None

    assert Server(Layer(), endpoints=ENDPOINTS).options.websocket_timeout == 86400


def test_a_server_that_would_listen_nowhere_is_an_error():
    with pytest.raises(UserWarning, match="No endpoints"):
        Server(ChannelLayer())


def test_the_older_arguments_work_and_are_deprecated(tmp_path):
    path = str(tmp_path / "a")
    with pytest.warns(DeprecationWarning, match="endpoints="):
        server = Server(ChannelLayer(), host="127.0.0.1", port=0, unix_socket=path)
    assert server.endpoints == build_endpoint_description_strings("127.0.0.1", 0, path)


def test_reply_channels_cannot_be_guessed():
    channels = {make().send_channel for _ in range(50)}
    assert len(channels) == 50
    assert all(re.fullmatch(r"daphne\.response\.[0-9a-f]{32}!", channel) for channel in channels)


def test_a_wrong_trusted_proxy_is_an_error():
    with pytest.raises(ValueError, match="'nonsense'"):
        make(trusted_proxies=("nonsense",))


# -- starting and ending --------------------------------------------------------------------------


def test_ready_is_called_with_the_server_once_it_listens(serve):
    ready: list[list[int]] = []
    one = serve(ready=lambda server: ready.append([a.port for a in server.addresses]))
    wait_until(lambda: ready)
    assert ready == [[one.port]]


def test_listeners_are_deferreds_of_ports(serve):
    one = serve()
    assert [listener.called for listener in one.server.listeners] == [True]


def test_run_raises_where_it_cannot_listen(serve):
    port = serve().port
    with pytest.raises(ListenError, match="Address already in use"):
        make(endpoints=[f"tcp:{port}:interface=127.0.0.1"]).run()


def test_a_second_endpoint_that_fails_lets_go_of_the_first(serve):
    taken = serve().port
    server = make(endpoints=[*ENDPOINTS, f"tcp:{taken}:interface=127.0.0.1"])
    with pytest.raises(ListenError):
        in_reactor(server.start)
    assert server.addresses == []


def test_run_raises_for_a_string_that_is_no_endpoint():
    with pytest.raises(ListenError, match="'nonsense:1'"):
        make(endpoints=["nonsense:1"]).run()


def test_open_requests_are_answered_when_the_server_stops(serve):
    one = serve(shutdown_timeout=20)
    asked, go_on = threading.Event(), threading.Event()

    def slow(message: dict[str, object]) -> object:
        asked.set()
        go_on.wait(10)
        return spec.http_response(200, [], b"in time")

    one.application(http_request=slow)
    busy, idle = one.client(), one.client()
    busy.request("/")
    asked.wait(10)
    address = ("127.0.0.1", one.port)
    done: list[object] = []
    stopping = threading.Thread(target=lambda: done.append(in_reactor(one.server.shut_down)))
    stopping.start()
    assert idle.closed()
    with pytest.raises(ConnectionRefusedError):
        HttpClient(address)
    assert done == []
    go_on.set()
    response = busy.response()
    assert response.body == b"in time"
    assert busy.closed()
    stopping.join(10)
    assert done == [None]


def test_requests_that_take_too_long_are_dropped_when_the_server_stops(serve, caplog):
    one = serve(shutdown_timeout=0.1)
    application = one.application(http_request=lambda m: None, http_disconnect=lambda m: None)
    client = one.client()
    client.request("/")
    wait_until(lambda: application.messages("http.request"))
    in_reactor(one.server.shut_down)
    assert "did not finish" in caplog.text
    wait_until(lambda: application.messages("http.disconnect"))


def test_shutting_down_twice_is_once(serve):
    one = serve()
    assert in_reactor(one.server.shut_down) is None
    assert in_reactor(one.server.shut_down) is None


# -- processes ------------------------------------------------------------------------------------

PROGRAM = """
import sys, threading
from channels import spec
from channels.layers.inmemory import ChannelLayer
from daphne.server import Server, reactor

layer = ChannelLayer(capacity=1000)

def work():
    while True:
        channel, message = layer.receive(
            ["http.request", "websocket.connect", "websocket.receive"], block=True
        )
        if channel == "http.request" and message["path"] == "/never":
            print("asked", flush=True)
        elif channel == "http.request":
            layer.send(message["reply_channel"], spec.http_response(200, [], b"hello"))
        elif channel:
            layer.send(message["reply_channel"], {"accept": True, "text": "x"})

threading.Thread(target=work, daemon=True).start()
options = dict(OPTIONS)
PREPARE
server = Server(
    layer,
    endpoints=["tcp:0:interface=127.0.0.1"],
    ready=lambda server: print(server.addresses[0].port, flush=True),
    **options,
)
server.run()
print("ended", flush=True)
"""


class Process:
    """A server in a process of its own."""

    def __init__(self, options: str, prepare: str) -> None:
        program = PROGRAM.replace("OPTIONS", options).replace("PREPARE", prepare)
        self.popen = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.line())

    def line(self) -> str:
        """The next line that it prints."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            raise AssertionError(f"it ended: {self.popen.communicate(timeout=10)[1]}")
        return line.strip()

    def client(self) -> HttpClient:
        return HttpClient(("127.0.0.1", self.port))

    def wakeups(self) -> int:
        """How often the reactor's thread went to sleep so far."""
        status = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/status").read_text()
        found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.MULTILINE)
        assert found is not None
        return int(found[1])

    def end(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate(timeout=30)


@pytest.fixture
def process() -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(options: str = "", prepare: str = "") -> Process:
        started.append(Process(options, prepare))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_in_order(process, number):
    one = process()
    assert one.client().get("/").body == b"hello"
    one.popen.send_signal(number)
    output, error = one.popen.communicate(timeout=30)
    assert one.popen.returncode == 0, error
    assert output == "ended\n"
    assert "Traceback" not in error


def test_a_second_signal_ends_the_waiting(process):
    one = process("shutdown_timeout=600")
    client = one.client()
    client.request("/never")
    assert one.line() == "asked"
    one.popen.send_signal(signal.SIGTERM)
    with pytest.raises(ConnectionError):
        while True:  # until it has stopped to listen
            one.client().close()
    assert one.popen.poll() is None
    one.popen.send_signal(signal.SIGTERM)
    _, error = one.popen.communicate(timeout=30)
    assert one.popen.returncode == 0
    assert "Traceback" not in error


def test_stop_may_be_called_from_any_thread(process):
    one = process(prepare="threading.Timer(0.2, lambda: (server.stop(), server.stop())).start()")
    assert one.popen.wait(30) == 0


def test_clients_leave_the_process_the_files_that_it_needs_itself(process):
    one = process(prepare="import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))")
    first = one.client()
    assert first.get("/").body == b"hello"
    clients = [one.client() for _ in range(100 - 64)]
    assert clients[-1].closed()
    assert clients[0].get("/").body == first.get("/").body == b"hello"
    one.popen.send_signal(signal.SIGTERM)
    _, error = one.popen.communicate(timeout=30)
    assert "36 connections are open (ulimit -n)" in error


#: Seconds that an idle server is watched, in which one that looks every 50 ms wakes 30 times.
WATCHED = 1.5


def idle_wakeups(one: Process) -> int:
    """Have traffic of each kind, leave connections open, and count wake-ups meanwhile."""
    clients = [one.client() for _ in range(20)]
    for client in clients:
        assert client.get("/").body == b"hello"
    held = one.client()
    held.request("/never")
    assert one.line() == "asked"
    opened = one.client()
    opened.request(
        "/",
        Upgrade="websocket",
        Connection="Upgrade",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        Sec_WebSocket_Version="13",
    )
    assert opened.response().status == 101
    settle(one)
    before = one.wakeups()
    threading.Event().wait(WATCHED)
    return one.wakeups() - before


def settle(one: Process) -> None:
    """Wait until what the traffic left to do is done, as far as it ends at all."""
    counts = [one.wakeups()]
    for _ in range(20):
        threading.Event().wait(0.1)
        counts.append(one.wakeups())
        if counts[-1] == counts[-2]:
            return


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="counts by Linux's /proc")
class TestIdle:
    def test_an_idle_server_does_not_wake_up(self, process):
        assert idle_wakeups(process()) <= 1

    def test_a_server_that_polls_would_be_noticed(self, process):
        polling = "def poll(): reactor.callLater(0.05, poll)\nreactor.callWhenRunning(poll)"
        assert idle_wakeups(process(prepare=polling)) >= 10


def test_no_reader_is_left_behind(process):
    """A process with a blocking layer ends too, although its thread waits for ever."""
    one = process("force_sync=True")
    assert one.client().get("/").body == b"hello"
    one.popen.send_signal(signal.SIGTERM)
    assert one.popen.wait(30) == 0


def test_a_listening_socket_can_be_handed_over():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = make(endpoints=[f"fd:fileno={os.dup(listening.fileno())}"])
        in_reactor(server.start)
        assert server.addresses[0].port == listening.getsockname()[1]
        in_reactor(server.shut_down)
