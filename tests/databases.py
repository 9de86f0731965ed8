"""Test databases, made and destroyed as Django's test runner does it."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test.utils import setup_databases, teardown_databases

__all__ = ["made_databases", "rolled_back"]


#: The files of the databases that are in use, the latest last; None for those in memory.
_in_use: list[Path | None] = []

#: One in memory lives as long as any thread has it open, so that each has a name of its own.
_numbers = itertools.count()


@contextmanager
def made_databases(file: Path | None = None) -> Iterator[None]:
    """A context in which the default database is a fresh one with all tables.

    It is in ``file``, or in memory. Fixtures of several folders may have it open at a
    time: in memory they share one, and it is made anew after one in a file took its place.
    """
    if file is None and _in_use[-1:] == [None]:
        yield
        return
    _close_connections()
    made = _set_up(file)
    _in_use.append(file)
    try:
        yield
    finally:
        _in_use.pop()
        teardown_databases(made, verbosity=0)
        _close_connections()
    if _in_use[-1:] == [None]:
        _set_up(None)


def _set_up(file: Path | None) -> Any:
    test = connections["default"].settings_dict["TEST"]
    earlier = test["NAME"]
    in_memory = f"file:tests{next(_numbers)}?mode=memory&cache=shared"
    test["NAME"] = in_memory if file is None else str(file)
    try:
        return setup_databases(verbosity=0, interactive=False, aliases={"default"})
    finally:
        test["NAME"] = earlier


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
