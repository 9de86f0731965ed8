"""One layer made of two: a local one for normal channels, a remote one for all that other machines
must reach.

Requests are then served on the machine that received them, at the cost of the local layer, while
replies, single-reader channels and groups go wherever their readers are. How a receive waits for
both at once is in ``mixed`` and ``twisted``.
"""

import functools
import importlib
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from channels.layers.base import BaseChannelLayer
from channels.layers.entries import DELIVERIES, Delivery, Extensions, Received, Stored
from channels.layers.waiting import Listening, Waiter

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["CompositeChannelLayer", "PartedListening"]

#: The statistics of the reference that are a maximum over all channels; the others are sums.
_MAXIMA = {"messages_max_age"}


@functools.cache
def _mixed() -> Any:
    """Receives from both layers; a process that never begins one never loads asyncio."""
    return importlib.import_module("channels.layers.mixed")


class PartedListening(Listening):
    """Channels listened to, by the layer that has them."""

    __slots__ = ("far", "near", "near_first")

    def __init__(self, queues: Iterable[str]) -> None:
        super().__init__(queues)
        #: Those of the local and of the remote layer.
        self.near = tuple(name for name in self.queues if not _is_far(name))
        self.far = tuple(name for name in self.queues if _is_far(name))
        #: Whose turn it is to be looked at first.
        self.near_first = False

    @property
    def is_mixed(self) -> bool:
        """Whether both layers are listened to."""
        return bool(self.near and self.far)

    def next_turn(self) -> bool:
        """Whether the local layer comes first this time."""
        self.near_first = not self.near_first
        return self.near_first


