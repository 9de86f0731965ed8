"""Consumer atomicity: what a consumer sends leaves when it has ended.

Between ``consumer_started`` and ``consumer_finished`` a thread's sends are kept here; afterwards
they go out in the order in which they were made, also when the consumer raised. Code outside a
consumer never comes by. (Channels documentation, 1.0 Release Notes, Consumer Atomicity.)
"""

import logging
import threading
import time
from typing import Any, Protocol

from channels.signals import consumer_finished, consumer_started

__all__ = ["PendingMessageStore", "Sender", "pending_message_store"]

logger = logging.getLogger("django.channels")


class Sender(Protocol):
    """A ``Channel``, a ``Group``, or what sends like one."""

    @property
    def name(self) -> str:
        """The name of the channel or group."""

    @property
    def channel_layer(self) -> Any:
        """The layer that it sends to."""

    def send(self, content: dict[str, Any], immediately: bool = False) -> None:
        """Send ``content``."""


class PendingMessageStore:
    """The sends of the consumers that now run, a list for each on every thread.

    A consumer that is run inside another one (by a test client, say) has a list of its own, which
    leaves as the inner one ends.
    """

    #: Seconds for which a full channel is waited for, in each flush.
    retry_time: float = 2

    #: Seconds between tries on a layer that cannot be waited on (one that has no
    #: ``wait_for_room``).
    retry_interval: float = 0.2

    def __init__(self) -> None:
        self._local = threading.local()

    @property
    def active(self) -> bool:
        """Whether this thread runs a consumer, so that sends have to wait for its end."""
        return bool(getattr(self._local, "stack", None))

    def prepare(self, **kwargs: Any) -> None:
        """Begin to collect on this thread; connected to ``consumer_started``."""
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        self._local.stack.append([])

    def append(self, sender: Sender, message: dict[str, Any]) -> None:
        """Keep ``message`` as it is now for ``sender``.

        Raises ``RuntimeError`` where no consumer runs.
        """
        if not self.active:
            raise RuntimeError("no consumer runs on this thread; send the message immediately")
        self._local.stack[-1].append((sender, _snapshot(message, {})))

    def send_and_flush(self, **kwargs: Any) -> None:
        """Send what the innermost consumer has left; connected to ``consumer_finished``.

        Every message is tried. Afterwards the first failure is raised, and any further one has been
        logged: ``RuntimeError`` for a channel that stayed full, or what the layer raised.
        """
        if not self.active:
            return
        deadlines: dict[tuple[int, str], float] = {}
        errors: list[Exception] = []
        for sender, message in self._local.stack.pop():
            try:
                self._send(sender, message, deadlines)
            except Exception as error:  # raised below, when the others have left
                error.add_note(f"A consumer had sent this message to {sender!r}.")
                errors.append(error)
        for other in errors[1:]:
            logger.error("Cannot send a message of a finished consumer: %s", other, exc_info=other)
        if errors:
            raise errors[0]

    def _send(
        self, sender: Sender, message: dict[str, Any], deadlines: dict[tuple[int, str], float]
    ) -> None:
        """Send one message, waiting for room until the deadline of a channel that is full."""
        layer = sender.channel_layer
        while True:
            try:
                return sender.send(message, immediately=True)
            except layer.ChannelFull as full:
                given_up = time.monotonic() + self.retry_time
                deadline = deadlines.setdefault((id(layer), sender.name), given_up)
                if not self._wait_for_room(layer, sender.name, deadline - time.monotonic()):
                    raise RuntimeError(
                        f"the channel {sender.name!r} stayed full for {self.retry_time} s and a "
                        "consumer's message to it was dropped; run more workers for it or raise "
                        "its capacity"
                    ) from full

    def _wait_for_room(self, layer: Any, channel: str, timeout: float) -> bool:
        """Whether it is worth to try again within ``timeout`` seconds."""
        if timeout <= 0:
            return False
        if hasattr(layer, "wait_for_room"):
            return bool(layer.wait_for_room(channel, timeout))
        time.sleep(min(self.retry_interval, timeout))  # nothing of such a layer would wake us
        return True


def _snapshot(value: Any, made: dict[int, Any]) -> Any:
    """``value`` in containers of its own, since the consumer may go on to change its message.

    ``made`` holds them by the identity of their originals: one that stands in several places, or in
    itself, is copied once.
    """
    if not isinstance(value, (dict, list, tuple)):
        return value
    if id(value) not in made:
        if isinstance(value, dict):
            copied = made[id(value)] = {}
            copied.update((key, _snapshot(item, made)) for key, item in value.items())
        else:
            items = made[id(value)] = []
            items.extend(_snapshot(item, made) for item in value)
    return made[id(value)]


pending_message_store = PendingMessageStore()

consumer_started.connect(
    pending_message_store.prepare, dispatch_uid="channels.pending_message_store"
)
consumer_finished.connect(
    pending_message_store.send_and_flush, dispatch_uid="channels.pending_message_store"
)
