"""Fixtures of the test tools' tests."""

from collections.abc import Iterator

import pytest

from channels.asgi import channel_layers
from channels.test.layers import CaptiveLayer
from tests.databases import made_databases


@pytest.fixture(scope="module", autouse=True)
def databases() -> Iterator[None]:
    """The test database, as a test runner makes it."""
    with made_databases():
        yield


@pytest.fixture(scope="module", autouse=True)
def layers() -> Iterator[None]:
    """Sees that no captive layer is left in the place of a configured one."""
    yield
    layers = [wrapper.channel_layer for wrapper in channel_layers.backends.values()]
    assert [layer for layer in layers if isinstance(layer, CaptiveLayer)] == []
