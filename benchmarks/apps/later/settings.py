"""A Django project with a delay server, over the database that the environment describes."""

import json
import os

SECRET_KEY = "a benchmark signs nothing that matters"
USE_TZ = True
INSTALLED_APPS = ["channels", "channels.delay"]
DATABASES = {"default": json.loads(os.environ["BENCH_DATABASE"])}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels.layers.redis.RedisChannelLayer",
        "CONFIG": {"hosts": [os.environ.get("BENCH_REDIS", "")], "capacity": 1_000_000},
        "ROUTING": {"record": "project.ours.consume"},
    }
}
