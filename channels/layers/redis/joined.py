"""A send and the blocking receive after it, in one write to the server.

That is what a worker does after each consumer, and it spares a round trip, which costs more than
all that is done for a message here. It takes one server, and a connection that is there already; in
any other case the two are made one after the other.
"""

import time
from collections.abc import Collection
from typing import Any

from channels import names
from channels._speedups import resp
from channels.exceptions import LayerUnavailable
from channels.layers.entries import Exchanged, Received, Stored
from channels.layers.prefetch import Failed
from channels.layers.redis.blocking import RedisWaits
from channels.layers.redis.commands import Commands
from channels.layers.redis.connection import Reply, error_code
from channels.layers.redis.listening import RedisListening
from channels.layers.redis.prefetch import RedisPrefetch
from channels.layers.redis.queues import pushed_tail
from channels.layers.redis.shards import NOTHING_DONE, Shard
from channels.layers.waiting import Listening

__all__ = ["RedisJoined"]


class RedisJoined(RedisWaits):
    """``send_and_receive`` in one round trip."""

    def send_and_receive(
        self,
        channel: str,
        message: dict[str, Any],
        channels: Collection[str],
        timeout: float | None = None,
        *,
        interruption: object | None = None,
        prefetch: Any = None,
    ) -> Exchanged:
        """See ``BaseChannelLayer.send_and_receive``."""
        listening = self._listening(channels)
        assert isinstance(listening, RedisListening)
        if prefetch is not None:
            prefetch.prepare()
        for part in listening.parts:
            if part.shard.under_way:
                part.shard.settle()
        token = interruption or self.interruption
        if self.drop_rate or len(listening.parts) != 1 or token is not self.interruption:
            return super().send_and_receive(channel, message, channels, timeout, interruption=token)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            queue, targets = self._address(channel)
            entry = queue, targets, self._encode(message, queue)
        except Exception as error:
            return Exchanged(error, None, None)
        failure, stored = self._exchange(entry, listening, deadline, token, prefetch)
        received = None
        while stored is not None and (received := self._opened(stored)) is None:
            stored = None if failure else self._await_next(listening, deadline, token, prefetch)
        return Exchanged(failure, *(received or (None, None)))

    def receive(
        self,
        channels: Collection[str],
        block: bool = False,
        timeout: float | None = None,
        *,
        interruption: object | None = None,
        prefetch: Any = None,
    ) -> Received:
        """See ``BaseChannelLayer.receive``."""
        if prefetch is None:
            return super().receive(channels, block, timeout, interruption=interruption)
        prefetch.prepare()
        listening = self._listening(channels)
        token = interruption or self.interruption
        deadline = None if timeout is None else time.monotonic() + timeout
        while stored := self._await_next(listening, deadline, token, prefetch):
            if (received := self._opened(stored)) is not None:
                return received
        return None, None

    def prefetch(self, channels: Collection[str], failed: Failed) -> RedisPrefetch | None:
        """See ``BaseChannelLayer.prefetch``.

        None also where entries may have to be put back for their further targets.
        """
        listening = self._listening(channels)
        assert isinstance(listening, RedisListening)
        if (
            self.drop_rate
            or len(listening.parts) != 1
            or any(names.is_process_channel(queue) for queue in listening.queues)
        ):
            return None
        return RedisPrefetch(self, listening.parts[0].shard, failed)

    def _await_next(
        self,
        listening: Listening,
        deadline: float | None,
        token: object,
        prefetch: RedisPrefetch | None,
    ) -> Stored | None:
        """``_await_one``, beginning with what is in hand."""
        stored = None if prefetch is None else prefetch.stored()
        return stored or self._await(listening, deadline, token, None, prefetch)

    def _exchange(
        self,
        entry: Stored,
        listening: RedisListening,
        deadline: float | None,
        token: object,
        prefetch: RedisPrefetch | None,
    ) -> tuple[Exception | None, Stored | None]:
        """Push ``entry`` and take another one: why the first failed, and what the second gave."""
        part = listening.parts[0]
        queue, targets, body = entry
        commands = self._commands_ready_for(part.shard, queue)
        if commands is None:
            failure = self._push_failure(entry)
            return failure, (
                None if failure else self._await_next(listening, deadline, token, prefetch)
            )
        try:
            frame = self._push_frame(queue, part.shard, pushed_tail(targets, body))
            pushed = commands.join(part.shard, frame, part.pop_for(prefetch))
        except BaseException as error:
            self._commands.append(commands)
            if isinstance(error, LayerUnavailable):
                return error, None
            raise
        if pushed == 1:
            return None, self._await(listening, deadline, token, commands, prefetch)
        stored = None
        for shard, (key, popped) in commands.end():
            stored = self._first_of(shard, part.served(key), popped, prefetch)
        self._commands.append(commands)
        failure = self._refused_push(part.shard, entry, pushed)
        if failure is None and stored is None:
            stored = self._await_next(listening, deadline, token, prefetch)
        return failure, stored

    def _commands_ready_for(self, shard: Shard, queue: str) -> Commands | None:
        """Idle commands with a connection to ``shard``, if it holds all of ``queue``."""
        if self.topology.all_from(queue) != (shard,) or not self._commands:
            return None
        commands = self._commands.pop()
        if commands.is_ready_for(shard):
            return commands
        self._commands.append(commands)
        return None

    def _push_failure(self, entry: Stored) -> Exception | None:
        """Push by itself; why it failed, or None."""
        try:
            return None if self._push(*entry) else self._refusal(entry[0])
        except LayerUnavailable as error:
            return error

    def _refused_push(self, shard: Shard, entry: Stored, reply: Reply) -> Exception | None:
        """Why a push failed that got ``reply``; None where another try was successful."""
        if isinstance(reply, LayerUnavailable):
            return reply
        if not isinstance(reply, resp.ReplyError):
            return self._refusal(entry[0])
        if error_code(reply) in NOTHING_DONE:
            return self._push_failure(entry)
        try:
            return shard.endpoint().refused(reply)
        except LayerUnavailable as error:  # it is not known who has the shard by now
            return error
