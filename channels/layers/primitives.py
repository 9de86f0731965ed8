"""The primitives that a backend writes: storage of encoded bytes, without rules about names or
messages.

Every name that reaches a primitive was checked, and split into *queue*, the name up to and
including ``!``, and *targets*, the local parts: one for a send to a process channel, none for any
other channel. The calls for people are in ``channels.layers.base``.
"""

import abc
from collections.abc import Iterable

from channels.exceptions import UnsupportedExtension
from channels.layers.entries import Stored
from channels.layers.waiting import Listening, Waiter

__all__ = ["Primitives"]


class Primitives(abc.ABC):
    """What ``BaseChannelLayer`` asks of its backend. All of them may be called by any thread.

    A backend without groups, flush or statistics leaves those methods out and shortens
    ``provides``.

    The methods that take a *waiter* either succeed or, in the same step, arrange that
    ``waiter.notify()`` is called when trying again is worthwhile, so that nothing can slip between
    looking and waiting. ``notify`` may be called in a signal handler, but not with a lock held that
    the waiter's owner might take. A waiter woken for nothing looks again; one that is no longer
    interested is withdrawn, and then a wake-up that it was given has to go to another waiter that
    it may concern.
    """

    def __init__(self) -> None:
        self._announced: dict[str, frozenset[str]] = {}

    @abc.abstractmethod
    def _push(self, queue: str, targets: tuple[str, ...], body: bytes) -> bool:
        """Append an entry that expires ``expiry`` seconds from now; False where it is full.

        Checking and appending are one step, and a refusal counts as ``channel_full_count``.
        """

    @abc.abstractmethod
    def _take_one(self, listening: Listening, waiter: Waiter | None = None) -> Stored | None:
        """Remove and return the next entry of the queues listened to, as one for a single target.

        An entry with more targets stays at the front of its queue, with the rest of them, for other
        readers of this process. Queues are served ``in_turn``. None where there is nothing.
        """

    @abc.abstractmethod
    def _take(self, listening: Listening, limit: int, waiter: Waiter | None = None) -> list[Stored]:
        """Remove and return up to ``limit`` entries, each with all its targets, served in turn."""

    @abc.abstractmethod
    def _room(self, queue: str, waiter: Waiter | None = None) -> bool:
        """Whether a push to ``queue`` may succeed."""

    @abc.abstractmethod
    def _withdraw(self, waiter: Waiter) -> None:
        """Forget ``waiter``, whose wait is over for whatever reason."""

    @abc.abstractmethod
    def _exists(self, channel: str) -> bool:
        """Whether a message waits for ``channel``, a full name, or it is a member of a group."""

    @abc.abstractmethod
    def _queues(self) -> list[str]:
        """The queues that hold entries."""

    @abc.abstractmethod
    def _generation(self, queue: str | None) -> str:
        """See ``BaseChannelLayer.generation``. A cheap local read."""

    def _clear(self) -> None:
        """Remove all entries and groups, and change the generation.

        Empty for every client on return.
        """
        raise self._lacks("flush")

    def _statistics(self, queue: str | None) -> dict[str, int | float]:
        """The statistics of ``queue``, None for those of all queues together."""
        raise self._lacks("statistics")

    def _count_dropped(self, dropped: Iterable[tuple[str, int]]) -> None:
        """Add what ``_push_group`` returned to ``messages_dropped`` of the statistics.

        Layers whose statistics lack this key leave it as it is.
        """
        return

    def _group_add(self, group: str, queue: str, targets: tuple[str, ...]) -> None:
        """Add or renew a membership, for ``group_expiry`` seconds from now."""
        raise self._lacks("groups")

    def _group_discard(self, group: str, queue: str, targets: tuple[str, ...]) -> None:
        """Remove a membership, if there is one."""
        raise self._lacks("groups")

    def _group_channels(self, group: str) -> list[str]:
        """The full names of the members."""
        raise self._lacks("groups")

    def _push_group(self, group: str, body: bytes) -> Iterable[tuple[str, int]]:
        """Append ``body`` to the queue of each member: one entry for each queue and
        ``codec.MAX_TARGETS`` targets of it.

        Returns the queue and the number of targets of each entry that was dropped because the queue
        was full.
        """
        raise self._lacks("groups")

    def _announce(self, listener: str, channels: frozenset[str]) -> None:
        """Keep what ``listener`` listens to, where every client sees it; an empty set withdraws it.

        Forgotten after ``announcement_expiry`` seconds, unless the layer dies with the process. As
        it stands here, it is for layers that live in one process.
        """
        if channels:
            self._announced[listener] = channels
        else:
            self._announced.pop(listener, None)

    def _is_listened_to(self, queue: str) -> bool:
        """Whether some listener announced ``queue``; True where this is unknown.

        A cheap local read: interface servers ask in the reactor.
        """
        announced = list(self._announced.values())
        return not announced or any(queue in channels for channels in announced)

    def _lacks(self, extension: str) -> UnsupportedExtension:
        return UnsupportedExtension(
            f"{type(self).__name__} does not have the extension {extension!r}"
        )
