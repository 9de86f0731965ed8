"""What is known about the layer: generations, listeners, statistics, and forgetting all of it.

Interface servers ask for generations and listeners in their reactor, so what was learnt is kept and
renewed when it is a second old: here by asking at once, in the Twisted part in the background.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from channels import names
from channels._speedups import resp
from channels.exceptions import LayerUnavailable
from channels.layers.redis.connection import Reply
from channels.layers.redis.queues import RedisQueues
from channels.layers.redis.scripts import CHECK, FREED, INSPECT
from channels.layers.redis.shards import Shard

__all__ = ["RedisKnowledge"]

#: Seconds for which what was learnt is believed without asking.
_BELIEVED_FOR = 1.0

#: Keys that one UNLINK or INSPECT names.
_PORTION = 500

#: Process channels whose evictions are followed.
_FOLLOWED = 1000


@dataclass
class State:
    """What is known of one shard."""

    generation: str = ""
    #: When it was learnt, as a ``time.monotonic()``.
    learnt: float = float("-inf")
    #: What marks the latest eviction of the queues that somebody asked for; empty: none yet.
    evictions: dict[str, bytes] = field(default_factory=dict)


class RedisKnowledge(RedisQueues):
    """Generations, listeners, statistics, flush."""

    def _start_knowledge(self) -> None:
        self._states = {shard: State() for shard in self.topology.shards}
        self._listened: frozenset[str] | None = None
        self._listened_learnt = float("-inf")

    def _is_kept_fresh(self) -> bool:
        """Whether an event loop keeps all of it up to date."""
        return False

    # Generations

    def _generation(self, queue: str | None) -> str:
        if queue is None:
            return "/".join(self._state(shard).generation for shard in self.topology.shards)
        shard = self.topology.home(queue)
        evictions = self._states[shard].evictions
        if queue not in evictions:
            if len(evictions) >= _FOLLOWED:
                evictions.clear()
            evictions[queue] = b""
            self._states[shard].learnt = float("-inf")
        state = self._state(shard)
        return f"{state.generation}.{evictions[queue].decode()}"

    def _state(self, shard: Shard) -> State:
        state = self._states[shard]
        age = time.monotonic() - state.learnt
        if age < _BELIEVED_FOR or (state.generation and self._is_kept_fresh()):
            return state
        queues = tuple(state.evictions)
        try:
            self._checked(shard, queues, shard.call(self._check_frame(shard, queues)))
        except LayerUnavailable:
            if not state.generation:
                raise
        return state

    def _check_frame(self, shard: Shard, queues: tuple[str, ...]) -> bytes:
        keys = shard.epoch_key, *(shard.queue_keys(queue)[1] for queue in queues)
        return CHECK(keys, names.random_part())

    def _checked(self, shard: Shard, queues: tuple[str, ...], reply: Reply) -> None:
        """Take note of the reply to ``_check_frame``."""
        epoch, now, *evictions = reply
        endpoint = shard.endpoint()
        endpoint.set_clock(float(now))
        state = self._states[shard]
        state.generation = f"{epoch.decode()}.{shard.incarnation()}"
        state.learnt = time.monotonic()
        for queue, eviction in zip(queues, evictions, strict=True):
            if eviction:
                self._note_eviction(queue, eviction)

    def _note_eviction(self, queue: str, eviction: bytes) -> None:
        evictions = self._states[self.topology.home(queue)].evictions
        if eviction and queue in evictions:
            evictions[queue] = eviction

    def _followed(self, shard: Shard) -> tuple[str, ...]:
        """The queues of a shard whose evictions are followed."""
        return tuple(self._states[shard].evictions)

    def _known_generations(self, shard: Shard) -> tuple[object, ...]:
        """What is known of a shard, to be compared."""
        state = self._states[shard]
        return state.generation, dict(state.evictions)

    # Listeners

    def _listeners(self) -> tuple[Shard, bytes]:
        shard = self.topology.home("listeners")
        return shard, shard.key("listeners")

    def _announce(self, listener: str, channels: frozenset[str]) -> None:
        shard, key = self._listeners()
        if not channels:
            shard.call(resp.pack(("HDEL", key, listener)))
        else:
            # asked for, since a client that has done nothing yet does not know it
            seconds, microseconds = shard.call(resp.pack(("TIME",)))
            now = int(seconds) * 1000 + int(microseconds) // 1000
            lifetime = round(self.announcement_expiry * 1000)
            value = " ".join((str(now + lifetime), *sorted(channels)))
            shard.call(resp.pack(("HSET", key, listener, value)))
            shard.call(resp.pack(("PEXPIRE", key, lifetime)))
            self._forget_listeners(shard, key, now - lifetime)
        self._listened_learnt = float("-inf")

    def _forget_listeners(self, shard: Shard, key: bytes, before: int) -> None:
        """Remove those whose time was over ``before`` (ms); the others keep the key alive."""
        fields = shard.call(resp.pack(("HGETALL", key)))
        announced = zip(fields[::2], fields[1::2], strict=True)
        gone = [name for name, value in announced if int(value.split(b" ")[0]) <= before]
        if gone:
            shard.call(resp.pack(("HDEL", key, *gone)))

    def _is_listened_to(self, queue: str) -> bool:
        age = time.monotonic() - self._listened_learnt
        if age >= _BELIEVED_FOR and not self._is_kept_fresh():
            shard, key = self._listeners()
            try:
                self._note_listeners(shard, shard.call(resp.pack(("HVALS", key))))
            except LayerUnavailable:
                self._listened = None
        listened = self._listened
        return listened is None or queue in listened

    def _note_listeners(self, shard: Shard, reply: Reply) -> None:
        """Take note of the values of all listeners; None is noted where nobody is one."""
        now = shard.endpoint().now()
        announced = [value.decode().split(" ") for value in reply]
        holding = [channels for deadline, *channels in announced if int(deadline) > now]
        self._listened = frozenset(name for one in holding for name in one) if holding else None
        self._listened_learnt = time.monotonic()

    # Statistics

    def _queues(self) -> list[str]:
        return sorted(queue for queue, (pending, _) in self._all_pending().items() if pending)

    def _stored_queues(self) -> Iterator[tuple[Shard, list[str]]]:
        """The queues that have a list, shard by shard."""
        for shard in self.topology.shards:
            start = shard.key("q", "")
            found = {
                key.removeprefix(start).decode()
                for of, keys in self.topology.scan("q")
                if of is shard
                for key in keys
                if key.startswith(start)
            }
            yield shard, sorted(found)

    def _all_pending(self) -> dict[str, tuple[int, float]]:
        """Pending messages and age of the oldest one, for each queue."""
        pending: dict[str, tuple[int, float]] = {}
        for shard, queues in self._stored_queues():
            for first in range(0, len(queues), _PORTION):
                some = queues[first : first + _PORTION]
                frames = [self._inspect_frame(shard, queue) for queue in some]
                (replies,) = self.topology.scatter([(shard, frames)])
                if isinstance(replies, LayerUnavailable):
                    raise replies
                for queue, reply in zip(some, replies, strict=True):
                    count, age = pending.get(queue, (0, 0.0))
                    pending[queue] = count + reply[0], max(age, self._age(reply))
        return pending

    def _inspect_frame(self, shard: Shard, queue: str) -> bytes:
        keys = (*shard.queue_keys(queue), shard.counts_key(queue))
        return INSPECT(keys, *self._limits(shard, queue))

    def _age(self, reply: Reply) -> float:
        """Seconds since the oldest entry of an inspected queue was sent."""
        deadline, now = int(reply[1]), int(reply[2])
        return max(0.0, self.expiry - (deadline - now) / 1000) if deadline else 0.0

    def _statistics(self, queue: str | None) -> dict[str, int | float]:
        if queue is None:
            return self._global_statistics()
        counts = Counts()
        pending, age = 0, 0.0
        for shard in self.topology.all_from(queue):
            reply = shard.call(self._inspect_frame(shard, queue))
            pending += reply[0]
            age = max(age, self._age(reply))
            counts.add(reply[3], int(reply[2]))
        return counts.statistics(pending, age)

    def _count_dropped(self, dropped: Iterable[tuple[str, int]]) -> None:
        """Add to the same counts as the scripts do; what a shard misses is not counted."""
        frames: dict[Shard, list[bytes]] = {}
        for queue, count in dropped:
            shard = self.topology.home(queue)
            own, of_all = self._counts_expiries(queue)
            for key, ttl in ((shard.counts_key(queue), own), (shard.global_counts, of_all)):
                frames.setdefault(shard, []).extend(
                    (resp.pack(("HINCRBY", key, "d", count)), resp.pack(("PEXPIRE", key, ttl)))
                )
        self.topology.scatter(list(frames.items()))

    def _global_statistics(self) -> dict[str, int | float]:
        counts = Counts()
        for shard in self.topology.shards:
            now = shard.endpoint().now()
            counts.add(shard.call(resp.pack(("HGETALL", shard.global_counts))), int(now))
        pending = self._all_pending().values()
        ages = [age for count, age in pending if count]
        return counts.statistics(sum(count for count, _ in pending), max(ages, default=0.0))

    # Flush

    def _clear(self) -> None:
        """Delete every key of the layer, wake senders that wait for room, begin another epoch."""
        for shard, keys in self.topology.scan():
            doomed = [key for key in keys if key != shard.epoch_key]
            self._wake_senders(shard, doomed)
            for first in range(0, len(doomed), _PORTION):
                shard.call(resp.pack(("UNLINK", *doomed[first : first + _PORTION])))
        for shard in self.topology.shards:
            shard.call(resp.pack(("SET", shard.epoch_key, names.random_part())))
            self._states[shard].learnt = float("-inf")
        self._listened_learnt = float("-inf")

    def _wake_senders(self, shard: Shard, keys: list[bytes]) -> None:
        """Empty the queues that have one of ``keys``; some sender may begin to wait just now."""
        starts = shard.key("q", ""), shard.key("i", "")
        found = [key.removeprefix(one) for key in keys for one in starts if key.startswith(one)]
        for name in dict.fromkeys(found):
            queue = name.decode()
            entries, info, tokens = shard.queue_keys(queue)
            shard.call(resp.pack(("DEL", entries)))
            shard.call(FREED((entries, info, tokens), self._limits(shard, queue)[1]))


class Counts:
    """Adds up the counts that shards keep: totals, and those of single seconds."""

    def __init__(self) -> None:
        self._totals = {"m": 0, "f": 0, "d": 0}
        self._recent = {"m": 0.0, "f": 0.0}

    def add(self, fields: list[bytes], now: int) -> None:
        """Add the fields and values of one hash, read at ``now`` (milliseconds)."""
        second, part = divmod(now, 1000)
        weights = {second: 1.0, second + 1: 1.0, second - 1: 1 - part / 1000}
        for name, value in zip(fields[::2], fields[1::2], strict=True):
            kind, number = chr(name[0]), int(value)
            self._totals[kind] += number
            if len(name) > 1:
                self._recent[kind] += number * weights.get(int(name[1:]), 0.0)

    def statistics(self, pending: int, age: float) -> dict[str, int | float]:
        """The six keys of the reference (ASGI spec, Details), and ``messages_dropped``."""
        return {
            "messages_count": self._totals["m"],
            "messages_count_per_second": round(self._recent["m"]),
            "messages_pending": pending,
            "messages_max_age": age,
            "channel_full_count": self._totals["f"],
            "channel_full_count_per_second": round(self._recent["f"]),
            "messages_dropped": self._totals["d"],
        }
