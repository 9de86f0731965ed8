"""``daphne --processes N``, as an operator has it: processes that die, are replaced, and stop."""

import os
import re
import resource
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from channels.layers.ipc import IPCChannelLayer
from daphne.exit_codes import ExitCode
from tests.daphne.certificates import client_context, write_certificate
from tests.daphne.clients import Application, HttpClient
from tests.daphne.commands import Command, Hammer, get, write_project
from tests.layers.ipc.segments import made_layer, needs_extension
from tests.servers.ports import free_port
from tests.waiting import wait_until

LAYER = "project:channel_layer"

ACCEPT = {"accept": True}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Starts commands in a folder with the module ``project``."""
    write_project(tmp_path)
    started: list[Command] = []

    def start(*args: str, **kwargs: dict[str, str]) -> Command:
        quiet = ("--access-log", os.devnull)
        started.append(Command(tmp_path, *quiet, *args, LAYER, **kwargs))
        return started[-1]

    yield start
    for command in started:
        command.end()


def pid_and_version(body: bytes) -> tuple[int, int]:
    pid, version = body.split()
    return int(pid), int(version)


def close_code(client: ClientConnection) -> int | None:
    """The code that a WebSocket is closed by."""
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(timeout=30)
    return caught.value.rcvd.code if caught.value.rcvd else None


def replace(command: Command) -> None:
    """SIGHUP, and wait until new processes have taken over."""
    before = command.output().count("took over")
    command.tell(signal.SIGHUP)
    wait_until(lambda: command.output().count("took over") > before, timeout=60)


def test_processes_are_replaced_without_a_refused_connection_or_a_failed_request(start, tmp_path):
    command = start("-p", "0", "--processes", "1", "--drain", "0.5")
    hammer = Hammer(command.port)
    first = command.children()
    with ExitStack() as stack:
        url = f"ws://127.0.0.1:{command.port}/"
        sockets = [stack.enter_context(connect(url, open_timeout=30)) for _ in range(4)]
        for version in (2, 3):
            write_project(tmp_path, "VERSION = 1", f"VERSION = {version}")
            replace(command)
        assert [close_code(one) for one in sockets] == [1012] * 4
    newest = command.children()
    wait_until(lambda: pid_and_version(hammer.bodies[-1])[1] == 3)
    wait_until(lambda: not any(alive(pid) for pid in first))
    hammer.stop()
    assert (hammer.refused, hammer.failed) == ([], [])
    answered = {pid_and_version(body) for body in hammer.bodies}
    assert {version for _, version in answered} == {1, 2, 3}
    assert {pid for pid, version in answered if version == 3} == set(newest)
    command.tell(signal.SIGTERM)
    assert command.wait(30) == ExitCode.STOPPED
    assert "Traceback" not in command.output()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_processes_are_replaced_again_and_again_under_load(start):
    command = start("-p", "0", "--processes", "2", "--drain", "1")
    hammers = [Hammer(command.port), Hammer(command.port, keep_alive=True)]
    url = f"ws://127.0.0.1:{command.port}/"
    codes = []
    for _ in range(20):
        with ExitStack() as stack:
            sockets = [stack.enter_context(connect(url, open_timeout=30)) for _ in range(20)]
            replace(command)
            codes += [close_code(one) for one in sockets]
    for hammer in hammers:
        hammer.stop()
        assert (hammer.refused, hammer.failed) == ([], [])
        assert len(hammer.bodies) > 1000
    assert codes == [1012] * 400
    command.tell(signal.SIGTERM)
    assert command.wait(30) == ExitCode.STOPPED


def test_each_kind_of_socket_is_shared_and_outlives_processes_that_are_killed(start, tmp_path):
    key, certificate = write_certificate(tmp_path)
    path = str(tmp_path / "daphne.sock")
    tls = rf"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    options = ["-u", path, "--unix-socket-mode", "600", "-e", tls, "-e", r"tcp:0:interface=\:\:1"]
    command = start("-p", "0", "--processes", "1", *options)
    line = command.listening()
    port = int(re.search(r" http://127\.0\.0\.1:(\d+)", line)[1])
    secure = int(re.search(r"https://127\.0\.0\.1:(\d+)", line)[1])
    other = int(re.search(r"http://\[::1\]:(\d+)", line)[1])
    assert f"unix:{path}" in line
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    children = set(command.children())

    def answering() -> set[int]:
        responses = [
            get(("127.0.0.1", port)),
            get(("::1", other)),
            get(path),
            get(("127.0.0.1", secure), tls=client_context(certificate)),
        ]
        return {pid_and_version(response.body)[0] for response in responses}

    assert answering() <= children
    hammer = Hammer(port)
    os.kill(*children, signal.SIGKILL)
    command.wait_for(r"Process \d+ serves")
    hammer.stop()
    assert hammer.refused == []
    assert "ended with SIGKILL; another one takes its place" in command.output()
    assert not answering() & children
    replace(command)
    wait_until(lambda: answering() <= set(command.children()))
    command.tell(signal.SIGTERM)
    assert command.wait(30) == ExitCode.STOPPED
    assert not os.path.exists(path)


def test_new_processes_that_do_not_come_up_leave_the_old_ones_serving(start, tmp_path):
    command = start("-p", "0", "--processes", "1")
    (child,) = command.children()
    write_project(tmp_path, "VERSION = 1", "VERSION = ")
    command.tell(signal.SIGHUP)
    command.wait_for(
        r"The new processes did not come up \(process \d+ ended with exit code 1\); the old ones go"
    )
    assert pid_and_version(get(("127.0.0.1", command.port)).body) == (child, 1)
    # It dies, and so do its successors, until somebody mends what they import.
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: command.output().count("takes its place") >= 2, timeout=60)
    delays = [float(d) for d in re.findall(r"takes its place in ([\d.]+) s", command.output())]
    assert delays[0] <= 0.1 <= delays[1] <= 0.2
    write_project(tmp_path, "VERSION = 1", "VERSION = 2")
    command.wait_for(r"Process \d+ serves")
    assert pid_and_version(get(("127.0.0.1", command.port)).body)[1] == 2


def test_a_second_sighup_is_kept_when_what_the_first_one_started_does_not_come_up(start, tmp_path):
    command = start("-p", "0", "--processes", "1")
    command.listening()
    broken = "import time\nopen('begun', 'w').close()\nwhile not os.path.exists('go'): "
    write_project(tmp_path, "VERSION = 1", f"{broken}time.sleep(0.01)\nraise SystemExit(1)")
    command.tell(signal.SIGHUP)
    wait_until((tmp_path / "begun").exists, timeout=60)
    write_project(tmp_path, "VERSION = 1", "VERSION = 2")
    command.tell(signal.SIGHUP)
    wait_until(lambda: signals_taken(command.pid, signal.SIGHUP))
    (tmp_path / "go").touch()
    command.wait_for("The new processes did not come up")
    wait_until(lambda: "took over" in command.output(), timeout=60)
    assert pid_and_version(get(("127.0.0.1", command.port)).body)[1] == 2


def signals_taken(pid: int, number: signal.Signals) -> bool:
    """Whether the signal does not wait for the process any more."""
    status = Path(f"/proc/{pid}/status").read_text()
    pending = int(re.findall(r"ShdPnd:\s*([0-9a-f]+)", status)[0], 16)
    return not pending & 1 << number - 1


def test_a_parent_that_can_start_no_process_goes_on_and_tries_again(start):
    command = start("-p", "0", "--processes", "1")
    (child,) = command.children()
    limits = resource.prlimit(
        command.pid,
        resource.RLIMIT_NOFILE,
        (3, resource.prlimit(command.pid, resource.RLIMIT_NOFILE)[1]),
    )
    command.tell(signal.SIGHUP)
    command.wait_for(r"did not come up \(they cannot be started: .*Too many open files")
    assert pid_and_version(get(("127.0.0.1", command.port)).body)[0] == child
    os.kill(child, signal.SIGRTMIN + 6)
    command.wait_for(rf"Process {child} ended with signal {signal.SIGRTMIN + 6}; another one takes")
    command.wait_for("No process can be started .*Too many open files.*; trying again in")
    resource.prlimit(command.pid, resource.RLIMIT_NOFILE, limits)
    command.wait_for(r"Process \d+ serves")
    assert pid_and_version(get(("127.0.0.1", command.port)).body)[1] == 1
    assert "Traceback" not in command.output()


#: An ``asgi.py`` over shared memory.
SHARED = """
from channels.layers.ipc import IPCChannelLayer
channel_layer = IPCChannelLayer(prefix={prefix!r})
"""


@pytest.fixture(params=[pytest.param("ipc", marks=needs_extension)])
def shared() -> Iterator[IPCChannelLayer]:
    """A layer that the processes can share with the test."""
    with made_layer() as layer:
        yield layer


def test_processes_over_one_layer_answer_their_own_clients_and_share_groups(
    start, tmp_path, shared
):
    layer = shared
    with ExitStack() as stack:
        (tmp_path / "project.py").write_text(SHARED.format(prefix=layer.prefix))
        application = Application(
            layer,
            websocket_connect=lambda m: layer.group_add("all", m["reply_channel"]) or ACCEPT,
            websocket_receive=lambda m: {"text": m["text"]},
            websocket_disconnect=lambda m: None,
        )
        stack.callback(application.stop)
        command = start("-p", "0", "--processes", "2", "--drain", "0.2")
        url = f"ws://127.0.0.1:{command.port}/"
        sockets: list[ClientConnection] = []

        def servers() -> set[str]:
            messages = application.messages("websocket.connect")
            return {message["reply_channel"].partition("!")[0] for message in messages}

        while len(servers()) < 2:  # which one accepts is up to the kernel
            sockets.append(stack.enter_context(connect(url, open_timeout=30)))
        for number, one in enumerate(sockets):
            one.send(f"own {number}")
        assert [one.recv(10) for one in sockets] == [f"own {n}" for n in range(len(sockets))]
        layer.send_group("all", {"text": "for all"})
        assert [one.recv(10) for one in sockets] == ["for all"] * len(sockets)
        command.tell(signal.SIGTERM)
        assert [close_code(one) for one in sockets] == [1012] * len(sockets)
        assert command.wait(30) == ExitCode.STOPPED
        ended = wait_until(
            lambda: len(application.messages("websocket.disconnect")) == len(sockets)
        )
        assert ended and not application.errors
        codes = {message["code"] for message in application.messages("websocket.disconnect")}
        assert codes == {1012}


def test_children_whose_parent_is_killed_end_and_let_go_of_the_port(start):
    command = start("-p", "0", "--processes", "1")
    children, port = command.children(), command.port
    os.kill(command.pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in children), timeout=30)
    assert "The parent process is gone: stopping" in command.output()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def test_a_second_signal_ends_all_processes_at_once(start):
    command = start("-p", "0", "--processes", "1", "--shutdown-timeout", "600")
    client = HttpClient(("127.0.0.1", command.port))
    client.request("/slow")
    get(("127.0.0.1", command.port))
    command.tell(signal.SIGTERM)
    command.wait_for("SIGTERM: stopping")
    with pytest.raises(OSError):
        while True:  # until nobody listens
            HttpClient(("127.0.0.1", command.port)).close()
    assert command.running
    command.tell(signal.SIGTERM)
    assert command.wait(30) == ExitCode.CUT_SHORT
    client.close()


def test_what_cannot_start_at_all_ends_with_the_code_of_its_processes(tmp_path):
    write_project(tmp_path)
    command = Command(tmp_path, "-p", "0", "--processes", "1", "project:missing")
    assert command.wait(60) == ExitCode.FAILED
    assert "'project' has no attribute 'missing'" in command.output()
    assert "Not started: process" in command.output()


def test_an_address_in_use_is_told_by_the_parent_which_leaves_nothing_behind(start, tmp_path):
    path = tmp_path / "daphne.sock"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        admin = f"127.0.0.1:{port}"
        command = start("-u", str(path), "--admin", admin, "--processes", "1")
        assert command.wait(60) == ExitCode.FAILED
    assert re.search(rf"cannot listen on \S*{port}.*: Address already in use", command.output())
    assert not path.exists()


def alive(pid: int) -> bool:
    """Whether a process that is not ours runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


