"""Tests of what the management commands share: spellings of options, and the layer."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.test import override_settings

from channels.asgi import channel_layers
from channels.layers.inmemory import ChannelLayer
from channels.management.options import add_layer_option, add_option, shared_layer


class SharedLayer(ChannelLayer):
    """Stands for a layer that other processes reach."""

    is_local = False


@pytest.fixture
def layers() -> Iterator[dict[str, Any]]:
    """The setting CHANNEL_LAYERS, with the layers that were made of it forgotten at the end."""
    configs = {
        "default": {"BACKEND": "channels.layers.inmemory.ChannelLayer", "ROUTING": []},
        "shared": {"BACKEND": f"{__name__}.SharedLayer", "ROUTING": []},
    }
    with override_settings(CHANNEL_LAYERS=configs):
        yield configs
    channel_layers.set("shared", None)


@pytest.mark.parametrize("spelling", ["--some-option", "--some_option"])
def test_an_option_is_understood_in_both_spellings(spelling):
    parser = CommandParser()
    add_option(parser, "--some-option", action="append")

    parsed = parser.parse_args([spelling, "a", spelling + "=b"])

    assert parsed.some_option == ["a", "b"]


def test_an_option_without_a_hyphen_has_one_spelling():
    parser = CommandParser()
    add_option(parser, "--threads", type=int)

    assert parser.parse_args(["--threads", "2"]).threads == 2


def test_the_layer_is_the_default_one_unless_another_is_named():
    parser = CommandParser()
    add_layer_option(parser)

    assert parser.parse_args([]).layer == "default"
    assert parser.parse_args(["--layer", "shared"]).layer == "shared"


def test_a_shared_layer_is_given_by_its_alias(layers):
    assert isinstance(shared_layer("shared").channel_layer, SharedLayer)


def test_a_layer_of_one_process_is_refused(layers):
    with pytest.raises(CommandError) as raised:
        shared_layer("default")

    assert "You cannot span multiple processes with the in-memory layer" in str(raised.value)
    assert "CHANNEL_LAYERS['default']" in str(raised.value)


def test_an_unknown_alias_is_refused_and_the_known_ones_named(layers):
    with pytest.raises(CommandError, match="no channel layer 'chat'.*'default', 'shared'.*--layer"):
        shared_layer("chat")


@override_settings()
def test_a_project_without_layers_is_told_which_setting_is_missing():
    del settings.CHANNEL_LAYERS

    with pytest.raises(CommandError, match="'default'.*CHANNEL_LAYERS has none"):
        shared_layer("default")


def test_a_backend_that_cannot_be_imported_is_no_traceback(layers):
    layers["shared"]["BACKEND"] = "nowhere.Layer"

    with pytest.raises(CommandError, match="'nowhere.Layer'"):
        shared_layer("shared")
