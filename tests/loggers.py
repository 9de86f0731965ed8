"""Loggers as they were, after tests of what sets them up."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def put_back(*names: str) -> Iterator[None]:
    """Put level, propagation and handlers of the named loggers back at the end."""
    found = [logging.getLogger(name) for name in names]
    before = [(each.level, each.propagate, list(each.handlers)) for each in found]
    try:
        yield
    finally:
        for each, (level, propagate, handlers) in zip(found, before, strict=True):
            each.level, each.propagate, each.handlers = level, propagate, handlers
