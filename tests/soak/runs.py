"""A deployment with its load, for the scenarios that share it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.soak.scenarios import Numbers, limits_of
from tests.soak.stack import Stack
from tests.soak.traffic import Traffic

__all__ = ["deployments", "run"]


def deployments(chosen: Sequence[str]) -> Iterator[tuple[bool, list[str]]]:
    """For each deployment that is needed: whether it is under Sentinel, and its scenarios."""
    for sentinel in (False, True):
        names = [name for name in chosen if (name == "sentinel") == sentinel]
        if names:
            yield sentinel, names


@contextmanager
def run(folder: Path, numbers: Numbers, sentinel: bool = False) -> Iterator[tuple[Stack, Traffic]]:
    """A context in which everything runs, and all sockets are open."""
    limits = limits_of(numbers)
    with Stack(folder, numbers.workers, limits, sentinel) as stack:
        try:
            with Traffic(stack.port, numbers.rates) as traffic:
                yield stack, traffic
        except BaseException:
            print(stack.supervisor.logs()[-20_000:])
            raise
