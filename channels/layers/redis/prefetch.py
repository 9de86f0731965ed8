"""Messages that a worker takes several at a time, and its sends whose answers are read later.

The worker's connection carries both, in the order in which the worker makes them.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from channels.exceptions import LayerUnavailable
from channels.layers.entries import Received, Stored
from channels.layers.prefetch import Failed
from channels.layers.redis.commands import Commands
from channels.layers.redis.connection import NotDone, Reply
from channels.layers.redis.outbox import Outbox, shares
from channels.layers.redis.queues import pushed_tail
from channels.layers.redis.shards import Shard

if TYPE_CHECKING:
    from channels.layers.redis.joined import RedisJoined

__all__ = ["RedisPrefetch"]


#: Seconds for which a send may wait for others to leave with it, and the bytes that may.
_WAIT = 0.001
_MOST_WAITING = 65536


class _Unanswered(NamedTuple):
    """A push whose reply was not read yet."""

    entry: Stored
    token: Any


class RedisPrefetch:
    """See ``channels.layers.prefetch.Prefetch``; for layers with one shard."""

    def __init__(self, layer: "RedisJoined", shard: Shard, failed: Failed) -> None:
        self.limit = 1
        self.taken_at = 0.0
        self._layer = layer
        self._process = os.getpid()
        self._shard = shard
        self._failed = failed
        self._entries: deque[tuple[str, bytes]] = deque()
        #: By the command that has them.
        self._unanswered: list[list[_Unanswered]] = []
        self._commands: Commands | None = None
        #: What was not written yet, and since when there is something.
        self._out = Outbox()
        self._since = 0.0
        #: Held by who writes, or takes ``_commands`` away.
        self._lock = threading.Lock()
        #: Held by who gives back, and for a moment by the owner before it takes from the server:
        #: what it takes then comes after what was given back.
        self._giving = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    # Messages in hand

    def keep(self, queue: str, entries: Sequence[bytes]) -> None:
        """Take entries of a queue in hand, behind those that are there."""
        self.taken_at = time.monotonic()
        self._entries.extend((queue, entry) for entry in entries)

    def stored(self) -> Stored | None:
        """The next entry in hand that has not expired."""
        while True:
            try:
                queue, entry = self._entries.popleft()
            except IndexError:  # the last one may just have been given back
                return None
            if self._out and not self._entries:
                self.flush()  # nobody looks after those who have nothing in hand
            stored = self._layer._accepted(self._shard, queue, entry)
            if stored is not None:
                return stored

    def next(self) -> Received:
        """See ``Prefetch.next``."""
        while (stored := self.stored()) is not None:
            received = self._layer._opened(stored)
            if received is not None:
                return received
        return None, None

    def give_back(self) -> None:
        """See ``Prefetch.give_back``.

        Where it is not known whether the server has them back, they are counted as dropped.
        """
        with self._giving:
            for queue, entries in self._all_in_hand():
                try:
                    self._shard.call(self._layer._return_frame(self._shard, queue, entries))
                except NotDone:
                    self._entries.extend((queue, entry) for entry in entries)
                except LayerUnavailable as error:
                    self._layer._drops.add(queue, len(entries), f"not put back: {error}")

    def _all_in_hand(self) -> list[tuple[str, list[bytes]]]:
        """Take all that is in hand, by queue."""
        if self._process != os.getpid():
            self._entries.clear()  # they are the parent's
        found: dict[str, deque[bytes]] = {}
        while True:
            try:
                queue, entry = self._entries.pop()
            except IndexError:  # the owner may take from the other end meanwhile
                return [(queue, list(entries)) for queue, entries in found.items()]
            found.setdefault(queue, deque()).appendleft(entry)

    def prepare(self) -> None:
        """To be called by the owner before it takes from the server."""
        self.settle()
        with self._giving:
            pass

    # Sends without an answer so far

    def send(self, channel: str, message: dict[str, Any], token: Any) -> None:
        """See ``Prefetch.send``."""
        layer = self._layer
        try:
            queue, targets = layer._address(channel)
            entry = queue, targets, layer._encode(message, queue)
            if any(other.entry[:2] == entry[:2] for others in self._unanswered for other in others):
                self.settle()
            if self._put(entry, token):
                self._shard.under_way[threading.get_ident()] = self.settle
                if len(self._out) > _MOST_WAITING or time.monotonic() - self._since > _WAIT:
                    self.flush()
                return
            failure = layer._push_failure(entry)
        except Exception as error:
            failure = error
        if failure is not None:
            self._failed(token, failure)

    def _put(self, entry: Stored, token: Any) -> bool:
        """Have the push of ``entry`` wait to be written; False where it cannot leave this way."""
        queue, targets, body = entry
        if self._commands is None:
            self._commands = self._layer._commands_ready_for(self._shard, queue)
        elif self._layer.topology.all_from(queue) != (self._shard,):
            return False
        if self._commands is None:
            return False
        head = self._layer._push_head(queue, self._shard, True)
        tail = pushed_tail(targets, body)
        with self._lock:
            if not self._out:
                self._since = time.monotonic()
            if not self._out.push(head, tail):
                self._unanswered.append([])
            self._unanswered[-1].append(_Unanswered(entry, token))
        return True

    def flush(self) -> None:
        """See ``Prefetch.flush``."""
        with self._lock:
            out = self._out.take()
            if out and self._commands is not None:
                try:
                    self._commands.push(self._shard, bytes(out))
                except LayerUnavailable:
                    pass  # told where the answers are read

    def settle(self) -> None:
        """Read the answers that are due, and tell of failures."""
        self._shard.under_way.pop(threading.get_ident(), None)
        if self._process != os.getpid():
            self._commands, self._out = None, Outbox()  # the connection is the parent's
            self._unanswered.clear()
            return
        self.flush()
        with self._lock:
            commands, self._commands = self._commands, None
        if commands is None:
            return
        unanswered, self._unanswered = self._unanswered, []
        replies: list[Reply | LayerUnavailable] = []
        try:
            replies = commands.answers(self._shard, len(unanswered))
        finally:
            self._layer._commands.append(commands)
        for pushes, reply in zip(unanswered, replies, strict=True):
            for (entry, token), share in zip(pushes, shares(reply, len(pushes)), strict=True):
                if share == 1:
                    continue
                failure = self._layer._refused_push(self._shard, entry, share)
                if failure is not None:
                    self._failed(token, failure)

    def close(self) -> None:
        """See ``Prefetch.close``."""
        self._shard.under_way.pop(threading.get_ident(), None)  # others need not wait for answers
        try:
            self.give_back()
            for queue, entries in self._all_in_hand():
                self._layer._drops.add(queue, len(entries), "they could not be put back")
        finally:
            self.settle()
