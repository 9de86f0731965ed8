"""One message, from the layer to the end of its consumer.

Whatever goes wrong with a message is logged with the name of the consumer and ends here, so that
the worker lives on for the next one. How messages are fetched is in ``worker``; which consumer gets
one, in ``channels.routing``.
"""

import functools
import logging
from collections.abc import Callable
from types import CoroutineType
from typing import Any

from channels.asgi import ChannelLayerWrapper
from channels.channel import Channel
from channels.exceptions import ChannelSocketException, ConsumeLater
from channels.message import Message
from channels.pending import pending_message_store
from channels.routing import consumer_name
from channels.security.websockets import check_origin
from channels.sessions.sockets import run_first, run_last
from channels.sessions.waiting import park_again
from channels.signals import (
    ConsumerSignal,
    close_connections_if_any,
    consumer_finished,
    consumer_started,
)

__all__ = [
    "RETRIES_KEY",
    "Callback",
    "Consumer",
    "Dispatcher",
    "Follower",
    "call_consumer",
    "end_socket",
]

logger = logging.getLogger("django.channels")

#: Called with the channel's name and the message before its consumer runs.
Callback = Callable[[str, Message], object]

#: A function or class that takes the message, and what the routing captured.
Consumer = Callable[..., Any]

#: A message that is to be dispatched next: its channel, its content, and what it carries.
Follower = tuple[str, dict[str, Any], list[dict[str, Any]]]

#: The key under which a message carries how often its consumer raised ConsumeLater.
RETRIES_KEY = "__retries__"


