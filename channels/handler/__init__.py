"""Django's request and response cycle over a channel layer.

``AsgiRequest`` makes a request of an ``http.request`` message, ``AsgiHandler`` runs Django on it
and encodes the response as messages, ``ViewConsumer`` is the consumer that sends them to the
client.
"""

from channels.handler.consumer import ViewConsumer
from channels.handler.dispatch import AsgiHandler
from channels.handler.request import AsgiRequest

__all__ = ["AsgiHandler", "AsgiRequest", "ViewConsumer"]
