"""The shared-memory layer: the primitives, each of which is one call into the segment."""

import functools
import hashlib
import re
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from channels import _speedups, codec, names
from channels.layers.base import BaseChannelLayer
from channels.layers.entries import Stored
from channels.layers.ipc.bells import Bells
from channels.layers.ipc.segments import check_available, check_prefix, open_segment
from channels.layers.waiting import Listening, Waiter

if TYPE_CHECKING or _speedups.is_available("shm"):
    from channels._speedups import shm

__all__ = ["IPCChannelLayer"]

#: Bytes of memory for messages, and for groups (1.x).
MESSAGE_MEMORY = 100 * 1024 * 1024
GROUP_MEMORY = 20 * 1024 * 1024

_Result = TypeVar("_Result")

#: Bytes by which memory grows, which is the least that either may be.
_LEAST_MEMORY = 1024 * 1024


def _check_memory(name: str, size: object) -> int:
    if isinstance(size, int) and not isinstance(size, bool) and size >= _LEAST_MEMORY:
        return size
    raise ValueError(f"{name} must be an int of at least {_LEAST_MEMORY} bytes, not {size!r}")


def _capacity(layer: "weakref.ref[IPCChannelLayer]", queue: str) -> int:
    """Asks a layer that its segment must not keep alive, since it is left when the layer goes."""
    owner = layer()
    return 1 if owner is None else owner.get_capacity(queue)


class PackedListening(Listening):
    """The queues of a receive, prepared for the segment, which also keeps whose turn it is."""

    __slots__ = ("packed",)

    def __init__(self, queues: Iterable[str]) -> None:
        super().__init__(queues)
        self.packed = shm.Names(self.queues)


