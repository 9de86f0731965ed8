"""A database with tables for these tests; each leaves it as it was."""

from collections.abc import Iterator

import pytest
from django.contrib.sessions.backends.file import SessionStore as FileStore
from django.core.cache import cache
from django.test import override_settings

from channels.sessions import stores
from tests.databases import made_databases, rolled_back

#: The engines that store on the server.
ENGINES = ("db", "cached_db", "cache", "file")


@pytest.fixture(scope="package")
def tables() -> Iterator[None]:
    with made_databases():
        yield


@pytest.fixture
def database(tables: None) -> Iterator[None]:
    """The database, in a transaction that is rolled back."""
    cache.clear()
    with rolled_back():
        yield
    cache.clear()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, database: None, tmp_path) -> Iterator[str]:
    """Each engine in turn, by the last part of its name."""
    path = f"django.contrib.sessions.backends.{request.param}"
    # Django keeps the folder on the class, and so does each class that was made of it
    if "_storage_path" in vars(FileStore):
        del FileStore._storage_path
    stores._store.cache_clear()
    with override_settings(SESSION_ENGINE=path, SESSION_FILE_PATH=str(tmp_path)):
        yield request.param
