"""The hooks of the conformance kit for layers over the servers that the tests share."""

from collections.abc import Callable
from typing import Any

from channels.layers.redis import RedisChannelLayer
from tests.layers.redis.lent import fresh_prefix, lent_servers
from tests.reactor import in_reactor

__all__ = ["RedisHooks"]


class RedisHooks:
    """Stands before the kit among the bases of a test's class."""

    layer_type: type[RedisChannelLayer] = RedisChannelLayer

    def place(self) -> dict[str, Any]:
        """The arguments that say where the servers are."""
        return {"hosts": lent_servers(1)}

    def make_layer(self, **arguments: Any) -> RedisChannelLayer:
        arguments = {**arguments, **fresh_prefix(), **self.place()}
        layer: Any = self.layer_type(**arguments)
        layer.arguments = arguments
        return layer

    def second_client(self, layer: Any) -> RedisChannelLayer:
        return self.layer_type(**layer.arguments)

    def close_layer(self, layer: Any) -> None:
        layer.close()

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        return in_reactor(function, *args)
