"""The same view, and the same echo as a synchronous consumer of Channels 4."""

import django

django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.urls import path  # noqa: E402

from channels.generic.websocket import WebsocketConsumer  # noqa: E402  (Django is set up first)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402


class Echo(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=text_data, bytes_data=bytes_data)


application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("", Echo.as_asgi())]),
    }
)
