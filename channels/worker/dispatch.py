"""One message, from the layer to the end of its consumer.

Whatever goes wrong with a message is logged with the name of the consumer and ends here, so that
the worker lives on for the next one. How messages are fetched is in ``worker``; which consumer gets
one, in ``channels.routing``.
"""

import logging
from collections.abc import Callable
from typing import Any

from django.dispatch import Signal

from channels.asgi import ChannelLayerWrapper
from channels.channel import Channel
from channels.exceptions import ChannelSocketException, ConsumeLater
from channels.message import Message
from channels.routing import consumer_name
from channels.signals import consumer_finished, consumer_started

__all__ = ["RETRIES_KEY", "Callback", "Dispatcher"]

logger = logging.getLogger("django.channels")

#: Called with the channel's name and the message before its consumer runs.
Callback = Callable[[str, Message], object]

#: The key under which a message carries how often its consumer raised ConsumeLater.
RETRIES_KEY = "__retries__"


class Dispatcher:
    """Runs consumers. ``sender`` is the class that the signals around a consumer name as theirs.

    A consumer that raises ConsumeLater has its message put back at most ``message_retries`` times.
    """

    def __init__(
        self,
        channel_layer: ChannelLayerWrapper,
        sender: type,
        message_retries: int = 10,
        callback: Callback | None = None,
    ) -> None:
        self.channel_layer = channel_layer
        self.sender = sender
        self.message_retries = message_retries
        self.callback = callback

    def dispatch(self, channel: str, content: dict[str, Any]) -> None:
        """Run the consumer of a message that was received on ``channel``.

        Lets nothing out but ``KeyboardInterrupt``, which is the user's and not the consumer's where
        no signal handlers are installed. ``SystemExit`` is contained: a consumer cannot end the
        worker, only a signal can.
        """
        message = Message(content, channel, self.channel_layer)
        match = self._match(channel, message)
        if match is None:
            return
        consumer, kwargs = match
        self._announce(consumer_started, consumer)
        try:
            self._run(channel, consumer, message, kwargs)
        finally:
            # What the consumer sent leaves in here, also when it failed.
            self._announce(consumer_finished, consumer)

    def _match(
        self, channel: str, message: Message
    ) -> tuple[Callable[..., Any], dict[str, Any]] | None:
        try:
            match = self.channel_layer.router.match(message)
            if match is None:
                logger.error(
                    "No route matches a message on channel %r (its keys: %s); it was dropped. Add "
                    "a route for this "
                    "channel whose filters match, or one without filters, to the ROUTING of layer "
                    "%s.",
                    channel,
                    ", ".join(sorted(map(str, message.content))),
                    self.channel_layer,
                )
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
                "message was dropped. "
                "Route the channel to a function, a class-based consumer or the dotted path of "
                "one.",
                consumer,
                channel,
            )
            return None
        return consumer, kwargs

    def _run(
        self,
        channel: str,
        consumer: Callable[..., Any],
        message: Message,
        kwargs: dict[str, Any],
    ) -> None:
        try:
            if self.callback is not None:
                self.callback(channel, message)
            consumer(message, **kwargs)
        except ConsumeLater:
            self._put_back(channel, consumer, message)
        except ChannelSocketException as exception:
            self._end_socket(channel, exception, consumer, message)
        except KeyboardInterrupt:
            raise
        except BaseException:
            # Also SystemExit and asyncio.CancelledError, which are no Exception.
            logger.exception("Error processing message with consumer %s:", consumer_name(consumer))

    def _end_socket(
        self,
        channel: str,
        exception: ChannelSocketException,
        consumer: Callable[..., Any],
        message: Message,
    ) -> None:
        try:
            if message.reply_channel is None:
                raise ValueError(
                    f"{type(exception).__name__} acts on a socket, but messages on channel "
                    f"{channel!r} carry no reply_channel; raise it in WebSocket consumers only"
                )
            exception.run(message)
        except Exception:
            logger.exception(
                "Error processing message with consumer %s: it raised %s, which had no effect:",
                consumer_name(consumer),
                type(exception).__name__,
            )

    def _announce(self, signal: Signal, consumer: Callable[..., Any]) -> None:
        """Send a signal to all receivers, whichever fails: one sends, one closes connections."""
        for receiver, response in signal.send_robust(sender=self.sender, environ={}):
            if isinstance(response, Exception):
                logger.error(
                    "Error in %s around consumer %s: %s",
                    consumer_name(receiver),
                    consumer_name(consumer),
                    response,
                    exc_info=response,
                )

    def _put_back(self, channel: str, consumer: Callable[..., Any], message: Message) -> None:
        content = message.content
        retries = content.get(RETRIES_KEY, 0) + 1
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