class IPCChannelLayer(BaseChannelLayer):
    """A layer for all processes of one user on one machine; they share what has the same prefix.

    ``message_memory`` and ``group_memory``: bytes of shared memory, at most; used as they are
    needed, and given back. All processes state the same. The other arguments are those of
    ``BaseChannelLayer``.

    Raises ``LayerNotInstalled`` where the compiled extension is missing or the system is not Linux,
    ``SegmentRefused`` where the shared memory of this prefix cannot be used, and ``ValueError``.
    Operations may raise ``LayerUnavailable``: a process that was stopped holds the lock for longer
    than ``lock_timeout``.
    """

    #: Seconds for which an operation waits for the lock, which is ordinarily held for microseconds.
    lock_timeout = 3.0

    listening_type = PackedListening

    def __init__(
        self,
        prefix: str = "asgi",
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 10,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        message_memory: int = MESSAGE_MEMORY,
        group_memory: int = GROUP_MEMORY,
        *,
        message_limit: int = codec.DEFAULT_LIMIT,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__(
            expiry,
            group_expiry,
            capacity,
            channel_capacity,
            message_limit=message_limit,
            drop_rate=drop_rate,
        )
        check_available()
        self.prefix = check_prefix(prefix)
        self.message_memory = _check_memory("message_memory", message_memory)
        self.group_memory = _check_memory("group_memory", group_memory)
        self._segment = open_segment(
            self.prefix,
            self.message_memory,
            self.group_memory,
            expiry,
            functools.partial(_capacity, weakref.ref(self)),
            self.lock_timeout,
            create=True,
        )
        self._idle: list[shm.Sleeper] = []
        self._bells = Bells(self._segment, shm.Bell, shm.Sleeper)
        weakref.finalize(self, self._bells.close)

    def __str__(self) -> str:
        return f"{type(self).__name__}(prefix={self.prefix})"

    def close(self) -> None:
        """Release what the layer object holds of the segment. A later use takes it again."""
        self._bells.close()
        self._idle.clear()
        self._segment.close()

    def _after_fork(self) -> None:
        """Attach anew when first used: what the parent registered wakes the parent."""
        super()._after_fork()
        self._bells.abandon()
        self._idle.clear()
        self._segment.after_fork()

    # Entries

    def _push(self, queue: str, targets: tuple[str, ...], body: bytes) -> bool:
        return self._segment.push(queue, targets, body)

    def _take_one(self, listening: Listening, waiter: Waiter | None = None) -> Stored | None:
        packed: shm.Names = listening.packed  # type: ignore[attr-defined]
        if waiter is None:
            return self._segment.take_one(packed)
        return self._registered(waiter, lambda each: self._segment.take_one(packed, each))

    def _take(self, listening: Listening, limit: int, waiter: Waiter | None = None) -> list[Stored]:
        packed: shm.Names = listening.packed  # type: ignore[attr-defined]
        if waiter is None:
            return self._segment.take_many(packed, limit)
        return self._registered(waiter, lambda each: self._segment.take_many(packed, limit, each))

    def _room(self, queue: str, waiter: Waiter | None = None) -> bool:
        if waiter is None:
            return self._segment.room(queue) is None
        seconds = self._registered(waiter, lambda each: self._segment.room(queue, each))
        waiter.look_again = None if seconds == float("inf") else seconds
        return seconds is None

    def _registered(self, waiter: Waiter, request: "Callable[[shm.Sleeper], _Result]") -> _Result:
        """A request with a waiter's sleeper: another one where the segment turns out removed."""
        while True:
            try:
                return request(self._bells.sleeper(waiter))
            except shm.Moved:
                continue

    def _withdraw(self, waiter: Waiter) -> None:
        self._bells.release(waiter)

    # Blocking

    def _await_one(
        self, listening: Listening, deadline: float | None, token: object
    ) -> Stored | None:
        packed: shm.Names = listening.packed  # type: ignore[attr-defined]
        taken = self._segment.take_one(packed)
        if taken is not None or (deadline is not None and deadline <= time.monotonic()):
            return taken
        sleeper = self._idle.pop() if self._idle else shm.Sleeper()
        self._blocked[sleeper] = None
        try:
            while True:
                sleeper.begin()
                if token is not self.interruption:
                    return None
                taken = self._segment.await_one(packed, sleeper, deadline)
                if taken is not None or not sleeper.interrupted:
                    return taken
        finally:
            self._blocked.pop(sleeper, None)
            self._segment.withdraw(sleeper)
            self._idle.append(sleeper)

    def _await_room(self, queue: str, deadline: float | None) -> bool:
        if self._segment.room(queue) is None:
            return True
        sleeper = self._idle.pop() if self._idle else shm.Sleeper()
        try:
            return self._segment.await_room(queue, sleeper, deadline)
        finally:
            self._segment.withdraw(sleeper)
            self._idle.append(sleeper)

    # Groups

    def _group_add(self, group: str, queue: str, targets: tuple[str, ...]) -> None:
        self._segment.group_add(group, queue, "".join(targets), self.group_expiry)

    def _group_discard(self, group: str, queue: str, targets: tuple[str, ...]) -> None:
        self._segment.group_discard(group, queue, "".join(targets))

    def _group_channels(self, group: str) -> list[str]:
        return self._segment.group_channels(group)

    def _push_group(self, group: str, body: bytes) -> list[tuple[str, int]]:
        return self._segment.push_group(group, body)

    # What is known about channels

    def _exists(self, channel: str) -> bool:
        return self._segment.exists(*names.split_name(channel))

    def _queues(self) -> list[str]:
        return [name for name, _ in self._segment.queues()]

    def _generation(self, queue: str | None) -> str:
        return self._segment.generation(queue)

    def _clear(self) -> None:
        self._segment.flush()

    def _statistics(self, queue: str | None) -> dict[str, int | float]:
        sent, full, pending, sent_lately, full_lately, age = self._segment.statistics(queue)
        return {
            "messages_count": sent,
            "messages_count_per_second": sent_lately,
            "messages_pending": pending,
            "messages_max_age": age,
            "channel_full_count": full,
            "channel_full_count_per_second": full_lately,
        }

    # What workers listen to

    def _announce(self, listener: str, channels: frozenset[str]) -> None:
        if not (listener.isascii() and 0 < len(listener) <= names.MAX_NAME_LENGTH):
            listener = hashlib.sha256(listener.encode("utf-8", "surrogatepass")).hexdigest()
        self._segment.announce(listener, channels, self.announcement_expiry)

    def _is_listened_to(self, queue: str) -> bool:
        return self._segment.is_listened_to(queue)
