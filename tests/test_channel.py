"""``Channel`` and ``Group`` send to the layer that is meant, at once outside of consumers."""

import pytest
from django.test import override_settings

from channels import Channel, Group, channel_layers
from channels.asgi import ChannelLayerWrapper
from channels.exceptions import InvalidChannelLayerError, UnsupportedExtension
from channels.layers.inmemory import ChannelLayer


@pytest.fixture
def layer() -> ChannelLayer:
    return ChannelLayer()


class LayerWithoutGroups:
    """The least that the specification demands of a layer."""

    extensions: list[str] = []

    def __str__(self) -> str:
        return "plain layer"


def test_a_channel_sends_at_once_outside_of_consumers(layer: ChannelLayer) -> None:
    Channel("task", channel_layer=layer).send({"id": 1})
    assert layer.receive(["task"]) == ("task", {"id": 1})


def test_a_layer_that_is_given_is_used_although_it_counts_as_empty() -> None:
    class Empty(ChannelLayer):
        def __len__(self) -> int:
            return 0

    layer = Empty()
    assert Channel("task", channel_layer=layer).channel_layer is layer


def test_a_name_in_bytes_becomes_a_str(layer: ChannelLayer) -> None:
    assert Channel(b"task", channel_layer=layer).name == "task"
    assert Group(b"room", channel_layer=layer).name == "room"


def test_a_channels_text_is_its_name(layer: ChannelLayer) -> None:
    channel = Channel("task", channel_layer=layer)
    assert str(channel) == "task"
    assert repr(channel) == "Channel('task')"


@pytest.mark.parametrize("content", [None, [("a", 1)], "text", b"bytes"])
def test_a_channel_refuses_what_is_no_dict(layer: ChannelLayer, content: object) -> None:
    with pytest.raises(TypeError, match="message to channel 'task' must be a dict"):
        Channel("task", channel_layer=layer).send(content)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [None, [("a", 1)], "text", b"bytes"])
def test_a_group_refuses_what_is_no_dict(layer: ChannelLayer, content: object) -> None:
    with pytest.raises(ValueError, match="message to group 'room' must be a dict"):
        Group("room", channel_layer=layer).send(content)  # type: ignore[arg-type]


def test_a_message_that_cannot_be_serialised_is_refused(layer: ChannelLayer) -> None:
    with pytest.raises(TypeError):
        Channel("task", channel_layer=layer).send({"when": object()})
    assert layer.receive(["task"]) == (None, None)


def test_a_full_channel_raises_outside_of_consumers() -> None:
    layer = ChannelLayer(capacity=1)
    channel = Channel("task", channel_layer=layer)
    channel.send({})
    with pytest.raises(layer.ChannelFull):
        channel.send({})


def test_a_group_sends_to_its_members(layer: ChannelLayer) -> None:
    # Given a group whose members were given as a name and as a channel, one of which has left
    group = Group("room", channel_layer=layer)
    group.add("one")
    group.add(Channel("two", channel_layer=layer))
    group.add("three")
    group.discard(Channel("three", channel_layer=layer))
    # When a message is sent to it
    group.send({"text": "hello"})
    # Then each member gets it
    assert layer.receive(["one"]) == ("one", {"text": "hello"})
    assert layer.receive(["two"]) == ("two", {"text": "hello"})
    assert layer.receive(["three"]) == (None, None)


@pytest.mark.parametrize("method", ["add", "discard"])
def test_membership_on_a_layer_without_groups_names_the_extension(method: str) -> None:
    group = Group("room", channel_layer=LayerWithoutGroups())
    with pytest.raises(UnsupportedExtension, match=r"Group\('room'\).*'groups'.*plain layer"):
        getattr(group, method)("one")


def test_a_group_send_on_a_layer_without_groups_names_the_extension() -> None:
    with pytest.raises(UnsupportedExtension, match=r"Group\('room'\).*'groups'.*plain layer"):
        Group("room", channel_layer=LayerWithoutGroups()).send({})


def test_the_alias_chooses_the_layer(layer: ChannelLayer) -> None:
    old = channel_layers.set("second", ChannelLayerWrapper(layer, "second", []))
    try:
        Channel("task", alias="second").send({"id": 2})
    finally:
        channel_layers.set("second", old)
    assert layer.receive(["task"]) == ("task", {"id": 2})


def test_a_channel_follows_the_layer_that_a_test_puts_in_place(layer: ChannelLayer) -> None:
    # Given a channel that a module made long ago
    channel = Channel("task")
    # When another layer is put in the place of its alias
    old = channel_layers.set("default", ChannelLayerWrapper(layer, "default", []))
    try:
        channel.send({"id": 3})
    finally:
        channel_layers.set("default", old)
    # Then it sends there
    assert layer.receive(["task"]) == ("task", {"id": 3})


def test_without_the_setting_a_send_says_what_is_missing() -> None:
    old = channel_layers.set("default", None)
    try:
        with override_settings(CHANNEL_LAYERS={}):
            channel = Channel("task")
            with pytest.raises(InvalidChannelLayerError, match="CHANNEL_LAYERS is missing"):
                channel.send({})
    finally:
        channel_layers.set("default", old)
