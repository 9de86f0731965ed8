"""Messages that are sent later: rates, lateness, memory; beside Celery's ETA and huey's schedules.

Ours are stored in PostgreSQL, with its default durability, and in SQLite; the peers' in Redis
without persistence. Then what looking for due messages costs by the number of pending ones.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from servers import APPS, PEER_PYTHON, Contender, Program, Running, available, running

from tests.servers.postgresql import PostgresServer

#: Messages that are scheduled as fast as it goes: of ours, and of the peers, which take longer.
BURST = {"later": 5_000, "later_peers": 1_000}
#: Seconds after which they are due.
BURST_DELAY = 20
#: A steady load: messages, messages a second, seconds until each is due.
STEADY, STEADY_RATE, STEADY_DELAY = 1_000, 100, 1
#: Numbers of pending messages of which the memory is told.
PENDING = (1_000, 20_000)
#: Numbers of pending messages with which due ones are looked for.
SCANNED = (1_000, 10_000, 100_000, 1_000_000)
#: What looks at the table.
SCAN = str(Path(__file__).parent / "delay_scan.py")
#: Seconds after which a round is given up.
PATIENCE = 120

_WORKER = Program("worker", ("-m", "django", "runworker", "-v0"))
_DELAY = Program("rundelay", ("-m", "django", "rundelay", "-v0", "--sleep", "3600"))


class Figures(NamedTuple):
    """What a contender showed."""

    #: Messages a second that were scheduled, or stored.
    accepted: float
    #: Messages a second that were run, once they were due.
    delivered: float
    #: Seconds between the due date and the run: the median, and one in a hundred.
    median: float
    percentile: float
    #: Microseconds of CPU for each message of the steady load, by process.
    cpu: dict[str, float]
    #: MiB of the process that waits, by the number of messages that it waits for.
    memory: dict[int, float]


class Database:
    """Where ours stores messages; ``options`` are what DATABASES says."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def count(self) -> int:
        """The number of messages."""
        with self._connected() as connection:
            query = "SELECT count(*) FROM channels_delay_delayedmessage"
            return int(connection.execute(query).fetchone()[0])

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        connection: Any
        if "PORT" in self.options:
            where = {"host": "127.0.0.1", "port": self.options["PORT"], "user": "postgres"}
            connection = psycopg.connect(dbname=self.options["NAME"], **where)
        else:
            connection = sqlite3.connect(self.options["NAME"], timeout=30)
        try:
            yield connection
        finally:
            connection.close()


def _contenders() -> dict[str, Contender]:
    """By the name of the module that schedules, and the database of ours."""
    ours = (sys.executable, (_DELAY, _WORKER), "redis")
    huey = Program("huey", ("-m", "huey.bin.huey_consumer", "project.huey_app.huey", "-w1", "-q"))
    celery = Program(
        "celery",
        ("-m", "celery", "-Aproject.celery_app", "worker", "-c1", "-Psolo", "-lERROR",
         "--without-gossip", "--without-mingle", "--without-heartbeat"),
    )  # fmt: skip
    return {
        "ours postgresql": Contender("ours, PostgreSQL", "later", *ours),
        "ours sqlite": Contender("ours, SQLite", "later", *ours),
        "celery_app": Contender("Celery ETA", "later_peers", PEER_PYTHON, (celery,), "redis"),
        "huey_app": Contender("huey schedule", "later_peers", PEER_PYTHON, (huey,), "redis"),
    }


