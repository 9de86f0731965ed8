"""A database for consumers with sessions; each test leaves it as it was.

A process that has once used channel sessions looks for them at every disconnect.
"""

from collections.abc import Iterator

import pytest

from tests.databases import made_databases, rolled_back


@pytest.fixture(scope="package")
def tables() -> Iterator[None]:
    with made_databases():
        yield


@pytest.fixture(autouse=True)
def database(tables: None) -> Iterator[None]:
    """The database, in a transaction that is rolled back."""
    with rolled_back():
        yield
