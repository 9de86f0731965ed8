"""What runs in production, as files of supervisor's: from a project's choices to their text.

Which workers there are is in ``worker_kinds``, how values are written in ``rendering``; the command
``supervisorconf`` reads the choices, and writes the files.
"""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from channels.management.rendering import command_line, plain, redis_text, render, variables
from channels.management.worker_kinds import Kind
from daphne.configuration import (
    Configuration,
    ConfigurationError,
    build_parser,
    read_configuration,
)

__all__ = ["Daphne", "Deployment", "LocalRedis", "read_daphne"]

#: Seconds beside those that a program knows of: for last messages, and for a busy machine.
_MARGIN = 10

#: Seconds that the delay server and Redis may take to end; they finish what takes moments.
_SHORT_WAIT = 30


@dataclass(frozen=True, slots=True)
class Daphne:
    """The command's arguments, the number of its processes, the seconds that it may take to end."""

    arguments: tuple[str, ...]
    processes: int
    stop_wait: int


@dataclass(frozen=True, slots=True)
class LocalRedis:
    """A Redis on this machine for the channel layer; ``memory`` as Redis writes it."""

    host: str
    port: int
    password: str = ""
    memory: str = "256mb"


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """All choices. Paths are absolute; ``folder`` is where the files are to be."""

    name: str
    folder: Path
    #: Where the programs run, and the command line of Django's commands.
    directory: Path
    manage: Sequence[str]
    python: str
    layer: str
    daphne: Daphne
    kinds: Sequence[Kind]
    #: Delay servers.
    delay: int = 0
    redis: LocalRedis | None = None
    #: Who runs the programs; empty: who runs supervisord.
    user: str = ""
    minfds: int = 1024
    #: Seconds that consumers have to finish.
    stop_wait: int = 60
    environment: Mapping[str, str] = field(default_factory=dict)

    def files(self) -> dict[str, str]:
        """The text of each file by its path below ``folder``."""
        return dict(self._files())

    def _files(self) -> Iterator[tuple[str, str]]:
        yield "supervisord.conf", self._render("supervisord.conf", minfds=self.minfds)
        yield self._program("daphne", "daphne.conf", self._daphne(), self.daphne.stop_wait)
        programs = []
        for kind in self.kinds:
            yield self._workers(kind)
            programs.append(f"{self.name}-{kind.name}")
        yield self._file(
            "workers",
            render("group.conf", program=f"{self.name}-workers", programs=",".join(programs)),
        )
        if self.delay:
            arguments = [*self.manage, "rundelay", *self._layer()]
            yield self._program(
                "delay",
                "delay.conf",
                self._announced("delay", arguments),
                _SHORT_WAIT,
                processes=self.delay,
            )
        if self.redis is not None:
            yield from self._redis(self.redis)

    def _daphne(self) -> str:
        return self._announced("daphne", [self.python, "-m", "daphne", *self.daphne.arguments])

    def _workers(self, kind: Kind) -> tuple[str, str]:
        arguments = [*self.manage, "runworker", *self._layer(), *kind.arguments]
        return self._program(
            kind.name,
            "worker.conf",
            self._announced(kind.name, arguments),
            self.stop_wait,
            processes=kind.processes,
            kind=kind.name,
            channels=kind.description,
        )

    def _redis(self, server: LocalRedis) -> Iterator[tuple[str, str]]:
        configuration = "redis.conf"
        command = command_line(["redis-server", str(self.folder / configuration)])
        yield self._program("redis", "redis.conf", command, _SHORT_WAIT)
        yield (
            configuration,
            render(
                "redis-server.conf",
                name=self.name,
                folder=redis_text(str(self.folder / "state")),
                host=server.host,
                port=server.port,
                password=redis_text(server.password) if server.password else "",
                memory=server.memory,
            ),
        )

    def _layer(self) -> list[str]:
        return [] if self.layer == "default" else [f"--layer={self.layer}"]

    def _announced(self, part: str, arguments: Sequence[str]) -> str:
        """The command of a program that says when it is ready, each of its processes by itself."""
        file = plain(shlex.quote(str(self.folder / "state" / f"{self.name}-{part}")))
        return f"{command_line(arguments)} --ready-file {file}-%(process_num)d.ready"

    def _program(
        self, part: str, template: str, command: str, stop_wait: int, **values: Any
    ) -> tuple[str, str]:
        values = {"processes": self.daphne.processes, **values}
        common = self._render(
            "common.conf",
            directory=plain(str(self.directory)),
            environment=variables(self.environment),
            stop_wait=stop_wait,
            log=self._log(part),
        )
        text = self._render(
            template, program=f"{self.name}-{part}", command=command, common=common, **values
        )
        return self._file(part, text)

    def _log(self, part: str) -> str:
        """The log of each process of a program; a path that supervisor expands twice."""
        return plain(plain(f"{self.folder}/log/{self.name}-{part}")) + "-%(process_num)d.log"

    def _file(self, part: str, text: str) -> tuple[str, str]:
        return f"programs/{self.name}-{part}.conf", text

    def _render(self, template: str, **values: Any) -> str:
        folder = plain(str(self.folder))
        return render(template, name=self.name, folder=folder, user=self.user, **values)


def read_daphne(options: Sequence[str], application: str) -> Daphne:
    """Daphne with ``options`` over the layer ``application``.

    Raises ``CommandError`` for options that it does not take.
    """
    try:
        configuration = read_configuration(build_parser("daphne"), [*options, application], {})
    except ConfigurationError as error:
        raise CommandError(f"Daphne's options: {error}") from error
    except SystemExit:
        raise CommandError(
            f"Daphne does not take the options {shlex.join(options)}, as it says above."
        ) from None
    arguments, processes = [*options, application], configuration["processes"]
    if "processes" not in configuration.sources:
        # Two, so that a page is there while one of them is replaced after it has died.
        processes = 2
        arguments = ["--processes", str(processes), *arguments]
    return Daphne(tuple(arguments), processes, _stop_wait(configuration))


def _stop_wait(configuration: Configuration) -> int:
    """Seconds in which it has ended, with these options."""
    shutdown, drain = configuration["shutdown_timeout"], configuration["drain"]
    drained = drain + configuration["websocket_close_timeout"] if drain else 0
    workers = shutdown if configuration["workers"] else 0
    seconds: float = max(shutdown, drained) + workers + _MARGIN
    return math.ceil(seconds)
