"""Shared memory for normal channels, before any layer that other machines reach too."""

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, cast

from channels.layers.base import BaseChannelLayer
from channels.layers.composite import CompositeChannelLayer
from channels.layers.ipc.layer import IPCChannelLayer

__all__ = ["LocalChannelLayer", "takes_arguments_of"]

P = ParamSpec("P")


class LocalChannelLayer(CompositeChannelLayer):
    """A layer that keeps requests on the machine that received them.

    Normal channels go through shared memory, so that each machine needs workers for all channels
    that are sent to on it; replies, single-reader channels and groups go through ``remote``, and
    reach every machine. See ``CompositeChannelLayer``.

    The shared memory has the capacities, times and limits of ``remote``, and ``prefix`` without
    colons: the processes of one machine that have it in common are one layer. It is not encrypted.
    """

    def __init__(self, remote: BaseChannelLayer, prefix: str) -> None:
        self.prefix = prefix
        local = IPCChannelLayer(
            prefix.replace(":", ""),
            remote.expiry,
            remote.group_expiry,
            remote.capacity,
            dict(remote.channel_capacity),
            message_limit=remote.message_limit,
            drop_rate=remote.drop_rate,
        )
        super().__init__(local, remote)

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.local}, {self.remote})"


def takes_arguments_of(
    model: Callable[Concatenate[Any, P], None],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Decorates an ``__init__`` that hands all its arguments on to ``model``, another one.

    Type checkers and ``inspect.signature`` then know them.
    """

    def decorated(init: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        named = functools.wraps(model, assigned=(), updated=())(init)
        return cast(Callable[Concatenate[Any, P], None], named)

    return decorated
