"""Starts the servers that the benchmarks compare, and reads the CPU that their processes use."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SERVERS", "Running", "Server", "available", "running"]

APPS = Path(__file__).parent / "apps"

#: Clock ticks a second in /proc (proc(5)).
TICKS = os.sysconf("SC_CLK_TCK")


#: The interpreter of the peers' virtual environment.
PEER_PYTHON = os.environ.get("PEER_PYTHON", "")


@dataclass(frozen=True)
class Server:
    """One contender: its name, its project, its interpreter and its arguments.

    ``{port}`` in an argument becomes the port; ``websocket`` says whether it speaks WebSocket.
    """

    name: str
    project: str
    python: str
    arguments: tuple[str, ...]
    websocket: bool = True


def _peer(name: str, *arguments: str, websocket: bool = True) -> Server:
    return Server(name, "peers", PEER_PYTHON, ("-m", *arguments), websocket)


#: Ours first; every ratio is against it. The peers log no requests either, and have one process.
SERVERS = [
    Server("ours", "batteries", sys.executable, ("-m", "project.serve", "{port}")),
    _peer("daphne 4", "daphne", "-v0", "-p{port}", "project.asgi:application"),
    _peer(
        *("uvicorn", "uvicorn", "--no-access-log", "--log-level=error"),
        *("--port={port}", "project.asgi:application"),
    ),
    _peer(
        *("granian", "granian", "--interface=asgi", "--no-log"),
        *("--port={port}", "project.asgi:application"),
    ),
    _peer(
        *("gunicorn", "gunicorn", "--log-level=error", "--worker-class=gthread", "--threads=4"),
        *("--bind=127.0.0.1:{port}", "project.wsgi:application"),
        websocket=False,
    ),
]


def available(websocket: bool) -> list[Server]:
    """The servers whose interpreter is there, and that speak WebSocket where that is asked."""
    return [
        server
        for server in SERVERS
        if shutil.which(server.python) and (server.websocket or not websocket)
    ]


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    process: "subprocess.Popen[bytes]"
    port: int

    def cpu_seconds(self) -> dict[int, float]:
        """User and system time so far, of the process and each of its descendants."""
        return {pid: _cpu_seconds(pid) for pid in _family(self.process.pid)}


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # the thread ended meanwhile
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the server does not listen after 30 s")


@contextmanager
def running(server: Server) -> Iterator[Running]:
    """The server, from listening to its end."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "project").symlink_to(APPS / server.project)
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        arguments = [argument.format(port=port) for argument in server.arguments]
        process = subprocess.Popen([server.python, *arguments], cwd=folder, env=environment)
        try:
            _wait_until_it_listens(process, port)
            yield Running(process, port)
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:  # it waits for connections that the load left open
                process.kill()
                process.wait()
