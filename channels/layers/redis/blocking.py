"""Waits that block a thread in a command of Redis, and how they end without losing a message.

A thread waits for the sockets of its commands and for a pipe, into which ``interrupt`` writes. Each
command that is still waiting at the end of a wait is woken by CLIENT UNBLOCK over another
connection, and its reply read: what it popped in that moment goes back to the front of its queue.
"""

import math
import os
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from channels._speedups import resp
from channels.exceptions import LayerUnavailable
from channels.layers.entries import Stored
from channels.layers.redis.connection import Connection, Reply
from channels.layers.redis.listening import BLOCK_SECONDS, Part, RedisListening
from channels.layers.redis.queues import RedisQueues
from channels.layers.redis.scripts import LEAVE, ROOM
from channels.layers.redis.shards import Shard
from channels.layers.waiting import Listening, Waiter

__all__ = ["RedisWaits", "unblock"]

#: Seconds until CLIENT UNBLOCK is sent again where it came before the command that it is to end, at
#: first and at last.
_SOON, _LATER = 0.0005, 0.01


def unblock(connection: Connection) -> bytes:
    """The command, for another connection, that ends the blocking command of ``connection``."""
    return resp.pack(("CLIENT", "UNBLOCK", connection.client_id))


class Wakeup(Waiter):
    """The pipe of one wait."""

    __slots__ = ("_reading", "_writing")

    def __init__(self) -> None:
        super().__init__()
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)

    def fileno(self) -> int:
        """The descriptor that is readable once it was notified."""
        return self._reading

    def notify(self) -> bool:
        """Write to the pipe; takes no lock."""
        try:
            os.write(self._writing, b"!")
        except BlockingIOError:
            pass  # full of calls that nobody has seen yet
        return True

    def clear(self) -> None:
        """Forget the calls so far."""
        try:
            os.read(self._reading, 4096)
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._reading)
        os.close(self._writing)


class Blocked(NamedTuple):
    """A command that blocks in the server."""

    shard: Shard
    connection: Connection
    #: When it is given up, as a ``time.monotonic()``.
    given_up: float


class Commands:
    """The blocking commands of one wait, by descriptor; one for each shard at most."""

    def __init__(self, wakeup: Wakeup) -> None:
        self.blocked: dict[int, Blocked] = {}
        self._wakeup = wakeup
        self._ready: set[int] = set()
        self._poll = select.poll()
        self._poll.register(wakeup, select.POLLIN)

    def start(self, shard: Shard, frame: bytes) -> None:
        """Send a blocking command."""
        connection = shard.take()
        connection.write(frame)
        patience = BLOCK_SECONDS + connection.endpoint.timeout
        descriptor = connection.fileno()
        self.blocked[descriptor] = Blocked(shard, connection, time.monotonic() + patience)
        self._poll.register(descriptor, select.POLLIN)

    def wait(self, deadline: float) -> None:
        """Block until a reply comes, or an interruption, or ``deadline``."""
        earliest = min((one.given_up for one in self.blocked.values()), default=math.inf)
        left = min(deadline, earliest) - time.monotonic()
        if left == math.inf:
            ready = self._poll.poll()
        else:
            ready = self._poll.poll(max(0, math.ceil(left * 1000)))
        self._ready = {descriptor for descriptor, _ in ready}
        if self._wakeup.fileno() in self._ready:
            self._wakeup.clear()

    def replies(self) -> Iterator[tuple[Shard, Reply | LayerUnavailable]]:
        """The replies that are there, or why there will be none."""
        for descriptor, (shard, connection, given_up) in list(self.blocked.items()):
            if descriptor in self._ready:
                yield shard, self._reply(descriptor)
            elif time.monotonic() > given_up:
                self._forget(descriptor)
                yield shard, connection.lost(TimeoutError())

    def _forget(self, descriptor: int) -> Blocked:
        self._poll.unregister(descriptor)
        return self.blocked.pop(descriptor)

    def _reply(self, descriptor: int) -> Reply | LayerUnavailable:
        shard, connection, _ = self._forget(descriptor)
        try:
            reply = connection.read()
        except LayerUnavailable as error:
            return error
        connection.endpoint.give_back(connection)
        if isinstance(reply, resp.ReplyError):
            if shard.redirected(reply, 0):
                return None
            return connection.endpoint.refused(reply)
        return reply

    def end(self) -> list[tuple[Shard, Reply]]:
        """Have no command blocked any more; what they gave in the last moment."""
        found = []
        pause = 0.0
        while self.blocked:
            try:
                ready = [descriptor for descriptor, _ in self._poll.poll(pause * 1000)]
                for descriptor in ready:
                    if descriptor in self.blocked:
                        found.append((self.blocked[descriptor].shard, self._reply(descriptor)))
                    else:
                        self._wakeup.clear()
                self._unblock()
            except BaseException:
                self._close()
                raise
            pause = min(pause * 2 or _SOON, _LATER)
        for shard, reply in found:
            if isinstance(reply, LayerUnavailable):
                shard.failed(reply)
        return [one for one in found if one[1] is not None and not isinstance(one[1], Exception)]

    def _unblock(self) -> None:
        """Tell the servers to end the commands, all before any of them answers."""
        asked = []
        for descriptor, blocked in list(self.blocked.items()):
            try:
                other = blocked.connection.endpoint.take()
                other.write(unblock(blocked.connection))
                asked.append((descriptor, other))
            except LayerUnavailable as error:
                self._give_up(descriptor, error)
        for descriptor, other in asked:
            try:
                other.read()
                other.endpoint.give_back(other)
            except LayerUnavailable as error:
                self._give_up(descriptor, error)

    def _give_up(self, descriptor: int, error: LayerUnavailable) -> None:
        """Close a connection whose command nobody can end."""
        shard, connection, _ = self._forget(descriptor)
        shard.failed(error)
        connection.close()

    def _close(self) -> None:
        for descriptor in list(self.blocked):
            self._forget(descriptor).connection.close()


