"""The layer's one connection and everything that is done over it.

An engine belongs to one thread, that of a loop which a *link* brings: a thread of the layer's own,
or a Twisted reactor. Nothing here locks or blocks. The engine makes its session, and makes it
again, later and later, after it was lost; receives and waits for room outlive that.
"""

import functools
import itertools
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from pika import BasicProperties
from pika.connection import Connection, Parameters

from channels import codec, names
from channels.exceptions import LayerUnavailable
from channels.layers.entries import Stored
from channels.layers.rabbitmq.failures import no_connection
from channels.layers.rabbitmq.holdings import Holdings
from channels.layers.rabbitmq.receiving import Receiving, Request
from channels.layers.rabbitmq.replica import Replica
from channels.layers.rabbitmq.replies import Reply, start
from channels.layers.rabbitmq.rooms import Levels, Rooms, Wait
from channels.layers.rabbitmq.session import Got, Session
from channels.layers.waiting import Listening
from channels.outage import Backoff, FailureLog

if TYPE_CHECKING:
    from channels.layers.rabbitmq.layer import RabbitmqChannelLayer

__all__ = ["Engine", "Link"]

logger = logging.getLogger("channels.layers")

#: Seconds between two refreshments of the layer's own queues, which last much longer.
_REFRESH = 3600.0


class Link(Protocol):
    """A loop, and how it connects. All calls come back in the loop's thread."""

    def connect(
        self,
        parameters: Parameters,
        opened: Callable[[Connection], None],
        failed: Callable[[BaseException], None],
        closed: Callable[[BaseException], None],
    ) -> None:
        """Connect, and call one of ``opened`` and ``failed``, and after the former ``closed``."""

    def call_later(self, delay: float, function: Callable[[], None]) -> None:
        """Call ``function`` in ``delay`` seconds."""


