"""Captive layers: what tests send to in place of the configured layers.

A captive layer is in memory, belongs to one test, and shows what waits in it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.layers.inmemory import ChannelLayer
from channels.test.routes import applied_routing

__all__ = ["CaptiveLayer", "captive_layers", "renew_layers"]


class CaptiveLayer(ChannelLayer):
    """An in-memory layer with the default options, so that a channel holds 10 messages."""

    def waiting(self) -> list[tuple[str, dict[str, Any]]]:
        """What waits, by channel and oldest first: full names and messages, which stay there."""
        with self._section:
            self._now()
            stored = [
                (queue.name, targets, body)
                for queue in self._store.values()
                for _, targets, body in queue.entries
            ]
        self._notify_woken()
        return [
            (name + target, self._decode(body, name))
            for name, targets, body in stored
            for target in targets or ("",)
        ]


@contextmanager
def captive_layers(aliases: Iterable[str]) -> Iterator[None]:
    """A context in which each of ``aliases`` is a captive layer.

    The configured layers are not made for it, and come back afterwards. Raises
    ``InvalidChannelLayerError`` for an alias that CHANNEL_LAYERS does not have.
    """
    with ExitStack() as stack:
        for alias in aliases:
            wrapper = _captive(alias)
            stack.callback(channel_layers.set, alias, channel_layers.set(alias, wrapper))
        yield


def renew_layers(aliases: Iterable[str]) -> None:
    """Put fresh captive layers in the place of those of an earlier test."""
    for alias in aliases:
        channel_layers.set(alias, _captive(alias))


def _captive(alias: str) -> ChannelLayerWrapper:
    return ChannelLayerWrapper(CaptiveLayer(), alias, _routing(alias))


def _routing(alias: str) -> Any:
    """What ``apply_routes`` has put in force, else what the settings say now."""
    applied = applied_routing(alias)
    if applied is not None:
        return applied
    config = channel_layers.configs.get(alias)
    if isinstance(config, Mapping) and "ROUTING" in config:
        return config["ROUTING"]
    return channel_layers[alias].routing  # one that was set by hand; else the error is raised here
