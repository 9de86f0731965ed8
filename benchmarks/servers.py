"""Starts the servers that the benchmarks compare, and reads the CPU that their processes use."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SERVERS", "Running", "Server", "available", "running"]

APPS = Path(__file__).parent / "apps"

#: Clock ticks a second in /proc (proc(5)).
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """One contender: its name, its project, its interpreter and its arguments for a port."""

    name: str
    project: str
    python: str
    arguments: Callable[[int], list[str]]


PEER_PYTHON = os.environ.get("PEER_PYTHON", "")

#: Ours first; every ratio is against it.
SERVERS = [
    Server("ours", "batteries", sys.executable, lambda port: ["-m", "project.serve", str(port)]),
    Server(
        "daphne 4",
        "peers",
        PEER_PYTHON,
        lambda port: ["-m", "daphne", "-v0", f"-p{port}", "project.asgi:application"],
    ),
    Server(
        "uvicorn",
        "peers",
        PEER_PYTHON,
        lambda port: [
            *("-m", "uvicorn", "--no-access-log", "--log-level=error"),
            *(f"--port={port}", "project.asgi:application"),
        ],
    ),
]


def available() -> list[Server]:
    """The servers whose interpreter is there."""
    return [server for server in SERVERS if shutil.which(server.python)]


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    process: "subprocess.Popen[bytes]"
    port: int

    def cpu_seconds(self) -> float:
        """User and system time of the process and all its descendants so far."""
        return sum(map(_cpu_seconds, _family(self.process.pid)))


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
        process = subprocess.Popen(
            [server.python, *server.arguments(port)], cwd=folder, env=environment
        )
        try:
            _wait_until_it_listens(process, port)
            yield Running(process, port)
        finally:
            process.terminate()
            process.wait(20)
