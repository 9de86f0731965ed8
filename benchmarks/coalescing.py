"""What it costs and what it saves to handle together what comes within a millisecond.

Daphne and a worker over Redis, hello world and echo, with and without, by the number of clients:
CPU, and how long the answers take.
"""

from statistics import median, quantiles
from time import sleep

from comparison import ROUNDS, SECONDS, SETTLING, WARM_UP
from contenders import deployment
from load import echo_load, http_load
from servers import Contender, available, running

CLIENTS = (1, 2, 5, 20, 50)

#: Figures of one load: microseconds of CPU an answer, answers a second, milliseconds of the median
#: answer and of the slowest in a hundred.
Figures = tuple[float, float, float, float]


def measure(contender: Contender) -> dict[tuple[str, int], Figures]:
    """One round of all loads."""
    figures = {}
    with running(contender) as processes:
        http_load(processes.port, 1, 0)  # answered once all of its processes work
        sleep(SETTLING)
        for name, load in ("http", http_load), ("echo", echo_load):
            for clients in CLIENTS:
                load(processes.port, clients, WARM_UP)
                latencies: list[float] = []
                before = processes.cpu_seconds()
                answers = load(processes.port, clients, SECONDS, latencies)
                used = sum(processes.cpu_since(before).values()) / answers * 1e6
                slowest = quantiles(latencies, n=100)[-1]
                figures[name, clients] = (
                    *(used, answers / SECONDS),
                    *(median(latencies) * 1e3, slowest * 1e3),
                )
    return figures


def main() -> None:
    """Print the medians of the rounds."""
    contenders = available(
        [
            deployment("--coalesce 0", "redis"),
            deployment("--coalesce 0.001", "redis", "--coalesce", "0.001"),
        ]
    )
    rounds: dict[str, list[dict[tuple[str, int], Figures]]] = {}
    for _ in range(ROUNDS):
        for contender in contenders:
            rounds.setdefault(contender.name, []).append(measure(contender))
    print(
        f"  {'':24}{'clients':>8}{'us of CPU':>11}{'per second':>12}{'median ms':>11}{'p99 ms':>9}"
    )
    for load in ("http", "echo"):
        for clients in CLIENTS:
            for name, measured in rounds.items():
                cpu, rate, middle, slowest = (
                    median(one[load, clients][index] for one in measured) for index in range(4)
                )
                print(
                    f"  {load + ', ' + name:24}{clients:8}{cpu:11.0f}{rate:12,.0f}"
                    f"{middle:11.2f}{slowest:9.2f}"
                )


if __name__ == "__main__":
    main()