class Dispatcher:
    """Runs consumers. ``sender`` is the class that the signals around a consumer name as theirs.

    A consumer that raises ConsumeLater has its message put back at most ``message_retries`` times.
    ``accepts`` says of a channel whether a message that came on it earlier, and whose turn is now,
    may become the ``follower``, which is to be dispatched next.
    """

    def __init__(
        self,
        channel_layer: ChannelLayerWrapper,
        sender: type,
        message_retries: int = 10,
        callback: Callback | None = None,
        accepts: Callable[[str], bool] | None = None,
    ) -> None:
        self.channel_layer = channel_layer
        self.sender = sender
        self.message_retries = message_retries
        self.callback = callback
        self._accepts = accepts
        self._follower: Follower | None = None

    def dispatch(
        self, channel: str, content: dict[str, Any], carried: list[dict[str, Any]] | None = None
    ) -> None:
        """Run the consumer of a message that was received on ``channel``.

        ``carried`` are messages of the same socket that come after it; those that its consumer does
        not take up wait again.

        Lets nothing out but ``KeyboardInterrupt``, which is the user's and not the consumer's where
        no signal handlers are installed. ``SystemExit`` is contained: a consumer cannot end the
        worker, only a signal can.
        """
        carried = [] if carried is None else carried
        match = self._match(channel, content)
        if match is not None:
            message, consumer, kwargs = match
            message.carried = carried
            self._announce(consumer_started, pending_message_store.prepare, consumer)
            try:
                self._run(channel, consumer, message, kwargs)
            finally:
                # What the consumer sent leaves in here, also when it failed.
                self._announce(consumer_finished, pending_message_store.send_and_flush, consumer)
        if carried:
            self.park_again(carried)

    def take_follower(self) -> Follower | None:
        """The message that the last consumer has released, if any; to be dispatched."""
        follower, self._follower = self._follower, None
        return follower

    def _follow(self, channel: str, content: dict[str, Any], carried: list[dict[str, Any]]) -> bool:
        """Have a message be the follower; False where it cannot be."""
        if self._follower is not None or self._accepts is None or not self._accepts(channel):
            return False
        self._follower = channel, content, carried
        return True

    def park_again(self, carried: list[dict[str, Any]]) -> None:
        """Have messages wait again that nobody took up; a failure is logged."""
        try:
            park_again(self.channel_layer, carried)
        except Exception:
            logger.exception("%d messages that wait for their turn were lost:", len(carried))

    def _match(
        self, channel: str, content: dict[str, Any]
    ) -> tuple[Message, Consumer, dict[str, Any]] | None:
        try:
            message = Message(content, channel, self.channel_layer)
            message.run_next = self._follow
            match = self.channel_layer.router.match(message)
            if match is None:
                self._log_unroutable(channel, content)
                return None
            consumer, kwargs = match
        except Exception:
            logger.exception(
                "Error finding the consumer of a message on channel %r; it was dropped:", channel
            )
            return None
        if not callable(consumer):
            logger.error(
                "The routing gives %r as consumer for channel %r, which is not callable; the "
                "message was dropped. Route the channel to a function, a class-based consumer or "
                "the dotted path of one.",
                consumer,
                channel,
            )
            return None
        return message, consumer, kwargs

    def _log_unroutable(self, channel: str, content: dict[str, Any]) -> None:
        logger.error(
            "No route matches a message on channel %r (its keys: %s); it was dropped. Add a route "
            "for this channel whose filters match, or one without filters, to the ROUTING of layer "
            "%s.",
            channel,
            ", ".join(sorted(map(str, content))),
            self.channel_layer,
        )

    def _run(
        self, channel: str, consumer: Consumer, message: Message, kwargs: dict[str, Any]
    ) -> None:
        try:
            try:
                self._call(channel, consumer, message, kwargs)
            except ConsumeLater:
                self._put_back(channel, consumer, message)
            except ChannelSocketException as exception:
                end_socket(channel, exception, message)
        except KeyboardInterrupt:
            raise
        except BaseException:
            # Also SystemExit and asyncio.CancelledError, which are no Exception.
            logger.exception("Error processing message with consumer %s:", consumer_name(consumer))

    def _call(
        self, channel: str, consumer: Consumer, message: Message, kwargs: dict[str, Any]
    ) -> None:
        if self.callback is not None:
            self.callback(channel, message)
        call = functools.partial(call_consumer, consumer, message, kwargs)
        if channel == "websocket.connect":
            run_first(message, consumer, call, check_origin)
        elif channel == "websocket.disconnect":
            run_last(message, call)
        else:
            call()

    def _put_back(self, channel: str, consumer: Consumer, message: Message) -> None:
        content = message.content
        retries = content.get(RETRIES_KEY)
        retries = retries + 1 if isinstance(retries, int) else 1
        if retries > self.message_retries:
            logger.warning(
                "Consumer %s raised ConsumeLater %d times for one message on channel %r; the "
                "message was dropped.",
                consumer_name(consumer),
                retries,
                channel,
            )
            return
        content[RETRIES_KEY] = retries
        # Leaves with what the consumer sent, and after it; waits as long for room.
        Channel(channel, channel_layer=self.channel_layer).send(content)

    def _announce(
        self, signal: ConsumerSignal, store: Callable[[], object], consumer: Consumer
    ) -> None:
        """Send a signal to all receivers, whichever fails; one closes connections, one is
        ``store``. Both are called without it where there are no others.
        """
        if not signal.has_own_only:
            for receiver, response in signal.send_robust(sender=self.sender, environ={}):
                if isinstance(response, Exception):
                    _log_failure(receiver, consumer, response)
            return
        for receiver in (close_connections_if_any, store):
            try:
                receiver()
            except Exception as error:
                _log_failure(receiver, consumer, error)


def _log_failure(receiver: Callable[..., object], consumer: Consumer, error: Exception) -> None:
    logger.error(
        "Error in %s around consumer %s: %s",
        consumer_name(receiver),
        consumer_name(consumer),
        error,
        exc_info=error,
    )


def call_consumer(consumer: Consumer, message: Message, kwargs: dict[str, Any]) -> Any:
    """Call ``consumer``; returns what it returns.

    Raises ``TypeError`` for a coroutine function, and what the consumer raises.
    """
    result = consumer(message, **kwargs)
    if isinstance(result, CoroutineType):
        result.close()  # it will never be awaited, and need not be warned of as well
        raise TypeError(
            f"the consumer {consumer_name(consumer)} is a coroutine function, which nothing "
            "awaits; consumers are synchronous: wrap it in asgiref.sync.async_to_sync"
        )
    return result


def end_socket(channel: str, exception: ChannelSocketException, message: Message) -> None:
    """Do to the socket of ``message`` what ``exception`` is raised for.

    Raises ``ValueError`` where the message comes from no socket.
    """
    if message.reply_channel is None:
        raise ValueError(
            f"{type(exception).__name__} acts on a socket, but messages on channel {channel!r} "
            "carry no reply_channel; raise it in WebSocket consumers only"
        )
    exception.run(message)
