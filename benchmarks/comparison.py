"""Measures contenders in turn, several rounds, and prints figures, CPU per operation and ratios."""

from collections.abc import Callable
from typing import NamedTuple

from servers import Server, available, running

__all__ = ["compare"]

#: A load: from a port, a number of clients and seconds to the operations that were answered.
Load = Callable[[int, int, float], int]

#: Rounds; the contenders take turns in each, so that a drift of the machine meets all of them.
ROUNDS = 3
#: Seconds of load in a round, after a warm-up.
SECONDS = 4.0
WARM_UP = 1.0
CLIENTS = 50


class Round(NamedTuple):
    """What one round of one contender gave."""

    #: Operations a second.
    rate: float
    #: Microseconds of CPU for an operation, of each of the server's processes that used any.
    cpu: tuple[float, ...]


def _measure(server: Server, load: Load) -> Round:
    with running(server) as process:
        load(process.port, CLIENTS, WARM_UP)
        before = process.cpu_seconds()
        operations = load(process.port, CLIENTS, SECONDS)
        after = process.cpu_seconds()
    used = [(seconds - before.get(pid, 0)) / operations * 1e6 for pid, seconds in after.items()]
    return Round(operations / SECONDS, tuple(cpu for cpu in used if cpu > 0))


def compare(title: str, load: Load, websocket: bool = False) -> None:
    """Print one table; a peer that is missing is named."""
    servers = available(websocket)
    rounds: dict[str, list[Round]] = {server.name: [] for server in servers}
    for _ in range(ROUNDS):
        for server in servers:
            rounds[server.name].append(_measure(server, load))
    print(f"{title}: {CLIENTS} clients, median of {ROUNDS} rounds of {SECONDS:.0f} s")
    own = _typical(rounds["ours"])
    for name, measured in rounds.items():
        typical = _typical(measured)
        cpu = sum(typical.cpu)
        each = " + ".join(f"{part:.0f}" for part in typical.cpu)
        print(
            f"  {name:10} {typical.rate:7,.0f} /s  {cpu:7.1f} us CPU each  "
            f"{1e6 / cpu:7,.0f} per CPU second  {cpu / sum(own.cpu):5.2f} x our CPU  "
            f"(by process: {each})"
        )
    if len(servers) < 2:
        print("  no peer: run `make bench`, or name their interpreter in PEER_PYTHON")


def _typical(rounds: list[Round]) -> Round:
    """The round whose CPU is the median."""
    return sorted(rounds, key=lambda measured: sum(measured.cpu))[len(rounds) // 2]
