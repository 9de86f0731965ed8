"""A Django project with one view and sockets, over the layer that the environment names."""

import os

SECRET_KEY = "a benchmark signs nothing that matters"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["channels"]
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "project.urls"
PREFIX = os.environ.get("BENCH_PREFIX", "bench")
LAYERS = {
    "": {"BACKEND": "channels.layers.inmemory.ChannelLayer", "CONFIG": {}},
    "ipc": {
        "BACKEND": "channels.layers.ipc.IPCChannelLayer",
        "CONFIG": {"prefix": PREFIX},
    },
    "redis": {
        "BACKEND": "channels.layers.redis.RedisChannelLayer",
        "CONFIG": {"prefix": f"{PREFIX}:", "hosts": [os.environ.get("BENCH_REDIS", "")]},
    },
}
CHANNEL_LAYERS = {
    "default": {
        **LAYERS[os.environ.get("BENCH_LAYER", "")],
        "ROUTING": "project.routing.channel_routing",
    }
}
CHANNEL_LAYERS["default"]["CONFIG"].update(  # type: ignore[attr-defined]
    capacity=1000, channel_capacity={"noop": 1_000_000}
)
