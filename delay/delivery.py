"""Sending what is due: claim some rows, send them, mark them; then sleep until the next is due."""

import logging
import threading
import uuid
from typing import Any

from django.conf import settings
from django.db import connections

from channels import codec, names
from channels.asgi import ChannelLayerWrapper
from channels.delay import instants
from channels.delay.alarm import Alarm
from channels.delay.claims import BATCH, LOCKED_AGAIN, Batch, Condition, Row, table_for
from channels.delay.rooms import Rooms
from channels.exceptions import InvalidStoredMessage, MessageTooLarge
from channels.outage import Backoff, FailureLog

__all__ = ["RETRY_FOR", "Sender"]

logger = logging.getLogger("django.channels")

#: Seconds for which a message is offered to a full channel, where CHANNELS_DELAY_RETRY_FOR does not
#: say otherwise: a channel that nobody reads empties itself sooner, by its messages' expiry.
RETRY_FOR = 3600.0


#: What a layer raises for messages that it will never take.
_HOPELESS = (InvalidStoredMessage, MessageTooLarge, TypeError, ValueError)


class Sender:
    """Sends the messages of ``layer`` that are stored in the database ``using``, in one thread.

    ``longest`` is the seconds that it sleeps at most.
    """

    def __init__(
        self, layer: ChannelLayerWrapper, using: str, rooms: Rooms, alarm: Alarm, longest: float
    ) -> None:
        self._layer = layer
        self._using = using
        self._table = table_for(using, layer.alias)
        self._rooms = rooms
        self._alarm = alarm
        self._longest = longest
        self._stopping = threading.Event()
        #: The instant up to which messages were claimed last.
        self._looked_at = 0
        #: Messages that were sent, but whose rows could not be deleted.
        self._unmarked: list[Any] = []
        self._backoff = Backoff()
        self._failures = FailureLog(logger)
        self._refusals = FailureLog(logger, traceback=False)

    def run(self) -> None:
        """Send what is due when it is due, until ``stop``."""
        try:
            while not self._stopping.is_set():
                self._alarm.reset()
                self._alarm.wait(self._look())
            self._delete_unmarked()
        finally:
            connections[self._using].close()

    def stop(self) -> None:
        """Have ``run`` return, once the messages that it has claimed are sent."""
        self._stopping.set()
        self._alarm.stop()

    def _look(self) -> float:
        """Send what is due, and set the alarm; returns the seconds to sleep at most."""
        try:
            while not self._stopping.is_set() and self._send_batch() == BATCH:
                pass
            seconds = self._set_alarm()
        except Exception:
            # Whatever failed, the layer or the database: it is tried again, and nothing is lost.
            connections[self._using].close()
            delay = self._backoff.next_delay()
            self._failures.failed("Delayed messages cannot be sent; trying again in %.1f s:", delay)
            self._stopping.wait(delay)
            return 0.0
        if self._failures.failing:
            self._backoff.reset()
            self._failures.recovered("Delayed messages are sent again.")
        return seconds

    def _send_batch(self) -> int:
        """Claim messages and send them; returns how many there were."""
        self._delete_unmarked()
        self._looked_at = instants.now()
        batch, failure = Batch([]), None
        try:
            with self._table.claim(self._looked_at, self._open()) as batch:
                failure = self._send(batch)
        except BaseException:
            self._unmarked += batch.sent
            raise
        if failure is not None:
            raise failure
        return len(batch.rows)

    def _delete_unmarked(self) -> None:
        if self._unmarked:
            self._table.delete(self._unmarked)
            self._unmarked = []

    def _open(self) -> Condition:
        """That a message is to a channel that is not full."""
        return self._table.not_to(*self._rooms.closed())

    def _send(self, batch: Batch) -> Exception | None:
        """Send the messages in turn; returns a failure of the layer, which ends it."""
        full: set[str] = set()
        for row in batch.rows:
            if not batch.keep():
                logger.warning("Other delay servers took messages over from this one: it was slow.")
                break
            queue = names.queue_name(row.channel_name)
            if queue in full:
                self._leave(row, batch)
                continue
            try:
                self._layer.send(row.channel_name, codec.decode(self._table.body(row)))
            except self._layer.ChannelFull as error:
                full.add(queue)
                self._refused(row, batch, str(error))
            except _HOPELESS as error:
                self._bury(row, batch, str(error))
            except Exception as failure:
                return failure
            else:
                batch.sent.append(row.key)
                self._rooms.took(queue)
        return None

    def _refused(self, row: Row, batch: Batch, reason: str) -> None:
        """Its channel is full."""
        self._rooms.refused(row.channel_name)
        self._refusals.failed("Delayed messages wait for room: %s", reason)
        batch.refused.append((row.key, reason))
        self._leave(row, batch)

    def _leave(self, row: Row, batch: Batch) -> None:
        """Leave it for later, unless that was done for too long."""
        limit = float(getattr(settings, "CHANNELS_DELAY_RETRY_FOR", RETRY_FOR))
        late = (instants.now() - row.due) / 1e6
        if min(late, self._rooms.seconds_full(row.channel_name)) >= limit:
            self._bury(row, batch, f"the channel stayed full for {limit:g} s")

    def _bury(self, row: Row, batch: Batch, reason: str) -> None:
        """Make it a dead letter."""
        logger.error(
            "The delayed message %s to channel %r is a dead letter now: %s",
            *(uuid.UUID(str(row.key)), row.channel_name, reason),
        )
        batch.dead.append((row.key, reason))

    def _set_alarm(self) -> float:
        """Set it to the next due date; returns the seconds after which to look again anyway."""
        seconds = [self._longest]
        first = self._table.next_due(self._open())
        if first is not None and first[0] <= self._looked_at:
            # It was there, and was not claimed: another delay server is sending it, or has died.
            seconds.append(_seconds_of(first[1]))
            first = self._table.next_due(self._open(), self._looked_at)
        if first is not None:
            self._alarm.set(first[0])
        closed = self._rooms.seconds_closed()
        return min(seconds) if closed is None else min(*seconds, closed)


def _seconds_of(lease: int | None) -> float:
    """For how long to leave to another server what it has claimed."""
    left = LOCKED_AGAIN if lease is None else lease - instants.now()
    return max(0.0, left / 1e6)
