"""``docs/upgrading.md``: its settings and tables are true."""

import contextlib
import importlib
import pkgutil
import re
from typing import Any

import pytest
from django.test import override_settings

from channels.asgi import BACKEND_ALIASES, ChannelLayerManager, import_backend
from channels.delay.models import DelayedMessage
from channels.layers.redis import RedisChannelLayer
from tests.distribution.builds import ROOT
from tests.upgrading.pages import after, page, table

pytestmark = pytest.mark.compiled_only  # one of its layers is shared memory

TEXT = page("upgrading")


def is_there(name: str) -> bool:
    """Whether a dotted name can be imported, or is an attribute of what can."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_the_table_of_backends_has_every_alias_and_its_class() -> None:
    told = {old.strip("`"): new.strip("`") for old, new in table(TEXT, "`BACKEND` of 1.x")}

    assert told == BACKEND_ALIASES
    for old, new in told.items():
        assert import_backend("default", old) is pkgutil.resolve_name(new)


def test_settings_of_1x_make_the_layers_that_they_made() -> None:
    names: dict[str, Any] = {}
    exec(after(TEXT)["mysite/settings.py"], names)
    layers = names["CHANNEL_LAYERS"]
    config = layers["default"]["CONFIG"]

    with override_settings(CHANNEL_LAYERS=layers):
        layer = ChannelLayerManager()["default"].channel_layer
        assert isinstance(layer, RedisChannelLayer)
        for name in ("prefix", "expiry", "group_expiry", "capacity"):
            assert getattr(layer, name) == config[name]
        layer.close()
    taken = import_backend("background", layers["background"]["BACKEND"]).__init__.__annotations__
    assert layers["background"]["CONFIG"].keys() <= taken.keys()


def test_names_that_are_gone_are_gone_and_what_is_there_instead_is() -> None:
    rows = table(TEXT, "name")
    for old, new in rows:
        for name in re.findall(r"`((?:channels|daphne)\.[\w.]+)`", old):
            assert not is_there(name), name
        for name in re.findall(r"`((?:channels|daphne)\.[\w.]+)`", new):
            assert is_there(name), name

    assert len(rows) >= 6
    assert not hasattr(importlib.import_module("channels.worker").Worker, "sigterm_handler")


def test_what_the_redis_layer_had_is_there_or_in_the_table_of_what_is_gone() -> None:
    """Attributes of 1.x, which subclasses and scripts have used."""
    had = {
        *("connection", "hosts", "ring_size", "consistent_hash", "blpop_timeout", "client_prefix"),
        *("serialize", "deserialize", "make_fernet", "crypter", "UnsupportedRedis"),
        *("global_statistics_expiry", "channel_statistics_expiry", "match_type_and_length"),
        *("channel_name_regex", "group_name_regex", "global_statistics", "channel_statistics"),
        *("receive_twisted", "receive_many", "get_capacity", "valid_channel_name", "flush"),
    }
    told = {name for old, _ in table(TEXT, "name") for name in re.findall(r"(\w+)`", old)}
    with contextlib.closing(RedisChannelLayer()) as layer:
        assert {name for name in had if not hasattr(layer, name)} == had & told


def test_the_table_of_delayed_messages_is_that_of_the_model() -> None:
    rows = table(TEXT, "`DelayedMessage` of 1.1.8")
    kept = [old for old, new in rows if new.startswith("the same")]
    names = {re.findall(r"`(?:objects\.)?(\w+)", old)[0] for old in kept}

    assert names == {"due_date", "delay", "send", "is_due"}
    fields = {field.name for field in DelayedMessage._meta.get_fields()}
    assert {"due_date", "key", "layer"} <= fields
    assert DelayedMessage._meta.app_label == "channels_delay"
    assert all(hasattr(DelayedMessage, name) for name in ("delay", "send", "content"))
    assert all(hasattr(DelayedMessage.objects, name) for name in ("is_due", "pending", "dead"))


def test_no_paragraph_stands_there_twice() -> None:
    paragraphs = [part for part in re.split(r"\n(?=- )|\n\n", TEXT) if len(part) > 80]

    assert len(paragraphs) == len(set(paragraphs))


def test_the_settings_are_read_by_the_framework() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "channels").rglob("*.py"))
    for setting, _ in table(TEXT, "setting"):
        name = setting.strip("`")
        assert re.search(rf'settings(?:\._wrapped)?[.,] ?"?{name}\b', sources), name
