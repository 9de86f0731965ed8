"""Projects that are ended with the test, whatever becomes of it."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.supervision.supervised import Supervised


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path is short enough for sockets, whoever runs the tests."""
    with tempfile.TemporaryDirectory(prefix="site-") as folder:
        yield Path(folder)


@pytest.fixture
def supervise(short_path: Path) -> Iterator[Callable[..., Supervised]]:
    """Makes a project."""
    made: list[Supervised] = []

    def make(*arguments: object, **setting: object) -> Supervised:
        made.append(Supervised(short_path, *arguments, **setting))
        return made[-1]

    yield make
    for one in made:
        print(one.output())  # shown where the test failed
        one.end()
