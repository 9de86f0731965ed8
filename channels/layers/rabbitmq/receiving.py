"""Receives that wait: who waits for which channel, and the consumers that serve them.

The broker hands messages out to consumers before somebody asks, and a message that is at hand here
cannot be taken by another process. So there is a consumer only while a receive waits for its
channel, and a moment longer, because the next receive comes soon where there is much to do. One at
hand that nobody takes goes back to its place in the queue.

A message is handed out once the broker has confirmed that it was acknowledged, so that nobody else
gets it when the connection is lost. That of a process channel, which nobody else reads, is handed
out at once, and known again where it comes again.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

from pika.channel import Channel

from channels import names
from channels.exceptions import InvalidStoredMessage
from channels.layers.entries import Stored
from channels.layers.rabbitmq.replies import Reply, start
from channels.layers.rabbitmq.session import Session, opened
from channels.layers.waiting import Listening

if TYPE_CHECKING:
    from channels.layers.rabbitmq.engine import Engine

__all__ = ["Receiving", "Request", "Rests"]

#: Seconds for which a consumer outlives the receive that it served: long enough for a consumer of
#: the application that has little to do, too short to matter to a message that waits meanwhile.
LINGER = 0.005

#: The states of a consumer.
STARTING, ACTIVE, STOPPING = "starting", "active", "stopping"


class Rests:
    """Entries for several targets of which some were handed out; this process keeps the others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, deque[tuple[tuple[str, ...], bytes]]] = {}

    def put(self, queue: str, targets: tuple[str, ...], body: bytes) -> None:
        """Keep the other targets of an entry."""
        with self._lock:
            self._entries.setdefault(queue, deque()).appendleft((targets, body))

    def take(self, queue: str) -> tuple[tuple[str, ...], bytes] | None:
        """Remove the next one of ``queue``."""
        with self._lock:
            entries = self._entries.get(queue)
            if not entries:
                return None
            entry = entries.popleft()
            if not entries:
                del self._entries[queue]
            return entry

    def counts(self) -> dict[str, int]:
        """How many there are of each queue."""
        with self._lock:
            return {queue: len(entries) for queue, entries in self._entries.items()}

    def has(self, queue: str) -> bool:
        """Whether there is one of ``queue``."""
        return queue in self._entries

    def clear(self) -> None:
        """Forget them all."""
        with self._lock:
            self._entries.clear()


class Request:
    """One receive. ``limit`` is the number of entries it takes, None for one single target.

    ``finished`` is called when ``taken`` is there, by the thread of the engine.
    """

    __slots__ = ("ended", "finished", "limit", "listening", "taken", "taking")

    def __init__(
        self, listening: Listening, limit: int | None, finished: Callable[[], object]
    ) -> None:
        self.listening = listening
        self.limit = limit
        self.finished = finished
        self.taken: list[Stored] | None = None
        #: Whether something was taken for it that the broker has to confirm first.
        self.taking = False
        #: Whether nobody waits for it any more.
        self.ended = False

    def finish(self, taken: list[Stored]) -> None:
        """Give it what it takes, nothing where it is withdrawn."""
        self.taken = taken
        self.finished()


class Consumer:
    """The consumer of one queue, and what the broker has handed to it."""

    __slots__ = ("at_hand", "change", "channel", "queue", "served", "state", "tag")

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.state = STARTING
        #: The change of state that is under way.
        self.change: Reply[None] | None = None
        self.channel: Channel | None = None
        self.tag = ""
        #: Delivery tags, identifiers, targets and bodies.
        self.at_hand: deque[tuple[int, str, tuple[str, ...], bytes]] = deque()
        #: When it served a receive, by the monotonic clock.
        self.served = time.monotonic()


def _read_by_the_wire(*message: Any) -> None:
    """The callback that pika asks for; it is never called."""


def _is_open(channel: Channel | None) -> TypeGuard[Channel]:
    """Whether the channel takes a command; a session notices a moment later that it does not."""
    return channel is not None and bool(channel.is_open)


