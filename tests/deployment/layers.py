"""The shared layers that deployments are tested over."""

from dataclasses import dataclass
from typing import Any

import pytest

from channels import _speedups

__all__ = ["LAYERS", "SharedLayer"]


@dataclass(frozen=True)
class SharedLayer:
    """A backend, its arguments, and the programs that it needs.

    In the arguments ``{prefix}`` becomes a name that no other deployment has, ``{redis}`` and
    ``{rabbitmq}`` the addresses of servers.
    """

    backend: str
    arguments: dict[str, Any]
    programs: tuple[str, ...] = ()
    shared_memory: bool = False
    #: Whether the pure run has it. One is enough, which reaches all that has a fallback.
    pure: bool = False

    def settings(self, **values: str) -> dict[str, Any]:
        """BACKEND and CONFIG for CHANNEL_LAYERS."""
        return {"BACKEND": self.backend, "CONFIG": _filled(self.arguments, values)}

    @property
    def marks(self) -> list[Any]:
        """What pytest is to know of tests over this layer."""
        marks: list[Any] = [pytest.mark.needs(*self.programs)]
        if not self.pure:
            marks.append(pytest.mark.compiled_only)
        if self.shared_memory:
            marks.append(
                pytest.mark.skipif(not _speedups.COMPILED, reason="shared memory is compiled only")
            )
        return marks


def _filled(arguments: Any, values: dict[str, str]) -> Any:
    if isinstance(arguments, dict):
        return {name: _filled(argument, values) for name, argument in arguments.items()}
    if isinstance(arguments, list):
        return [_filled(argument, values) for argument in arguments]
    return arguments.format(**values) if isinstance(arguments, str) else arguments


_REDIS = {"hosts": ["{redis}"], "prefix": "{prefix}:", "capacity": 1000}
_RABBITMQ = {"url": "{rabbitmq}", "prefix": "{prefix}", "capacity": 1000}

#: By the names that tests have in their output.
LAYERS = {
    "ipc": SharedLayer(
        "channels.layers.ipc.IPCChannelLayer",
        {"prefix": "{prefix}", "capacity": 1000},
        shared_memory=True,
    ),
    "redis": SharedLayer(
        "channels.layers.redis.RedisChannelLayer", _REDIS, ("redis-server",), pure=True
    ),
    "redis-local": SharedLayer(
        *("channels.layers.redis.RedisLocalChannelLayer", _REDIS, ("redis-server",)),
        shared_memory=True,
    ),
    "rabbitmq": SharedLayer(
        "channels.layers.rabbitmq.RabbitmqChannelLayer", _RABBITMQ, ("rabbitmq-server",)
    ),
    "rabbitmq-local": SharedLayer(
        *("channels.layers.rabbitmq.RabbitmqLocalChannelLayer", _RABBITMQ, ("rabbitmq-server",)),
        shared_memory=True,
    ),
}
