"""Worker threads beside an interface server in the same process.

``runserver`` starts them, and ``daphne --workers``, which knows them by name only (``beside``).
"""

import threading
import time
from typing import Any

from django.db import connections

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.exceptions import InvalidChannelLayerError
from channels.management.consumers import http_consumer, serves_static
from channels.signals import worker_process_ready
from channels.worker import Worker, WorkerGroup

__all__ = ["WorkerThread", "beside"]


class WorkerThread(threading.Thread):
    """The thread that looks after ``n_threads`` workers beside a server in the same process."""

    def __init__(self, channel_layer: ChannelLayerWrapper, n_threads: int = 1) -> None:
        super().__init__(name="workers", daemon=True)
        self.workers = WorkerGroup(channel_layer, signal_handlers=False, n_threads=n_threads)

    def run(self) -> None:
        """Run the workers until ``stop``."""
        self.workers.run()

    def finish(self, timeout: float) -> bool:
        """As ``stop``; then let consumers hear of sockets that have ended, if nobody else can.

        That is so where the layer ends with this process.
        """
        end = time.monotonic() + timeout
        if not self.stop(timeout):
            return False
        if not self.workers.channel_layer.local_only():
            return True
        farewell = _Farewell(self.workers.channel_layer)
        thread = threading.Thread(target=farewell.run, name="worker", daemon=True)
        thread.start()
        thread.join(max(0.0, end - time.monotonic()))
        return not thread.is_alive()

    def stop(self, timeout: float) -> bool:
        """Have the workers stop, and wait at most ``timeout`` seconds for running consumers.

        Whether all have finished.
        """
        self.workers.stop()
        self.join(timeout)
        return not self.is_alive()


class _Farewell(Worker):
    """Runs the consumers of ``websocket.disconnect`` messages that are there, and ends."""

    def __init__(self, channel_layer: ChannelLayerWrapper) -> None:
        super().__init__(
            channel_layer, signal_handlers=False, only_channels=["websocket.disconnect"]
        )

    def run(self) -> None:
        """Run them."""
        try:
            super().run()
        finally:
            connections.close_all()

    def _receive_one(
        self, channels: list[str], timeout: float | None, **options: Any
    ) -> tuple[str | None, Any]:
        self._send_held()
        received: tuple[str | None, Any] = self.channel_layer.receive(channels)
        if received[0] is None:
            self.request_stop()
        return received


def beside(channel_layer: Any, n_threads: int) -> WorkerThread:
    """Workers for a layer of the setting CHANNEL_LAYERS, as ``runworker`` has; not started yet.

    Raises ``InvalidChannelLayerError`` for another layer, and what is wrong with the routing.
    """
    layer = _wrapper_of(channel_layer)
    layer.router.check_default(http_consumer=http_consumer(serves_static()))
    thread = WorkerThread(layer, n_threads)
    thread.workers.channels()
    worker_process_ready.send(sender=thread.workers)
    return thread


def _wrapper_of(channel_layer: Any) -> ChannelLayerWrapper:
    for wrapper in channel_layers.backends.values():
        if channel_layer in (wrapper, wrapper.channel_layer):
            return wrapper
    raise InvalidChannelLayerError(
        f"workers cannot run beside the server on {channel_layer}, which is no layer of the "
        "setting CHANNEL_LAYERS and has no routing; name one that get_channel_layer() gives"
    )
