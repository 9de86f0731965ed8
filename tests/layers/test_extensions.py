"""A layer's extensions can be asked for by either spelling, and one that is missing is named."""

import pytest

from channels.exceptions import UnsupportedExtension
from channels.layers.extensions import EXTENSIONS, has_extension, layer_name, require_extension
from channels.layers.inmemory import ChannelLayer


class Layer:
    """A layer of somebody else's."""

    def __init__(self, *extensions: str) -> None:
        self.extensions = list(extensions)


class Named(Layer):
    def __str__(self) -> str:
        return "Named(prefix=x)"


@pytest.mark.parametrize("offered", ["asyncio", "async"])
@pytest.mark.parametrize("asked", ["asyncio", "async"])
def test_both_spellings_mean_the_same(offered: str, asked: str) -> None:
    assert has_extension(Layer("groups", offered), asked)


def test_what_is_not_offered_is_missing() -> None:
    assert not has_extension(Layer(), "groups")
    assert not has_extension(Layer("groups"), "flush")


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_the_in_memory_layer_has_every_extension(extension: str) -> None:
    require_extension(ChannelLayer(), extension, "the test")


def test_the_error_names_extension_layer_and_user() -> None:
    with pytest.raises(UnsupportedExtension) as raised:
        require_extension(Named("groups", "flush"), "statistics", "the delay server")
    assert str(raised.value) == (
        "the delay server needs the extension 'statistics', which the channel layer "
        "Named(prefix=x) lacks (it has groups, flush); choose another BACKEND in CHANNEL_LAYERS"
    )


def test_a_layer_without_text_of_its_own_is_named_by_its_class() -> None:
    assert layer_name(Layer()) == f"{__name__}.Layer"
    assert layer_name(Named()) == "Named(prefix=x)"