class Receiving:
    """The receives of one engine. Everything here runs in the engine's thread."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._lines: dict[str, OrderedDict[Request, None]] = {}
        self._consumers: dict[str, Consumer] = {}
        #: Those that the broker may still hand something to, by their tags.
        self._tags: dict[str, Consumer] = {}
        #: The AMQP channels on which the present step acknowledged something that is handed out
        #: when the broker has confirmed that.
        self._acknowledged: list[Channel] = []
        self._idle: set[Consumer] = set()
        self._tidying = False

    # Receives

    def ask(self, request: Request) -> None:
        """Serve ``request`` now or as soon as there is something."""
        taken = self.take_at_hand(request.listening, request.limit)
        if taken:
            self._hand_over(request, taken)
            return
        for queue in request.listening.queues:
            self._lines.setdefault(queue, OrderedDict())[request] = None
        for queue in request.listening.queues:
            self.want(queue)

    def withdraw(self, request: Request) -> None:
        """End ``request``, with a message if one was taken for it already."""
        request.ended = True
        if request.taken is None and not request.taking:
            self._leave_lines(request)
            request.finish([])

    def _hand_over(self, request: Request, taken: list[Stored]) -> None:
        """Finish ``request``, once the broker knows what was taken for it that others may read."""
        session, channels = self._engine.session, self._acknowledged
        if not channels or session is None:
            request.finish(taken)
            return
        self._acknowledged = []
        request.taking = True
        replies = [session.acknowledged(channel) for channel in channels]
        start(self._hand_over_then(request, taken, replies))

    async def _hand_over_then(
        self, request: Request, taken: list[Stored], replies: list[Reply[None]]
    ) -> None:
        try:
            for reply in replies:
                await reply
        except Exception:
            request.taking = False
            ours = self.unconfirmed(taken)
            if ours or request.ended:
                request.finish(ours)
            else:
                self.ask(request)
        else:
            request.finish(taken)

    def unconfirmed(self, taken: list[Stored]) -> list[Stored]:
        """What is handed out of ``taken`` though the broker did not confirm it: that of process
        channels. It has the others still, or they are lost; to hand them out could double them."""
        self._engine.maybe_lost(one for one in taken if not names.is_process_channel(one[0]))
        return [one for one in taken if names.is_process_channel(one[0])]

    async def acknowledged(self) -> None:
        """Wait until the broker knows what was taken just now that others may read."""
        session, channels = self._engine.session, self._acknowledged
        self._acknowledged = []
        if session is not None:
            for reply in [session.acknowledged(channel) for channel in channels]:
                await reply

    def _leave_lines(self, request: Request) -> None:
        for queue in request.listening.queues:
            line = self._lines.get(queue)
            if line is not None:
                line.pop(request, None)
                if not line:
                    del self._lines[queue]
                    self._linger(queue)

    def _acknowledge(self, queue: str, channel: Channel, tag: int, message_id: str) -> bool:
        """Take a message; False where it was handed out before."""
        session = self._engine.session
        if session is None:
            return False
        session.wire.acknowledge(channel, tag)
        if names.is_process_channel(queue):
            return self._engine.handed.first_time(session, queue, message_id)
        if channel not in self._acknowledged:
            self._acknowledged.append(channel)
        return True

    def take_at_hand(self, listening: Listening, limit: int | None) -> list[Stored]:
        """What can be handed out without asking the broker."""
        taken: list[Stored] = []
        while len(taken) < (limit or 1):
            stored = self._next_at_hand(listening, limit is None)
            if stored is None:
                break
            taken.append(stored)
        return taken

    def _next_at_hand(self, listening: Listening, single: bool) -> Stored | None:
        if not self._consumers and not self._engine.rests.counts():
            return None
        for position, queue in enumerate(listening.in_turn()):
            entry = self._take(queue)
            if entry is not None:
                listening.served(position)
                return self.hand_out(queue, entry, single)
        return None

    def _take(self, queue: str) -> tuple[tuple[str, ...], bytes] | None:
        entry = self._engine.rests.take(queue)
        if entry is not None:
            return entry
        consumer = self._consumers.get(queue)
        while consumer is not None and consumer.at_hand and _is_open(consumer.channel):
            tag, message_id, targets, body = consumer.at_hand.popleft()
            if self._acknowledge(queue, consumer.channel, tag, message_id):
                consumer.served = time.monotonic()
                return targets, body
        return None

    def hand_out(self, queue: str, entry: tuple[tuple[str, ...], bytes], single: bool) -> Stored:
        """What a receive gets of ``entry``; the rest of its targets is kept for the next."""
        targets, body = entry
        if single and len(targets) > 1:
            self._engine.keep(queue, targets[1:], body)
            targets = targets[:1]
        return queue, targets, body

    def serve(self, queue: str) -> None:
        """Give what is at hand to those who wait for it, first come first served."""
        while (line := self._lines.get(queue)) and self._has(queue):
            request = next(iter(line))
            taken = self.take_at_hand(request.listening, request.limit)
            if not taken:
                break  # it was handed out before
            self._leave_lines(request)
            self._hand_over(request, taken)

    def _has(self, queue: str) -> bool:
        consumer = self._consumers.get(queue)
        return self._engine.rests.has(queue) or (consumer is not None and bool(consumer.at_hand))

    def generation_changed(self, queue: str | None = None) -> None:
        """Have interface servers look: ``queue`` was evicted, or without one the layer emptied."""
        for line in [self._lines.get(queue)] if queue is not None else list(self._lines.values()):
            for request in list(line or ()):
                if request.limit is not None and request.taken is None and not request.taking:
                    self._leave_lines(request)
                    request.finish([])

    def interrupted(self) -> None:
        """End all receives without a message, because the layer is closed."""
        for line in list(self._lines.values()):
            for request in list(line):
                if request.taken is None:
                    self._leave_lines(request)
                    request.finish([])

    # Consumers

    def want(self, queue: str) -> None:
        """Have a consumer of ``queue``, where somebody waits for it and it may hold messages."""
        session = self._engine.session
        if session is None or queue in self._consumers or queue not in self._lines:
            return
        if queue in session.journal.replica.queues:
            consumer = self._consumers[queue] = Consumer(queue)
            consumer.change = start(self._start(session, consumer))

    def want_all(self) -> None:
        """Have all consumers that somebody waits for."""
        for queue in list(self._lines):
            self.want(queue)

    async def _start(self, session: Session, consumer: Consumer) -> None:
        queue = consumer.queue
        try:
            if not session.is_declared(session.name(queue)):
                await session.declare(queue, self._engine.capacity_of(queue))
        except Exception as error:
            self._consumers.pop(queue, None)
            self._engine.failed(error)
            return
        alone = names.is_process_channel(queue) or "?" in queue
        consumer.channel = channel = session.alone if alone else session.shared
        started: Reply[Any] = session.watched(Reply())
        consumer.tag = channel.basic_consume(
            session.name(queue), _read_by_the_wire, callback=started.succeed
        )
        self._tags[consumer.tag] = consumer
        await started
        consumer.state = ACTIVE
        self._linger(queue)

    def delivered(
        self, channel: Channel, consumer_tag: str, tag: int, message_id: str, body: bytes
    ) -> None:
        """The broker handed out a message."""
        if not channel.is_open:
            return  # it goes back by itself
        consumer = self._tags.get(consumer_tag)
        if consumer is not None:
            self._received(consumer, channel, tag, message_id, body)
        else:  # some come after the broker has confirmed that the consumer was cancelled
            channel.basic_nack(tag, requeue=True)

    def _received(
        self, consumer: Consumer, channel: Channel, tag: int, message_id: str, body: bytes
    ) -> None:
        try:
            got = opened(body)
        except InvalidStoredMessage as error:
            channel.basic_ack(tag)
            self._engine.damaged(consumer.queue, error)
            return
        consumer.at_hand.append((tag, message_id, got.targets, got.body))
        self._engine.left(consumer.queue)
        if self._consumers.get(consumer.queue) is consumer:
            self.serve(consumer.queue)
            if consumer.at_hand:
                self._linger(consumer.queue)
        else:
            self._give_back(consumer)

    async def stop(self, queue: str) -> None:
        """End the consumer of ``queue``; what it had on its way is at hand then."""
        consumer = self._consumers.get(queue)
        if consumer is not None:
            await self._stop(consumer)

    async def _stop(self, consumer: Consumer) -> None:
        if consumer.state == STARTING and consumer.change is not None:
            await consumer.change
        if consumer.state == ACTIVE:
            consumer.state = STOPPING
            consumer.change = start(self._cancel(consumer))
        if consumer.change is not None:
            await consumer.change

    async def _cancel(self, consumer: Consumer) -> None:
        session, channel = self._engine.session, consumer.channel
        if session is None or channel is None:
            return
        cancelled: Reply[Any] = session.watched(Reply())
        channel.basic_cancel(consumer.tag, callback=cancelled.succeed)
        await cancelled
        self._tags.pop(consumer.tag, None)

    def _settle(self, consumer: Consumer) -> None:
        """After a stop: begin again where somebody waits, else give back what is at hand."""
        if consumer.state != STOPPING or self._consumers.get(consumer.queue) is not consumer:
            return
        self.serve(consumer.queue)
        del self._consumers[consumer.queue]
        self._idle.discard(consumer)
        self._give_back(consumer)
        self.want(consumer.queue)

    def _give_back(self, consumer: Consumer) -> None:
        while consumer.at_hand:
            tag, *_ = consumer.at_hand.popleft()
            if _is_open(consumer.channel):
                consumer.channel.basic_nack(tag, requeue=True)

    async def release(self, queue: str) -> None:
        """End the consumer of ``queue`` and give back what it has at hand."""
        consumer = self._consumers.get(queue)
        if consumer is not None:
            await self._stop(consumer)
            self._settle(consumer)

    def drop(self, queue: str) -> None:
        """Forget the consumer of a queue that was deleted, with what it had at hand."""
        consumer = self._consumers.pop(queue, None)
        if consumer is not None:
            self._idle.discard(consumer)
            self._tags.pop(consumer.tag, None)
            if _is_open(consumer.channel):
                for tag, *_ in consumer.at_hand:
                    consumer.channel.basic_ack(tag)
            consumer.at_hand.clear()

    def drop_all(self) -> None:
        """Forget all consumers, because the queues were deleted."""
        for queue in list(self._consumers):
            self.drop(queue)

    def cancelled(self, tag: str) -> None:
        """The broker ended a consumer, because its queue was deleted."""
        self._tags.pop(tag, None)
        for queue, consumer in list(self._consumers.items()):
            if consumer.tag == tag:
                self.drop(queue)
                session = self._engine.session
                if session is not None:
                    session.forget(session.name(queue))
                self.want(queue)

    def lost(self) -> None:
        """The session is over: the broker gives what was at hand to others."""
        self._consumers.clear()
        self._tags.clear()
        self._acknowledged.clear()
        self._idle.clear()

    def at_hand(self) -> dict[str, int]:
        """How many messages of each channel are at hand."""
        return {
            queue: len(consumer.at_hand)
            for queue, consumer in self._consumers.items()
            if consumer.at_hand
        }

    # Consumers that nobody waits for

    def _linger(self, queue: str) -> None:
        consumer = self._consumers.get(queue)
        if consumer is not None and queue not in self._lines:
            self._idle.add(consumer)
            if not self._tidying:
                self._tidying = True
                self._engine.call_later(LINGER, self._tidy)

    def _tidy(self) -> None:
        self._tidying = False
        now = time.monotonic()
        for consumer in list(self._idle):
            if consumer.queue in self._lines or consumer.state != ACTIVE:
                self._idle.discard(consumer)
            elif now - consumer.served >= LINGER:
                self._idle.discard(consumer)
                start(self.release(consumer.queue))
        if self._idle and not self._tidying:
            self._tidying = True
            self._engine.call_later(LINGER, self._tidy)