class CompositeChannelLayer(BaseChannelLayer):
    """Normal channels through ``local``; channels with ``?`` or ``!`` through ``remote``.

    Process and single-reader channels are members of groups in ``remote``. A normal channel that is
    added to a group is a member in ``local``: a send to the group reaches it where the send and the
    add happened on the same machine. A send to a group that fails in ``remote`` was not begun in
    ``local``.

    Attributes such as ``capacity`` are the remote layer's. ``local`` has to keep the promises of
    ``Primitives`` for waiters; ``remote`` may wait in a way of its own.
    """

    listening_type = PartedListening

    def __init__(self, local: BaseChannelLayer, remote: BaseChannelLayer) -> None:
        super().__init__(
            remote.expiry,
            remote.group_expiry,
            remote.capacity,
            message_limit=remote.message_limit,
            drop_rate=remote.drop_rate,
        )
        self.local = local
        self.remote = remote
        self.channel_capacity = remote.channel_capacity
        self.extensions = Extensions(name for name in remote.extensions if local.supports(name))

    def _part(self, channel: str) -> BaseChannelLayer:
        """The layer that ``channel`` belongs to; either may refuse what is no name."""
        return self.remote if _is_far(channel) else self.local

    @property
    def _parts(self) -> tuple[BaseChannelLayer, BaseChannelLayer]:
        return self.local, self.remote

    def _sole(self, listening: Listening) -> BaseChannelLayer | None:
        """The one layer that is listened to; None where both are."""
        assert isinstance(listening, PartedListening)
        if not listening.far:
            return self.local
        return None if listening.near else self.remote

    # Sending and receiving

    def send(self, channel: str, message: dict[str, Any]) -> None:
        """See ``BaseChannelLayer.send``."""
        self._part(channel).send(channel, message)

    def receive(
        self,
        channels: Collection[str],
        block: bool = False,
        timeout: float | None = None,
        *,
        interruption: object | None = None,
    ) -> Received:
        """See ``BaseChannelLayer.receive``."""
        listening = self._listening(channels)
        part = self._sole(listening)
        if part is None:
            return self._receive_mixed(listening, block, timeout, interruption)
        token = part.interruption
        if interruption is not None and interruption is not self.interruption:
            return None, None
        return part.receive(listening.queues, block, timeout, interruption=token)

    def _receive_mixed(
        self, listening: Any, block: bool, timeout: float | None, interruption: object | None
    ) -> Received:
        token = interruption or self.interruption
        if token is not self.interruption:
            return None, None
        received = self._receive_now(listening)
        if received[0] is None and block:
            received = _mixed().receive(self, listening, token, timeout)
        return received

    def _receive_now(self, listening: PartedListening) -> Received:
        """A message of either layer that is there already, looked for in turn."""
        looks = [(self.local, listening.near), (self.remote, listening.far)]
        for part, queues in looks if listening.next_turn() else reversed(looks):
            received = part.receive(queues)
            if received[0] is not None:
                return received
        return None, None

    def interrupt(self) -> None:
        """See ``BaseChannelLayer.interrupt``; what is blocked in one of the layers ends too."""
        super().interrupt()
        for part in self._parts:
            part.interrupt()

    def new_channel(self, pattern: str) -> str:
        """See ``BaseChannelLayer.new_channel``."""
        return self.remote.new_channel(pattern)

    def wait_for_room(self, channel: str, timeout: float | None = None) -> bool:
        """See ``BaseChannelLayer.wait_for_room``."""
        return self._part(channel).wait_for_room(channel, timeout)

    # Groups

    def group_add(self, group: str, channel: str) -> None:
        """See ``BaseChannelLayer.group_add``."""
        self._part(channel).group_add(group, channel)

    def group_discard(self, group: str, channel: str) -> None:
        """See ``BaseChannelLayer.group_discard``."""
        self._part(channel).group_discard(group, channel)

    def group_channels(self, group: str) -> list[str]:
        """The names of the members: of the remote ones, and of those of this machine."""
        return [name for part in self._parts for name in part.group_channels(group)]

    def send_group(self, group: str, message: dict[str, Any]) -> None:
        """See ``BaseChannelLayer.send_group``."""
        self.remote.send_group(group, message)
        self.local.send_group(group, message)

    # Flush, statistics, enumeration

    def flush(self) -> None:
        """Forget every message and every group in both layers."""
        for part in self._parts:
            part.flush()
        self.interrupt()

    def global_statistics(self) -> dict[str, int | float]:
        """The statistics of both layers together, as far as both have them."""
        local, remote = (part.global_statistics() for part in self._parts)
        return {
            key: max(local[key], value) if key in _MAXIMA else local[key] + value
            for key, value in remote.items()
            if key in local
        }

    def channel_statistics(self, channel: str) -> dict[str, int | float]:
        """See ``BaseChannelLayer.channel_statistics``."""
        return self._part(channel).channel_statistics(channel)

    @property
    def drops(self) -> int:
        """What both layer objects dropped."""
        return sum(part.drops for part in self._parts)

    def channels(self) -> list[str]:
        """The names, up to the ``!``, under which messages wait in either layer."""
        return [name for part in self._parts for name in part.channels()]

    def generation(self, channel: str | None = None) -> str:
        """Changes when either layer was emptied, or ``channel`` was evicted.

        Empty while either of them knows nothing yet.
        """
        is_far = channel is not None and _is_far(channel)
        near = self.local.generation(None if is_far else channel)
        far = self.remote.generation(channel if is_far else None)
        return f"{near}/{far}" if near and far else ""

    def close(self) -> None:
        """Close both layers."""
        for part in self._parts:
            part.close()

    # What workers listen to

    def announce_listening(self, listener: str, channels: Iterable[str]) -> None:
        """See ``BaseChannelLayer.announce_listening``; each layer hears of its own channels."""
        listening = PartedListening(channels)
        self.local.announce_listening(listener, listening.near)
        self.remote.announce_listening(listener, listening.far)

    def has_listener(self, channel: str) -> bool:
        """See ``BaseChannelLayer.has_listener``."""
        return self._part(channel).has_listener(channel)

    # Twisted and asyncio

    def receive_twisted(self, channels: Collection[str]) -> "Deferred[Received]":
        """See ``BaseChannelLayer.receive_twisted``."""
        deferred: Deferred[Received] = self._receive_twisted("receive_twisted", channels)
        return deferred

    def receive_deliveries_twisted(self, channels: Collection[str]) -> "Deferred[list[Delivery]]":
        """See ``BaseChannelLayer.receive_deliveries_twisted``."""
        deferred: Deferred[list[Delivery]] = self._receive_twisted(
            "receive_deliveries_twisted", channels
        )
        return deferred

    def _receive_twisted(self, method: str, channels: Collection[str]) -> Any:
        listening: Any = self._listening(channels)
        part = self._sole(listening)
        if part is not None:
            return getattr(part, method)(listening.queues)

        def starter(part: BaseChannelLayer, queues: tuple[str, ...]) -> Callable[[], Any]:
            return lambda: getattr(part, method)(queues)

        starters = [starter(self.local, listening.near), starter(self.remote, listening.far)]
        if not listening.next_turn():
            starters.reverse()
        return importlib.import_module("channels.layers.twisted").either(*starters)

    def send_twisted(self, channel: str, message: dict[str, Any]) -> "Deferred[None]":
        """See ``BaseChannelLayer.send_twisted``."""
        return self._part(channel).send_twisted(channel, message)

    def new_channel_twisted(self, pattern: str) -> "Deferred[str]":
        """See ``BaseChannelLayer.new_channel_twisted``."""
        return self.remote.new_channel_twisted(pattern)

    def room_twisted(self, channel: str) -> "Deferred[None]":
        """See ``BaseChannelLayer.room_twisted``."""
        return self._part(channel).room_twisted(channel)

    async def receive_async(self, channels: Collection[str]) -> Received:
        """See ``BaseChannelLayer.receive_async``."""
        listening = self._listening(channels)
        part = self._sole(listening)
        if part is not None:
            return await part.receive_async(listening.queues)
        receive_async = _mixed().receive_async
        received: Received = await receive_async(self, listening, self.interruption, None)
        return received

    async def receive_deliveries_async(self, channels: Collection[str]) -> list[Delivery]:
        """See ``BaseChannelLayer.receive_deliveries_async``."""
        listening = self._listening(channels)
        part = self._sole(listening)
        if part is not None:
            return await part.receive_deliveries_async(listening.queues)
        found: list[Delivery] = await _mixed().receive_deliveries_async(self, listening, DELIVERIES)
        return found

    async def send_async(self, channel: str, message: dict[str, Any]) -> None:
        """See ``BaseChannelLayer.send_async``."""
        await self._part(channel).send_async(channel, message)

    async def new_channel_async(self, pattern: str) -> str:
        """See ``BaseChannelLayer.new_channel_async``."""
        return await self.remote.new_channel_async(pattern)

    async def room_async(self, channel: str) -> None:
        """See ``BaseChannelLayer.room_async``."""
        await self._part(channel).room_async(channel)

    def get_capacity(self, channel: str) -> int:
        """See ``BaseChannelLayer.get_capacity``."""
        return self._part(channel).get_capacity(channel)

    # The primitives: nothing of the calls above comes here

    def _push(self, queue: str, targets: tuple[str, ...], body: bytes) -> bool:
        return self._part(queue)._push(queue, targets, body)

    def _take_one(self, listening: Listening, waiter: Waiter | None = None) -> Stored | None:
        raise self._stores_nothing()

    def _take(self, listening: Listening, limit: int, waiter: Waiter | None = None) -> list[Stored]:
        raise self._stores_nothing()

    def _room(self, queue: str, waiter: Waiter | None = None) -> bool:
        return self._part(queue)._room(queue, waiter)

    def _withdraw(self, waiter: Waiter) -> None:
        raise self._stores_nothing()

    def _exists(self, channel: str) -> bool:
        return self._part(channel)._exists(channel)

    def _queues(self) -> list[str]:
        return self.channels()

    def _generation(self, queue: str | None) -> str:
        return self.generation(queue)

    def _stores_nothing(self) -> Exception:
        return NotImplementedError(f"{self} stores nothing; ask its local or its remote layer")


def _is_far(name: str) -> bool:
    """Whether a channel is the remote layer's."""
    return isinstance(name, str) and ("?" in name or "!" in name)
