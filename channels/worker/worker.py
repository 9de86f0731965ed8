"""The loop of one worker: receive, run, receive again, until it is told to stop.

What happens to a received message is in ``dispatch``; what it shares with other
loops is in ``loop``; several in one process are in ``group``.
"""

import fnmatch
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from channels.asgi import ChannelLayerWrapper
from channels.channel import Channel
from channels.layers.prefetch import Prefetch
from channels.pending import Held, pending_message_store
from channels.sessions.watching import watcher
from channels.signals import worker_ready

from .dispatch import Callback, Dispatcher, Follower
from .jobs import IDLE_WATCH, Job, Watch
from .loop import Loop
from .prefetch import MOST, Pace, returner

__all__ = ["Worker"]

logger = logging.getLogger("django.channels")


class Worker(Loop):
    """Listens on the channels that the layer's routing knows, and runs their consumers in turn.

    ``callback(channel, message)`` is called before each consumer. ``message_retries`` is how often
    a message is put back for ConsumeLater. ``only_channels`` and ``exclude_channels`` are lists of
    glob patterns. ``prefetch`` is how many messages it takes at once, at most, where its consumers
    are quick and the layer can do so; those in hand are lost where the process is killed.

    ``run`` returns after ``stop``, or a signal. A running consumer is finished first, and what it
    sent is flushed; a message that was received is handled; none is received any more.
    """

    #: Where it notes what it does.
    watch: Watch = IDLE_WATCH

    def __init__(
        self,
        channel_layer: ChannelLayerWrapper,
        callback: Callback | None = None,
        message_retries: int = 10,
        signal_handlers: bool = True,
        only_channels: Iterable[str] | None = None,
        exclude_channels: Iterable[str] | None = None,
        prefetch: int = 1,
    ) -> None:
        super().__init__(channel_layer, signal_handlers)
        if not 1 <= prefetch <= MOST:
            raise ValueError(f"prefetch must be from 1 to {MOST}, not {prefetch!r}")
        self.prefetch = prefetch
        self._pace = Pace(prefetch)
        self._prefetch: Prefetch | None = None
        self._given_up: float | None = None
        self.callback = callback
        self.message_retries = message_retries
        self.only_channels = check_patterns("only_channels", only_channels)
        self.exclude_channels = check_patterns("exclude_channels", exclude_channels)

    def apply_channel_filters(self, channels: Iterable[str]) -> list[str]:
        """The ``channels`` that match ``only_channels``, where given, but not ``exclude_channels``.

        One pattern of the list is enough. They are those of the shell, and case counts.
        """
        return [
            channel
            for channel in channels
            if (not self.only_channels or _matches(channel, self.only_channels))
            and not _matches(channel, self.exclude_channels)
        ]

    def channels(self) -> list[str]:
        """The names it listens to, sorted.

        Raises ``ImproperlyConfigured`` where the filters leave none.
        """
        routed = sorted(self.channel_layer.router.channels)
        channels = self.apply_channel_filters(routed)
        if channels:
            return channels
        raise ImproperlyConfigured(
            f"the worker has no channel to listen to: only_channels={self.only_channels!r} and "
            f"exclude_channels={self.exclude_channels!r} leave none of {routed!r}, the channels "
            f"that layer {self.channel_layer} has routes for"
        )

    def ready(self) -> None:
        """Send the signal ``worker_ready``; to be called in the worker's thread before ``run``."""
        worker_ready.send(sender=self)

    def run(self) -> None:
        """Receive messages and run their consumers until told to stop."""
        channels = self.channels()
        with self.signals_taken_over():
            self._announce(channels)
            try:
                with (
                    pending_message_store.holding(self.channel_layer),
                    self.watch.job() as job,
                    self._prefetching(channels, job),
                ):
                    self._work(channels, job)
            finally:
                self._send_held()
                self._hand_over()
                self._announce([])

    def _work(self, channels: list[str], job: Job) -> None:
        dispatcher = Dispatcher(
            self.channel_layer,
            type(self),
            self.message_retries,
            self.callback,
            frozenset(channels).__contains__,
        )
        refresh = self._refresh_interval()
        prefetch, pace = self._prefetch, self._pace
        try:
            while not self.termed:
                follower = self._follower(dispatcher)
                channel, content, carried = follower or (*self._next(channels, refresh), None)
                if channel is not None:
                    self.in_job = True
                    begun = time.monotonic()
                    job.begin(channel, content, 0 if prefetch is None else len(prefetch))
                    dispatcher.dispatch(channel, content, carried)
                    pace.took(time.monotonic() - begun)
                    job.end()
                    self.in_job = False
                if self._announcement_is_due(channel, refresh):
                    self._announce(channels)
        finally:
            self._put_back(dispatcher)

    @contextmanager
    def _prefetching(self, channels: list[str], job: Job) -> Iterator[None]:
        """A context in which the layer may take, and send, ahead of the worker's turn."""
        make = getattr(self.channel_layer, "prefetch", None)
        prefetch = None
        if make is not None and self.prefetch > 1:
            prefetch = make(channels, self._send_failed)
        if prefetch is None:
            yield
            return
        with returner.watching(prefetch, job.alone):
            self._prefetch = prefetch
            try:
                yield
            finally:
                self._prefetch = None
                prefetch.close()

    def _send_failed(self, held: Held, failure: Exception) -> None:
        """Send again what was sent ahead of its answer.

        When the worker stops, all of them together have the time of one.
        """
        if self.termed:
            now = time.monotonic()
            if self._given_up is None:
                self._given_up = now + pending_message_store.retry_time
            held = held._replace(patience=max(0.0, self._given_up - now))
        self._send_held(held, failure)

    def _follower(self, dispatcher: Dispatcher) -> Follower | None:
        """The message that the last consumer has released; what that has sent leaves before it."""
        follower = dispatcher.take_follower()
        if follower is not None:
            self._send_held()
        return follower

    def _put_back(self, dispatcher: Dispatcher) -> None:
        """Leave the message that is next, and those that it carries, to other workers."""
        follower = self._follower(dispatcher)
        if follower is not None:
            channel, content, carried = follower
            dispatcher.park_again(carried)
            self._send_held(Held(Channel(channel, channel_layer=self.channel_layer), content))

    def _receive_one(
        self, channels: list[str], timeout: float | None, **options: Any
    ) -> tuple[str | None, Any]:
        held = pending_message_store.take_held()
        prefetch = self._prefetch
        if prefetch is None:
            return self._exchange(held, channels, timeout, **options)
        if len(prefetch):
            if held is not None:
                prefetch.send(held.sender.name, held.message, held)
                held = None
            channel, content = prefetch.next()
            if channel is not None:
                return channel, content
        prefetch.limit = self._pace.limit
        try:
            return self._exchange(held, channels, timeout, prefetch=prefetch, **options)
        finally:
            self._have_watched()

    def _have_watched(self) -> None:
        """Have what is in hand looked after."""
        if self._prefetch and not returner.busy.is_set():
            returner.busy.set()

    def _exchange(
        self, held: Held | None, channels: list[str], timeout: float | None, **options: Any
    ) -> tuple[str | None, Any]:
        """Send what the last consumer has left, if anything, and receive, in one request."""
        if held is None:
            return super()._receive_one(channels, timeout, **options)
        failure, channel, content = self.channel_layer.send_and_receive(
            held.sender.name, held.message, channels, timeout, **options
        )
        if failure is not None:
            self._have_watched()
            self._send_held(held, failure)
        return channel, content

    def _send_held(self, held: Held | None = None, failure: Exception | None = None) -> None:
        """Send what the last consumer has left, where no receive did."""
        held = held or pending_message_store.take_held()
        try:
            if held is not None:
                pending_message_store.send_held(held, failure)
        except Exception as error:
            logger.error("Cannot send a message of a finished consumer: %s", error, exc_info=error)

    def _hand_over(self) -> None:
        """Leave sockets whose messages wait for one that may be lost to workers that live on."""
        try:
            watcher.hand_over(self.channel_layer)
        except Exception:
            logger.exception("Messages that wait for their turn could not be handed over:")


def check_patterns(option: str, patterns: Iterable[str] | None) -> list[str]:
    """A list of ``patterns``; ``TypeError`` for a bare string, whose letters would be patterns."""
    if patterns is None:
        return []
    if isinstance(patterns, str):
        raise TypeError(
            f"{option} must be a list of patterns, not the string {patterns!r}; write "
            f"[{patterns!r}]"
        )
    return list(patterns)


def _matches(channel: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(channel, pattern) for pattern in patterns)
