"""Private redis-server processes."""

import subprocess
import tempfile
from signal import SIGKILL, SIGTERM, Signals
from types import TracebackType

from tests.servers.ports import free_port, listens
from tests.waiting import wait_until

__all__ = ["RedisServer"]


class RedisServer:
    """One redis-server without persistence; ``arguments`` are added to its command line.

    A context manager. The port stays the same over ``stop`` and ``start``.
    """

    def __init__(self, *arguments: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self._arguments = arguments
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def folder(self) -> str:
        """Where it keeps its files, among them ``redis.sock``."""
        return self._folder.name

    def start(self) -> None:
        """Start it; returns when it listens."""
        self._process = subprocess.Popen(
            [
                *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", self.folder),
                *("--unixsocket", f"{self.folder}/redis.sock", "--loglevel", "warning"),
                *self._arguments,
            ],
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: listens(self.port))

    def signal(self, number: Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        assert self._process is not None, "it is not running"
        self._process.send_signal(number)

    def stop(self, number: Signals = SIGTERM) -> None:
        """End it by a signal, such as SIGKILL; its data are gone."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(10)

    def __enter__(self) -> "RedisServer":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(SIGKILL)
        self._folder.cleanup()
