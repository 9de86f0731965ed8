"""The samples of the chapter Reference."""

import inspect
import re

import pytest

import channels
import channels.handler
from channels import DEFAULT_CHANNEL_LAYER, channel_layers
from channels.asgi import ChannelLayerWrapper
from channels.layers.inmemory import ChannelLayer
from channels.message import Message
from channels.test import apply_routes
from tests.http_messages import REPLY_CHANNEL, request_message
from tests.views import hello


def test_channel(sample, layer):
    named, given = both_calls(sample)
    named.send({"n": 1})
    given.send({"n": 2})

    assert named.name == given.name == "some.name"
    assert named.channel_layer is channel_layers["default"]
    assert named.channel_layer.receive(["some.name"]) == ("some.name", {"n": 1})
    assert given.channel_layer.receive(["some.name"]) == ("some.name", {"n": 2})


def test_group(sample, layer):
    for group in both_calls(sample):
        group.add("some-channel")
        group.add(channels.Channel("another"))
        group.discard(channels.Channel("another"))
        group.discard("never.there")
        group.send({"n": 1})

        assert group.name == "some.name"
        assert group.channel_layer.receive(["some-channel"]) == ("some-channel", {"n": 1})
        assert group.channel_layer.receive(["another"]) == (None, None)


@pytest.mark.usefixtures("layer")
def test_channel_layer(sample):
    namespace = {}
    exec(sample, namespace)
    layer = namespace["layer"]

    assert isinstance(layer, ChannelLayerWrapper)
    assert layer.alias == "default"
    with apply_routes({"some-channel": print}):
        assert layer.router.channels == {"some-channel"}
        assert layer.router.match(Message({}, "some-channel", layer)) == (print, {})
        assert layer.router.match(Message({}, "unrouted", layer)) is None


def test_asgi_request(sample):
    message = request_message("/some/path/")
    request = eval(sample, {"channels": channels, "message": message})

    assert request.path == "/some/path/"
    assert request.reply_channel.name == REPLY_CHANNEL
    assert request.message is message
    assert hello(request).status_code == 200


def both_calls(sample):
    """The object that the printed constructor makes with its defaults, and with a layer."""
    signature = re.sub(r"=[^,)]+", "", sample.strip())
    names = {"channels": channels, "name": "some.name", "alias": DEFAULT_CHANNEL_LAYER}
    other = ChannelLayerWrapper(ChannelLayer(), "other", [])
    constructor = eval(signature.partition("(")[0], names)
    assert [*inspect.signature(constructor).parameters] == ["name", "alias", "channel_layer"]
    assert inspect.signature(constructor).parameters["alias"].default == DEFAULT_CHANNEL_LAYER
    assert inspect.signature(constructor).parameters["channel_layer"].default is None
    return [eval(signature, {**names, "channel_layer": layer}) for layer in (None, other)]
