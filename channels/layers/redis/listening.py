"""What a receive listens to, prepared once: its queues by shard, and the commands that pop them.

The first queue of a command that holds something is served, so each command begins behind the queue
that was served last.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from channels._speedups import resp
from channels.exceptions import LayerUnavailable
from channels.layers.redis.scripts import TAKE
from channels.layers.redis.shards import Shard, Topology
from channels.layers.waiting import Listening

if TYPE_CHECKING:
    from channels.layers.redis.prefetch import RedisPrefetch

__all__ = ["BLOCK_SECONDS", "Part", "RedisListening"]

#: Seconds for which a pop blocks in the server; then it is renewed. A server that says nothing for
#: so long and ``Endpoint.timeout`` more is given up.
BLOCK_SECONDS = 5

#: Queues up to which the commands of every turn are kept packed.
_KEPT = 64


class Part:
    """The queues that lie on one shard."""

    __slots__ = ("_frames", "_keys", "_names", "_turn", "shard")

    def __init__(self, shard: Shard, queues: Sequence[str]) -> None:
        self.shard = shard
        keys = [shard.queue_keys(queue)[0] for queue in queues]
        self._keys = keys * 2
        self._names = {key: (place, queues[place]) for place, key in enumerate(keys)}
        self._turn = 0
        self._frames: dict[tuple[int, int], bytes] = {}

    def pop(self) -> bytes:
        """BLPOP for one entry."""
        return self._frames.get((self._turn, 0)) or self._keep(
            0, resp.pack(("BLPOP", *self._in_turn(), BLOCK_SECONDS))
        )

    def pop_for(self, prefetch: "RedisPrefetch | None") -> bytes:
        """The pop of a worker, for as many entries as it may take."""
        if prefetch is None or prefetch.limit == 1 or not self._has_blmpop():
            return self.pop()
        return self.pop_many(prefetch.limit)

    def _has_blmpop(self) -> bool:
        try:
            return self.shard.endpoint().has_blmpop
        except LayerUnavailable:  # it is looked up when the command is sent
            return False

    def pop_many(self, limit: int) -> bytes:
        """BLMPOP for up to ``limit`` entries."""
        frame = self._frame(limit)
        if frame is None:
            keys = self._in_turn()
            head: tuple[bytes | str | int, ...] = ("BLMPOP", BLOCK_SECONDS, len(keys))
            frame = self._keep(limit, resp.pack((*head, *keys, "LEFT", "COUNT", limit)))
        return frame

    def take(self, limit: int) -> bytes:
        """The script that takes what is there and does not wait."""
        return self._frame(-limit) or self._keep(-limit, TAKE(self._in_turn(), limit))

    def taken(self, reply: Sequence[object]) -> tuple[str, list[bytes]]:
        """Queue and entries of the reply to ``take``."""
        index, entries = reply
        assert isinstance(index, int) and isinstance(entries, list)
        return self.served(self._in_turn()[index]), entries

    def served(self, key: bytes) -> str:
        """The queue of a key; its turn is over."""
        place, queue = self._names[key]
        self._turn = (place + 1) % len(self._names)
        return queue

    def queue_of(self, key: bytes) -> str:
        """The queue of a key."""
        return self._names[key][1]

    def _in_turn(self) -> tuple[bytes, ...]:
        return tuple(self._keys[self._turn : self._turn + len(self._names)])

    def _frame(self, kind: int) -> bytes | None:
        return self._frames.get((self._turn, kind))

    def _keep(self, kind: int, frame: bytes) -> bytes:
        if len(self._names) <= _KEPT:
            self._frames[self._turn, kind] = frame
        return frame


class RedisListening(Listening):
    """The queues of a receive by shard, and which shard is asked first."""

    __slots__ = ("_first", "parts")

    def __init__(self, queues: Sequence[str], topology: Topology) -> None:
        super().__init__(queues)
        by_shard: dict[Shard, list[str]] = {}
        for queue in self.queues:
            for shard in topology.all_from(queue):
                by_shard.setdefault(shard, []).append(queue)
        #: What lies on each shard that has a part of it.
        self.parts = [Part(shard, queues) for shard, queues in by_shard.items()]
        self._first = 0

    def parts_in_turn(self) -> list[Part]:
        """The parts, beginning behind the shard that was served last."""
        return self.parts[self._first :] + self.parts[: self._first]

    def part_served(self, part: Part) -> None:
        """Note that a shard was served."""
        if len(self.parts) > 1:
            self._first = (self.parts.index(part) + 1) % len(self.parts)
