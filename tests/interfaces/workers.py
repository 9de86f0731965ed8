"""Workers for the tests of interfaces: Django's views, and consumers written for a test."""

from collections.abc import Callable
from typing import Any

from channels.handler import ViewConsumer
from channels.message import Message
from channels.spec import HTTP_REQUEST, credit_channel
from tests.daphne.clients import Application

__all__ = ["TEXT", "credit_of", "django", "everything", "replying"]

#: Headers that a response has to have where nothing is said about them.
TEXT = [[b"content-type", b"text/plain"]]


def django(layer: Any) -> Application:
    """A worker that answers requests by the views of ``tests.urls``."""
    consumer = ViewConsumer()
    return Application(
        layer, http_request=lambda content: consumer(Message(content, HTTP_REQUEST, layer))
    )


def replying(layer: Any, *replies: dict[str, Any]) -> Application:
    """A worker that sends the same messages to every request."""

    def answer(content: dict[str, Any]) -> None:
        for reply in replies:
            headers = {"headers": TEXT} if reply.get("status") not in (None, 204, 304) else {}
            layer.send(content["reply_channel"], headers | reply)

    handler: Callable[[dict[str, Any]], Any] = answer
    return Application(layer, http_request=handler)


def credit_of(application: Application) -> str:
    """The channel on which the only request's worker is given credit."""
    (request,) = application.messages("http.request")
    return str(credit_channel(request["reply_channel"]))


def everything(layer: Any, channel: str) -> list[dict[str, Any]]:
    """The messages of a channel that are there."""
    found = []
    while (received := layer.receive([channel]))[1] is not None:
        found.append(received[1])
    return found
