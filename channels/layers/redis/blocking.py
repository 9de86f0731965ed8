"""Waits that block a thread in a command of Redis, and how they end without losing a message.

A thread waits for the sockets of its commands and for a pipe, into which ``interrupt`` writes. Each
command that is still waiting at the end of a wait is woken by CLIENT UNBLOCK over another
connection, and its reply read: what it popped in that moment goes back to the front of its queue.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from channels._speedups import resp
from channels.exceptions import LayerUnavailable
from channels.layers.entries import Stored
from channels.layers.redis.commands import Commands
from channels.layers.redis.connection import Reply
from channels.layers.redis.listening import BLOCK_SECONDS, Part, RedisListening
from channels.layers.redis.prefetch import RedisPrefetch
from channels.layers.redis.queues import RedisQueues
from channels.layers.redis.scripts import LEAVE, ROOM
from channels.layers.redis.shards import Shard
from channels.layers.waiting import Listening, Waiter
from channels.outage import Backoff

__all__ = ["RedisWaits"]

#: What a pop gives: the key, and an entry or the list of those that one command took.
Popped = tuple[bytes, Any]

#: Seconds of the shortest pause before a connection is made that broke twice in one wait.
_FIRST_PAUSE = 0.05


class RedisWaits(RedisQueues):
    """The blocking forms of the primitives."""

    def _start_waits(self) -> None:
        self._commands: list[Commands] = []

    def close(self) -> None:
        """Close the connections; the next use makes new ones."""
        self._close_waits()
        super().close()

    def _close_waits(self) -> None:
        while self._commands:
            self._commands.pop().close()

    def _await_one(
        self, listening: Listening, deadline: float | None, token: object
    ) -> Stored | None:
        return self._await(listening, deadline, token)

    def _await(
        self,
        listening: Listening,
        deadline: float | None,
        token: object,
        begun: Commands | None = None,
        prefetch: RedisPrefetch | None = None,
    ) -> Stored | None:
        """See ``_await_one``; ``begun`` has the pop of the only shard blocked already.

        What is taken beyond one entry goes to ``prefetch``, which is for one shard.
        """
        assert isinstance(listening, RedisListening)
        until = math.inf if deadline is None else deadline
        is_sharded = len(listening.parts) > 1
        while begun is not None or token is self.interruption:
            if is_sharded or (begun is None and deadline is not None and time.monotonic() >= until):
                stored = self._take_one(listening)
                if stored is not None or time.monotonic() >= until:
                    return stored
            if is_sharded:
                found = self._pop_of_any(listening, until, token)
            else:
                found = self._pop_of_one(listening, until, token, begun, prefetch)
                begun = None
            if found is None:
                return None
            part, (key, popped) = found
            stored = self._first_of(part.shard, part.served(key), popped, prefetch)
            if stored is not None:
                if is_sharded:
                    listening.part_served(part)
                return stored
        return None

    def _first_of(
        self,
        shard: Shard,
        queue: str,
        popped: bytes | list[bytes],
        prefetch: RedisPrefetch | None,
    ) -> Stored | None:
        """What a reader gets of what a pop gave: one entry, or a list of them for ``prefetch``."""
        if not isinstance(popped, list):
            return self._accepted(shard, queue, popped)
        assert prefetch is not None
        prefetch.keep(queue, popped)
        return prefetch.stored()

    def _pop_of_one(
        self,
        listening: RedisListening,
        deadline: float,
        token: object,
        begun: Commands | None = None,
        prefetch: RedisPrefetch | None = None,
    ) -> tuple[Part, Popped] | None:
        """What ``_pop_of_any`` gives, for one shard, in as few steps as possible."""
        part = listening.parts[0]
        commands = begun or (self._commands.pop() if self._commands else Commands())
        self._blocked[commands.wakeup] = None
        try:
            popped: Reply = None
            if token is self.interruption:
                if begun is None:
                    popped = commands.quick(part.shard, part.pop_for(prefetch), deadline)
                else:
                    popped = commands.quick_reply(part.shard, deadline)
        except BaseException:
            self._blocked.pop(commands.wakeup, None)
            try:
                for shard, (key, entries) in commands.end():
                    self._give_back(shard, part.queue_of(key), entries)
            finally:
                self._keep_pipe(commands)
            raise
        if popped is None:
            return self._pop_of_any(listening, deadline, token, commands, prefetch)
        self._blocked.pop(commands.wakeup, None)
        self._commands.append(commands)
        return part, popped

    def _pop_of_any(
        self,
        listening: RedisListening,
        deadline: float,
        token: object,
        commands: Commands | None = None,
        prefetch: RedisPrefetch | None = None,
    ) -> tuple[Part, Popped] | None:
        """What a blocking pop gave; None after ``deadline`` or an interruption."""
        parts = {part.shard: part for part in listening.parts}
        frames = {part.shard: part.pop_for(prefetch) for part in listening.parts}

        def unused(shard: Shard, reply: Reply) -> None:
            key, entries = reply
            self._give_back(shard, parts[shard].queue_of(key), entries)

        found = self._blocking(frames, deadline, token, unused, commands)
        if not found:
            return None
        shard, popped = found
        return parts[shard], popped

    def _blocking(
        self,
        frames: Mapping[Shard, bytes],
        deadline: float,
        token: object | None,
        unused: Callable[[Shard, Reply], None],
        begun: Commands | None = None,
    ) -> tuple[Shard, Reply] | None:
        """Send a blocking command to each shard and wait for the first reply.

        Replies of others that came in the same moment go to ``unused``. None after ``deadline`` or
        an interruption, unless a reply came in that moment; ``token`` is None where interruptions
        do not matter. Some of the commands may be ``begun``.
        """
        commands = begun or (self._commands.pop() if self._commands else Commands())
        self._blocked[commands.wakeup] = None
        try:
            first = self._first_reply(commands, frames, deadline, token)
        except BaseException:
            self._blocked.pop(commands.wakeup, None)
            try:
                for shard, reply in commands.end():
                    unused(shard, reply)
            finally:
                self._keep_pipe(commands)
            raise
        self._blocked.pop(commands.wakeup, None)
        for shard, reply in commands.end() if commands.blocked else ():
            if first is None:
                first = shard, reply
            else:
                unused(shard, reply)
        self._commands.append(commands)
        return first

    def _keep_pipe(self, commands: Commands) -> None:
        """Take back commands that failed: others may be about to write to their pipe."""
        commands.close_connections()
        self._commands.append(commands)

    def _first_reply(
        self,
        commands: Commands,
        frames: Mapping[Shard, bytes],
        deadline: float,
        token: object | None,
    ) -> tuple[Shard, Reply] | None:
        losses: dict[Shard, int] = {}
        delays = Backoff(_FIRST_PAUSE)
        retry = 0.0
        while token is None or token is self.interruption:
            if time.monotonic() >= retry:
                retry = self._start_all(commands, frames)
            commands.wait(min(deadline, retry))
            for shard, reply in commands.replies():
                if isinstance(reply, LayerUnavailable):
                    shard.failed(reply)
                    losses[shard] = losses.get(shard, 0) + 1
                    pause = delays.next_delay() if losses[shard] > 1 else 0.0
                    retry = min(retry, time.monotonic() + pause)
                    continue
                shard.worked()
                if reply is not None:
                    return shard, reply
                retry = 0.0  # its time in the server is over
            if time.monotonic() >= deadline:
                break
        return None

    def _start_all(self, commands: Commands, frames: Mapping[Shard, bytes]) -> float:
        """Send the command to each shard where it is not waiting already.

        Returns the time at which a shard that failed is to be tried again. Raises
        ``LayerUnavailable`` where all fail.
        """
        retry = math.inf
        failure: LayerUnavailable | None = None
        for shard, frame in frames.items():
            if shard in commands.blocked:
                continue
            rest = shard.rest() if len(frames) > 1 else 0.0
            if not rest:
                try:
                    commands.start(shard, frame)
                    continue
                except LayerUnavailable as error:
                    shard.failed(error)
                    failure = error
                    rest = shard.rest()
            failure = failure or shard.failure  # None where another thread just found it working
            retry = min(retry, time.monotonic() + rest)
        if not commands.blocked and failure is not None:
            raise failure
        return retry

    def _give_back(self, shard: Shard, queue: str, popped: bytes | Sequence[bytes]) -> None:
        """Put an entry, or several in their order, back to the front of their queue."""
        entries = [popped] if isinstance(popped, bytes) else popped
        try:
            shard.call(self._return_frame(shard, queue, entries))
        except LayerUnavailable as error:
            self._drops.add(queue, len(entries), f"it could not be put back: {error}")

    # Room

    def _await_room(self, queue: str, deadline: float | None) -> bool:
        until = math.inf if deadline is None else deadline
        while True:
            waits = time.monotonic() < until
            full = self._full_shards(queue, waits)
            if full is None:
                return True
            if not waits:
                return False
            self._wait_for_token(queue, full, until)

    def _room(self, queue: str, waiter: Waiter | None = None) -> bool:
        return self._full_shards(queue, waits=False) is None

    def _withdraw(self, waiter: Waiter) -> None:
        """Nothing: who waits is known in the server only."""

    def _full_shards(self, queue: str, waits: bool) -> dict[Shard, float] | None:
        """The shards of a queue, all full, and when each expires an entry; None if one has room.

        ``waits``: they count us as waiting then.
        """
        shards = self._shards_of(queue)
        working = [shard for shard in shards if len(shards) == 1 or not shard.rest()] or shards
        requests = [(shard, [self._room_frame(shard, queue, waits)]) for shard in working]
        full: dict[Shard, float] = {}
        has_room = False
        failure: LayerUnavailable | None = None
        now = time.monotonic()
        for shard, replies in zip(working, self.topology.scatter(requests), strict=True):
            if isinstance(replies, LayerUnavailable):
                failure = replies
            elif replies[0] < 0:
                has_room = True
            else:
                full[shard] = now + replies[0] / 1000
        if has_room:
            if waits:
                self._leave(full, queue)
            return None
        if failure is not None and not full:
            raise failure
        return full

    def _shards_of(self, queue: str) -> list[Shard]:
        """The shards that hold a part of the capacity of a queue."""
        shards = self.topology.all_from(queue)
        return [shard for shard in shards if self._limits(shard, queue)[1]]

    def _room_frame(self, shard: Shard, queue: str, waits: bool) -> bytes:
        return ROOM(shard.queue_keys(queue), *self._limits(shard, queue), int(waits))

    def _leave(self, shards: Iterable[Shard], queue: str) -> None:
        self.topology.scatter([(shard, [self._leave_frame(shard, queue)]) for shard in shards])

    def _leave_frame(self, shard: Shard, queue: str) -> bytes:
        return LEAVE(shard.queue_keys(queue), self._limits(shard, queue)[1])

    def _wait_for_token(self, queue: str, full: Mapping[Shard, float], deadline: float) -> None:
        """Block until a shard has room, or may have by expiry, or ``deadline``."""
        tokens = {shard: shard.queue_keys(queue)[2] for shard in full}
        frames = {shard: resp.pack(("BLPOP", tokens[shard], BLOCK_SECONDS)) for shard in full}

        def unused(shard: Shard, reply: Reply) -> None:
            shard.call(resp.pack(("LPUSH", tokens[shard], b"")))

        # a reader that was killed may have taken the mark of waiting senders with it
        until = min(deadline, time.monotonic() + BLOCK_SECONDS, *full.values())
        found = self._blocking(frames, until, None, unused)
        self._leave([shard for shard in full if found is None or shard is not found[0]], queue)
