"""Projects that are ended with the test, whatever becomes of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.supervision.supervised import Supervised


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    """Makes a project in the folder of the test."""
    made: list[Supervised] = []

    def make(*arguments: object, **setting: object) -> Supervised:
        made.append(Supervised(tmp_path, *arguments, **setting))
        return made[-1]

    yield make
    for one in made:
        print(one.output())  # shown where the test failed
        one.end()
