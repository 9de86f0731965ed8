"""From stored entries to messages: which channels a receive listens to, and what it gives.

Here are the rules that every form of a receive shares; the forms are in ``channels.layers.base``.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from channels import codec, names
from channels.exceptions import InvalidStoredMessage
from channels.layers.blocking import Blocking
from channels.layers.entries import Delivery, Stored
from channels.layers.statistics import DropCounter
from channels.layers.waiting import Listening, Waiter

__all__ = ["Reading"]

#: Lists of channels whose check is remembered, with whose turn it is.
_LISTENINGS = 256


class Reading(Blocking):
    """Takes entries by the primitives, decodes them, and drops those that cannot be decoded."""

    #: What a receive's list of channels becomes; a backend that prepares something of its own for
    #: each list, such as packed commands, puts a subclass here.
    listening_type: type[Listening] = Listening

    def __init__(self) -> None:
        super().__init__()
        self._drops = DropCounter()
        self._listenings: dict[tuple[str, ...], Listening] = {}

    def _listening(self, channels: Collection[str]) -> Listening:
        """The checked form of the argument of a receive; the same for the same names."""
        if type(channels) is not list and (
            isinstance(channels, str | bytes) or not isinstance(channels, Iterable)
        ):
            names.check_channel_names(channels)
        key = tuple(channels)
        try:
            return self._listenings[key]
        except (KeyError, TypeError):  # unknown, or a name that cannot be hashed
            names.check_channel_names(key, receive=True)
        return self._remembered(self._make_listening(key))

    def _make_listening(self, channels: tuple[str, ...]) -> Listening:
        return self.listening_type(channels)

    def _remembered(self, listening: Listening) -> Listening:
        queues = listening.queues
        if len(queues) != 1 or "?" not in queues[0]:  # a name that is used once, and has no turns
            if len(self._listenings) >= _LISTENINGS:
                self._listenings.clear()
            self._listenings[queues] = listening
        return listening

    def _received(
        self, listening: Listening, waiter: Waiter | None = None
    ) -> tuple[str, dict[str, Any]] | None:
        """The next message that can be decoded, for one target."""
        while (stored := self._take_one(listening, waiter)) is not None:
            received = self._opened(stored)
            if received is not None:
                return received
        return None

    def _decode(self, body: bytes, queue: str) -> dict[str, Any]:
        """The message of a body that was taken from ``queue``; raises ``InvalidStoredMessage``."""
        return codec.decode(body)

    def _opened(self, stored: Stored) -> tuple[str, dict[str, Any]] | None:
        """Full name and message of an entry for one target; None where it had to be dropped."""
        queue, targets, body = stored
        try:
            message = self._decode(body, queue)
        except InvalidStoredMessage as error:
            self._drop_damaged(stored, error)
            return None
        return (queue + targets[0] if targets else queue), message

    def _deliveries(
        self, listening: Listening, waiter: Waiter | None, limit: int
    ) -> list[Delivery]:
        """The next entries, up to ``limit``, without those that cannot be decoded."""
        while taken := self._take(listening, limit, waiter):
            deliveries = self._delivered(taken)
            if deliveries:
                return deliveries
        return []

    def _attempt_of_server(
        self, listening: Listening, limit: int
    ) -> Callable[[Waiter | None], list[Delivery] | None]:
        """What the wait of an interface server repeats at each wake-up until it gives a list.

        Deliveries; or none of them, once a process channel that it listens to has another
        generation: then somebody else has emptied the layer, or the channel was evicted.
        """
        process_channels = [name for name in listening.queues if names.is_process_channel(name)]
        before: list[str] | None = None

        def attempt(waiter: Waiter | None) -> list[Delivery] | None:
            nonlocal before
            found = self._deliveries(listening, waiter, limit)
            if found or not listening.queues:
                return found
            if waiter is None:
                return None
            now = [self._generation(name) for name in process_channels]
            before = before or now
            return None if now == before else []

        return attempt

    def _delivered(self, taken: Iterable[Stored]) -> list[Delivery]:
        """What an interface server gets of entries that were taken."""
        deliveries = []
        for stored in taken:
            queue, targets, body = stored
            try:
                deliveries.append(Delivery(queue, targets, self._decode(body, queue)))
            except InvalidStoredMessage as error:
                self._drop_damaged(stored, error)
        return deliveries

    def _drop_damaged(self, stored: Stored, error: InvalidStoredMessage) -> None:
        queue, targets, _ = stored
        self._drops.add(queue, len(targets) or 1, f"its bytes are invalid: {error}")
