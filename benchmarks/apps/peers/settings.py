"""The same project for Channels 4, over the layer that the environment names."""

import os

SECRET_KEY = "a benchmark signs nothing that matters"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["channels"]
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "project.urls"
# Without the time-out of redis-py 8, of which a blocking receive of channels_redis dies.
HOSTS = [{"address": os.environ.get("BENCH_REDIS", ""), "socket_timeout": None}]
LAYERS = {
    "": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
    "redis:pubsub": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": HOSTS},
    },
    # All sockets of a server share a queue there, which has to hold a message for each.
    "redis:core": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": HOSTS, "capacity": 20_000},
    },
}
CHANNEL_LAYERS = {"default": LAYERS[os.environ.get("BENCH_LAYER", "")]}
