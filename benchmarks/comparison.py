"""Measures contenders in turn, several rounds, and prints figures, CPU per operation and ratios."""

from collections.abc import Callable
from statistics import median

from servers import Server, available, running

__all__ = ["compare"]

#: Rounds; the contenders take turns in each, so that a drift of the machine meets all of them.
ROUNDS = 3
#: Seconds of load in a round, after a warm-up.
SECONDS = 4.0
WARM_UP = 1.0
CLIENTS = 50


def _measure(server: Server, load: Callable[[int, int, float], int]) -> tuple[float, float]:
    """Operations a second, and microseconds of the server's CPU for each."""
    with running(server) as process:
        load(process.port, CLIENTS, WARM_UP)
        before = process.cpu_seconds()
        operations = load(process.port, CLIENTS, SECONDS)
        cpu = process.cpu_seconds() - before
    return operations / SECONDS, cpu / operations * 1e6


def compare(title: str, load: Callable[[int, int, float], int]) -> None:
    """Print one table; a peer that is missing is named."""
    servers = available()
    figures: dict[str, list[tuple[float, float]]] = {server.name: [] for server in servers}
    for _ in range(ROUNDS):
        for server in servers:
            figures[server.name].append(_measure(server, load))
    print(f"{title}: {CLIENTS} clients, median of {ROUNDS} rounds of {SECONDS:.0f} s")
    own = median(cpu for _, cpu in figures["ours"])
    for name, rounds in figures.items():
        rate = median(rate for rate, _ in rounds)
        cpu = median(cpu for _, cpu in rounds)
        print(
            f"  {name:10} {rate:9,.0f} /s  {cpu:8.1f} us CPU each  "
            f"{1e6 / cpu:8,.0f} per CPU second  {cpu / own:5.2f} x our CPU"
        )
    if len(servers) < 2:
        print("  no peer: run `make bench`, or name their interpreter in PEER_PYTHON")
