"""A database for delayed messages alone, under an alias of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

__all__ = ["ALIAS", "Apart", "configured"]

ALIAS = "delayed"


class Apart:
    """A router that has delayed messages live in a database of their own, or with them all."""

    def __init__(self, with_all: bool = False) -> None:
        self._with_all = with_all

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return ALIAS if self._with_all or model._meta.app_label == "channels_delay" else None

    db_for_write = db_for_read


@contextmanager
def configured(options: dict[str, Any], alias: str = ALIAS) -> Iterator[None]:
    """A context in which ``alias`` is the database that ``options`` describe."""
    defaults = connections.settings["default"]
    connections.settings[alias] = {**defaults, "CONN_MAX_AGE": None, **options}
    try:
        yield
    finally:
        connections[alias].close()
        del connections[alias], connections.settings[alias]
