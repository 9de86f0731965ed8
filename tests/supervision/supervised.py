"""A project that a private supervisord runs, with files that ``supervisorconf`` has rendered."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from channels.management.supervision import Supervisor, read_address
from channels.readiness import is_ready
from tests.deployment.site import ASGI, ROUTING, SETTINGS, URLS
from tests.management.project import Process, Project
from tests.servers.ports import free_port, listens
from tests.waiting import wait_until

__all__ = ["Supervised", "make_project"]

#: What else the settings have: the delay server with its database, and what is to run.
_SETTINGS = """
INSTALLED_APPS = ["channels", *{apps!r}]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "{folder}/db.sqlite3"}}}}
CHANNELS_SUPERVISOR = {setting!r}
"""

#: Ahead of the routing: a worker does not come up as long as one of these files is there.
_TROUBLE = """
import os, time
while os.path.exists("stuck"):
    time.sleep(0.01)
if os.path.exists("broken"):
    raise SystemExit("broken")
"""

#: Two commands of manage.py, of whose starts one is saved.
_PREPARE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
sys.argv[0] = "manage.py"
import django
from django.apps import apps
from django.core.management import call_command
django.setup()
if apps.is_installed("channels.delay"):
    call_command("migrate", verbosity=0)
call_command("supervisorconf", output=sys.argv[1])
"""

#: An event listener of supervisor's, which writes down what processes say of themselves.
_LISTENER = """
import sys
from supervisor import childutils
with open("events", "a", buffering=1) as events:
    while True:
        headers, payload = childutils.listener.wait(sys.stdin, sys.stdout)
        about, said = childutils.eventdata(payload)
        events.write(f"{about['processname']} {about['pid']} {said}\\n")
        childutils.listener.ok(sys.stdout)
"""


def make_project(
    folder: Path, layer: dict[str, Any], setting: dict[str, Any], *apps: str
) -> Project:
    """A project over ``layer``, with ``setting`` as its CHANNELS_SUPERVISOR."""
    folder.mkdir(exist_ok=True)
    more = _SETTINGS.format(folder=folder, setting=setting, apps=apps)
    project = Project(folder, SETTINGS.format(layer=layer) + more)
    project.write("urls.py", URLS)
    project.write("routing.py", _TROUBLE + ROUTING)
    project.write("asgi.py", ASGI)
    (folder / "sessions").mkdir()
    return project


class Supervised:
    """The project, and its supervisord once it is started; ``end`` leaves nothing of it.

    Daphne has one process that serves, on ``port``; the workers are ``workers:all-0`` and ``-1``.
    """

    def __init__(self, folder: Path, layer: dict[str, Any], *apps: str, **setting: Any) -> None:
        self.port = free_port()
        daphne = f"--processes 1 --port {self.port} --drain 0.2"
        workers = {"all": {"processes": 2}}
        setting = {"name": "site", "daphne": daphne, "workers": workers, **setting}
        self.project = make_project(folder, layer, setting, *apps)
        self.folder = folder / "supervisor"
        self.configuration = self.folder / "supervisord.conf"
        self._process: Process | None = None

    def prepare(self) -> None:
        """Render the files, and make the database where there is one, by two commands in one."""
        process = self.project.run("-c", _PREPARE, str(self.folder))
        assert process.wait(60) == 0, process.output()

    def leave_out(self, part: str) -> None:
        """Have supervisord not run a program."""
        (self.folder / "programs" / f"site-{part}.conf").unlink()

    def listen_to_events(self) -> None:
        """Have an event listener write down what processes say."""
        self.project.write("listener.py", _LISTENER)
        (self.folder / "programs" / "listener.conf").write_text(
            f"[eventlistener:listener]\ncommand={sys.executable} listener.py\n"
            f"directory={self.project.folder}\nevents=PROCESS_COMMUNICATION\nbuffer_size=1000\n"
        )

    def start(self) -> None:
        """Start supervisord; returns when each process that tells so is ready."""
        arguments = ("-m", "supervisor.supervisord", "-n", "-c", str(self.configuration))
        self._process = self.project.run(*arguments)
        wait_until(self._answers, 30)
        names = self.names()
        wait_until(lambda: len(self.ready_files()) >= len(names), 60)
        wait_until(lambda: all(map(self.is_ready, names)), 60)

    def _answers(self) -> bool:
        assert self._process is not None and self._process.running, self.output()
        return listens(self.folder / "run" / "supervisor.sock")

    @property
    def supervisor(self) -> Supervisor:
        """Its interface."""
        return Supervisor(read_address(str(self.configuration), None))

    def names(self) -> list[str]:
        """Every process that has a file for its readiness."""
        return [
            f"{one['group']}:{one['name']}"
            for one in self.supervisor.configured()
            if "--ready-file" in one["command"]
        ]

    def ready_files(self) -> list[Path]:
        """The files of all processes that have said that they are ready."""
        return [*self.folder.glob("state/*.ready")]

    def is_ready(self, name: str) -> bool:
        """Whether a process has said so."""
        group, _, process = name.partition(":")
        number = process.rpartition("-")[2] if process[-1].isdigit() else "0"
        part = process.removesuffix(f"-{number}").removeprefix("site-")
        return is_ready(self.folder / "state" / f"site-{part}-{number}.ready", self.pid(name))

    def pid(self, name: str) -> int:
        """The number of a process, 0 where it is not running."""
        pid: int = self.supervisor.state(name)["pid"]
        return pid

    def events(self) -> list[str]:
        """Process, number and words of each event so far."""
        path = self.project.folder / "events"
        return path.read_text().splitlines() if path.exists() else []

    def stop(self) -> int:
        """Have supervisord stop all and end; its exit code."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGTERM)
        return self._process.wait(60)

    def output(self) -> str:
        """What everything has written so far."""
        logs = [*sorted(self.folder.glob("log/*")), *sorted(self.project.folder.glob("output-*"))]
        return "\n".join(f"--- {log.name}\n{log.read_text()}" for log in logs)

    def end(self) -> None:
        """See that nothing is left."""
        if self._process is not None and self._process.running:
            pids = [self.pid(name) for name in self.names()]
            (self.project.folder / "stuck").unlink(missing_ok=True)
            try:
                self.stop()
            finally:
                for pid in filter(None, pids):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        self.project.end()