def _wait(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not done after {seconds} s")
        time.sleep(0.01)


def _schedule(contender: Contender, site: Running, module: str, *arguments: float | str) -> float:
    """Run the program that schedules; the seconds that it took."""
    command = [contender.python, "-m", "project.schedule", f"project.{module}"]
    run = subprocess.run(
        [*command, *map(str, arguments)],
        cwd=site.folder,
        env=site.environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(run.stdout)


def _recorded(site: Running) -> list[tuple[float, float]]:
    """When each task was run, and how late."""
    path = Path(site.folder) / "recorded"
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = [line.split() for line in lines]
    return [(float(pair[0]), float(pair[1])) for pair in pairs if len(pair) == 2]


def _memory(pid: int) -> float:
    """MiB that a process has in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _measure(contender: Contender, module: str, database: Database | None) -> Figures:
    with running(contender, listens=False) as site:
        _schedule(contender, site, module, 5, 0, 0.1)
        _wait(lambda: len(_recorded(site)) == 5)  # all is there, and has its imports done
        before = site.cpu_seconds()
        _schedule(contender, site, module, STEADY, STEADY_RATE, STEADY_DELAY)
        _wait(lambda: len(_recorded(site)) >= 5 + STEADY)
        cpu = {label: used / STEADY * 1e6 for label, used in site.cpu_since(before).items()}
        late = sorted(seconds for _, seconds in _recorded(site)[5:])
        accepted, delivered = _burst(contender, site, module, database)
        memory, pending = {}, 0
        for number in PENDING:
            _schedule(contender, site, module, number - pending, 0, 86_400)
            pending = number
            time.sleep(5)  # they are fetched, or stored, meanwhile
            memory[number] = _memory(site.processes[-len(contender.programs)][1])
    percentile = late[int(len(late) * 0.99)]
    return Figures(accepted, delivered, late[len(late) // 2], percentile, cpu, memory)


def _burst(
    contender: Contender, site: Running, module: str, database: Database | None
) -> tuple[float, float]:
    """Rates at which many messages are accepted and, being due together, delivered."""
    before, stored = len(_recorded(site)), database.count() if database else 0
    burst = BURST[contender.project]
    begin = time.monotonic()
    program = subprocess.Popen(
        [contender.python, "-m", "project.schedule", f"project.{module}", str(burst), "0",
         str(BURST_DELAY), "together"],
        cwd=site.folder, env=site.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    if database:
        _wait(lambda: database.count() > stored + 1)
        begin = time.monotonic()
        _wait(lambda: database.count() + len(_recorded(site)) - before >= stored + burst)
        seconds = time.monotonic() - begin
        program.communicate()
    else:
        seconds = float(program.communicate()[0])
    _wait(lambda: len(_recorded(site)) >= before + burst)
    times = [when for when, _ in _recorded(site)[before:]]
    return burst / seconds, burst / (max(times) - min(times))


def _print(name: str, one: Figures) -> None:
    cpu = ", ".join(f"{label} {used:,.0f}" for label, used in one.cpu.items())
    memory = ", ".join(f"{number:,}: {mib:.0f}" for number, mib in one.memory.items())
    print(
        f"  {name:18}{one.accepted:11,.0f}{one.delivered:11,.0f}{one.median * 1000:11,.1f}"
        f"{one.percentile * 1000:11,.1f}  {memory:24}  {cpu}"
    )


def _in_project(database: Database, folder: str, *arguments: str) -> str:
    """Run Python in the project of ours, beside a contender's processes; what it prints."""
    environment = os.environ | {
        "BENCH_DATABASE": json.dumps(database.options),
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "PYTHONPATH": folder,
    }
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def _databases(postgres: PostgresServer, folder: str) -> dict[str, Database]:
    file = {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/db.sqlite3"}
    return {
        "postgresql": Database(postgres.create_database("delayed")),
        "sqlite": Database(file),
    }


def main() -> None:
    """Print two tables; it takes minutes, so each line comes when it is known."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    contenders = _contenders()
    found = {each.name for each in available(list(contenders.values()))}
    durable = ("shared_buffers=128MB",)
    with PostgresServer(durable) as postgres, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "project").symlink_to(APPS / "later")
        databases = _databases(postgres, folder)
        print(
            f"  {'':18}{'accepted/s':>11}{'sent/s':>11}{'late, ms':>11}{'p99, ms':>11}"
            f"  {'MiB by pending':24}  us of CPU at {STEADY_RATE}/s"
        )
        for key, contender in contenders.items():
            if contender.name not in found:
                continue
            module, _, kind = key.partition(" ")
            database = databases.get(kind)
            if database:
                _in_project(database, folder, "-m", "django", "migrate", "-v0")
                os.environ["BENCH_DATABASE"] = json.dumps(database.options)
            _print(contender.name, _measure(contender, module, database))
        print("looking for due messages, by the number of pending ones")
        for kind, database in databases.items():
            for number in SCANNED:
                scan = _in_project(database, folder, SCAN, str(number))
                print(f"  {kind:12} {number:9,}: {scan}", end="")


if __name__ == "__main__":
    main()
