"""Sending and receiving without waiting, over the scripts of ``lua/``.

What blocks is in ``blocking``; ``docs/redis.md`` describes the keys.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from channels import codec, names
from channels._speedups import resp
from channels.exceptions import InvalidStoredMessage, LayerUnavailable
from channels.layers.entries import Stored
from channels.layers.redis.connection import NotDone
from channels.layers.redis.hosts import parse_hosts
from channels.layers.redis.listening import Part, RedisListening
from channels.layers.redis.outbox import PushHead
from channels.layers.redis.scripts import EVICT, EXISTS, FREED, PUSH, RETURN
from channels.layers.redis.shards import Shard, Topology
from channels.layers.sealing import SealedChannelLayer
from channels.layers.waiting import Listening, Waiter

__all__ = ["MARKED", "RedisQueues", "Taken", "pushed_tail"]

T = TypeVar("T")

#: Seconds for which counts are kept: of all channels together, and of one.
GLOBAL_COUNTS_EXPIRY = 86400
CHANNEL_COUNTS_EXPIRY = 3600

#: Queues whose packed push is kept.
_KEPT = 10_000

#: The bit of an entry's first byte that says that senders wait for room.
_WAITED_FOR = 0x80
#: The least that such an entry begins with.
MARKED = bytes([_WAITED_FOR])

#: Offset of an entry's number of targets, behind version and deadline.
_PUSHED_FROM = 9


def pushed_tail(targets: tuple[str, ...], body: bytes) -> bytes:
    """An entry as it is pushed: without version and deadline, which the server puts before it."""
    return codec.pack_envelope(body, 0, targets)[_PUSHED_FROM:]


class Taken(NamedTuple):
    """An entry that was taken off its queue."""

    queue: str
    #: Milliseconds of the server's time.
    deadline: int
    targets: tuple[str, ...]
    body: bytes
    #: Whether senders wait for the room that it left.
    waited_for: bool

    @classmethod
    def of(cls, queue: str, entry: bytes) -> "Taken":
        """Take an entry apart; raises ``InvalidStoredMessage``."""
        waited_for = entry[:1] >= MARKED
        if waited_for:
            entry = bytes([entry[0] ^ _WAITED_FOR]) + entry[1:]
        deadline, targets, body = codec.unpack_envelope(entry)
        return cls(queue, deadline, targets, body, waited_for)

    def packed(self, first: int = 0) -> bytes:
        """The entry as it was, without the targets before ``first``."""
        entry = codec.pack_envelope(self.body, self.deadline, self.targets[first:])
        return bytes([entry[0] | _WAITED_FOR]) + entry[1:] if self.waited_for else entry


class RedisQueues(SealedChannelLayer):
    """Sending, and receiving without waiting. ``RedisChannelLayer`` describes the arguments."""

    def __init__(
        self,
        expiry: float = 60,
        hosts: Collection[Any] | None = None,
        prefix: str = "asgi:",
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        symmetric_encryption_keys: Collection[str | bytes] | None = None,
        stats_prefix: str = "asgi-meta:",
        connection_kwargs: Mapping[str, Any] | None = None,
        *,
        message_limit: int = codec.DEFAULT_LIMIT,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__(
            expiry,
            group_expiry,
            capacity,
            channel_capacity,
            symmetric_encryption_keys=symmetric_encryption_keys,
            message_limit=message_limit,
            drop_rate=drop_rate,
        )
        self.prefix = prefix
        self.stats_prefix = stats_prefix
        self.topology = self._make_topology(hosts, connection_kwargs)
        self._expiry_ms = max(1, round(expiry * 1000))
        self._group_expiry_ms = max(1, round(group_expiry * 1000))
        self._pushes: dict[tuple[str, int, bool], PushHead] = {}
        self._turns: dict[str, int] = {}
        self._start()

    def _start(self) -> None:
        """Make what belongs to one process; called again in the child of a fork."""

    def _make_topology(
        self, hosts: Collection[Any] | None, connection_kwargs: Mapping[str, Any] | None
    ) -> Topology:
        """The shards; layers over other topologies make theirs here."""
        addresses = parse_hosts(hosts, connection_kwargs)
        return Topology.standalone(addresses, self.prefix, self.stats_prefix)

    def _make_listening(self, channels: tuple[str, ...]) -> Listening:
        return RedisListening(channels, self.topology)

    def close(self) -> None:
        """Close the connections; the next use makes new ones."""
        self.topology.close()

    def _after_fork(self) -> None:
        super()._after_fork()
        for shard in self.topology.shards:
            shard.after_fork()
        self.topology.close()  # closes the child's descriptors, and tells the server nothing

    # Sending

    def _push(self, queue: str, targets: tuple[str, ...], body: bytes) -> bool:
        tail = pushed_tail(targets, body)
        shards = self.topology.all_from(queue)
        if len(shards) == 1:
            return bool(shards[0].call(self._push_frame(queue, shards[0], tail)))
        return self._push_somewhere(queue, self._shards_to_push(queue, shards), tail)

    def _shards_to_push(self, queue: str, shards: Sequence[Shard]) -> list[Shard]:
        """The shards that take entries of a normal queue, the next in turn first.

        The turn goes backwards. That of readers goes forwards: they would else meet the queue that
        they have just served at every next shard, and other queues rarely.
        """
        turn = self._turns.get(queue, 0)
        if len(self._turns) >= _KEPT:
            self._turns.clear()
        self._turns[queue] = (turn - 1) % len(shards)
        in_turn = [*shards[turn:], *shards[:turn]]
        capacity = self.get_capacity(queue)
        usable = [one for one in in_turn if self.topology.capacity_on(one, queue, capacity)]
        return [shard for shard in usable if not shard.rest()] or usable[:1]

    def _push_somewhere(self, queue: str, shards: Sequence[Shard], tail: bytes) -> bool:
        """Try the shards one after the other; full where each that answers is."""
        failure: LayerUnavailable | None = None
        answered = False
        for shard in shards:
            frame = self._push_frame(queue, shard, tail, shard is shards[-1])
            try:
                if shard.call(frame):
                    return True
                answered = True
            except NotDone as error:  # any other failure may have stored the message
                shard.failed(error)
                failure = error
        if failure is not None and not answered:
            raise failure
        return False

    def _push_frame(self, queue: str, shard: Shard, tail: bytes, counted: bool = True) -> bytes:
        """The script call that pushes an entry, ``pushed_tail``; ``counted``: also a refusal."""
        return resp.bulk(self._push_head(queue, shard, counted).packed, tail)

    def _push_head(self, queue: str, shard: Shard, counted: bool) -> PushHead:
        """The script call that pushes, up to the entry."""
        key = queue, shard.number, counted
        head = self._pushes.get(key)
        if head is None:
            is_process, capacity, _ = self._limits(shard, queue)
            packed = PUSH.head(
                (*shard.queue_keys(queue), shard.counts_key(queue), shard.global_counts),
                *(is_process, capacity),
                *(self._expiry_ms, self._group_expiry_ms),
                *self._counts_expiries(queue),
                int(counted),
            )
            head = PushHead(packed, capacity)
            if "?" not in queue:  # a name that is used once
                if len(self._pushes) >= _KEPT:
                    self._pushes.clear()
                self._pushes[key] = head
        return head

    def _limits(self, shard: Shard, queue: str) -> tuple[int, int, int]:
        """The arguments of most scripts: 1 for a process channel, capacity, group expiry."""
        capacity = self.topology.capacity_on(shard, queue, self.get_capacity(queue))
        return int(names.is_process_channel(queue)), capacity, self._group_expiry_ms

    def _counts_expiries(self, queue: str) -> tuple[int, int]:
        """Milliseconds that counts of a queue, and those of all, are kept."""
        # names that are used once would fill the memory with their counts
        own = self._expiry_ms if "?" in queue else CHANNEL_COUNTS_EXPIRY * 1000
        return own, GLOBAL_COUNTS_EXPIRY * 1000

    # Receiving

    def _take_one(self, listening: Listening, waiter: Waiter | None = None) -> Stored | None:
        return self._first(listening, self._one_of)

    def _take(self, listening: Listening, limit: int, waiter: Waiter | None = None) -> list[Stored]:
        return self._first(listening, lambda part: self._some_of(part, limit)) or []

    def _first(self, listening: Listening, attempt: Callable[[Part], T | None]) -> T | None:
        """What ``attempt`` gives for the first shard that has something; shards are asked in turn.

        Those that fail are left out; raises ``LayerUnavailable`` where all do.
        """
        assert isinstance(listening, RedisListening)
        parts = listening.parts_in_turn()
        if len(parts) == 1:
            return attempt(parts[0])
        for part in parts:
            if part.shard.rest():
                continue
            try:
                found = attempt(part)
            except LayerUnavailable as error:
                part.shard.failed(error)
                continue
            part.shard.worked()
            if found is not None:
                listening.part_served(part)
                return found
        self._raise_if_all_failed(listening)
        return None

    def _raise_if_all_failed(self, listening: RedisListening) -> None:
        failures = [part.shard.failure for part in listening.parts]
        if failures[0] is not None and all(failures):
            raise failures[0]

    def _one_of(self, part: Part) -> Stored | None:
        while (reply := part.shard.call(part.take(1))) is not None:
            queue, (entry,) = part.taken(reply)
            stored = self._accepted(part.shard, queue, entry)
            if stored is not None:
                return stored
        return None

    def _some_of(self, part: Part, limit: int) -> list[Stored] | None:
        while (reply := part.shard.call(part.take(limit))) is not None:
            queue, entries = part.taken(reply)
            stored = self._accepted_all(part.shard, queue, entries)
            if stored:
                return stored
        return None

    def _accepted_all(self, shard: Shard, queue: str, entries: Iterable[bytes]) -> list[Stored]:
        found = [self._accepted(shard, queue, entry, single=False) for entry in entries]
        return [stored for stored in found if stored is not None]

    def _accepted(
        self, shard: Shard, queue: str, entry: bytes, single: bool = True
    ) -> Stored | None:
        """What a reader gets of an entry that was taken; None where it is expired or damaged.

        ``single``: for one target only; the rest of the entry goes back to the front.
        """
        taken = self._examined(queue, entry)
        if taken is None:
            return None
        _, deadline, targets, body, waited_for = taken
        if deadline <= shard.endpoint().now() and self._is_expired(shard, taken):
            return None
        if single and len(targets) > 1:
            self._follow_up(shard, taken, self._return_frame(shard, queue, [taken.packed(1)]))
            return queue, targets[:1], body
        if waited_for:
            self._follow_up(shard, taken, self._freed_frame(shard, queue))
        return queue, targets, body

    def _examined(self, queue: str, entry: bytes) -> Taken | None:
        """An entry taken apart; None where it is damaged, which is counted."""
        try:
            return Taken.of(queue, entry)
        except InvalidStoredMessage as error:
            self._drops.add(queue, 1, f"its bytes are invalid: {error}")
            return None

    def _is_expired(self, shard: Shard, taken: Taken) -> bool:
        """Whether the server finds an entry expired as well; what goes with it then went."""
        try:
            expired, eviction = shard.call(self._evict_frame(shard, taken))
        except LayerUnavailable:
            return True  # by our clock; those that were taken with it have to reach their reader
        if expired:
            self._note_eviction(taken.queue, eviction)
        return bool(expired)

    def _note_eviction(self, queue: str, eviction: bytes) -> None:
        """Called with what marks the latest eviction of a queue."""

    def _follow_up(self, shard: Shard, taken: Taken, frame: bytes) -> None:
        """Tell the server something about an entry that its reader will get in any case."""
        try:
            shard.call(frame)
        except LayerUnavailable as error:
            self._not_followed_up(taken, error)

    def _not_followed_up(self, taken: Taken, error: LayerUnavailable) -> None:
        if len(taken.targets) > 1:
            self._drops.add(taken.queue, len(taken.targets) - 1, str(error))

    def _evict_frame(self, shard: Shard, taken: Taken) -> bytes:
        limits = self._limits(shard, taken.queue)
        return EVICT(shard.queue_keys(taken.queue), *limits, taken.deadline)

    def _freed_frame(self, shard: Shard, queue: str) -> bytes:
        return FREED(shard.queue_keys(queue), self._limits(shard, queue)[1])

    def _return_frame(self, shard: Shard, queue: str, entries: Sequence[bytes]) -> bytes:
        """The command that puts entries, in the order in which they were, back to the front."""
        is_process, _, group_expiry = self._limits(shard, queue)
        return RETURN(
            shard.queue_keys(queue)[:2],
            *(is_process, self._expiry_ms, group_expiry),
            *reversed(entries),
        )

    # Rooms and names

    def _exists(self, channel: str) -> bool:
        queue, local = names.split_name(channel)
        shard = self.topology.home(queue)
        return bool(shard.call(self._exists_frame(shard, queue, local)))

    def _exists_frame(self, shard: Shard, queue: str, local: str) -> bytes:
        is_process = int(names.is_process_channel(queue))
        target = bytes([len(local)]) + local.encode()
        return EXISTS(shard.queue_keys(queue)[:2], is_process, target)
