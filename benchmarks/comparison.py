"""Measures contenders in turn, several rounds, and prints figures, CPU per operation and ratios."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from load import http_load
from servers import Contender, available, running

__all__ = ["Round", "compare", "in_turn", "print_table"]

#: A load: from a port, a number of clients and seconds to the operations that were answered.
Load = Callable[[int, int, float], int]

#: Rounds; the contenders take turns in each, so that a drift of the machine meets all of them.
ROUNDS = 3
#: Seconds of load in a round, after a warm-up.
SECONDS = 4.0
WARM_UP = 1.0
#: Seconds between that and the measurement for deployments: interface servers ask a layer that is a
#: server every few seconds who listens to what, and send what is read by nobody until they know.
SETTLING = 6.0
CLIENTS = 50


class Round(NamedTuple):
    """What one round of one contender gave."""

    #: Operations a second.
    rate: float
    #: Microseconds of CPU for an operation, of each of the contender's processes.
    cpu: dict[str, float]

    @property
    def total(self) -> float:
        """Microseconds of CPU for an operation, all processes added up."""
        return sum(self.cpu.values())


def in_turn(
    contenders: list[Contender], measure: Callable[[Contender], Round], rounds: int = ROUNDS
) -> dict[str, Round]:
    """For each contender the round whose CPU is the median."""
    measured: dict[str, list[Round]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            measured[contender.name].append(measure(contender))
    return {
        name: sorted(each, key=lambda one: one.total)[len(each) // 2]
        for name, each in measured.items()
    }


def print_table(rounds: Mapping[str, Round], budgets: Mapping[str, float] | None = None) -> None:
    """One line for each contender; ratios are against the first."""
    base = next((one.total for one in rounds.values()), 1.0)
    print(f"  {'':22}{'per second':>11}{'us of CPU':>11}{'ratio':>8}{'budget':>8}  by process")
    for name, one in rounds.items():
        budget = (budgets or {}).get(name)
        each = ", ".join(f"{label} {cpu:.4g}" for label, cpu in one.cpu.items())
        print(
            f"  {name:22}{one.rate:11,.0f}{one.total:11.1f}{one.total / base:8.2f}"
            f"{'' if budget is None else format(budget, '.0f'):>8}  {each}"
        )


def _measure(contender: Contender, load: Load) -> Round:
    with running(contender) as processes:
        if contender.http:
            http_load(processes.port, 1, 0)  # answered once all of its processes work
        load(processes.port, CLIENTS, WARM_UP)
        if contender.project == "batteries" and contender.needs_redis:
            time.sleep(SETTLING)
        before = processes.cpu_seconds()
        operations = load(processes.port, CLIENTS, SECONDS)
        used = processes.cpu_since(before)
    cpu = {label: seconds / operations * 1e6 for label, seconds in used.items()}
    return Round(operations / SECONDS, cpu)


def compare(
    title: str, load: Load, contenders: list[Contender], budgets: Mapping[str, float]
) -> None:
    """Print one table; a contender that cannot run here is named."""
    found = available(contenders)
    rounds = in_turn(found, lambda contender: _measure(contender, load))
    print(f"{title}: {CLIENTS} clients, median of {ROUNDS} rounds of {SECONDS:.0f} s")
    print_table(rounds, budgets)
