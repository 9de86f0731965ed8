"""Workers on a layer of their own, run in a thread for the time of a test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from channels.asgi import ChannelLayerWrapper
from channels.layers.inmemory import ChannelLayer
from channels.worker import Worker


def make_layer(routing: Any, layer: Any = None) -> ChannelLayerWrapper:
    """A wrapper around ``layer``, by default a new one in memory, that routes by ``routing``."""
    return ChannelLayerWrapper(layer or ChannelLayer(capacity=1000), "default", routing)


@contextmanager
def running(worker: Worker) -> Iterator[threading.Thread]:
    """Run ``worker`` in a thread; stop it at the end and see that it does."""
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        worker.stop()
        thread.join(10)
        assert not thread.is_alive()
