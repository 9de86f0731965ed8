"""The example of ``docs/layers.md`` passes the kit for what it claims, and keeps its messages."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from channels.layers.base import BaseChannelLayer
from channels.layers.conformance import ChannelLayerConformance
from tests.reactor import in_reactor

EXAMPLE = Path(__file__).parents[2] / "examples" / "sqlite_layer.py"

_spec = importlib.util.spec_from_file_location("sqlite_layer", EXAMPLE)
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
SQLiteChannelLayer: type[Any] = _module.SQLiteChannelLayer


@pytest.mark.compiled_only  # the fallbacks are tested by layers of the package
class TestSQLiteLayer(ChannelLayerConformance):
    extensions = SQLiteChannelLayer.provides

    def make_layer(self, **arguments: Any) -> BaseChannelLayer:
        layer: BaseChannelLayer = SQLiteChannelLayer(":memory:", **arguments)
        return layer

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        return in_reactor(function, *args)


def test_messages_outlive_the_layer_that_took_them(tmp_path):
    path = tmp_path / "messages.db"
    SQLiteChannelLayer(path).send("tasks", {"n": 1})

    assert SQLiteChannelLayer(path).receive(["tasks"]) == ("tasks", {"n": 1})
