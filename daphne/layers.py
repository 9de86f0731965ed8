"""A channel layer as the reactor sees it: every operation gives a Deferred, none blocks.

``adapt`` chooses how: by the layer's own methods for Twisted where it has them, else by threads
that block in its place. What is done with the messages is in ``daphne.dispatch``.
"""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from channels.layers.entries import Delivery
from channels.names import split_name

__all__ = ["NativeLayer", "ReactorLayer", "ThreadedLayer", "TwistedLayer", "adapt"]

logger = logging.getLogger("daphne.server")

#: Messages that one turn of the receiving thread hands over, at most.
_BATCH = 100

#: Seconds between two looks at a layer that cannot wait, shortest and longest.
_LOOK_SHORTEST, _LOOK_LONGEST = 0.005, 0.05

#: Seconds after which a full channel of a layer that cannot tell is tried again.
_ROOM_RETRY = 0.05


class ReactorLayer(Protocol):
    """What ``daphne.dispatch`` asks of a layer; all methods are called in the reactor's thread."""

    def receive(self, channel: str) -> "Deferred[list[Delivery]]":
        """Wait for messages of a process channel; may give [] when woken for another reason."""

    def send(self, channel: str, message: dict[str, Any]) -> "Deferred[None]":
        """Send; fails with ``ChannelFull`` and the layer's other exceptions."""

    def new_channel(self, pattern: str) -> "Deferred[str]":
        """Make a name that follows ``pattern``."""

    def room(self, channel: str) -> "Deferred[None]":
        """Wait until a send to ``channel`` may succeed."""

    def generation(self, channel: str) -> str:
        """A value that changes when the layer was emptied or ``channel`` was evicted."""

    def has_listener(self, channel: str) -> bool:
        """Whether somebody may read ``channel``."""

    def stop(self) -> None:
        """Let threads end."""


def adapt(layer: Any, reactor: Any, force_sync: bool = False) -> "ReactorLayer":
    """The view of ``layer`` that costs least; ``force_sync`` asks for threads in any case."""
    if not force_sync:
        if hasattr(layer, "receive_deliveries_twisted") and hasattr(layer, "send_twisted"):
            return NativeLayer(layer)
        if hasattr(layer, "receive_twisted"):
            return TwistedLayer(layer, reactor)
    return ThreadedLayer(layer, reactor)


def _no_generation(channel: str) -> str:
    """The generation of layers that do not tell: it never changes."""
    return ""


def _always_listening(channel: str) -> bool:
    """The answer for layers that do not tell who listens."""
    return True


class NativeLayer:
    """A layer with the whole interface for Twisted; calls go straight through."""

    def __init__(self, layer: Any) -> None:
        self._receive = layer.receive_deliveries_twisted
        self.send: Callable[[str, dict[str, Any]], Deferred[None]] = layer.send_twisted
        self.new_channel: Callable[[str], Deferred[str]] = layer.new_channel_twisted
        self.room: Callable[[str], Deferred[None]] = layer.room_twisted
        self.generation: Callable[[str], str] = layer.generation
        self.has_listener: Callable[[str], bool] = layer.has_listener

    def receive(self, channel: str) -> "Deferred[list[Delivery]]":
        deferred: Deferred[list[Delivery]] = self._receive([channel])
        return deferred

    def stop(self) -> None:
        """Nothing of ours runs."""


class _ForeignLayer:
    """What layers without our interface have in common: sends from the reactor's thread pool."""

    def __init__(self, layer: Any, reactor: Any) -> None:
        self._layer = layer
        self._reactor = reactor
        self.generation: Callable[[str], str] = getattr(layer, "generation", _no_generation)
        self.has_listener: Callable[[str], bool] = getattr(layer, "has_listener", _always_listening)

    def _in_thread(self, function: Callable[..., Any], *args: Any) -> "Deferred[Any]":
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, function, *args)

    def send(self, channel: str, message: dict[str, Any]) -> "Deferred[None]":
        return self._in_thread(self._layer.send, channel, message)

    def new_channel(self, pattern: str) -> "Deferred[str]":
        return self._in_thread(self._layer.new_channel, pattern)

    def room(self, channel: str) -> "Deferred[None]":
        """Wait as the layer can; after a short while where it cannot."""
        if hasattr(self._layer, "room_twisted"):
            waiting: Deferred[None] = self._layer.room_twisted(channel)
            return waiting
        call: Any = None
        deferred: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._reactor.callLater(_ROOM_RETRY, deferred.callback, None)
        return deferred

    def stop(self) -> None:
        """Nothing of ours runs but the reactor's own pool."""


class TwistedLayer(_ForeignLayer):
    """A layer with the reference's ``twisted`` extension and nothing more."""

    def receive(self, channel: str) -> "Deferred[list[Delivery]]":
        deferred: Deferred[Any] = self._layer.receive_twisted([channel])
        return deferred.addCallback(_as_deliveries)


class ThreadedLayer(_ForeignLayer):
    """A layer that can only block, or has to (``--force-sync``): one thread receives."""

    def __init__(self, layer: Any, reactor: Any) -> None:
        super().__init__(layer, reactor)
        self._requests: queue.SimpleQueue[tuple[str, Deferred[list[Delivery]]] | None]
        self._requests = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._look = _LOOK_SHORTEST
        #: A daemon, because a layer may not know how to leave a blocking receive.
        self._thread = threading.Thread(target=self._run, name="daphne-receive", daemon=True)

    def receive(self, channel: str) -> "Deferred[list[Delivery]]":
        if self._stopped.is_set():
            return succeed([])
        if not self._thread.is_alive():
            self._thread.start()
        deferred: Deferred[list[Delivery]] = Deferred(lambda _: None)
        self._requests.put((channel, deferred))
        return deferred

    def stop(self) -> None:
        self._stopped.set()
        self._requests.put(None)
        if hasattr(self._layer, "interrupt"):
            self._layer.interrupt()

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            # Read before the flag is looked at, so that no ``stop`` goes unseen in between.
            token = getattr(self._layer, "interruption", None)
            if self._stopped.is_set():
                return
            channel, deferred = request
            try:
                deliveries = self._receive_batch(channel, token)
            except Exception:
                self._reactor.callFromThread(deferred.errback, Failure())
            else:
                self._reactor.callFromThread(deferred.callback, deliveries)

    def _receive_batch(self, channel: str, token: object | None) -> list[Delivery]:
        """Wait for one message, then take along what is there already."""
        options = {} if token is None else {"interruption": token}
        result = self._layer.receive([channel], block=True, **options)
        if result[0] is None:
            self._pause_if_it_cannot_wait()
            return []
        self._look = _LOOK_SHORTEST
        deliveries = _as_deliveries(result)
        while len(deliveries) < _BATCH:
            more = _as_deliveries(self._layer.receive([channel]))
            if not more:
                break
            deliveries += more
        return deliveries

    def _pause_if_it_cannot_wait(self) -> None:
        """Slow down for layers of old, whose ``block=True`` returns at once all the same.

        Layers that do wait return empty-handed so rarely that a pause this short is not felt.
        """
        self._stopped.wait(self._look)
        self._look = min(self._look * 2, _LOOK_LONGEST)


def _as_deliveries(result: tuple[str | None, dict[str, Any] | None]) -> list[Delivery]:
    """One received message as a list of at most one delivery."""
    channel, message = result
    if channel is None or message is None:
        return []
    name, local = split_name(channel)
    return [Delivery(name, (local,), message)]
