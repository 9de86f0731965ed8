"""A real Daphne over Redis, for whose sockets this process works."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.layers.redis import RedisChannelLayer
from channels.worker import Worker
from tests.management.project import Process, Project
from tests.servers.redis import RedisServer
from tests.worker.workers import running

__all__ = ["Site", "listening_port"]

SETTINGS = """
CHANNEL_LAYERS["default"] = {{
    "BACKEND": "channels.layers.redis.RedisChannelLayer",
    "CONFIG": {{"hosts": [{address!r}]}},
    "ROUTING": "routing.channel_routing",
}}
"""

ASGI = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from channels.asgi import get_channel_layer
channel_layer = get_channel_layer()
"""


class Site:
    """A ``daphne`` in a process of its own; its worker is a thread of this process."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self._layer = RedisChannelLayer(hosts=[server.address])
        self._project = Project(folder, SETTINGS.format(address=server.address))
        self._project.write("asgi.py", ASGI)
        self.daphne = self._project.run("-m", "daphne", "-p", "0", "asgi:channel_layer")
        self.port = listening_port(self.daphne)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/"

    @contextmanager
    def routed(self, routing: Any) -> Iterator[None]:
        """Work by ``routing``, on the layer ``default`` of this process, for a while."""
        wrapper = ChannelLayerWrapper(self._layer, "default", routing)
        wrapper.router.check_default()
        earlier = channel_layers.set("default", wrapper)
        try:
            with running(Worker(wrapper, signal_handlers=False)):
                yield
        finally:
            channel_layers.set("default", earlier)

    def end(self) -> None:
        """End Daphne."""
        self._project.end()
        self._layer.close()


def listening_port(daphne: Process) -> int:
    """Where a ``daphne`` process listens."""
    return int(daphne.wait_for(r"Listening on \S*?127\.0\.0\.1:(\d+)")[1])
