"""Test databases, made and destroyed as Django's test runner does it."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.test.utils import setup_databases, teardown_databases

__all__ = ["made_databases"]


@contextmanager
def made_databases() -> Iterator[None]:
    """A context in which the configured databases are fresh ones with all tables."""
    made = setup_databases(verbosity=0, interactive=False)
    try:
        yield
    finally:
        teardown_databases(made, verbosity=0)
