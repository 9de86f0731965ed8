"""What all channel layers have in common: every rule of the interface once, over a few primitives.

``BaseChannelLayer`` checks names and messages, encodes and decodes, splits process channels into
queue and local part, counts drops, and builds the blocking, Twisted and asyncio forms of each call.
A backend stores encoded bytes: it writes the primitives, which ``channels.layers.primitives``
lists. How messages look as bytes is ``channels.codec``'s matter; ``docs/layers.md`` is the guide
for writers of layers, and ``channels.layers.conformance`` tests what they wrote.
"""

import functools
import importlib
import os
import random
import re
import time
import warnings
import weakref
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from channels import codec, names
from channels.exceptions import ChannelFull, MessageTooLarge
from channels.layers.capacity import check_capacity, compile_capacities, match_capacity
from channels.layers.entries import DELIVERIES, Delivery, Exchanged, Extensions, Received
from channels.layers.extensions import require_extension
from channels.layers.prefetch import Failed, Prefetch
from channels.layers.reading import Reading
from channels.layers.statistics import DropCounter

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["RESERVED_KEY", "BaseChannelLayer"]

#: Key that the layers of 1.x used for themselves; it stays refused, so that messages mean the same
#: everywhere.
RESERVED_KEY = "__asgi_channel__"


#: The layers of this process, which have to be told of a fork.
_layers: "weakref.WeakSet[BaseChannelLayer]" = weakref.WeakSet()


def _tell_layers_of_fork() -> None:
    for layer in list(_layers):
        layer._after_fork()


os.register_at_fork(after_in_child=_tell_layers_of_fork)


@functools.lru_cache(maxsize=4096)
def _address(channel: str) -> tuple[str, tuple[str, ...]]:
    """Check the name; returns its queue and its targets."""
    names.check_channel_name(channel)
    queue, local = names.split_name(channel)
    return queue, ((local,) if names.is_process_channel(queue) else ())


@functools.cache
def _twisted() -> Any:
    """The Twisted forms of the calls; a process that never asks for them never loads Twisted."""
    return importlib.import_module("channels.layers.twisted")


@functools.cache
def _asyncio() -> Any:
    """The asyncio forms of the calls, loaded as late."""
    return importlib.import_module("channels.layers.asyncio")


