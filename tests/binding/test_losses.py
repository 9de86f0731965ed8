"""Data binding over a layer that loses messages."""

import random

import pytest

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.layers.inmemory import ChannelLayer
from tests.binding.models import Post


@pytest.fixture
def lossy():
    """The default layer, which drops one message in a hundred."""
    layer = ChannelLayer(capacity=5000, drop_rate=0.01)
    before = channel_layers.set("default", ChannelLayerWrapper(layer, "default", []))
    yield layer
    channel_layers.set("default", before)


def test_every_message_that_is_not_heard_is_counted_and_the_others_are_right(lossy, listening):
    """A loss costs one message, and leaves the groups of later ones as they are."""
    rooms = ["posts.a", "posts.b"]
    listener = listening(*rooms)
    choices = random.Random(1)
    post = Post(room="a", title="0")
    expected: dict[str, list[tuple[str, str]]] = {room: [] for room in rooms}
    before = None
    for number in range(1, 801):
        post.title, post.room = str(number), choices.choice("ab")
        post.save()
        after = f"posts.{post.room}"
        if before == after:
            expected[after].append(("update", post.title))
        else:
            if before is not None:
                expected[before].append(("delete", ""))
            expected[after].append(("create", post.title))
        before = after
    heard: dict[str, list[tuple[str, str]]] = {room: [] for room in rooms}
    for room, action, payload in listener.hears():
        heard[room].append((action, payload["data"].get("title", "")))
    lost = sum(map(len, expected.values())) - sum(map(len, heard.values()))
    assert lost == lossy.drops > 0
    for room in rooms:
        assert is_within(heard[room], expected[room])


def is_within(part, whole):
    """Whether ``part`` is ``whole`` without some of it, in the same order."""
    remaining = iter(whole)
    return all(one in remaining for one in part)
