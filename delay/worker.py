"""The delay server: it takes messages from ``asgi.delay``, stores them, and sends what is due.

One thread receives: messages to be delayed, and word of those that others have stored. It stores
many of them in one transaction. Others send (``delivery``), and sleep between (``alarm``). The
source of the protocol is the ASGI spec, Delay Protocol.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from django.db import DataError, IntegrityError, connections, router

from channels.asgi import ChannelLayerWrapper
from channels.delay import instants, scheduling
from channels.delay.alarm import Alarm
from channels.delay.claims import table_for
from channels.delay.clock import ClockWatch
from channels.delay.delivery import Sender
from channels.delay.models import DelayedMessage
from channels.delay.rooms import Rooms
from channels.delay.waking import GROUP, NEVER, due_in, wake
from channels.exceptions import ChannelsError
from channels.names import random_part
from channels.outage import Backoff, FailureLog
from channels.spec import DELAY, check_delay
from channels.worker.loop import Loop

__all__ = ["SLEEP", "Worker"]

logger = logging.getLogger("django.channels")

#: Seconds within which a message comes that was waiting already: then others may be as well.
_AT_ONCE = 0.002

#: Seconds of a receive from a layer that failed: that it ends shows that the layer is back.
_TRIAL = 1.0

#: Seconds that a server sleeps at most, in case that nobody told it of a message: one that was
#: stored by other means than ``save`` or ``send_later``, or while the layer was away.
SLEEP = 60.0


class Worker(Loop):
    """A delay server on ``channel_layer``; ``run`` returns after ``stop``, or a signal.

    ``database_sleep_duration``: seconds that it sleeps at most; a message is sent when it is due,
    whatever they are. ``n_threads``: the number of threads that send.
    """

    def __init__(
        self,
        channel_layer: ChannelLayerWrapper,
        signal_handlers: bool = True,
        database_sleep_duration: float = SLEEP,
        n_threads: int = 1,
    ) -> None:
        super().__init__(channel_layer, signal_handlers)
        if not database_sleep_duration > 0:
            raise ValueError(
                "database_sleep_duration must be a positive number of seconds, not "
                f"{database_sleep_duration!r}"
            )
        if n_threads < 1:
            raise ValueError(f"n_threads must be 1 or more, not {n_threads!r}")
        self._using = router.db_for_write(DelayedMessage)
        self._table = table_for(self._using, channel_layer.alias)
        self._own = f"delay.{random_part()}!"
        self._generation = ""
        #: The number of times that it was told something, and after how many it looks anyway: a
        #: channel that drops what it has no room for still has more than these to be received.
        self._heard, self._look_after = 0, max(1, channel_layer.get_capacity(self._own) // 2)
        #: Whether there are other delay servers, as far as it has heard.
        self._has_others = True
        self._rooms = Rooms(channel_layer, self._look_now)
        self._alarms = [Alarm() for _ in range(n_threads)]
        self._senders = [
            Sender(channel_layer, self._using, self._rooms, alarm, database_sleep_duration)
            for alarm in self._alarms
        ]

    def run(self) -> None:
        """Store and send messages until told to stop."""
        with self.signals_taken_over(), ExitStack() as stack:
            stack.enter_context(ClockWatch(self._clock_was_set))
            stack.callback(connections[self._using].close)
            for sender in self._senders:
                thread = threading.Thread(target=sender.run, name="delay-sender", daemon=True)
                thread.start()
                stack.callback(thread.join)
                stack.callback(sender.stop)
            try:
                self._listen()
            finally:
                self._leave()

    def request_stop(self) -> None:
        """See ``Loop``."""
        super().request_stop()
        for sender in self._senders:
            sender.stop()

    def _listen(self) -> None:
        channels = [DELAY, self._own]
        if "groups" not in self.channel_layer.extensions:
            logger.warning(
                "Layer %s has no groups: messages that others store are noticed after --sleep.",
                self.channel_layer,
            )
        refresh = self._refresh_interval()
        self._join()
        while not self.termed:
            begin, was_away = time.monotonic(), self._outage.failing
            channel, content = self._next(channels, _TRIAL if was_away else refresh)
            if channel is not None:
                self.in_job = True
                waited = time.monotonic() - begin
                more = self._more(channels) if waited < _AT_ONCE else []
                self._take([(channel, content), *more])
                self.in_job = False
            if self._announcement_is_due(channel, refresh):
                self._join()
            if was_away and not self._outage.failing:
                self._look_now()  # nobody could tell of what was stored meanwhile

    def _take(self, received: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Handle what was received at a time."""
        messages = [content for channel, content in received if channel == DELAY]
        dues = [self._hear(content) for channel, content in received if channel != DELAY]
        rows = [row for row in map(self._row, messages) if row is not None]
        if rows and self._store(rows):
            first = min(instants.microseconds(row.due_date) for row in rows)
            dues.append(first)
            if self._has_others:
                wake(self.channel_layer, first)
        for alarm in self._alarms if dues else ():
            alarm.set(min(dues))

    def _hear(self, content: dict[str, Any]) -> int:
        """When to look, after what was said to all servers."""
        if content.get("joined") not in {None, self._own} and not self._has_others:
            self._has_others = True
            wake(self.channel_layer, 0)  # what was stored last may have come after its first look
        self._heard += 1
        return due_in(content) if self._heard % self._look_after else 0

    def _more(self, channels: list[str]) -> list[tuple[str, dict[str, Any]]]:
        """What waits in the layer besides, up to a bound that the layer has."""
        if not hasattr(self.channel_layer, "receive_deliveries"):
            return []
        try:
            found = self.channel_layer.receive_deliveries(channels)
        except Exception:
            self._outage.failed("Layer %s failed:", self.channel_layer)
            return []
        return [(each.channel, each.message) for each in found]

    def _row(self, content: dict[str, Any]) -> DelayedMessage | None:
        """The row of a message; None where it is invalid, which is logged."""
        layer = self.channel_layer
        # A delay of 0 is not in the protocol, but clear.
        at_once = content.get("delay") == 0 and type(content["delay"]) is int
        try:
            checked = check_delay({**content, "delay": 1} if at_once else content)
            due = scheduling.due_after(0 if at_once else checked["delay"])
            return scheduling.compose(
                layer, layer.alias, checked["channel"], checked["content"], due
            )
        except (ChannelsError, TypeError, ValueError) as error:
            logger.error("A message to %s was dropped: %s", DELAY, error)
            return None

    def _store(self, rows: Sequence[DelayedMessage]) -> bool:
        """Store messages for good; False where it was told to stop while the database fails."""
        backoff, failures = Backoff(), FailureLog(logger)
        while True:
            try:
                self._table.insert(rows)
            except (DataError, IntegrityError):
                return self._store_each(rows)
            except Exception:
                connections[self._using].close()
                if self.termed:
                    self._give_back(rows)
                    return False
                delay = backoff.next_delay()
                failures.failed("Delayed messages cannot be stored; again in %.1f s:", delay)
                self.pause(delay)
            else:
                if failures.failing:
                    failures.recovered("Delayed messages are stored again.")
                return True

    def _store_each(self, rows: Sequence[DelayedMessage]) -> bool:
        """Store one by one, without those that the database refuses."""
        for row in rows:
            try:
                self._table.insert([row])
            except Exception:
                logger.exception("A message to %s was dropped: the database refused it:", DELAY)
        return True

    def _give_back(self, rows: Sequence[DelayedMessage]) -> None:
        """Leave messages that could not be stored to another delay server."""
        for row in rows:
            content = {
                "channel": row.channel_name,
                "content": row.content,
                "delay": max(row.delay, 0),
            }
            try:
                self.channel_layer.send(DELAY, content)
            except Exception:
                logger.exception("A message to %s was lost, as the database failed:", DELAY)

    def _join(self) -> None:
        """Have those that store messages reach this server, and interface servers know it.

        What they said before is not known if the layer was emptied since.
        """
        self._announce([DELAY])
        own = f"{self._own}all"
        try:
            self.channel_layer.group_add(GROUP, own)
            generation = self.channel_layer.generation(self._own)
            self._has_others = set(self.channel_layer.group_channels(GROUP)) != {own}
        except Exception:
            # The receive that follows reports an outage, and is followed by another call of this.
            logger.debug("Layer %s took no group member", self.channel_layer, exc_info=True)
            generation, self._has_others = "", True
        if generation != self._generation:
            self._generation = generation
            self._look_now()
            wake(self.channel_layer, NEVER, joined=self._own)

    def _leave(self) -> None:
        self._announce([])
        try:
            self.channel_layer.group_discard(GROUP, f"{self._own}all")
        except Exception:
            logger.debug("Layer %s lost no group member", self.channel_layer, exc_info=True)

    def _look_now(self) -> None:
        for alarm in self._alarms:
            alarm.set(0)

    def _clock_was_set(self) -> None:
        logger.info("The system's clock was set; looking at what is due by it.")
        for alarm in self._alarms:
            alarm.look_at_clock()
