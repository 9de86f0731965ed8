"""One connection to the broker: its AMQP channels, and what is asked of it.

A session is lost as a whole: with its connection, or when the broker closes one of its AMQP
channels for a reason that no caller expects. Whatever waited for an answer then fails, and the
engine makes another one.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from pika import BasicProperties
from pika.channel import Channel
from pika.connection import Connection
from pika.exceptions import AMQPError, ChannelClosedByBroker, ChannelClosedByClient
from pika.spec import Basic

from channels import codec
from channels.exceptions import LayerUnavailable
from channels.layers.rabbitmq.journal import Journal
from channels.layers.rabbitmq.lanes import REFUSED, UNROUTABLE, Lane, Publisher
from channels.layers.rabbitmq.replies import Reply, start
from channels.layers.rabbitmq.topology import OP, Topology
from channels.layers.rabbitmq.wire import Wire

__all__ = ["PREFETCHED_ALONE", "Got", "Session"]

#: Codes of AMQP 0-9-1: what is asked for does not exist; it exists with other arguments.
_NOT_FOUND, _PRECONDITION_FAILED = 404, 406

#: Declarations that are remembered.
_REMEMBERED = 10_000

#: Times that a message is published again after its queue was found gone.
_ATTEMPTS = 5

#: Messages that the broker hands out at once for a channel that anybody may read: few, since they
#: wait for this process; and for one with a single reader.
_PREFETCHED, PREFETCHED_ALONE = 2, 50


class Got(NamedTuple):
    """A message that was taken from a queue, and when it was to expire, in seconds since 1970.

    ``message_id`` is empty where its sender gave it none.
    """

    targets: tuple[str, ...]
    body: bytes
    until: float
    message_id: str


class Session:
    """What can be asked of an open ``connection``. ``lost`` is called once, with the reason."""

    publisher: Publisher
    journal: Journal
    #: For consumers of channels with many readers, and of those with a single one.
    shared: Channel
    alone: Channel

    def __init__(
        self,
        connection: Connection,
        topology: Topology,
        client: str,
        lost: Callable[["Session", BaseException], None],
    ) -> None:
        self._connection = connection
        self._topology = topology
        self._client = client
        self._tell = lost
        self.error: BaseException | None = None
        self._is_blocked = False
        connection.add_on_connection_blocked_callback(lambda *_: self._block(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._block(False))
        self.wire = Wire(connection)
        self._opening: set[Reply[Any]] = set()
        self._declared: OrderedDict[str, float] = OrderedDict()
        self._declaring: dict[str, Reply[None]] = {}
        self._questions = Lane(self._open_lane)
        self._gets = Lane(self._open_get_lane)

    # Life

    async def open(self, observe: Callable[[dict[str, Any]], None]) -> None:
        """Declare what the layer needs, and learn its state."""
        self.publisher = Publisher(await self.open_channel(), self.wire)
        feed = await self.open_channel()
        self.journal = Journal(
            self._topology, self._client, self.publisher, self.open_channel, observe
        )
        await self._declare_topology(feed)
        feed.basic_consume(self._topology.client(self._client), self.journal.receive, auto_ack=True)
        self.shared, self.alone = await self.open_channel(), await self.open_channel()
        self.shared.basic_qos(prefetch_count=_PREFETCHED)
        self.alone.basic_qos(prefetch_count=PREFETCHED_ALONE)
        await self.journal.join()

    async def _declare_topology(self, channel: Channel) -> None:
        names, mine = self._topology, self._topology.client(self._client)
        channel.queue_declare(names.clients, arguments=names.clients_arguments)
        channel.basic_consume(names.clients, lambda *message: None, auto_ack=True)
        channel.exchange_declare(names.journal, "fanout", auto_delete=True)
        channel.exchange_declare(names.feed, "direct", auto_delete=True)
        channel.queue_declare(names.log, arguments=names.log_arguments)
        channel.queue_bind(names.log, names.feed, OP)
        channel.queue_declare(mine, exclusive=True)
        channel.queue_bind(mine, names.feed, OP)
        channel.queue_bind(mine, names.feed, self._client)
        channel.queue_declare(names.sequencer, arguments=names.sequencer_arguments)
        bound: Reply[Any] = self.watched(Reply())
        channel.queue_bind(names.sequencer, names.journal, callback=bound.succeed)
        await bound

    def refresh(self) -> None:
        """Keep the layer's own queues from expiring."""
        self._question(self._declare_own)

    def _declare_own(self, channel: Channel, reply: Reply[Any]) -> None:
        names = self._topology
        channel.queue_declare(names.clients, arguments=names.clients_arguments)
        channel.queue_declare(names.log, arguments=names.log_arguments)
        channel.queue_declare(
            names.sequencer, arguments=names.sequencer_arguments, callback=reply.succeed
        )

    def fail(self, error: BaseException) -> None:
        """The connection is lost, or of no use any more."""
        if self.error is not None:
            return
        self.error = error
        self._tell(self, error)
        for part in (self.publisher, self.journal) if hasattr(self, "journal") else ():
            part.fail(error)
        for lane in (self._questions, self._gets):
            lane.fail(error)
        for reply in list(self._opening):
            reply.fail(error)

    def close(self) -> None:
        """Close the connection, if it is open."""
        if self._connection.is_open:
            if hasattr(self, "journal"):
                self.journal.close()
            self._connection.close()

    def _block(self, is_blocked: bool) -> None:
        """The broker reads nothing while it is short of memory or disk, or reads again."""
        self._is_blocked = is_blocked

    def watched(self, reply: Reply[Any]) -> Reply[Any]:
        """``reply``, which fails with the session."""
        if self.error is not None:
            reply.fail(self.error)
        self._opening.add(reply)
        reply.when_settled(lambda: self._opening.discard(reply))
        return reply

    # AMQP channels

    def open_channel(self) -> Reply[Channel]:
        """A channel whose end, unless it is closed here, is that of the session."""
        reply = self._open_lane()
        reply.when_settled(lambda: self._guard(reply))
        return reply

    def _guard(self, reply: Reply[Channel]) -> None:
        if self.error is None:
            reply.result().add_on_close_callback(self._channel_closed)

    def _channel_closed(self, channel: Channel, reason: BaseException) -> None:
        if not isinstance(reason, ChannelClosedByClient):
            self.fail(reason)

    def _open_lane(self) -> Reply[Channel]:
        reply: Reply[Channel] = self.watched(Reply())
        if self.error is None:
            self._connection.channel(on_open_callback=reply.succeed)
        return reply

    def _open_get_lane(self) -> Reply[Channel]:
        reply = self._open_lane()
        reply.when_settled(lambda: self._prepare_gets(reply))
        return reply

    def _prepare_gets(self, reply: Reply[Channel]) -> None:
        if self.error is None:
            reply.result().add_callback(
                lambda frame: self._gets.answer(None), [Basic.GetEmpty], one_shot=False
            )

    # Queues of channels

    def name(self, queue: str) -> str:
        """The name of the broker's queue for the channel ``queue``."""
        return self._topology.queue(queue, self.journal.replica.evicted(queue))

    def is_declared(self, name: str) -> bool:
        """Whether the broker's queue ``name`` can be relied on to exist."""
        return self._declared.get(name, 0.0) > time.monotonic() and name not in self._declaring

    async def declare(self, queue: str, capacity: int) -> None:
        """Have the queue of a channel exist."""
        name = self.name(queue)
        declaring = self._declaring.get(name)
        if declaring is None:
            declaring = self._declaring[name] = start(self._declare(queue, name, capacity))
            declaring.when_settled(lambda: self._declaring.pop(name, None))
        await declaring

    async def _declare(self, queue: str, name: str, capacity: int) -> None:
        arguments = self._topology.queue_arguments(queue, capacity)
        until = time.monotonic() + self._topology.declared_for
        try:
            await self._question(
                lambda channel, reply: channel.queue_declare(
                    name, arguments=arguments, callback=reply.succeed
                )
            )
        except ChannelClosedByBroker as error:
            # A client that was configured in another way has declared it: it serves as well.
            if error.reply_code != _PRECONDITION_FAILED:
                raise LayerUnavailable(f"RabbitMQ refused the queue {name!r}: {error}") from error
        self._remember(name, until)
        if self.journal.replica.queues.get(queue, 0.0) < self._registered_for():
            until_then = time.time() + self._topology.queue_lifetime
            await self.journal.operate(do="use", queue=queue, until=until_then)

    def _registered_for(self) -> float:
        return time.time() + self._topology.queue_lifetime - self._topology.declared_for

    def _remember(self, name: str, until: float) -> None:
        self._declared[name] = until
        self._declared.move_to_end(name)
        if len(self._declared) > _REMEMBERED:
            self._declared.popitem(last=False)

    def forget(self, name: str | None = None) -> None:
        """Do not rely on the queue ``name`` any more; on none, without a name."""
        if name is None:
            self._declared.clear()
        else:
            self._declared.pop(name, None)

    async def delete(self, name: str) -> None:
        """Delete one of the broker's queues."""
        self.forget(name)
        await self._question(
            lambda channel, reply: channel.queue_delete(name, callback=reply.succeed)
        )

    async def push(
        self, queue: str, capacity: int, body: bytes, properties: BasicProperties
    ) -> bool:
        """Put a message into the queue of a channel; False where it is full."""
        if self._is_blocked:  # what is written now would lie here
            raise LayerUnavailable(
                "RabbitMQ takes nothing: it is short of memory or disk space; free some, or change "
                "its limits (vm_memory_high_watermark, disk_free_limit)"
            )
        for _ in range(_ATTEMPTS):
            if not self.is_declared(self.name(queue)):
                await self.declare(queue, capacity)
            name = self.name(queue)
            outcome = await self.publisher.publish("", name, body, properties)
            if outcome != UNROUTABLE:
                return outcome != REFUSED
            # It was deleted: by hand, by a flush, or after an eviction that is known in a moment.
            self.forget(name)
            await self.journal.mark()
        raise LayerUnavailable(
            f"the queue {name!r} is deleted again and again; see who does so, such as a policy or "
            "another project with the same prefix"
        )

    async def count(self, name: str) -> tuple[int, int]:
        """How many messages wait in the broker's queue ``name``, and how many consumers do."""
        try:
            frame = await self._question(
                lambda channel, reply: channel.queue_declare(
                    name, passive=True, callback=reply.succeed
                )
            )
        except ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
            self.forget(name)
            return 0, 0
        return frame.method.message_count, frame.method.consumer_count

    async def clients(self) -> int:
        """How many clients the layer has."""
        _, consumers = await self.count(self._topology.clients)
        return consumers

    def acknowledged(self, channel: Channel) -> Reply[None]:
        """The reply comes when the broker knows what was acknowledged on ``shared`` or ``alone``.

        Only then may a message be handed out that others may read as well: the broker gives
        everything else to another receive when the connection is lost.
        """
        reply: Reply[None] = self.watched(Reply())
        if self.error is None:
            prefetch = _PREFETCHED if channel is self.shared else PREFETCHED_ALONE
            self.wire.synchronize(channel, prefetch, lambda: reply.succeed(None))
        return reply

    async def get(self, name: str, maybe_lost: Callable[[Got], object]) -> Got | None:
        """Take the next message of the broker's queue ``name``, once the broker knows that.

        ``maybe_lost`` gets the one that was on its way when the connection was lost.
        """
        bodies: list[bytes] = []

        def got(channel: Channel, method: Any, properties: Any, body: bytes) -> None:
            bodies.append(body)
            channel.basic_ack(method.delivery_tag)
            channel.basic_qos(callback=lambda _: self._gets.answer((body, "")))

        try:
            return await self._get(name, got)
        except (AMQPError, ConnectionError):
            for body in bodies:
                maybe_lost(opened(body))
            raise

    async def get_at_once(self, name: str) -> Got | None:
        """Take the next message of the broker's queue ``name``, which the broker delivers again
        where the connection is lost now."""

        def got(channel: Channel, method: Any, properties: Any, body: bytes) -> None:
            channel.basic_ack(method.delivery_tag)
            self._gets.answer((body, properties.message_id or ""))

        return await self._get(name, got)

    async def peek(self, name: str) -> Got | None:
        """The next message of the broker's queue ``name``, which stays there."""

        def got(channel: Channel, method: Any, properties: Any, body: bytes) -> None:
            channel.basic_nack(method.delivery_tag, requeue=True)
            self._gets.answer((body, ""))

        return await self._get(name, got)

    async def _get(self, name: str, got: Callable[..., None]) -> Got | None:
        def received(channel: Channel, *message: Any) -> None:
            if channel.is_open:  # else it goes back by itself
                got(channel, *message)

        try:
            found = await self._gets.request(
                lambda channel, reply: channel.basic_get(name, received)
            )
        except ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
            self.forget(name)
            return None
        return None if found is None else opened(*found)

    def _question(self, send: Callable[[Channel, Reply[Any]], Any]) -> Reply[Any]:
        return self._questions.request(send)


def opened(body: bytes, message_id: str = "") -> Got:
    """What a stored message holds."""
    envelope = codec.unpack_envelope(body)
    return Got(envelope.targets, envelope.body, envelope.deadline_ms / 1000, message_id)
