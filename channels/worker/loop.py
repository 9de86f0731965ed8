"""What every loop on a channel layer has, whatever it does: its end, its announcements, its layer's
outages.

Workers are such loops, and so is the delay server.
"""

import logging
import threading
import time
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from channels.asgi import ChannelLayerWrapper
from channels.exceptions import InvalidStoredMessage
from channels.names import random_part
from channels.outage import Backoff, FailureLog
from channels.readiness import Readiness

from .stopping import StopSignals

__all__ = ["Loop"]

logger = logging.getLogger("django.channels")


class Loop:
    """A loop that receives until it is told to stop.

    It stops by ``stop``, which any thread may call, or by SIGTERM or SIGINT where
    ``signal_handlers`` is true (in the main thread only).
    """

    def __init__(self, channel_layer: ChannelLayerWrapper, signal_handlers: bool = True) -> None:
        self.channel_layer = channel_layer
        self.signal_handlers = signal_handlers
        #: Whether it was told to stop. Set it through ``stop``, which also wakes a loop that
        #: waits.
        self.termed = False
        #: Whether it handles a message.
        self.in_job = False
        #: Told once it receives, and when it begins to stop. By default nobody hears of that.
        self.readiness = Readiness(environ={})
        #: Whether a receive has succeeded.
        self.receives = False
        self._signals = StopSignals(self.stop)
        self._listener = f"worker.{random_part()}"
        self._stopping = threading.Event()
        self._backoff = Backoff()
        self._outage = FailureLog(logger)
        self._damage = FailureLog(logger)
        self._announced = float("-inf")

    def install_signal_handler(self) -> None:
        """Let SIGTERM and SIGINT stop it. Raises ``RuntimeError`` outside the main thread."""
        self._signals.install()

    def stop(self) -> None:
        """Have the loop end, once what it is doing is done; does not wait for it.

        For any thread, but not for a signal handler: it takes locks.
        """
        self.request_stop()
        self.wake()

    def request_stop(self) -> None:
        """The first half of ``stop``: no receive begins, no wait for a lost layer goes on."""
        self.termed = True
        self._stopping.set()
        self.readiness.stopping()

    def wake(self) -> None:
        """The second half of ``stop``: a receive that waits returns without a message."""
        try:
            self.channel_layer.interrupt()
        except Exception:
            self._outage.failed("Layer %s could not be interrupted:", self.channel_layer)

    def pause(self, delay: float) -> None:
        """Wait ``delay`` seconds, or until it is told to stop."""
        self._stopping.wait(delay)

    def signals_taken_over(self) -> AbstractContextManager[object]:
        """A context in which SIGTERM and SIGINT stop the loop, if it is to install handlers."""
        return self._signals if self.signal_handlers else nullcontext()

    def _next(self, channels: list[str], timeout: float | None) -> tuple[str | None, Any]:
        """The next message, or ``(None, None)``; a layer that fails is waited for.

        Until a receive has succeeded they do not wait, to show that the layer is there.
        """
        try:
            received = self._receive(channels, timeout if self.receives else 0.0)
        except InvalidStoredMessage:
            # The layer works; one entry in it did not, and is gone.
            self._damage.failed("A message in layer %s was dropped:", self.channel_layer)
            return None, None
        except Exception:
            delay = self._backoff.next_delay()
            self._outage.failed(
                "Layer %s failed; trying again, next in %.1f s:", self.channel_layer, delay
            )
            self.pause(delay)
            return None, None
        if self._outage.failing:
            self._backoff.reset()
            self._outage.recovered("Layer %s works again.", self.channel_layer)
            self._announced = float("-inf")
        if not (self.receives or self.termed):
            self.receives = True
            self.readiness.ready(f"Receives from channel layer {self.channel_layer}")
        return received

    def _receive(self, channels: list[str], timeout: float | None) -> tuple[str | None, Any]:
        # Read before the look at termed: an interrupt in between is then felt by the receive.
        interruption = self.channel_layer.interruption
        if self.termed:
            return None, None
        return self._receive_one(channels, timeout, interruption=interruption)

    def _receive_one(
        self, channels: list[str], timeout: float | None, **options: Any
    ) -> tuple[str | None, Any]:
        received: tuple[str | None, Any] = self.channel_layer.receive(
            channels, block=True, timeout=timeout, **options
        )
        return received

    def _refresh_interval(self) -> float | None:
        """Seconds after which to announce again; None where the layer is this process's own."""
        if self.channel_layer.local_only():
            return None
        return float(self.channel_layer.announcement_expiry) / 2

    def _announcement_is_due(self, received: str | None, refresh: float | None) -> bool:
        """Whether the layer should be told now, after a receive, what is listened to."""
        if self.termed or self._outage.failing:
            return False
        if received is None:
            # It timed out, or the layer was flushed and knows no listeners any more.
            return True
        return refresh is not None and time.monotonic() - self._announced > refresh

    def _announce(self, channels: Collection[str]) -> None:
        """Tell the layer what is listened to, so that interface servers send what is read."""
        self._announced = time.monotonic()
        try:
            self.channel_layer.announce_listening(self._listener, channels)
        except Exception:
            # Unknown means listened to, and the receive that follows reports the outage.
            logger.debug("Layer %s took no announcement", self.channel_layer, exc_info=True)
