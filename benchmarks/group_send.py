"""A message to a group of open sockets: CPU of the servers for each delivery, over Redis."""

import time
from collections.abc import Callable

from comparison import Round, in_turn, print_table
from contenders import MEMBERS
from load import Members, http_load
from servers import Contender, available, running

#: Members of the group that contenders are compared with.
NUMBER = 1_000
#: Microseconds of CPU for a delivery to one of them (docs, cost budgets).
BUDGETS = {"ours, Redis": 15}
#: Numbers of members that show how the cost of ours grows.
NUMBERS = [1, 10, 100, 1_000, 10_000]
#: Deliveries of a round, about: of ours, and of the peers, which take longer.
DELIVERIES = {"batteries": 60_000, "peers": 8_000}
#: The fewest and the most sends of a round.
FEWEST, MOST = 4, 2_000


def _measuring(number: int) -> Callable[[Contender], Round]:
    """A measurement with ``number`` members."""

    def measure(contender: Contender) -> Round:
        sends = min(MOST, max(FEWEST, DELIVERIES[contender.project] // number))
        with running(contender) as processes:
            http_load(processes.port, 1, 0)
            with Members(processes.port, number) as members:
                members.send(2)  # to warm up
                before, begin = processes.cpu_seconds(), time.monotonic()
                members.send(sends)
                used, seconds = processes.cpu_since(before), time.monotonic() - begin
        deliveries = sends * number
        cpu = {label: spent / deliveries * 1e6 for label, spent in used.items()}
        return Round(deliveries / seconds, cpu)

    return measure


def main() -> None:
    """Print the comparison, and how the cost of ours grows."""
    contenders = available(MEMBERS)
    rounds = in_turn(contenders, _measuring(NUMBER))
    print(f"group send to {NUMBER:,} sockets, each delivery, median of 3 rounds")
    print_table(rounds, BUDGETS)
    for contender in contenders:
        if contender.project == "batteries":
            _print_growth(contender)


def _print_growth(contender: Contender) -> None:
    print(f"{contender.name}, by the number of members, each delivery, one round")
    print_table(
        {
            f"{number:,} members": in_turn([contender], _measuring(number), 1)[contender.name]
            for number in NUMBERS
        }
    )


if __name__ == "__main__":
    main()
