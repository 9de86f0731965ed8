"""An example as it is deployed: Daphne and a worker in processes of their own, a shared layer, and
a database of its own."""

from pathlib import Path
from typing import Any

from tests.management.project import ROOT, Interpreter, Process
from tests.servers.ports import free_port

__all__ = ["ExampleSite"]

#: What a deployment changes of an example's settings.
SETTINGS = """
from config.settings import *
DATABASES["default"].update({database!r})
CHANNEL_LAYERS["default"].update({layer!r})
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick, for tests alone
"""

#: The process of the worker, which makes the tables first, and the rows that a test needs: one
#: start of an interpreter less for each site.
WORKER = """
import django
django.setup()
from django.core.management import call_command, execute_from_command_line
call_command("migrate", verbosity=0)
{rows}
execute_from_command_line(["manage.py", "runworker", "--threads", "2"])
"""

#: What Daphne says once it can be reached.
LISTENING = r"Listening on \S*?127\.0\.0\.1:\d+"


class ExampleSite:
    """The example of a name; ``database`` and ``layer`` replace what its settings say of them.

    ``rows`` is code that makes rows which its pages cannot make.
    """

    def __init__(
        self,
        example: str,
        folder: Path,
        database: dict[str, Any],
        layer: dict[str, Any],
        rows: str = "",
    ) -> None:
        self.example = ROOT / "examples" / example
        settings = SETTINGS.format(database=database, layer=layer)
        (folder / "deployed.py").write_text(settings)
        path = ":".join(map(str, (ROOT, folder, self.example)))
        environment = {"PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "deployed"}
        self._interpreter = Interpreter(environment=environment)
        self._folder = folder
        self._processes: list[Process] = []
        self.port = free_port()
        self.daphne = self._run_daphne()
        self.worker = self.run("-c", WORKER.format(rows=rows))
        self.daphne.wait_for(LISTENING)
        self.worker.wait_for("Listening on channels", timeout=60)

    def start_daphne(self) -> None:
        """Start Daphne where it was before it ended."""
        self.daphne = self._run_daphne()
        self.daphne.wait_for(LISTENING)

    def start_worker(self) -> None:
        """Start a worker in the place of one that ended."""
        self.worker = self.run("manage.py", "runworker", "--threads", "2")
        self.worker.wait_for("Listening on channels", timeout=60)

    def _run_daphne(self) -> Process:
        return self.run("-m", "daphne", "-p", str(self.port), "config.asgi:channel_layer")

    def run(self, *arguments: str) -> Process:
        """Start an interpreter in the example's folder."""
        log = self._folder / f"output-{len(self._processes)}.txt"
        self._processes.append(Process(self.example, arguments, log, self._interpreter))
        return self._processes[-1]

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Where a page is."""
        return f"http://{host}:{self.port}{path}"

    def output(self) -> str:
        """What its processes have written."""
        return "\n".join(process.output() for process in self._processes)

    def end(self) -> None:
        """End its processes."""
        for process in self._processes:
            process.end()
