"""The conformance kit, run over Redis with one server and with four."""

from typing import Any

from channels.layers.conformance import ChannelLayerConformance
from tests.layers.redis.hooks import RedisHooks
from tests.layers.redis.lent import lent_servers


class TestOneServer(RedisHooks, ChannelLayerConformance):
    """Every demand of the kit."""

    servers = 1
    new_channel_names = 2_000

    def place(self) -> dict[str, Any]:
        return {"hosts": lent_servers(self.servers)}


class TestFourServers(TestOneServer):
    """The same where the channels lie on four servers."""

    servers = 4
    keeps_order = False
