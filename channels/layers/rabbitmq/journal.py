"""One order of operations for all clients, and the state that outlives them.

An operation goes to the *sequencer*, a queue whose messages expire at once: the broker hands them
on, one after the other, to the queue of every client and to the *log*. A channel's messages that
expire unread are sent there by the broker itself. Who comes later reads the log, replaces what it
read by a snapshot, and follows its own queue from there on.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from pika import BasicProperties
from pika.channel import Channel

from channels import codec, names
from channels.layers.rabbitmq.lanes import STORED, Publisher
from channels.layers.rabbitmq.replica import Replica
from channels.layers.rabbitmq.replies import Reply, start
from channels.layers.rabbitmq.topology import OP, Topology
from channels.layers.rabbitmq.wire import close_uncancelled

__all__ = ["Journal"]

#: The ``type`` of messages: an operation, a question that returns to its client, a snapshot, and
#: what makes a reader of the log notice that it is its turn.
#: A notice is for one client, and needs no order.
OPERATION, MARK, SNAPSHOT, KNOCK, NOTICE = "op", "mark", "snapshot", "knock", "notice"

#: Operations, or bytes of them, after which the log is replaced by a snapshot.
_LOGGED = 2_000
_LOGGED_BYTES = 8 * 1024 * 1024


class Journal:
    """One connection's part in it. ``observe`` is called with each operation after it was applied
    to ``replica``, and with ``{"do": "expired", "queue": ...}``."""

    def __init__(
        self,
        topology: Topology,
        client: str,
        publisher: Publisher,
        open_channel: Callable[[], Reply[Channel]],
        observe: Callable[[dict[str, Any]], None],
    ) -> None:
        self.replica = Replica()
        self._topology = topology
        self._client = client
        self._publisher = publisher
        self._open_channel = open_channel
        self._observe = observe
        self._numbers = itertools.count(1)
        self._mine: dict[str, Reply[None]] = {}
        #: What the feed brought before the state that it changes was known; None once it is.
        self._early: list[_Entry] | None = []
        self._logged = self._logged_bytes = 0
        self._lost: BaseException | None = None
        #: The AMQP channels that read the log: the tags of their consumers, and what they wait for.
        self._readings: dict[Channel, tuple[str, Reply[int]]] = {}

    # Publishing

    def operate(self, **operation: Any) -> Reply[None]:
        """Publish an operation; the reply comes when it was applied here."""
        return self._publish(OPERATION, OP, codec.encode(operation, codec.MAX_SIZE))

    def mark(self) -> Reply[None]:
        """The reply comes when everything that was done anywhere before now was applied here."""
        return self._publish(MARK, self._client, b"")

    def _publish(self, kind: str, key: str, body: bytes) -> Reply[None]:
        number = f"{self._client}.{next(self._numbers)}"
        reply: Reply[None] = Reply()
        if self._lost is not None:
            reply.fail(self._lost)
            return reply
        self._mine[number] = reply
        properties = BasicProperties(type=kind, message_id=number)
        sent = self._publisher.publish(self._topology.journal, key, body, properties)
        sent.when_settled(lambda: self._sent(sent, number))
        return reply

    def _sent(self, sent: Reply[str], number: str) -> None:
        try:
            if sent.result() == STORED:
                return
            raise ConnectionError(f"the queue {self._topology.sequencer!r} was deleted")
        except Exception as error:
            if (reply := self._mine.pop(number, None)) is not None:
                reply.fail(error)

    def fail(self, error: BaseException) -> None:
        """Give up, because the connection is lost."""
        self._lost = error
        for _, end in list(self._readings.values()):
            end.fail(error)
        mine, self._mine = self._mine, {}
        for reply in mine.values():
            reply.fail(error)

    # Following

    def receive(
        self, channel: Channel, method: Any, properties: BasicProperties, body: bytes
    ) -> None:
        """Take in what the feed brought; a callback of ``basic_consume``."""
        if self._early is not None:
            self._early.append(_Entry(properties, body))
        else:
            self._follow(properties, body)

    def _follow(self, properties: BasicProperties, body: bytes) -> None:
        reply = self._mine.pop(properties.message_id or "", None)
        if properties.type == NOTICE:
            self._observe(codec.decode(body))
        elif properties.type != MARK:
            operation = _apply(self.replica, self._topology, properties, body)
            if operation is not None:
                self._observe(operation)
            self._logged_one(operation, len(body), reply is not None)
        if reply is not None:
            reply.succeed(None)

    def _logged_one(self, operation: dict[str, Any] | None, size: int, is_mine: bool) -> None:
        """Count what the log holds, and replace it in time: whoever lengthened it does, or anybody
        if they do not."""
        if operation is not None and operation["do"] == "join":
            self._logged = self._logged_bytes = 0  # somebody replaces it just now
            return
        self._logged += 1
        self._logged_bytes += size
        patience = 1 if is_mine else 2
        if self._logged > _LOGGED * patience or self._logged_bytes > _LOGGED_BYTES * patience:
            self._logged = self._logged_bytes = 0
            start(self.compact())

    def notify(self, client: str, **notice: Any) -> None:
        """Have ``client`` observe something, in no order with anything else."""
        properties = BasicProperties(type=NOTICE)
        self._publisher.publish("", self._topology.client(client), codec.encode(notice), properties)

    # The log

    async def join(self) -> None:
        """Learn the state, and follow it from now on."""
        channel = await self._open_channel()
        number, tag, entries = await self._read_log(channel)
        state = _state(self._topology, entries)
        self.replica = state or Replica()
        snapshot = self.replica.snapshot()
        early, self._early = self._early or [], None
        for properties, body in _after(early, number):
            self._follow(properties, body)
        if state is None:  # the layer is new, or was emptied; who was there before has to know
            number = await self._begin()
            snapshot = self.replica.snapshot()
        await self._replace_log(channel, tag, number, snapshot)

    async def compact(self) -> None:
        """Replace the log by a snapshot."""
        channel = await self._open_channel()
        try:
            number, tag, entries = await self._read_log(channel)
            state = _state(self._topology, entries)
            if state is not None:
                await self._replace_log(channel, tag, number, state.snapshot())
        finally:
            self._stop_reading(channel)  # else nobody could read the log any more

    async def _begin(self) -> str:
        """Have all clients begin anew; returns the number of the operation."""
        reply = self.operate(do="empty", epoch=names.random_part())
        number = next(reversed(self._mine))
        await reply
        return number

    async def _read_log(self, channel: Channel) -> tuple[str, int, list["_Entry"]]:
        """Everything in the log up to an operation that is published when it is our turn.

        Returns its number, its delivery tag, and the entries before it.
        """
        number = f"{self._client}.{next(self._numbers)}"
        end: Reply[int] = Reply()
        entries: list[_Entry] = []

        def received(
            channel: Channel, method: Any, properties: BasicProperties, body: bytes
        ) -> None:
            if not entries:
                self._publish_now(number)
            if properties.message_id == number:
                end.succeed(method.delivery_tag)
            entries.append(_Entry(properties, body))

        consumer = channel.basic_consume(self._topology.log, received)
        self._readings[channel] = consumer, end
        knock = BasicProperties(type=KNOCK)
        self._publisher.publish("", self._topology.log, b"", knock)
        tag = await end
        return number, tag, entries

    def _publish_now(self, number: str) -> None:
        properties = BasicProperties(type=OPERATION, message_id=number)
        body = codec.encode({"do": "join"})
        self._publisher.publish(self._topology.journal, OP, body, properties)

    async def _replace_log(
        self, channel: Channel, tag: int, number: str, snapshot: dict[str, Any]
    ) -> None:
        """Put a snapshot, taken after the operation ``number``, in place of what was read."""
        body = codec.encode(snapshot, codec.MAX_SIZE)
        properties = BasicProperties(type=SNAPSHOT, correlation_id=number)
        await self._publisher.publish("", self._topology.log, body, properties)
        channel.basic_ack(tag, multiple=True)
        self._stop_reading(channel)

    def _stop_reading(self, channel: Channel) -> None:
        """Give back what was read and not replaced, and let the next one read, in one step: who
        reads without that, or before it is back, takes the layer for a new one."""
        consumer, _ = self._readings.pop(channel, ("", None))
        if consumer and channel.is_open:
            close_uncancelled(channel, consumer)

    def close(self) -> None:
        """Leave the log as it is; the connection is closed next."""
        for channel in list(self._readings):
            self._stop_reading(channel)


class _Entry(NamedTuple):
    properties: BasicProperties
    body: bytes


def _after(entries: list[_Entry], number: str | None) -> list[_Entry]:
    """The entries behind the operation ``number``; all where it is not among them."""
    for position, entry in enumerate(entries):
        if entry.properties.message_id == number:
            return entries[position + 1 :]
    return entries


def _state(topology: Topology, entries: list[_Entry]) -> Replica | None:
    """What the log says; None where it holds no snapshot, since nobody ever began."""
    snapshots = [entry for entry in entries if entry.properties.type == SNAPSHOT]
    if not snapshots:
        return None
    replica = Replica()
    replica.restore(codec.decode(snapshots[-1].body))
    for properties, body in _after(entries, snapshots[-1].properties.correlation_id):
        _apply(replica, topology, properties, body)
    return replica


def _apply(
    replica: Replica, topology: Topology, properties: BasicProperties, body: bytes
) -> dict[str, Any] | None:
    """Apply what the feed or the log brought; returns the operation, if it was one."""
    if properties.type == OPERATION:
        operation = codec.decode(body)
        replica.apply(operation)
        return operation
    headers = properties.headers or {}
    if properties.type is None and headers.get("x-first-death-reason") == "expired":
        queue, evictions = topology.channel(str(headers["x-first-death-queue"]))
        if replica.expired(queue, evictions):
            return {"do": "expired", "queue": queue, "evictions": evictions}
    return None
