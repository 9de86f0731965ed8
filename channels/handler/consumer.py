"""``ViewConsumer``: the consumer that answers requests by Django's views."""

import contextvars
from contextlib import closing
from typing import Any

from channels.exceptions import InvalidMessage
from channels.handler.dispatch import AsgiHandler
from channels.handler.flow import ResponseSender

__all__ = ["ViewConsumer"]


class ViewConsumer:
    """A consumer of ``http.request``: runs the handler and sends what it yields at once.

    The default consumer of that channel. Middleware is loaded when it is made.
    """

    #: What answers the messages.
    handler_class: type[AsgiHandler] = AsgiHandler

    def __init__(self) -> None:
        self.handler = self.handler_class()

    def __call__(self, message: Any) -> None:
        """Answer ``message``; raises ``InvalidMessage`` where it has no reply channel."""
        if message.reply_channel is None:
            raise InvalidMessage(
                "a request without a reply_channel cannot be answered (ASGI spec, HTTP, Request)"
            )
        # In a context of its own, so that languages, time zones and the like that the request
        # activates are not met by the next consumer on this thread.
        contextvars.copy_context().run(self._answer, message)

    def _answer(self, message: Any) -> None:
        with closing(self.handler(message)) as replies:
            ResponseSender(message.reply_channel).send_all(replies)
