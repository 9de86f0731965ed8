"""Test databases, made and destroyed as Django's test runner does it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test.utils import setup_databases, teardown_databases

__all__ = ["made_databases"]


@contextmanager
def made_databases(file: Path | None = None) -> Iterator[None]:
    """A context in which the configured databases are fresh ones with all tables.

    The default one is in ``file``, or in memory.
    """
    test = connections["default"].settings_dict["TEST"]
    earlier, test["NAME"] = test["NAME"], file and str(file)
    _close_connections()
    try:
        made = setup_databases(verbosity=0, interactive=False)
        try:
            yield
        finally:
            teardown_databases(made, verbosity=0)
    finally:
        test["NAME"] = earlier
        _close_connections()


def _close_connections() -> None:
    """Close them, also those to databases in memory, which Django keeps open under any name."""
    for connection in connections.all(initialized_only=True):
        BaseDatabaseWrapper.close(connection)
