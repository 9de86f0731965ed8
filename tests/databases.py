"""Test databases, made and destroyed as Django's test runner does it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test.utils import setup_databases, teardown_databases

__all__ = ["made_databases", "rolled_back"]


#: The files of the databases that are in use, the latest last; None for those in memory.
_in_use: list[Path | None] = []


@contextmanager
def made_databases(file: Path | None = None) -> Iterator[None]:
    """A context in which the configured databases are fresh ones with all tables.

    The default one is in ``file``, or in memory. Fixtures of several folders may have it open at a
    time: in memory they share one, and it is made anew after one in a file took its place.
    """
    if file is None and _in_use[-1:] == [None]:
        yield
        return
    with _made(file):
        _in_use.append(file)
        try:
            yield
        finally:
            _in_use.pop()
    if _in_use[-1:] == [None]:
        setup_databases(verbosity=0, interactive=False)


@contextmanager
def _made(file: Path | None) -> Iterator[None]:
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


@contextmanager
def rolled_back() -> Iterator[None]:
    """A transaction that is rolled back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _close_connections() -> None:
    """Close them, also those to databases in memory, which Django keeps open under any name."""
    for connection in connections.all(initialized_only=True):
        BaseDatabaseWrapper.close(connection)