class Engine:
    """See the module. ``capacity_of``, ``rests``, ``handed``: what the layer's engines share."""

    def __init__(self, layer: "RabbitmqChannelLayer", link: Link) -> None:
        #: Another one with each connection: the broker may not know yet that the last one is lost,
        #: and keeps its exclusive queue until then.
        self.client = secrets.token_hex(8)
        #: The session that works, None where there is none.
        self.session: Session | None = None
        self.rests = layer.rests
        self.handed = layer.handed
        self.capacity_of = layer.get_capacity
        self.call_later = link.call_later
        self._layer = layer
        self._expiration = str(max(1, round(layer.expiry * 1000)))
        #: Of the messages that are published for process channels.
        self._numbers = itertools.count(1)
        self._link = link
        self._topology = layer.topology
        self._receiving = Receiving(self)
        self._rooms = Rooms(self)
        self._levels = Levels(layer.expiry)
        self._holdings = Holdings(self)
        self._connected: Reply[Session] = Reply()
        self._error: BaseException | None = None
        self._attempt = 0
        self._backoff = Backoff()
        self._log = FailureLog(logger, traceback=False)
        self._closed = False
        #: What was known last, for quick looks while there is no session.
        self._replica = Replica()
        self._connect()

    # Life

    def _connect(self) -> None:
        if self._closed:
            return
        parameters = self._layer.parameters[self._attempt % len(self._layer.parameters)]
        self._attempt += 1
        sessions: list[Session] = []

        def opened(connection: Connection) -> None:
            self.client = secrets.token_hex(8)
            session = Session(connection, self._topology, self.client, self._lost)
            sessions.append(session)
            opening = start(session.open(self._observe))
            opening.when_settled(lambda: self._opened(session, opening))

        def closed(error: BaseException) -> None:
            for session in sessions:
                session.fail(error)

        self._link.connect(parameters, opened, self._failed, closed)

    def _opened(self, session: Session, opening: Reply[None]) -> None:
        try:
            opening.result()
        except Exception as error:
            session.fail(error)
            return
        self.session = session
        before, self._replica = self._replica.epoch, session.journal.replica
        self._error = None
        self._backoff.reset()
        if self._log.failing:
            self._log.recovered("RabbitMQ is back")
        for channel in (session.shared, session.alone):
            channel.add_on_cancel_callback(self._cancelled)
            delivered = functools.partial(self._receiving.delivered, channel)
            session.wire.on_delivery(channel, delivered)
        self._connected.succeed(session)
        if before and before != self._replica.epoch:
            self._receiving.generation_changed()
        self._receiving.want_all()
        self._rooms.ask_again()
        self.call_later(_REFRESH, lambda: self._refresh(session))

    def _refresh(self, session: Session) -> None:
        if session is self.session:
            session.refresh()
            self.call_later(_REFRESH, lambda: self._refresh(session))

    def _lost(self, session: Session, error: BaseException) -> None:
        if session is self.session:
            self.session = None
            self._connected = Reply()
            self.handed.lost(session)
            self._receiving.lost()
        session.close()
        self._failed(error)

    def _failed(self, error: BaseException) -> None:
        if self._closed:
            return
        self._log.failed("No connection to %s: %r", self._layer.broker, error)
        if self._attempt % len(self._layer.parameters) == 0:
            self._error = error
            connected, self._connected = self._connected, Reply()
            connected.fail(no_connection(self._layer.broker, error))
        self.call_later(self._backoff.next_delay(), self._connect)

    def close(self) -> None:
        """End the session and make no other."""
        self._closed = True
        self._receiving.interrupted()
        self._rooms.end_all()
        if self.session is not None:
            self.handed.lost(self.session)
            self.session.close()

    async def ready(self) -> Session:
        """The session; raises ``LayerUnavailable`` where there was none lately."""
        if self._closed:
            raise LayerUnavailable("the layer was closed during a call; it may be called again")
        if self.session is not None:
            return self.session
        if self._error is not None:
            raise no_connection(self._layer.broker, self._error)
        return await self._connected

    def failed(self, error: BaseException) -> None:
        """Something that nobody waits for went wrong."""
        if self.session is not None:
            self._log.failed("RabbitMQ refused something: %r", error)

    # What others do

    def _cancelled(self, frame: Any) -> None:
        self._receiving.cancelled(frame.method.consumer_tag)

    def _observe(self, operation: dict[str, Any]) -> None:
        observer = getattr(self, "_observe_" + operation["do"], None)
        if observer is not None:
            observer(operation)

    def _observe_use(self, operation: dict[str, Any]) -> None:
        self._receiving.want(operation["queue"])

    def _observe_want(self, operation: dict[str, Any]) -> None:
        self._rooms.wanted(operation["queue"], operation["client"])

    def _observe_room(self, notice: dict[str, Any]) -> None:
        self._rooms.look(notice["queue"])

    def _observe_hold(self, operation: dict[str, Any]) -> None:
        self._holdings.asked(operation)

    def _observe_held(self, notice: dict[str, Any]) -> None:
        self._holdings.told(notice)

    def _observe_empty(self, operation: dict[str, Any]) -> None:
        self.rests.clear()
        self._receiving.drop_all()
        if self.session is not None:
            self.session.forget()
            self._receiving.generation_changed()

    def _observe_emptied(self, operation: dict[str, Any]) -> None:
        self._rooms.look_everywhere()

    def _observe_expired(self, event: dict[str, Any]) -> None:
        queue = event["queue"]
        self._rooms.look(queue)
        session = self.session
        if session is not None and names.is_process_channel(queue):
            self._receiving.drop(queue)
            evicted = self._topology.queue(queue, event["evictions"])
            if session.is_declared(evicted):
                start(session.delete(evicted))
            self._receiving.generation_changed(queue)

    # Sending

    async def push(self, queue: str, targets: tuple[str, ...], body: bytes) -> bool:
        """See ``Primitives._push``."""
        session = await self.ready()
        until = round((time.time() + self._layer.expiry) * 1000)
        envelope = codec.pack_envelope(body, until, targets)
        properties = BasicProperties(
            expiration=self._expiration, message_id=self._next_identifier(queue)
        )
        stored = await session.push(queue, self.capacity_of(queue), envelope, properties)
        self._layer.counts.add(queue, stored)
        if stored:
            self._levels.has_room(session.name(queue))
        elif names.is_process_channel(queue):
            start(self._measure(session, session.name(queue)))
        return stored

    def _next_identifier(self, queue: str) -> str | None:
        """The ``message_id`` that ``Handed`` needs; never the same as one of the journal."""
        if names.is_process_channel(queue):
            return f"{self.client}-{next(self._numbers)}"
        return None

    async def _measure(self, session: Session, name: str) -> None:
        count, _ = await session.count(name)
        self._levels.refused(name, count)

    async def push_group(self, group: str, body: bytes) -> list[tuple[str, int]]:
        """See ``Primitives._push_group``."""
        session = await self.ready()
        await session.journal.mark()
        entries = [
            (members.queue, targets, start(self.push(members.queue, targets, body)))
            for members in session.journal.replica.current_groups().members(group)
            for targets in members.packed()
        ]
        return [
            (queue, len(targets) or 1) for queue, targets, stored in entries if not await stored
        ]

    async def operate(self, **operation: Any) -> None:
        """Have all clients apply an operation."""
        session = await self.ready()
        await session.journal.operate(**operation)

    async def empty(self) -> None:
        """See ``Primitives._clear``."""
        session = await self.ready()
        await session.journal.operate(do="empty", epoch=names.random_part())
        for queue in session.journal.replica.emptied:
            await session.delete(session.name(queue))
        await session.journal.operate(do="emptied")

    # Receiving

    async def take_now(self, listening: Listening, limit: int | None) -> list[Stored]:
        """What there is, without waiting for more."""
        session = await self.ready()
        taken = self._receiving.take_at_hand(listening, limit)
        try:
            await self._receiving.acknowledged()
        except Exception:
            taken = self._receiving.unconfirmed(taken)
            if taken:
                return taken
            raise
        try:
            await self._take_more(session, taken, listening, limit)
        except Exception:
            if not taken:  # else they are ours
                raise
        return taken

    async def _take_more(
        self, session: Session, taken: list[Stored], listening: Listening, limit: int | None
    ) -> None:
        registered = session.journal.replica.queues
        if not taken and not all(queue in registered for queue in listening.queues):
            await session.journal.mark()
        while len(taken) < (limit or 1):
            stored = await self._take_next(session, listening, limit is None)
            if stored is None:
                break
            taken.append(stored)

    async def _take_next(
        self, session: Session, listening: Listening, single: bool
    ) -> Stored | None:
        order = listening.in_turn()
        for position, queue in enumerate(order):
            if queue not in session.journal.replica.queues:
                continue
            await self._receiving.release(queue)
            got = await self._get(session, queue)
            if got is not None:
                self.left(queue)
                listening.served(position)
                return self._receiving.hand_out(queue, (got.targets, got.body), single)
        return None

    async def _get(self, session: Session, queue: str) -> Got | None:
        if not names.is_process_channel(queue):
            maybe_lost = functools.partial(self._maybe_lost_one, queue)
            return await session.get(session.name(queue), maybe_lost)
        while True:
            got = await session.get_at_once(session.name(queue))
            if got is None or self.handed.first_time(session, queue, got.message_id):
                return got

    def ask(self, request: Request) -> None:
        """Serve ``request`` as soon as there is something."""
        if self._closed:
            request.finish([])
        else:
            self._receiving.ask(request)

    def withdraw(self, request: Request) -> None:
        """End ``request``; it may have got a message."""
        self._receiving.withdraw(request)

    def keep(self, queue: str, targets: tuple[str, ...], body: bytes) -> None:
        """Keep the other targets of an entry for the next receive of this process."""
        self.rests.put(queue, targets, body)
        self._layer.poke(queue)

    def put_back(self, taken: Iterable[Stored]) -> None:
        """Keep what was taken for a receive that was cancelled."""
        for queue, targets, body in taken:
            self.keep(queue, targets, body)

    def maybe_lost(self, taken: Iterable[Stored]) -> None:
        """The connection was lost before the broker confirmed that these messages were taken."""
        for queue, targets, _ in taken:
            self._layer.drop(queue, len(targets) or 1, "the connection was lost as it was received")

    def _maybe_lost_one(self, queue: str, got: Got) -> None:
        self.maybe_lost([(queue, got.targets, got.body)])

    def serve(self, queue: str) -> None:
        """There may be something for those who wait for ``queue``."""
        self._receiving.serve(queue)

    def at_hand(self) -> dict[str, int]:
        """How many messages of each channel are at hand here."""
        found = Counter(self._receiving.at_hand())
        found.update(self._own_rests())
        return found

    def _own_rests(self) -> dict[str, int]:
        return self.rests.counts() if self._layer.is_first(self) else {}

    def damaged(self, queue: str, error: Exception) -> None:
        """Bytes that are no message were taken from ``queue``."""
        self._layer.drop(queue, 1, f"its bytes are invalid: {error}")

    # Room

    def left(self, queue: str) -> None:
        """A message left ``queue``."""
        self._rooms.left(queue)

    def tell(self, queue: str, only: str | None = None) -> None:
        """Tell those who wait for room in ``queue``."""
        session = self.session
        if session is None:
            return
        for client in session.journal.replica.wanting(queue):
            if client == self.client:
                self._rooms.look(queue)
            elif only is None or client == only:
                session.journal.notify(client, do="room", queue=queue)

    async def fill(self, queue: str) -> tuple[int, int]:
        """The messages in ``queue``, and how many it holds."""
        session = await self.ready()
        name = session.name(queue)
        count, _ = await session.count(name)
        return count, self._levels.limit(name, self.capacity_of(queue))

    def await_room(self, wait: Wait) -> None:
        """Finish ``wait`` when there is room."""
        if self._closed:
            wait.finish()
        else:
            self._rooms.ask(wait)

    def give_up_room(self, wait: Wait) -> None:
        """Forget ``wait``."""
        self._rooms.withdraw(wait)

    # Looks

    async def group_channels(self, group: str) -> list[str]:
        """See ``Primitives._group_channels``."""
        session = await self.ready()
        await session.journal.mark()
        return [
            members.queue + local
            for members in session.journal.replica.current_groups().members(group)
            for local in members
        ]

    def exists(self, channel: str) -> bool:
        """See ``Primitives._exists``; may be called by any thread.

        A message to one target of a process channel is not seen.
        """
        session = self.session
        if session is None:
            return False
        replica = session.journal.replica
        queue, local = names.split_name(channel)
        waits = not names.is_process_channel(queue) and queue in replica.queues
        return waits or replica.groups.has_member(queue, local)

    def generation(self, queue: str | None) -> str:
        """See ``Primitives._generation``; may be called by any thread.

        The empty string where nothing is known yet.
        """
        return self._replica.generation(queue) if self._replica.epoch else ""

    def listened(self) -> list[frozenset[str]]:
        """What each listener listens to; may be called by any thread."""
        return self._replica.listened()

    async def depths(self, queues: Iterable[str] | None = None) -> dict[str, tuple[int, int]]:
        """How many messages wait in each channel, of all where none are named, and the number of
        consumers. Channels without messages are left out."""
        session = await self.ready()
        if queues is None:
            await session.journal.mark()
            queues = [*session.journal.replica.queues]
        before = {queue: await self._count(session, queue) for queue in queues}
        held = await self._holdings.counts()
        found = {}
        for queue, (name, earlier, _) in before.items():
            now_name, now, consumers = await self._count(session, queue)
            if name == now_name:  # else it was evicted meanwhile
                now = max(now, earlier)  # one that was at hand may be back, or the other way round
            if now + held[queue]:
                found[queue] = now + held[queue], consumers
        return found

    async def _count(self, session: Session, queue: str) -> tuple[str, int, int]:
        name = session.name(queue)
        return name, *await session.count(name)

    async def ages(self, depths: dict[str, tuple[int, int]]) -> float:
        """The seconds that the oldest message of these channels waits.

        A channel with a single reader that reads just now is left out: to look at a message means
        to take it and to put it back, and its reader could get the next one first.
        """
        session = await self.ready()
        oldest = 0.0
        for queue, (_, consumers) in depths.items():
            alone = "?" in queue or names.is_process_channel(queue)
            if not (alone and consumers):
                got = await session.peek(session.name(queue))
                if got is not None:
                    oldest = max(oldest, time.time() - (got.until - self._layer.expiry))
        return oldest
