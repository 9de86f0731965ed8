"""No-op background work with one worker: CPU of sender, worker and server for each message."""

import subprocess
import sys
import time
from pathlib import Path

from comparison import Round, in_turn, print_table
from contenders import PREFETCH
from servers import PEER_PYTHON, Contender, Program, Running, available, running

#: Messages of a round: of ours, and of the peers, which take longer.
MESSAGES = {"batteries": 20_000, "tasks": 3_000}
#: Microseconds of CPU for a message (docs, cost budgets).
BUDGETS = {"ours, Redis": 80, "ours, Redis, prefetch": 80}
#: Seconds after which a round is given up.
PATIENCE = 60


def _ours(name: str, layer: str, *options: str) -> Contender:
    worker = Program("worker", ("-m", "django", "runworker", "-v0", *options))
    return Contender(name, "batteries", sys.executable, (worker,), layer)


def _peer(name: str, *arguments: str) -> Contender:
    worker = Program("worker", ("-m", *arguments))
    return Contender(name, "tasks", PEER_PYTHON, (worker,), "redis")


CONTENDERS = [
    _ours("ours, Redis", "redis"),
    _ours("ours, Redis, prefetch", "redis", *PREFETCH),
    _ours("ours, shared memory", "ipc"),
    _peer("huey", "huey.bin.huey_consumer", "project.huey_app.huey", "-w1", "-q"),
    _peer(
        "celery", "celery", "-Aproject.celery_app", "worker", "-c1", "-Psolo", "-lERROR",
        "--without-gossip", "--without-mingle", "--without-heartbeat",
    ),
    _peer("dramatiq", "dramatiq", "project.dramatiq_app", "-p1", "-t1"),
    _peer("bare", "project.bare_app"),
]  # fmt: skip


def _enqueue(contender: Contender, processes: Running, number: int) -> float:
    """Send messages and see that they are done; CPU seconds of the sender."""
    mark = Path(processes.folder) / f"finished-{number}"
    module = [] if contender.project == "batteries" else [f"project.{contender.name}_app"]
    sender = subprocess.run(
        [contender.python, "-m", "project.enqueue", str(number), str(mark), *module],
        cwd=processes.folder,
        env=processes.environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    deadline = time.monotonic() + PATIENCE
    while not mark.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{contender.name} is not done after {PATIENCE} s")
        time.sleep(0.01)
    return float(sender.stdout)


def _measure(contender: Contender) -> Round:
    number = MESSAGES[contender.project]
    with running(contender, listens=False) as processes:
        _enqueue(contender, processes, 10)  # the worker is there, and has its imports done
        before, begin = processes.cpu_seconds(), time.monotonic()
        sender = _enqueue(contender, processes, number)
        used, seconds = processes.cpu_since(before), time.monotonic() - begin
    used = {"sender": sender, **used}
    cpu = {label: spent / number * 1e6 for label, spent in used.items()}
    return Round(number / seconds, cpu)


def main() -> None:
    """Print one table."""
    rounds = in_turn(available(CONTENDERS), _measure)
    print("no-op messages on a named channel, one worker, median of 3 rounds")
    print_table(rounds, BUDGETS)


if __name__ == "__main__":
    main()
