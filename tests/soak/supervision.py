"""A private supervisord and the programs under it."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from xmlrpc.client import ServerProxy

from django.core.management import call_command
from supervisor.xmlrpc import SupervisorTransport

from channels.readiness import is_ready
from tests.management.project import ROOT
from tests.servers.ports import listens
from tests.waiting import wait_until

__all__ = ["Program", "Supervisor", "wait_for"]

_HEAD = """
[unix_http_server]
file = {folder}/supervisor.sock
[supervisord]
nodaemon = true
user = {user}
logfile = {folder}/supervisord.log
pidfile = {folder}/supervisord.pid
childlogdir = {folder}
environment = PYTHONPATH="{root}",PYTHONUNBUFFERED="1",PYTHONDONTWRITEBYTECODE="1"
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""

_PROGRAM = """
[program:{name}]
command = {command}
directory = {folder}
autorestart = true
startsecs = 1
startretries = 1000
stopwaitsecs = 30
stopasgroup = false
killasgroup = true
redirect_stderr = true
stdout_logfile = {folder}/{name}.log
stdout_logfile_maxbytes = 0
stdout_capture_maxbytes = 4KB
"""


#: Seconds between two questions to supervisord, each of which costs it milliseconds.
_INTERVAL = 0.1


def wait_for(predicate: Callable[[], object], timeout: float) -> None:
    """As ``wait_until``, of what costs others much to answer."""
    deadline = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < deadline, f"not true within {timeout} s: {predicate!r}"
        time.sleep(_INTERVAL)


@dataclass(frozen=True)
class Program:
    """A program; one that ``tells`` has a file for as long as it is ready, after its command."""

    name: str
    command: Sequence[str]
    tells: bool = True


class Supervisor:
    """A context manager; the programs are ready when it is entered."""

    def __init__(self, folder: Path, programs: Sequence[Program]) -> None:
        self.folder = folder
        self.programs = {program.name: program for program in programs}
        self._process: subprocess.Popen[bytes] | None = None
        url = f"unix://{folder}/supervisor.sock"
        transport: Any = SupervisorTransport(None, None, url)
        self._rpc: Any = ServerProxy("http://127.0.0.1", transport=transport)

    def _configuration(self) -> str:
        user = "root" if os.getuid() == 0 else os.getuid()
        text = _HEAD.format(folder=self.folder, root=ROOT, user=user)
        for program in self.programs.values():
            text += _PROGRAM.format(
                name=program.name,
                command=" ".join(self._command(program)).replace("%", "%%"),
                folder=self.folder,
            )
        return text

    def __enter__(self) -> Self:
        path = self.folder / "supervisord.conf"
        path.write_text(self._configuration())
        with (self.folder / "supervisord.out").open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            wait_until(lambda: listens(self.folder / "supervisor.sock"), 30)
            for name in self.programs:
                self.wait_until_ready(name)
        except BaseException:
            print(self.logs()[-20_000:])
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()  # it stops all programs, by force after their times
            process.wait(60)

    @property
    def pid(self) -> int:
        """Its own process."""
        assert self._process is not None
        return self._process.pid

    def log(self, name: str) -> str:
        """What a program has written so far."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def logs(self) -> str:
        """What all have written."""
        return "\n".join(f"== {name}\n{self.log(name)}" for name in self.programs)

    def pid_of(self, name: str) -> int:
        """The process of a program; 0 where none runs."""
        return int(self._rpc.supervisor.getProcessInfo(name)["pid"])

    def _ready_file(self, name: str) -> Path:
        return self.folder / f"{name}.ready"

    def _command(self, program: Program) -> list[str]:
        tells = ["--ready-file", str(self._ready_file(program.name))] if program.tells else []
        return [*program.command, *tells]

    def is_ready(self, name: str) -> bool:
        """Whether the process that now runs says that it is ready; of some it is not known."""
        pid = self.pid_of(name)
        if not self.programs[name].tells:
            return bool(pid)
        return bool(pid) and is_ready(self._ready_file(name), pid)

    def wait_until_ready(self, name: str, timeout: float = 60.0) -> None:
        """Wait until a program says that it is ready."""
        wait_for(lambda: self.is_ready(name), timeout)

    def restart_in_turn(self, names: Sequence[str]) -> None:
        """Restart workers by the project's own command."""
        url = f"unix://{self.folder}/supervisor.sock"
        call_command("restartworkers", *names, supervisor=url, stdout=io.StringIO())
