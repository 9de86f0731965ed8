"""Tables for the bound models, empty at each test, and groups to listen to."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.test.utils import override_settings

from channels.asgi import channel_layers
from tests.binding import bindings
from tests.databases import made_databases

assert bindings  # which are registered as they are imported

Told = list[tuple[str, Any, dict[str, Any]]]


@pytest.fixture(scope="package")
def tables() -> Iterator[None]:
    with made_databases():
        yield


@pytest.fixture(autouse=True)
def empty(tables: None) -> Iterator[None]:
    channel_layers["default"].flush()
    yield
    call_command("flush", interactive=False, verbosity=0)


class Listener:
    """A member of groups."""

    def __init__(self) -> None:
        self.layer = channel_layers["default"]

    def joins(self, *groups: str) -> "Listener":
        for group in groups:
            self.layer.group_add(group, f"{group}?")
        self.groups = groups
        return self

    def hears(self) -> Told:
        """Group, action and payload of each message since the last call."""
        found = []
        for group in self.groups:
            while (received := self.layer.receive([f"{group}?"]))[1] is not None:
                payload = json.loads(received[1]["text"])["payload"]
                found.append((group, payload["action"], payload))
        return found

    def actions(self) -> list[tuple[str, str]]:
        """Group and action of each message since the last call."""
        return [(group, action) for group, action, _ in self.hears()]


@pytest.fixture
def listening() -> Callable[..., Listener]:
    return lambda *groups: Listener().joins(*groups)


@pytest.fixture
def settings_of() -> Any:
    """``override_settings``, as a context manager."""
    return override_settings
