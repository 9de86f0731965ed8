"""Private redis-server processes."""

import functools
import os
import subprocess
import tempfile
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.ports import free_port, listens
from tests.waiting import wait_until

__all__ = ["PROGRAM", "RedisServer", "version"]

#: The program: Redis of this machine, unless the environment names another version or Valkey.
PROGRAM = os.environ.get("CHANNELS_REDIS_SERVER", "redis-server")


@functools.cache
def version() -> tuple[int, ...]:
    """The version of Redis that the program is compatible with (INFO, ``redis_version``)."""
    with RedisServer() as server:
        return tuple(int(part) for part in server.info("server")["redis_version"].split("."))


class RedisServer:
    """One redis-server without persistence; ``arguments`` are added to its command line.

    A context manager. The port stays the same over ``stop`` and ``start``.
    """

    #: What comes before the options on the command line.
    command: tuple[str, ...] = (PROGRAM,)

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
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port

    @property
    def folder(self) -> str:
        """Where it keeps its files, among them ``redis.sock``."""
        return self._folder.name

    @property
    def log(self) -> str:
        """What it has written so far."""
        return Path(self.folder, "log").read_text(encoding="utf-8", errors="replace")

    def options(self) -> list[str]:
        """The part of the command line between the program and ``arguments``."""
        return [
            *("--port", str(self.port), "--bind", "127.0.0.1"),
            *("--save", "", "--appendonly", "no", "--dir", self.folder),
            *("--unixsocket", f"{self.folder}/redis.sock", "--loglevel", "warning"),
        ]

    def start(self) -> None:
        """Start it; returns when it listens."""
        self.launch()
        self.wait_until_it_listens()

    def launch(self) -> None:
        """Start it; several servers start in the time of one this way."""
        assert self._process is None, "it was started already"
        with Path(self.folder, "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self.command, *self.options(), *self._arguments], stdout=log, stderr=log
            )

    def wait_until_it_listens(self) -> None:
        """What follows ``launch``."""
        wait_until(lambda: listens(self.port) or self._fail_if_ended())

    def _fail_if_ended(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, f"{PROGRAM} ended: {self.log}"

    def client(self, **options: Any) -> "redis.Redis[bytes]":
        """A connection of the test's own, which waits 10 s for an answer; close it."""
        once = Retry(NoBackoff(), 0)
        return redis.Redis(port=self.port, protocol=2, socket_timeout=10, retry=once, **options)

    def ask(self, *command: str | int | bytes) -> Any:
        """The server's answer to one command, as it came: bytes, int or list."""
        with self.client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def info(self, section: str) -> dict[str, str]:
        """The lines of a section of INFO."""
        lines = self.ask("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None, "it is not running"
        return self._process.pid

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

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop(SIGKILL)
        self._folder.cleanup()
