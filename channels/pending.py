"""Consumer atomicity: what a consumer sends leaves when it has ended.

Between ``consumer_started`` and ``consumer_finished`` a thread's sends are kept here; afterwards
they go out in the order in which they were made, also when the consumer raised. Code outside a
consumer never comes by. (Channels documentation, 1.0 Release Notes, Consumer Atomicity.)

A worker has the last one held back for a moment, and hands it to its layer together with its next
receive, which spares a round trip to a server.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from channels.layers.exchange import room_within
from channels.signals import consumer_finished, consumer_started

__all__ = ["Held", "PendingMessageStore", "Sender", "pending_message_store"]

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


class Held(NamedTuple):
    """A message that waits to be sent, for its worker's next receive say."""

    sender: Sender
    message: dict[str, Any]
    #: Seconds for which a full channel is waited for; None: ``PendingMessageStore.retry_time``.
    patience: float | None = None


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

    @property
    def is_idle(self) -> bool:
        """Whether this thread runs a consumer that has left nothing to be sent so far."""
        return self.active and not self._local.stack[-1]

    def prepare(self, **kwargs: Any) -> None:
        """Begin to collect on this thread; connected to ``consumer_started``."""
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        self._local.stack.append([])

    def append(
        self,
        sender: Sender,
        message: dict[str, Any],
        is_plain: bool = False,
        patience: float | None = None,
        may_change: bool = True,
    ) -> None:
        """Keep ``message`` as it is now for ``sender``.

        ``is_plain``: sending it is one ``send`` of the layer to the sender's name, and nothing
        else. ``patience``: seconds for which that may be full, if not ``retry_time``.
        ``may_change``: whether the caller may go on to change the message. Raises
        ``RuntimeError`` where no consumer runs.
        """
        if not self.active:
            raise RuntimeError("no consumer runs on this thread; send the message immediately")
        held = Held(sender, _snapshot(message, {}) if may_change else message, patience)
        self._local.stack[-1].append((held, is_plain))

    def send_and_flush(self, **kwargs: Any) -> None:
        """Send what the innermost consumer has left; connected to ``consumer_finished``.

        Every message is tried. Afterwards the first failure is raised, and any further one has been
        logged: ``RuntimeError`` for a channel that stayed full, or what the layer raised.
        """
        if not self.active:
            return
        messages = self._local.stack.pop()
        if messages and not self._local.stack and self._is_for_worker(messages[-1]):
            self._local.held = messages.pop()[0]
        self._send_all(messages)

    def flush(self) -> None:
        """Send what the innermost consumer has left so far, before it ends.

        For what others that are let loose at its end must not overtake. Raises what
        ``send_and_flush`` raises.
        """
        if self.active:
            messages, self._local.stack[-1] = self._local.stack[-1], []
            self._send_all(messages)

    def _send_all(self, messages: list[tuple[Held, bool]]) -> None:
        deadlines: dict[tuple[int, str], float] = {}
        errors: list[Exception] = []
        for held, _ in messages:
            try:
                self._send(held, deadlines)
            except Exception as error:  # raised below, when the others have left
                errors.append(_noted(error, held.sender))
        for other in errors[1:]:
            logger.error("Cannot send a message of a finished consumer: %s", other, exc_info=other)
        if errors:
            raise errors[0]

    @contextmanager
    def holding(self, layer: Any) -> Iterator[None]:
        """A context in which this thread, a worker of ``layer``, calls ``take_held`` and sends what
        that gives, after each consumer.

        For layers with ``send_and_receive``; with others nothing is held back.
        """
        self._local.worker_layer = layer if hasattr(layer, "send_and_receive") else None
        try:
            yield
        finally:
            self._local.worker_layer = None

    def take_held(self) -> Held | None:
        """The message that was held back on this thread, if one was; no longer held then."""
        held: Held | None = getattr(self._local, "held", None)
        if held is not None:
            self._local.held = None
        return held

    def send_held(self, held: Held, failure: Exception | None = None) -> None:
        """Send a message that was held back, by itself.

        ``failure``: what came of a first try. Only a full channel is tried again. Raises what
        ``send_and_flush`` raises.
        """
        try:
            full = held.sender.channel_layer.ChannelFull
            if failure is not None and not isinstance(failure, full):
                raise failure
            self._send(held, {}, failure)
        except Exception as error:
            _noted(error, held.sender)
            raise

    def _is_for_worker(self, pending: tuple[Held, bool]) -> bool:
        """Whether the worker of this thread may send a message with its next receive."""
        layer = getattr(self._local, "worker_layer", None)
        held, is_plain = pending
        return layer is not None and is_plain and held.sender.channel_layer is layer

    def _send(
        self,
        held: Held,
        deadlines: dict[tuple[int, str], float],
        full: Exception | None = None,
    ) -> None:
        """Send one message, waiting for room until the deadline of a channel that is full.

        ``full``: what a first try has raised already.
        """
        sender, message, patience = held
        patience = self.retry_time if patience is None else patience
        layer = sender.channel_layer
        while True:
            if full is None:
                try:
                    return sender.send(message, immediately=True)
                except layer.ChannelFull as error:
                    full = error
            given_up = time.monotonic() + patience
            deadline = deadlines.setdefault((id(layer), sender.name), given_up)
            left = deadline - time.monotonic()
            if left <= 0 or not room_within(layer, sender.name, left, self.retry_interval):
                raise RuntimeError(
                    f"the channel {sender.name!r} stayed full for {patience} s and a "
                    "consumer's message to it was dropped; run more workers for it or raise "
                    "its capacity"
                ) from full
            full = None


def _noted(error: Exception, sender: Sender) -> Exception:
    """``error`` with a note of what it was about."""
    error.add_note(f"A consumer had sent this message to {sender!r}.")
    return error


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

consumer_started.connect_own(
    pending_message_store.prepare, dispatch_uid="channels.pending_message_store"
)
consumer_finished.connect_own(
    pending_message_store.send_and_flush, dispatch_uid="channels.pending_message_store"
)
