"""Starts the contenders of the benchmarks, and reads the CPU that each of their processes uses."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from traffic import cpu_seconds

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.servers.redis import RedisServer  # noqa: E402  (found by the line above)

__all__ = ["APPS", "PEER_PYTHON", "Contender", "Program", "Running", "available", "running"]

APPS = Path(__file__).parent / "apps"

#: The interpreter of the peers' virtual environment.
PEER_PYTHON = os.environ.get("PEER_PYTHON", "")

#: Where the shared-memory layer keeps its segments and descriptors.
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Program:
    """A process of a contender: what the table calls it, and the arguments of its interpreter.

    ``{port}`` in an argument becomes the port that the contender is to listen on.
    """

    label: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Contender:
    """One side of a comparison: its name, its project, its interpreter and its processes.

    ``layer`` is a name that the project's settings understand. ``websocket`` says whether it speaks
    WebSocket, ``http`` whether it answers anything else.
    """

    name: str
    project: str
    python: str
    programs: tuple[Program, ...]
    layer: str = ""
    websocket: bool = True
    http: bool = True

    @property
    def needs_redis(self) -> bool:
        """Whether it has a redis-server of its own."""
        return self.layer.startswith("redis")

    def missing(self) -> str | None:
        """What it cannot run without here; None where all is there."""
        if not shutil.which(self.python):
            return "the peers' interpreter: run `make bench`, or name it in PEER_PYTHON"
        if self.needs_redis and not shutil.which("redis-server"):
            return "redis-server"
        backend = self.layer.partition(":")[0] or "inmemory"
        if self.project == "batteries" and find_spec(f"channels.layers.{backend}") is None:
            return f"channels.layers.{backend}"
        return None


def available(contenders: list[Contender]) -> list[Contender]:
    """Those that can run here; the others are named."""
    found = []
    for contender in contenders:
        if (missing := contender.missing()) is None:
            found.append(contender)
        else:
            print(f"  without {contender.name}: missing {missing}")
    return found


@dataclass(frozen=True)
class Running:
    """A contender that runs."""

    port: int
    folder: str
    environment: dict[str, str]
    #: The label and the process number of each of its processes; children count with them.
    processes: list[tuple[str, int]]

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time so far of the processes, with their descendants', by label."""
        seconds: dict[str, float] = {}
        for label, process in self.processes:
            used = sum(cpu_seconds(pid) for pid in _family(process))
            seconds[label] = seconds.get(label, 0.0) + used
        return seconds

    def cpu_since(self, before: dict[str, float]) -> dict[str, float]:
        """What each label used since ``before``, an earlier ``cpu_seconds``."""
        return {label: used - before[label] for label, used in self.cpu_seconds().items()}


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # the thread ended meanwhile
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


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


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:  # it waits for connections that the load left open
        process.kill()
        process.wait()


def _remove_shared_memory(prefix: str) -> None:
    """Remove what the shared-memory layer of a contender has left."""
    for path in SHARED_MEMORY.glob(f"*{prefix}*"):
        path.unlink()


def _start(
    contender: Contender, program: Program, port: int, folder: str, environment: dict[str, str]
) -> "subprocess.Popen[bytes]":
    """Start a program; what it writes goes to a file, for peers greet at length."""
    with (Path(folder) / f"{program.label}.txt").open("wb") as output:
        return subprocess.Popen(
            [contender.python, *(argument.format(port=port) for argument in program.arguments)],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def _telling_outputs(folder: str) -> Iterator[None]:
    """Print what the programs have written, where something fails."""
    try:
        yield
    except Exception:
        for path in Path(folder).glob("*.txt"):
            print(f"-- {path.name}\n{path.read_text()}", file=sys.stderr)
        raise


def _environment(contender: Contender, prefix: str) -> dict[str, str]:
    """What the settings of the contenders' projects read, and what their programs do."""
    environment = os.environ | {
        "BENCH_LAYER": contender.layer,
        "BENCH_PREFIX": prefix,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if (APPS / contender.project / "settings.py").exists():
        environment["DJANGO_SETTINGS_MODULE"] = "project.settings"
    return environment


@contextmanager
def running(contender: Contender, listens: bool = True) -> Iterator[Running]:
    """The contender, from its start to its end; ``listens`` says that its first program does."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(_telling_outputs(folder))
        (Path(folder) / "project").symlink_to(APPS / contender.project)
        prefix = f"bench{secrets.token_hex(4)}"
        stack.callback(_remove_shared_memory, prefix)
        environment = _environment(contender, prefix)
        processes = []
        if contender.needs_redis:
            redis = stack.enter_context(RedisServer())
            environment["BENCH_REDIS"] = redis.url
            processes.append(("redis", redis.pid))
        port = _free_port()
        started = []
        for program in contender.programs:
            started.append(_start(contender, program, port, folder, environment))
            stack.callback(_end, started[-1])
            processes.append((program.label, started[-1].pid))
        if listens:
            _wait_until_it_listens(started[0], port)
        yield Running(port, folder, environment, processes)
