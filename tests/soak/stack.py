"""The whole deployment of the soak: servers, nginx, Daphnes, workers and a delay server."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from channels.asgi import import_backend
from tests.deployment.crowd import memory
from tests.management.project import Project
from tests.servers.nginx import nginx_command
from tests.servers.ports import free_port, listens
from tests.servers.postgresql import PostgresServer
from tests.servers.redis import RedisServer
from tests.servers.sentinel import SentinelSet
from tests.soak.project import FILES, settings
from tests.soak.supervision import Program, Supervisor
from tests.waiting import wait_until

__all__ = ["DAPHNES", "KEPT", "Stack", "children_of"]

#: Seconds after which Daphne gives up a response: what a request in a killed worker takes.
HTTP_TIMEOUT = 10

#: The programs by kind.
DAPHNES = ("daphne-0", "daphne-1")
KEPT = "worker-kept"

#: The layers; the addresses are filled in.
_REDIS = "channels.layers.redis.RedisChannelLayer"
_SENTINEL = "channels.layers.redis.RedisSentinelChannelLayer"

#: Inside nginx's http block.
_NGINX = """
access_log off;
keepalive_requests 1000000;
map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
upstream daphne {{ {servers} keepalive 16; }}
server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
        proxy_pass http://daphne;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_read_timeout 120s;
    }}
}}
"""


class Stack:
    """A context manager; everything serves when it is entered.

    ``workers``: how many there are besides the one with limits, whose options are ``limits``.
    ``sentinel``: whether Redis is a service that Sentinels watch.
    """

    def __init__(
        self,
        folder: Path,
        workers: int,
        limits: Sequence[str],
        sentinel: bool = False,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.workers = tuple(f"worker-{number}" for number in range(workers))
        self.redis: RedisServer | None = None if sentinel else RedisServer()
        self.sentinels: SentinelSet | None = SentinelSet() if sentinel else None
        self._limits = limits
        self._postgres = PostgresServer()
        self._stack = ExitStack()
        self.layer: Any = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._postgres)
            stack.enter_context(self.redis or self.sentinels)  # type: ignore[arg-type]
            self._write_project()
            self._manage("migrate", "--verbosity", "0")
            self.supervisor = stack.enter_context(Supervisor(self.folder, self._programs()))
            wait_until(lambda: listens(self.port))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self.layer.close()
        self._stack.close()

    def _write_project(self) -> None:
        database = self._postgres.create_database("soak")
        prefix = f"soak{secrets.token_hex(4)}:"
        options: dict[str, Any] = {"prefix": prefix, "capacity": 1000}
        if self.sentinels is not None:
            backend = _SENTINEL
            options |= {"hosts": self.sentinels.hosts, "services": ["mymaster"]}
        else:
            assert self.redis is not None
            backend = _REDIS
            options |= {"hosts": [self.redis.url]}
        self.layer = import_backend("default", backend)(**options)
        layer = {"BACKEND": backend, "CONFIG": options}
        project = Project(self.folder, settings(database, layer))
        for name, text in FILES.items():
            project.write(name, text)

    def _manage(self, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=self.folder, env=environment, check=True)

    def _programs(self) -> list[Program]:
        python, ports = sys.executable, [free_port() for _ in DAPHNES]
        servers = " ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in ports)
        options = ("-v", "0", "-t", str(HTTP_TIMEOUT))
        daphne = (python, "-m", "daphne", *options, "asgi:channel_layer", "-p")
        worker = (python, "manage.py", "runworker")
        plain = (*worker, "--exclude-channels", "misbehave")
        http = _NGINX.format(servers=servers, port=self.port)
        nginx = ("/usr/bin/env", *nginx_command(self.folder, http, connections=4096))
        return [
            *(
                Program(name, [*daphne, str(port)])
                for name, port in zip(DAPHNES, ports, strict=True)
            ),
            *(Program(name, plain) for name in self.workers),
            Program(KEPT, [*worker, *self._limits]),
            Program("delay", [python, "manage.py", "rundelay"]),
            Program("nginx", nginx, tells=False),
        ]

    @property
    def all_workers(self) -> tuple[str, ...]:
        """The programs that run consumers."""
        return (*self.workers, KEPT)

    def worker_pid(self, name: str) -> int:
        """The process of a worker that runs consumers; 0 while there is none."""
        pid = self.supervisor.pid_of(name)
        if name != KEPT or not pid:
            return pid
        return next(iter(children_of(pid)), 0)

    def kill(self, name: str) -> bool:
        """End the process that does the work of a program, as a crash does; whether there was one.

        Supervisor, or the keeper, starts another one.
        """
        pid = self.worker_pid(name)
        if not pid:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def memory(self) -> dict[str, float]:
        """MiB that each process has for itself; those that just begin or end are left out."""
        found = {}
        for name in self.supervisor.programs:
            pid = self.supervisor.pid_of(name)
            for which, each in ((name, pid), *((f"{name}/child", c) for c in children_of(pid))):
                try:
                    found[which] = memory(each)
                except (AssertionError, OSError):
                    continue
        if self.redis is not None:
            found["redis"] = memory(self.redis.pid)
        found["supervisord"] = memory(self.supervisor.pid)
        return found

    def is_replaced(self, before: int) -> bool:
        """Whether the worker with limits runs in another process than ``before``, and is ready."""
        pid = self.worker_pid(KEPT)
        return pid not in (0, before) and f"Process {pid} is ready" in self.supervisor.log(KEPT)

    def lose_redis(self) -> None:
        """Kill the server and start it again, empty; or have it failed over. Returns then."""
        if self.sentinels is not None:
            self._fail_over(self.sentinels)
        else:
            assert self.redis is not None
            self.redis.stop(signal.SIGKILL)
            self.redis.start()

    def _fail_over(self, sentinels: SentinelSet) -> None:
        """Kill the master; the old one comes back as a replica, for the next time."""
        old = sentinels.master()
        sentinels.fail_over()
        old.start()


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []
