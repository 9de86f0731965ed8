"""Fixtures of the interfaces' tests."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channels.layers.inmemory import ChannelLayer
from tests.daphne.clients import Application
from tests.interfaces.calls import Call


@pytest.fixture
def layer() -> ChannelLayer:
    return ChannelLayer(capacity=100)


@pytest.fixture
def start() -> Iterator[Callable[..., Application]]:
    """Starts workers, which end with the test."""
    running: list[Application] = []

    def start(kind: Callable[..., Application], *args: Any, **kwargs: Any) -> Application:
        running.append(kind(*args, **kwargs))
        return running[-1]

    yield start
    for application in running:
        application.stop()


@pytest.fixture(autouse=True)
def calls() -> Iterator[None]:
    """Closes what a test has not read to its end, as a server does."""
    yield
    while Call.made:
        Call.made.pop().result.close()