ANSWERS_DATAGRAMS = """
        elif channel == "udp.receive":
            channel_layer.send(message["reply_channel"], {"data": str(os.getpid()).encode()})
        elif channel:
            channel_layer"""


def consecutive_ports(count: int) -> int:
    """The first of several free ports in a row."""
    while True:
        first = free_port()
        with ExitStack() as stack:
            try:
                for number in range(1, count):
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", first + number))
            except OSError:
                continue
            return first


def test_each_process_has_an_admin_address_and_all_of_them_share_udp(start, tmp_path):
    write_project(tmp_path, "\n        elif channel:\n            channel_layer", ANSWERS_DATAGRAMS)
    text = (tmp_path / "project.py").read_text()
    (tmp_path / "project.py").write_text(
        text.replace("CHANNELS = [", 'CHANNELS = ["udp.receive", ')
    )
    admin = consecutive_ports(2)
    command = start(
        *("-p", "0", "--processes", "2", "--drain", "0", "--udp", "127.0.0.1:0"),
        *("--admin", f"127.0.0.1:{admin}"),
    )
    port = int(re.findall(r"udp://127\.0\.0\.1:(\d+)", command.listening())[0])
    assert f"http://127.0.0.1:{admin} (admin)" in command.listening()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.connect(("127.0.0.1", port))

        def answers() -> bool:
            client.send(b"who?")  # which a process that is about to end may take, and not answer
            try:
                return int(client.recv(100)) > 0
            except TimeoutError:
                return False

        def serves() -> bool:
            pages = [get(("127.0.0.1", admin + number), "/readyz") for number in (0, 1)]
            return [page.status for page in pages] == [200, 200]

        first = command.children()
        assert serves()
        wait_until(answers, 20)
        replace(command)
        assert serves()
        wait_until(answers, 20)
        assert not set(first) & set(command.children())
