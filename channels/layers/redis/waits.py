"""Receiving and waiting for room in an event loop, and how either ends without losing a message.

The counterpart of ``blocking`` for loops. A wait that was interrupted or cancelled ends its
blocking commands by CLIENT UNBLOCK and sees their replies; what came in that moment is handed out,
or put back to the front of its queue.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from channels import codec
from channels._speedups import resp
from channels.exceptions import InvalidStoredMessage, LayerUnavailable
from channels.layers.entries import Stored
from channels.layers.redis.connection import Endpoint, NotDone, Reply
from channels.layers.redis.listening import BLOCK_SECONDS, Part, RedisListening
from channels.layers.redis.queues import MARKED, Taken
from channels.layers.redis.session import Command, Session
from channels.layers.redis.shards import Shard
from channels.layers.redis.streams import Stream
from channels.layers.redis.tasks import Outcome, run
from channels.layers.waiting import Waiter
from channels.outage import Backoff

if TYPE_CHECKING:
    from channels.layers.redis.layer import RedisChannelLayer

__all__ = ["Receive", "RoomWait"]

#: What nobody awaits yet.
_UNAWAITED: Outcome[None] = Outcome()
_UNAWAITED.resolve(None)

#: Seconds of the shortest pause before a connection is made again that broke in a wait.
_FIRST_PAUSE = 0.05


class Wait(Waiter):
    """One wait in a loop. ``done`` is called once, with its result or an exception."""

    __slots__ = ("_changed", "_done", "_layer", "_session", "_token", "_told", "is_cancelled")

    def __init__(self, session: Session, done: Callable[[Any], object]) -> None:
        super().__init__()
        self._session = session
        self._layer: RedisChannelLayer = session.layer
        self._done = done
        #: Whether its result is to be thrown away, what it takes to be put back.
        self.is_cancelled = False
        self._token = self._layer.interruption
        self._changed = _UNAWAITED
        self._told: list[Outcome[Reply]] = []

    def start(self) -> None:
        """Begin."""
        self._layer._blocked[self] = None
        run(self._all_of_it(), self._finished)

    def cancel(self) -> None:
        """Give up. ``done`` is called once everything is put back."""
        self.is_cancelled = True
        self.look()

    def notify(self) -> bool:
        """Have the loop look whether the wait was interrupted."""
        try:
            self._session.loop.soon(self.look)
        except RuntimeError:
            return False  # the loop is closed
        return True

    def look(self) -> None:
        """Look again."""
        self._changed.resolve(None)

    @property
    def _is_over(self) -> bool:
        """Whether nothing more is waited for."""
        interrupted = self._token is not self._layer.interruption
        return self.is_cancelled or interrupted or self._session.is_closed

    def _finished(self, result: Any) -> None:
        self._layer._blocked.pop(self, None)
        self._done(result)

    async def _all_of_it(self) -> Any:
        result = await self._work()
        if self._session.is_passing:
            for told in self._told:
                await told  # the session would end before
        return result

    def _tell(
        self, shard: Shard, frame: bytes, failed: Callable[[Exception], object] = str
    ) -> None:
        """Send a command whose reply matters only where it is a failure."""
        told: Outcome[Reply] = Outcome()

        def replied(reply: Reply) -> None:
            if isinstance(reply, Exception):
                failed(reply)
            told.resolve(None)

        self._session.call(shard, frame, replied)
        if self._session.is_passing:
            self._told.append(told)

    async def _work(self) -> Any:
        raise NotImplementedError("a wait has to say what it does")

    async def _any_of(self, commands: Sequence[Command]) -> None:
        """Wait until one has its reply, or the wait is over; then end all."""
        while not self._is_over and not any(command.is_over for command in commands):
            await self._change()
        for command in commands:
            command.end()
        while not all(command.is_over for command in commands):
            await self._change()

    async def _change(self) -> None:
        self._changed = Outcome()
        await self._changed

    def _all_failed(self, commands: Sequence[Command]) -> LayerUnavailable | None:
        """The failure, where every command failed."""
        failures = [command.reply for command in commands]
        if all(isinstance(failure, LayerUnavailable) for failure in failures):
            failure: LayerUnavailable = failures[0]
            return failure
        return None


class Receive(Wait):
    """A receive of up to ``limit`` entries, or where that is None, of one entry for one target.

    ``convert`` makes its result of them, or something false where they are worth nothing; ``empty``
    is the result where a flush or an interrupt woke it.
    """

    __slots__ = (
        *("_convert", "_direct", "_empty", "_limit"),
        *("_listening", "_single", "_taken_over"),
    )

    def __init__(
        self,
        session: Session,
        listening: RedisListening,
        limit: int | None,
        convert: Callable[[list[Stored]], Any],
        empty: Any,
        done: Callable[[Any], object],
    ) -> None:
        super().__init__(session, done)
        self._listening = listening
        self._limit = limit or 1
        self._single = limit is None
        self._convert = convert
        self._empty = empty
        #: The stream of a pop that is waited for without a coroutine.
        self._direct: Stream | None = None
        #: That pop, once a coroutine has taken it over.
        self._taken_over: Command | None = None

    def start(self) -> None:
        """Begin: with the pop alone where that is all that there is to do, which costs least.

        A coroutine takes over whatever comes of it but messages to be handed out as they are.
        """
        self._session.receives[self] = None
        stream = self._idle_stream()
        if stream is None:
            super().start()
            return
        self._layer._blocked[self] = None
        self._direct = stream
        stream.send(self._frame(self._listening.parts[0], stream.connection.endpoint), self._popped)
        self.look()  # an interruption may have come before it was told of us

    def _idle_stream(self) -> Stream | None:
        """A stream that is there, where one pop serves."""
        parts = self._listening.parts
        if self._single or len(parts) > 1:
            return None
        return self._session.idle_stream(parts[0].shard)

    def look(self) -> None:
        """Look again."""
        if self._direct is None:
            super().look()
        elif self._is_over:
            self._take_over(self._direct)
            run(self._all_of_it(), self._finished)

    def _take_over(self, stream: Stream) -> Command:
        self._direct = None
        self._taken_over = self._command(self._listening.parts[0], stream)
        return self._taken_over

    def _popped(self, reply: Reply) -> None:
        """The reply to the pop that ``start`` sent."""
        if self._direct is None:
            assert self._taken_over is not None
            self._taken_over.replied(reply)
            return
        stored = self._simply_stored(reply)
        if not stored:
            self._take_over(self._direct).replied(reply)
            run(self._all_of_it(), self._finished)
            return
        stream, self._direct = self._direct, None
        shard = self._listening.parts[0].shard
        shard.worked()
        self._session.idle(shard, stream)
        self._hand_out(stored)

    def _simply_stored(self, reply: Reply) -> list[Stored] | None:
        """The entries of a reply; None where there is anything to be done about it beside."""
        if type(reply) is not list or type(reply[1]) is not list:
            return None
        part = self._listening.parts[0]
        now = part.shard.endpoint().now()
        stored = []
        for entry in reply[1]:
            if entry[:1] >= MARKED:
                return None
            try:
                deadline, targets, body = codec.unpack_envelope(entry)
            except InvalidStoredMessage:
                return None
            if deadline <= now:
                return None
            stored.append((part.queue_of(reply[0]), targets, body))
        part.served(reply[0])
        return stored

    def _hand_out(self, stored: list[Stored]) -> None:
        try:
            result = self._convert(stored)
        except Exception as error:
            result = error
        if result:
            self._finished(result)
        else:
            run(self._all_of_it(), self._finished)

    def _finished(self, result: Any) -> None:
        self._session.receives.pop(self, None)
        super()._finished(result)

    @property
    def parts(self) -> list[Part]:
        """What it listens to, by shard."""
        return self._listening.parts

    def wake(self) -> None:
        """End it with nothing: the generation changed, which its owner has to see."""
        self._token = object()
        self.look()

    async def _work(self) -> Any:
        refused_before = False
        delays = Backoff(_FIRST_PAUSE)
        taken_over = self._taken_over
        while taken_over or not self._is_over:
            commands = [taken_over] if taken_over else self._pops()
            taken_over = None
            await self._any_of(commands)
            found = [
                (command.shard, *await self._more(command))
                for command in commands
                if command.reply is not None and not isinstance(command.reply, Exception)
            ]
            failure = self._all_failed(commands)
            if failure is not None and not self._is_over:
                if isinstance(failure, NotDone) and refused_before:
                    raise failure
                refused_before = isinstance(failure, NotDone)
                await self._pause(delays.next_delay())
                continue
            refused_before = False
            delays.reset()
            stored = await self._stored(found)
            result = self._convert(stored) if stored else None
            if result:
                return result
        return self._empty

    async def _pause(self, seconds: float) -> None:
        timer = self._session.loop.later(seconds, self.look)
        if not self._is_over:
            await self._change()
        timer.cancel()

    def _pops(self) -> list[Command]:
        parts = self._listening.parts
        if len(parts) > 1:
            parts = [part for part in parts if not part.shard.rest()] or parts
        return [self._command(part) for part in parts]

    def _command(self, part: Part, sent_on: Stream | None = None) -> Command:
        frame = partial(self._frame, part)
        return Command(self._session, part.shard, frame, self.look, sent_on)

    def _frame(self, part: Part, endpoint: Endpoint) -> bytes:
        many = not self._single and endpoint.has_blmpop
        return part.pop_many(self._limit) if many else part.pop()

    async def _more(self, command: Command) -> tuple[str, list[bytes]]:
        """Queue and entries of a reply; what else there is where only one could be popped."""
        part = next(part for part in self._listening.parts if part.shard is command.shard)
        key, popped = command.reply
        queue = part.served(key)
        self._listening.part_served(part)
        if isinstance(popped, list):
            return queue, popped
        if self._single or self.is_cancelled:
            return queue, [popped]
        frame = resp.pack(("LPOP", key, self._limit - 1))
        try:
            more = await self._session.ask(part.shard, frame)
        except LayerUnavailable:
            more = None
        return queue, [popped, *(more or ())]

    async def _stored(self, found: list[tuple[Shard, str, list[bytes]]]) -> list[Stored]:
        """What the owner gets; the rest is put back."""
        kept: list[tuple[Shard, Taken]] = []
        for shard, queue, entries in found:
            if self.is_cancelled or (self._single and kept):
                self._give_back(shard, queue, entries)
                continue
            for entry in entries:
                taken = self._layer._examined(queue, entry)
                if taken is not None and not await self._is_expired(shard, taken):
                    kept.append((shard, taken))
        if self.is_cancelled:
            for shard, taken in reversed(kept):
                self._give_back(shard, taken.queue, [taken.packed()])
            return []
        return [self._handed_out(shard, taken) for shard, taken in kept]

    async def _is_expired(self, shard: Shard, taken: Taken) -> bool:
        if taken.deadline > shard.endpoint().now():
            return False
        try:
            reply = await self._session.ask(shard, self._layer._evict_frame(shard, taken))
        except LayerUnavailable:
            return True
        expired, eviction = reply
        if expired:
            self._layer._note_eviction(taken.queue, eviction)
            self._session.wake()
        return bool(expired)

    def _handed_out(self, shard: Shard, taken: Taken) -> Stored:
        """An entry for the owner, after what has to follow is on its way."""
        targets = taken.targets
        if self._single and len(targets) > 1:
            self._give_back(shard, taken.queue, [taken.packed(1)])
            targets = targets[:1]
        elif taken.waited_for:
            frame = self._layer._freed_frame(shard, taken.queue)
            self._tell(shard, frame)
        return taken.queue, targets, taken.body

    def _give_back(self, shard: Shard, queue: str, entries: list[bytes]) -> None:
        def lost(error: Exception) -> None:
            reason = f"it could not be put back: {error}"
            self._layer._drops.add(queue, len(entries), reason)

        self._tell(shard, self._layer._return_frame(shard, queue, entries), lost)


class RoomWait(Wait):
    """A wait for room."""

    __slots__ = ("_due", "_queue")

    def __init__(self, session: Session, queue: str, done: Callable[[Any], object]) -> None:
        super().__init__(session, done)
        self._queue = queue
        self._due = False

    @property
    def _is_over(self) -> bool:
        """Whether this round is: cancelled, or an entry has expired. Interruptions do not count."""
        return self.is_cancelled or self._due

    async def _work(self) -> None:
        while not self.is_cancelled:
            full = await self._full_shards()
            if full is None:
                return
            self._due = False
            # a reader that was killed may have taken the mark of waiting senders with it
            patience = min(BLOCK_SECONDS, min(full.values()) / 1000 + 0.001)
            timer = self._session.loop.later(patience, self._expired)
            commands = [self._wait_for_token(shard) for shard in full]
            await self._any_of(commands)
            timer.cancel()
            self._settle(full, commands)

    def _expired(self) -> None:
        self._due = True
        self.look()

    def _wait_for_token(self, shard: Shard) -> Command:
        tokens = shard.queue_keys(self._queue)[2]
        frame = resp.pack(("BLPOP", tokens, BLOCK_SECONDS))
        return Command(self._session, shard, lambda _: frame, self.look)

    async def _full_shards(self) -> dict[Shard, int] | None:
        """The shards, all full, and milliseconds until each expires an entry; None with room."""
        shards = self._layer._shards_of(self._queue)
        working = [shard for shard in shards if len(shards) == 1 or not shard.rest()] or shards
        asked = {
            shard: self._session.ask(shard, self._layer._room_frame(shard, self._queue, True))
            for shard in working
        }
        full: dict[Shard, int] = {}
        has_room = False
        failure: LayerUnavailable | None = None
        for shard, outcome in asked.items():
            try:
                left = await outcome
            except LayerUnavailable as error:
                failure = error
                continue
            has_room = has_room or left < 0
            if left >= 0:
                full[shard] = left
        if has_room:
            self._leave(full)
            return None
        if failure is not None and not full:
            raise failure
        return full

    def _leave(self, shards: Iterable[Shard]) -> None:
        for shard in shards:
            self._tell(shard, self._layer._leave_frame(shard, self._queue))

    def _settle(self, full: dict[Shard, int], commands: Sequence[Command]) -> None:
        """Account for the tokens: one is ours, unless we gave up; others are other senders'."""
        served = [command.shard for command in commands if isinstance(command.reply, list)]
        self._leave([shard for shard in full if shard not in served])
        for shard in served[0 if self.is_cancelled else 1 :]:
            frame = resp.pack(("LPUSH", shard.queue_keys(self._queue)[2], b""))
            self._tell(shard, frame)