class BaseChannelLayer(Reading):
    """The base of all channel layers (ASGI spec, Specification Details).

    ``expiry``: seconds until an unread message expires.
    ``group_expiry``: seconds that a group membership lasts after the latest ``group_add``.
    ``capacity``: messages that a channel holds; ``channel_capacity`` maps globs or compiled
    patterns of names to other capacities, the first that matches counts.
    ``message_limit``: bytes of an encoded message.
    ``drop_rate``: share of sends, from 0 to 1, that are dropped on purpose, to test how an
    application takes losses. For development and tests only: ``channels.asgi`` refuses it where
    ``DEBUG`` is off.

    Raises ``ValueError`` for arguments out of range.
    """

    ChannelFull = ChannelFull
    MessageTooLarge = MessageTooLarge

    #: Whether the layer lives in one process, so that servers and workers must share it.
    is_local = False

    #: Seconds for which an announcement of ``announce_listening`` holds where it is not repeated,
    #: in layers that outlive the process that made it.
    announcement_expiry = 60.0

    #: The extensions that layers of this class have.
    provides: tuple[str, ...] = ("groups", "flush", "statistics", "twisted", "asyncio")

    def __init__(
        self,
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        *,
        message_limit: int = codec.DEFAULT_LIMIT,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        for name, seconds in (("expiry", expiry), ("group_expiry", group_expiry)):
            if not seconds > 0:
                raise ValueError(f"{name} must be a positive number of seconds, not {seconds!r}")
        if not 0 <= drop_rate <= 1:
            raise ValueError(f"drop_rate must be from 0 to 1, not {drop_rate!r}")
        self.expiry = expiry
        self.group_expiry = group_expiry
        self.capacity = check_capacity(capacity, "capacity")
        self.channel_capacity = self.compile_capacities(channel_capacity)
        self.message_limit = message_limit
        self.drop_rate = drop_rate
        self.extensions = Extensions(self.provides)
        _layers.add(self)

    # Sending and receiving

    def send(self, channel: str, message: dict[str, Any]) -> None:
        """Put ``message`` onto ``channel``. Never blocks.

        Raises ``ChannelFull``, ``MessageTooLarge``, ``TypeError`` for a bad name or a value that
        cannot be sent, and ``ValueError`` for the reserved key.
        """
        queue, targets = self._address(channel)
        body = self._encode(message, queue)
        if self.drop_rate and self._drops_on_purpose(queue):
            return
        if not self._push(queue, targets, body):
            raise self._refusal(queue)

    def receive(
        self,
        channels: Collection[str],
        block: bool = False,
        timeout: float | None = None,
        *,
        interruption: object | None = None,
    ) -> Received:
        """The next message of any of ``channels``, with the full name of the channel that it was
        sent to.

        Process channels are listened to by their name up to the ``!``. Returns ``(None, None)``
        where there is no message: at once, or with ``block`` after ``timeout`` seconds (None: no
        limit) and when a flush or ``interrupt`` woke it. ``interruption`` is for callers that stop
        by a flag: see ``interrupt``.
        """
        listening = self._listening(channels)
        if not listening.queues:
            return None, None
        if interruption is not None and interruption is not self.interruption:
            return None, None
        if not block:
            return self._received(listening) or (None, None)
        token = interruption or self.interruption
        deadline = None if timeout is None else time.monotonic() + timeout
        while (stored := self._await_one(listening, deadline, token)) is not None:
            received = self._opened(stored)
            if received is not None:
                return received
        return None, None

    def send_and_receive(
        self,
        channel: str,
        message: dict[str, Any],
        channels: Collection[str],
        timeout: float | None = None,
        *,
        interruption: object | None = None,
    ) -> Exchanged:
        """Send ``message`` to ``channel``, then receive as ``receive`` does with ``block``.

        For workers, whose consumer has ended: a layer with a server spares a round trip here. Where
        the send fails, nothing more is waited for and its failure is returned, not raised, since a
        message may have come before it was known. What is raised is a failure of the receive; the
        send was done then.
        """
        self._listening(channels)
        try:
            self.send(channel, message)
        except Exception as error:
            return Exchanged(error, None, None)
        received = self.receive(channels, True, timeout, interruption=interruption)
        return Exchanged(None, *received)

    def prefetch(self, channels: Collection[str], failed: Failed) -> Prefetch | None:
        """What a worker's thread that listens to ``channels`` takes, and sends, ahead of its turn.

        For layers whose ``receive`` and ``send_and_receive`` then take it as ``prefetch``; None
        where nothing is gained by it. ``failed`` is called with what a send was given as token, and
        the exception that ``send`` would raise.
        """
        return None

    def receive_deliveries(self, channels: Collection[str]) -> list[Delivery]:
        """The entries that are there, each with all its targets; for interface servers.

        Does not block, and takes a bounded number at a time.
        """
        listening = self._listening(channels)
        return self._deliveries(listening, None, DELIVERIES) if listening.queues else []

    def receive_many(self, channels: Collection[str], block: bool = False) -> Received:
        """The old name of ``receive``."""
        warnings.warn("receive_many() is now receive()", DeprecationWarning, stacklevel=2)
        return self.receive(channels, block)

    def new_channel(self, pattern: str) -> str:
        """A fresh name: ``pattern``, which ends with ``?`` or ``!``, and a random part of 128 bits.

        Raises ``TypeError`` for any other pattern, ``LayerUnavailable`` where the store is away.
        """
        while self._exists(name := self._drawn(pattern)):
            pass
        return name

    def wait_for_room(self, channel: str, timeout: float | None = None) -> bool:
        """Block until a send to ``channel`` may succeed.

        False after ``timeout`` seconds (None: no limit). Raises ``TypeError`` for a bad name,
        ``LayerUnavailable`` where the store is away.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        return self._await_room(self._address(channel)[0], deadline)

    # Groups

    @property
    def supports_groups(self) -> bool:
        """Whether the layer has the groups extension."""
        return self.supports("groups")

    def group_add(self, group: str, channel: str) -> None:
        """Make ``channel`` a member of ``group`` for ``group_expiry`` seconds from now.

        Raises ``TypeError`` for a bad name, ``GroupMemoryFull`` where members are kept in memory of
        a fixed size, ``LayerUnavailable`` where the store is away.
        """
        names.check_group_name(group)
        queue, targets = self._address(channel)
        self._group_add(group, queue, targets)

    def group_discard(self, group: str, channel: str) -> None:
        """Take ``channel`` out of ``group``, if it is a member.

        Raises ``TypeError`` for a bad name, ``LayerUnavailable`` where the store is away.
        """
        names.check_group_name(group)
        queue, targets = self._address(channel)
        self._group_discard(group, queue, targets)

    def group_channels(self, group: str) -> list[str]:
        """The names of the members of ``group``."""
        names.check_group_name(group)
        return self._group_channels(group)

    def send_group(self, group: str, message: dict[str, Any]) -> None:
        """Send ``message`` to each member of ``group``; members whose channel is full do not get
        it.

        Raises what ``send`` raises, but never ``ChannelFull``.
        """
        names.check_group_name(group)
        body = self._encode_for_group(message, group)
        if self.drop_rate and self._drops_on_purpose(group):
            return
        dropped = list(self._push_group(group, body))
        for queue, targets in dropped:
            self._drops.add(queue, targets, "it was full when a group was sent to")
        if dropped:
            self._count_dropped(dropped)

    # Flush, statistics, enumeration

    def flush(self) -> None:
        """Forget every message and every group; blocked receives return ``(None, None)``."""
        self._clear()
        self.interrupt()

    def global_statistics(self) -> dict[str, int | float]:
        """The statistics of all channels together, with the keys of the reference.

        A message to a group counts once for each queue that it was put into, as it does for
        capacity. A layer that counts, where every client sees it, what was dropped because a member
        of a group was full, adds ``messages_dropped``.
        """
        return self._statistics(None)

    def channel_statistics(self, channel: str) -> dict[str, int | float]:
        """The statistics of ``channel``.

        The channels of one process share theirs as they share a queue.
        """
        return self._statistics(self._address(channel)[0])

    @property
    def drops(self) -> int:
        """Messages that this layer object dropped.

        Group members that were full, ``drop_rate``, damaged bytes.
        """
        return self._drops.total

    def channels(self) -> list[str]:
        """The names, up to the ``!``, under which messages wait."""
        return self._queues()

    def generation(self, channel: str | None = None) -> str:
        """A value that changes when the layer was emptied: flushed, or started afresh.

        With a process channel it also changes when that channel was evicted because its messages
        expired unread, which cost its members their groups. An interface server compares it to see
        that its sockets are worthless. Empty in a reactor whose connection is still being made.
        """
        return self._generation(None if channel is None else self._address(channel)[0])

    def close(self) -> None:
        """Let go of connections, threads and descriptors; the next use takes them anew.

        Not while another thread uses the layer.
        """

    # What workers listen to

    def announce_listening(self, listener: str, channels: Iterable[str]) -> None:
        """Publish that ``listener``, any name unique to the caller, listens to ``channels``.

        None withdraws it.
        """
        listened = frozenset(channels)
        names.check_channel_names(tuple(listened))
        self._announce(listener, listened)

    def has_listener(self, channel: str) -> bool:
        """Whether somebody listens to ``channel``; also True where nobody announced anything."""
        return self._is_listened_to(self._address(channel)[0])

    # Extensions

    def supports(self, extension: str) -> bool:
        """Whether the layer has ``extension``, in either spelling."""
        return extension in self.extensions

    def require_extensions(self, extensions: Iterable[str], user: str) -> None:
        """Raise ``UnsupportedExtension`` where the layer lacks one; ``user`` says who asks."""
        for extension in extensions:
            require_extension(self, extension, user)

    # Twisted and asyncio, loaded when first used

    def receive_twisted(self, channels: Collection[str]) -> "Deferred[Received]":
        """``receive`` that blocks, as a Deferred.

        Cancelling it loses no message. Call it in the reactor's thread.
        """
        deferred: Deferred[Received] = _twisted().receive(self, channels)
        return deferred

    def receive_deliveries_twisted(self, channels: Collection[str]) -> "Deferred[list[Delivery]]":
        """At least one delivery, or none where a flush or ``interrupt`` woke it.

        Cancelling it loses nothing.
        """
        deferred: Deferred[list[Delivery]] = _twisted().receive_deliveries(
            self, channels, DELIVERIES
        )
        return deferred

    def send_twisted(self, channel: str, message: dict[str, Any]) -> "Deferred[None]":
        """``send`` as a Deferred, which fails with what ``send`` raises.

        The reactor is never blocked.
        """
        deferred: Deferred[None] = _twisted().call(self.send, channel, message)
        return deferred

    def new_channel_twisted(self, pattern: str) -> "Deferred[str]":
        """``new_channel`` as a Deferred."""
        deferred: Deferred[str] = _twisted().call(self.new_channel, pattern)
        return deferred

    def room_twisted(self, channel: str) -> "Deferred[None]":
        """Fires when a send to ``channel`` may succeed; may be cancelled."""
        deferred: Deferred[None] = _twisted().room(self, channel)
        return deferred

    async def receive_async(self, channels: Collection[str]) -> Received:
        """``receive`` that blocks, as a coroutine; cancelling it loses no message."""
        received: Received = await _asyncio().receive(self, channels)
        return received

    async def receive_deliveries_async(self, channels: Collection[str]) -> list[Delivery]:
        """At least one delivery, or none where a flush or ``interrupt`` woke it.

        Cancelling it loses nothing.
        """
        found: list[Delivery] = await _asyncio().receive_deliveries(self, channels, DELIVERIES)
        return found

    async def send_async(self, channel: str, message: dict[str, Any]) -> None:
        """``send`` as a coroutine; the event loop is never blocked."""
        self.send(channel, message)

    async def new_channel_async(self, pattern: str) -> str:
        """``new_channel`` as a coroutine."""
        return self.new_channel(pattern)

    async def room_async(self, channel: str) -> None:
        """Returns when a send to ``channel`` may succeed; may be cancelled."""
        await _asyncio().room(self, channel)

    # Names and capacities, as applications of 1.x used them

    compile_capacities = staticmethod(compile_capacities)
    valid_channel_name = staticmethod(names.is_channel_name)
    valid_group_name = staticmethod(names.is_group_name)
    non_local_name = staticmethod(names.queue_name)

    def valid_channel_names(self, channels: Iterable[str], receive: bool = False) -> bool:
        """Whether each of ``channels`` is valid."""
        return all(names.is_channel_name(name, receive) for name in channels)

    def get_capacity(self, channel: str) -> int:
        """The messages that the queue of ``channel`` holds."""
        return match_capacity(names.queue_name(channel), self.channel_capacity, self.capacity)

    def __str__(self) -> str:
        return f"{type(self).__module__}.{type(self).__qualname__}"

    # Inner workings

    def _after_fork(self) -> None:
        """Called in the child of a fork, whose only thread is the one that forked.

        A backend lets go of what belongs to the parent: locks, connections, registrations.
        """
        self._blocked = {}
        self._announced = {}
        self._drops = DropCounter()

    def _drawn(self, pattern: str) -> str:
        """A name that follows ``pattern`` and may exist already."""
        if not isinstance(pattern, str) or pattern[-1:] not in {"?", "!"}:
            raise TypeError(
                f"the pattern of a new channel must end with '?' or '!', not {pattern!r}"
            )
        name = pattern + names.random_part()
        names.check_channel_name(name)
        return name

    def _address(self, channel: str) -> tuple[str, tuple[str, ...]]:
        """The queue of a channel that is sent to, and its targets.

        Raises ``TypeError`` for a bad name.
        """
        if type(channel) is not str:
            # The cache must never see what merely equals a str, or cannot be hashed.
            names.check_channel_name(channel)
        return _address(channel)

    def _encode(self, message: dict[str, Any], name: str) -> bytes:
        """The body to store in the queue ``name``.

        A backend that encrypts does it here, and binds the body to that name.
        """
        body = codec.encode(message, self.message_limit)
        if RESERVED_KEY in message:
            raise ValueError(f"the message key {RESERVED_KEY!r} is reserved for layers; rename it")
        return body

    def _encode_for_group(self, message: dict[str, Any], group: str) -> bytes:
        """The body to store in the queue of each member of ``group``."""
        return self._encode(message, group)

    def _refusal(self, queue: str) -> Exception:
        """What a send raises where ``_push`` said no."""
        return self.ChannelFull(
            f"channel {queue!r} is at its capacity of {self.get_capacity(queue)} message(s): "
            "its reader is slower than its senders, or not there"
        )

    def _drops_on_purpose(self, name: str) -> bool:
        if random.random() >= self.drop_rate:
            return False
        self._drops.add(name, 1, f"drop_rate is {self.drop_rate}")
        return True
