"""The chat example as a process of its own, run as ``make demo`` runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent
CHAT = ROOT / "examples" / "chat"
MANAGE = [sys.executable, str(CHAT / "manage.py")]


class ChatServer:
    """The example with a database in ``folder``; on a free port, which a restart takes again."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "chat.sqlite3"
        self.port = 0
        self._log = folder / "server.log"
        self._environment = os.environ | {
            "CHAT_DATABASE": str(self.database),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONUNBUFFERED": "1",
        }
        subprocess.run([*MANAGE, "migrate", "--verbosity", "0"], env=self._environment, check=True)

    @property
    def url(self) -> str:
        """The address of its first page."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with self._log.open("w") as output:
            self._process = subprocess.Popen(
                [*MANAGE, "runserver", "--noreload", f"127.0.0.1:{self.port}"],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.port = wait_until(self._announced_port, timeout=30)

    def output(self) -> str:
        """What it has written since its last start."""
        return self._log.read_text()

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait(20)

    def stop(self) -> int:
        """End it in order, if it still runs; its exit code."""
        self._process.terminate()
        return self._process.wait(20)

    def _announced_port(self) -> int | None:
        assert self._process.poll() is None, self.output()
        found = re.search(r"server at http://127\.0\.0\.1:([1-9]\d*)/", self.output())
        return found and int(found[1])
