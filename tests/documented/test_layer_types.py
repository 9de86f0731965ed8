"""The samples of the chapter Channel Layer Types."""

import pytest

from tests.documented.layers import assert_it_carries
from tests.layers.rabbitmq.brokers import broker
from tests.servers.redis import RedisServer


@pytest.mark.needs("redis-server")
def test_redis_shards(sample, redis_server):
    with RedisServer() as other:
        code = routed(sample)
        for name, server in (("redis-channel-1", redis_server), ("redis-channel-2", other)):
            code = code.replace(f'("{name}", 6379)', repr(server.address))
        assert_it_carries(code)


@pytest.mark.compiled_only
@pytest.mark.needs("rabbitmq-server")
def test_rabbitmq(sample):
    assert_it_carries(routed(sample).replace("amqp://guest:guest@rabbitmq:5672/%2F", broker().url))


def routed(sample):
    """The sample with a routing in the place of its question marks."""
    return sample.replace('"???"', "[]")