class RedisWaits(RedisQueues):
    """The blocking forms of the primitives."""

    def _start_waits(self) -> None:
        self._wakeups: list[Wakeup] = []

    def _await_one(
        self, listening: Listening, deadline: float | None, token: object
    ) -> Stored | None:
        assert isinstance(listening, RedisListening)
        until = math.inf if deadline is None else deadline
        while token is self.interruption:
            if len(listening.parts) > 1 or time.monotonic() >= until:
                stored = self._take_one(listening)
                if stored is not None or time.monotonic() >= until:
                    return stored
            found = self._pop_of_any(listening, until, token)
            if found is None:
                return None
            part, (key, entry) = found
            stored = self._accepted(part.shard, part.served(key), entry)
            if stored is not None:
                listening.part_served(part)
                return stored
        return None

    def _pop_of_any(
        self, listening: RedisListening, deadline: float, token: object
    ) -> tuple[Part, Sequence[bytes]] | None:
        """What a blocking pop gave; None after ``deadline`` or an interruption."""
        parts = {part.shard: part for part in listening.parts}
        frames = {part.shard: part.pop() for part in listening.parts}

        def unused(shard: Shard, reply: Reply) -> None:
            key, entry = reply
            self._give_back(shard, parts[shard].queue_of(key), entry)

        found = self._blocking(frames, deadline, token, unused)
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
    ) -> tuple[Shard, Reply] | None:
        """Send a blocking command to each shard and wait for the first reply.

        Replies of others that came in the same moment go to ``unused``. None after ``deadline`` or
        an interruption, unless a reply came in that moment; ``token`` is None where interruptions
        do not matter.
        """
        wakeup = self._wakeups.pop() if self._wakeups else Wakeup()
        self._blocked[wakeup] = None
        commands = Commands(wakeup)
        try:
            first = self._first_reply(commands, frames, deadline, token)
        except BaseException:
            for shard, reply in commands.end():
                unused(shard, reply)
            raise
        finally:
            self._blocked.pop(wakeup, None)
        for shard, reply in commands.end() if commands.blocked else ():
            if first is None:
                first = shard, reply
            else:
                unused(shard, reply)
        wakeup.clear()
        self._wakeups.append(wakeup)
        return first

    def _first_reply(
        self,
        commands: Commands,
        frames: Mapping[Shard, bytes],
        deadline: float,
        token: object | None,
    ) -> tuple[Shard, Reply] | None:
        while token is None or token is self.interruption:
            retry = self._start_all(commands, frames)
            commands.wait(min(deadline, retry))
            for shard, reply in commands.replies():
                if isinstance(reply, LayerUnavailable):
                    if len(frames) == 1 and shard.failure is not None:
                        raise reply  # it failed before, without a success since
                    shard.failed(reply)
                    continue
                shard.worked()
                if reply is not None:
                    return shard, reply
            if time.monotonic() >= deadline:
                break
        return None

    def _start_all(self, commands: Commands, frames: Mapping[Shard, bytes]) -> float:
        """Send the command to each shard where it is not waiting already.

        Returns the time at which a shard that failed is to be tried again. Raises
        ``LayerUnavailable`` where all fail.
        """
        busy = {blocked.shard for blocked in commands.blocked.values()}
        retry = math.inf
        for shard, frame in frames.items():
            if shard in busy:
                continue
            rest = shard.rest() if len(frames) > 1 else 0.0
            if not rest:
                try:
                    commands.start(shard, frame)
                    continue
                except LayerUnavailable as error:
                    shard.failed(error)
                    rest = shard.rest()
            retry = min(retry, time.monotonic() + rest)
        if not commands.blocked:
            raise next(shard.failure for shard in frames if shard.failure is not None)
        return retry

    def _give_back(self, shard: Shard, queue: str, entry: bytes) -> None:
        """Put an entry back to the front of its queue."""
        try:
            shard.call(self._return_frame(shard, queue, [entry]))
        except LayerUnavailable as error:
            self._drops.add(queue, 1, f"it could not be put back: {error}")

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
        full: dict[Shard, float] = {}
        failure: LayerUnavailable | None = None
        for shard in self.topology.all_from(queue):
            limits = self._limits(shard, queue)
            if not limits[1]:
                continue  # holds no part of so small a capacity
            try:
                left = shard.call(ROOM(shard.queue_keys(queue), *limits, int(waits)))
            except LayerUnavailable as error:
                shard.failed(error)
                failure = error
                continue
            if left < 0:
                for other in full if waits else ():
                    self._leave(other, queue)
                return None
            full[shard] = time.monotonic() + left / 1000
        if failure is not None and not full:
            raise failure
        return full

    def _leave(self, shard: Shard, queue: str) -> None:
        try:
            shard.call(LEAVE((shard.queue_keys(queue)[1],)))
        except LayerUnavailable as error:
            shard.failed(error)

    def _wait_for_token(self, queue: str, full: Mapping[Shard, float], deadline: float) -> None:
        """Block until a shard has room, or may have by expiry, or ``deadline``."""
        tokens = {shard: shard.queue_keys(queue)[2] for shard in full}
        frames = {shard: resp.pack(("BLPOP", tokens[shard], BLOCK_SECONDS)) for shard in full}

        def unused(shard: Shard, reply: Reply) -> None:
            shard.call(resp.pack(("LPUSH", tokens[shard], b"")))

        found = self._blocking(frames, min(deadline, *full.values()), None, unused)
        for shard in full:
            if found is None or shard is not found[0]:
                self._leave(shard, queue)
