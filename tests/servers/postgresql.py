"""A private PostgreSQL. It refuses to run as root; then it runs as the user of Debian's package."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from signal import SIGINT
from typing import Any, Self

import psycopg

from tests.servers.ports import free_port
from tests.servers.programs import find_program
from tests.waiting import wait_until

__all__ = ["PostgresServer"]

#: Its data live as long as the server, so nothing waits for the disk.
OPTIONS = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=16MB")


class PostgresServer:
    """One server on loopback that trusts everybody. A context manager.

    ``options`` are lines of its configuration.
    """

    def __init__(self, options: tuple[str, ...] = OPTIONS) -> None:
        self.port = free_port()
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="postgresql-")
        self._owner: dict[str, Any] = {}
        if os.getuid() == 0:
            shutil.chown(self._folder.name, "postgres", "postgres")
            self._owner = {"user": "postgres", "group": "postgres", "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has written so far."""
        return Path(self._folder.name, "log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Make its files and start it; returns when it answers."""
        data = f"{self._folder.name}/data"
        how = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        self._run("initdb", "-D", data, *how).wait(60)
        options = (*self._options, "listen_addresses=127.0.0.1")
        arguments = [word for option in options for word in ("-c", option)]
        where = ("-D", data, "-p", str(self.port), "-k", self._folder.name)
        self._process = self._run("postgres", *where, *arguments)
        wait_until(self._answers, timeout=60)

    def _run(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        path = find_program(program)
        assert path is not None, f"{program} is missing: apt-get install postgresql"
        with Path(self._folder.name, "log").open("ab") as log:
            return subprocess.Popen(
                [path, *arguments], stdout=log, stderr=log, cwd=self._folder.name, **self._owner
            )

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"postgres ended: {self.log}"
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True
        )

    def create_database(self, name: str) -> dict[str, Any]:
        """Make an empty database; returns what DATABASES says of it."""
        with self._connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": "postgres",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
        }

    def stop(self) -> None:
        """End it, whoever is connected; its data are gone."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(SIGINT)
            process.wait(20)
        self._folder.cleanup()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
