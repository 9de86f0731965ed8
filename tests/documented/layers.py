"""Layers of settings that are samples."""

from contextlib import closing
from typing import Any

from django.test import override_settings

from channels.asgi import ChannelLayerManager

__all__ = ["assert_it_carries", "two_layers"]


def two_layers(settings: str) -> list[Any]:
    """Two objects of the default layer of such settings, as two processes have them."""
    namespace: dict[str, Any] = {}
    exec(settings, namespace)
    with override_settings(CHANNEL_LAYERS=namespace["CHANNEL_LAYERS"]):
        return [ChannelLayerManager()["default"] for _ in range(2)]


def assert_it_carries(settings: str) -> None:
    """Messages and groups go from one process to another."""
    sender, receiver = two_layers(settings)
    with closing(sender), closing(receiver):
        channel = sender.new_channel("documented?")
        sender.send(channel, {"n": 1})
        assert receiver.receive([channel], block=True, timeout=20) == (channel, {"n": 1})
        receiver.group_add("a-group", channel)
        sender.send_group("a-group", {"n": 2})
        assert receiver.receive([channel], block=True, timeout=20) == (channel, {"n": 2})
        receiver.group_discard("a-group", channel)
