"""``Message`` wraps a content and says where it came from."""

from typing import Any

import pytest

from channels.channel import Channel
from channels.layers.inmemory import ChannelLayer
from channels.message import Message


@pytest.fixture
def layer() -> ChannelLayer:
    return ChannelLayer()


def test_channels_are_made_on_the_messages_layer(layer: ChannelLayer) -> None:
    message = Message({"reply_channel": "reply!x", "path": "/"}, "websocket.connect", layer)
    assert message.channel_layer is layer
    assert isinstance(message.channel, Channel)
    assert message.channel.name == "websocket.connect"
    assert message.channel.channel_layer is layer
    message.reply_channel.send({"accept": True})
    assert layer.receive(["reply!"]) == ("reply!x", {"accept": True})


@pytest.mark.parametrize("content", [{}, {"reply_channel": None}, {"reply_channel": ""}])
def test_without_a_reply_channel_it_is_none(content: dict[str, Any]) -> None:
    assert Message(content, "task", None).reply_channel is None


def test_channel_and_layer_may_be_missing() -> None:
    message = Message({"a": 1}, None, None)
    assert message.channel is None
    assert message.channel_layer is None
    assert message.copy().channel is None


def test_the_layer_may_be_any_object() -> None:
    marker = object()
    message = Message({"reply_channel": "reply"}, "task", marker)
    assert message.channel_layer is marker
    assert message.reply_channel.channel_layer is marker


def test_it_reads_like_its_content() -> None:
    content = {"path": "/", "order": 0}
    message = Message(content, "task", None)
    assert message.content is content
    assert message["path"] == "/"
    assert "order" in message
    assert "other" not in message
    assert message.get("order") == 0
    assert message.get("other") is None
    assert message.get("other", 5) == 5
    assert list(message.keys()) == ["path", "order"]
    assert list(message.values()) == ["/", 0]
    assert list(message.items()) == [("path", "/"), ("order", 0)]
    with pytest.raises(KeyError):
        message["other"]


def test_an_item_that_is_set_changes_the_content() -> None:
    message = Message({}, "task", None)
    message["path"] = "/"
    assert message.content == {"path": "/"}


def test_a_copy_shares_nothing_but_the_channel(layer: ChannelLayer) -> None:
    message = Message({"headers": [["a", "b"]], "reply_channel": "reply"}, "task", layer)
    copy = message.copy()
    copy["headers"][0][0] = "changed"
    assert message["headers"] == [["a", "b"]]
    assert copy.channel.name == "task"
    assert copy.channel_layer is layer
    assert copy.reply_channel.name == "reply"


def test_attributes_may_be_set() -> None:
    message: Any = Message({}, "task", None)
    message.user = "somebody"
    assert message.user == "somebody"


def test_an_attribute_is_made_when_it_is_looked_at_and_once() -> None:
    made: list[Message] = []
    message: Any = Message({}, "task", None)
    message.make_when_needed("user", lambda it: made.append(it) or "somebody")

    assert made == []
    assert [message.user, message.user] == ["somebody", "somebody"]
    assert made == [message]


def test_what_is_to_be_made_takes_the_place_of_what_was_there() -> None:
    message: Any = Message({}, "task", None)
    message.user = "somebody"
    message.make_when_needed("user", lambda it: "another")
    assert message.user == "another"


def test_an_attribute_that_nobody_set_is_missing() -> None:
    message: Any = Message({}, "task", None)
    assert not hasattr(message, "user")
    with pytest.raises(AttributeError, match="'Message' object has no attribute 'user'"):
        message.user  # noqa: B018


def test_its_text_names_the_channel_but_no_value() -> None:
    message = Message({"text": "a secret", "order": 1}, "websocket.receive", None)
    assert repr(message) == "<Message of 'websocket.receive', keys ['order', 'text']>"
