"""The conformance kit, run over Redis with one server and with four."""

from collections.abc import Callable
from typing import Any

from channels.layers.conformance import ChannelLayerConformance
from channels.layers.redis import RedisChannelLayer
from tests.layers.redis.lent import fresh_prefix, lent_servers
from tests.reactor import in_reactor


class TestOneServer(ChannelLayerConformance):
    """Every demand of the kit."""

    servers = 1
    new_channel_names = 2_000

    def make_layer(self, **arguments: Any) -> RedisChannelLayer:
        arguments = {**arguments, **fresh_prefix(), "hosts": lent_servers(self.servers)}
        layer = RedisChannelLayer(**arguments)
        layer.arguments = arguments
        return layer

    def second_client(self, layer: RedisChannelLayer) -> RedisChannelLayer:
        return RedisChannelLayer(**layer.arguments)

    def close_layer(self, layer: RedisChannelLayer) -> None:
        layer.close()

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        return in_reactor(function, *args)


class TestFourServers(TestOneServer):
    """The same where the channels lie on four servers."""

    servers = 4
    keeps_order = False
