"""A small Django project in a folder, and the processes of its management commands."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import wait_until

#: The repository, from which the project's processes import channels and daphne.
ROOT = Path(__file__).parents[2]

MANAGE = """
import os, signal, sys
from django.core.management import execute_from_command_line
# Also where the tests run in the background of a shell, which has Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
"""

SETTINGS = """
from pathlib import Path
SECRET_KEY = "nothing to hide"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [Path(__file__).parent / "static"]
INSTALLED_APPS = ["channels", "django.contrib.staticfiles"]
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels.layers.inmemory.ChannelLayer",
        "ROUTING": "routing.channel_routing",
    }
}
"""

URLS = """
import threading
from django.http import HttpResponse
from django.urls import path

def hello(request):
    return HttpResponse("hello")

def workers(request):
    names = [thread.name for thread in threading.enumerate()]
    return HttpResponse(str(names.count("worker")))

def where(request):
    return HttpResponse(request.path + " " + request.path_info)

urlpatterns = [path("hello/", hello), path("workers/", workers), path("where/", where)]
"""

ROUTING = """
def echo(message):
    message.reply_channel.send({"text": message["text"]})

channel_routing = {"websocket.receive": echo}
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python, and the environment variables that its processes get besides the tests' own."""

    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=lambda: {"PYTHONPATH": str(ROOT)})


#: Files of projects are changed within the second that tells bytecode from a later source.
_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class Process:
    """A running command of the project, in a session of its own: its signals are not the tests'.

    ``arguments`` are those of the interpreter.
    """

    def __init__(
        self, folder: Path, arguments: tuple[str, ...], log: Path, interpreter: Interpreter
    ) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [interpreter.python, *arguments],
                cwd=folder,
                env={**os.environ, **interpreter.environment, **_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def output(self) -> str:
        """What it has written so far, to either stream."""
        return self._log.read_text()

    def wait_for(self, pattern: str, timeout: float = 30) -> re.Match[str]:
        """The first match of ``pattern`` in the output; fails when the process ends without one."""

        def found() -> re.Match[str] | None:
            ended = self._process.poll() is not None
            match = re.search(pattern, self.output())
            assert match or not ended, f"no {pattern!r} in: {self.output()}"
            return match

        match = wait_until(found, timeout)
        assert isinstance(match, re.Match)
        return match

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes, as a terminal does with Ctrl-C."""
        os.killpg(self._process.pid, number)

    def wait(self, timeout: float = 20) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait(timeout)

    def end(self) -> None:
        """See that nothing of it is left."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait(10)


class Server(Process):
    """A running ``runserver``."""

    def url(self, path: str = "/") -> str:
        """The latest address of ``path``; waits until there is one."""
        self.wait_for(r"server at http://\S+/\s")
        return re.findall(r"server at (http://\S+)/\s", self.output())[-1] + path

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET, whatever the status."""
        try:
            with urllib.request.urlopen(self.url(path), timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


class Project:
    """The project's files, and what runs of it."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.folder = folder
        self.processes: list[Process] = []
        self.write("manage.py", MANAGE)
        self.write("settings.py", SETTINGS + settings)
        self.write("urls.py", URLS)
        self.write("routing.py", ROUTING)
        self.write("static/site.css", "body { color: green }")

    def write(self, name: str, text: str) -> None:
        """Create or replace a file."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def change(self, name: str, text: str, server: Process) -> None:
        """Replace a file and have ``server`` notice it.

        The autoreloader knows no earlier state of a file when it first looks, which may be after
        the first change; so it is touched until that was seen.
        """
        reloads = server.output().count("changed, reloading")
        self.write(name, text)

        def noticed() -> bool:
            os.utime(self.folder / name)
            return server.output().count("changed, reloading") > reloads

        wait_until(noticed, timeout=30)

    def start(self, *arguments: str, interpreter: Interpreter | None = None) -> Process:
        """Start ``manage.py`` with ``arguments``."""
        return self.run("manage.py", *arguments, interpreter=interpreter)

    def run(self, *arguments: str, interpreter: Interpreter | None = None) -> Process:
        """Start an interpreter with ``arguments``."""
        interpreter = interpreter or Interpreter()
        return self._started(Process(self.folder, arguments, self._log(), interpreter))

    def serve(self, *arguments: str) -> Server:
        """Start ``runserver``, on a free port where ``arguments`` say nothing else."""
        if not any(re.search(r"\d$", argument) for argument in arguments[:1]):
            arguments = ("127.0.0.1:0", *arguments)
        command = ("manage.py", "runserver", *arguments)
        server = Server(self.folder, command, self._log(), Interpreter())
        self._started(server)
        return server

    def end(self) -> None:
        """End what still runs."""
        for process in self.processes:
            process.end()

    def _log(self) -> Path:
        return self.folder / f"output-{len(self.processes)}.txt"

    def _started(self, process: Process) -> Process:
        self.processes.append(process)
        return process
