"""The same view, echo and group for Channels 4."""

import django

django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.urls import path  # noqa: E402

from channels.generic.websocket import (  # noqa: E402  (Django is set up first)
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402


class Echo(WebsocketConsumer):
    """Synchronous, as ours is."""

    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=text_data, bytes_data=bytes_data)


class Member(AsyncWebsocketConsumer):
    """Asynchronous, which costs Channels 4 least."""

    async def connect(self):
        await self.channel_layer.group_add("members", self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard("members", self.channel_name)

    async def receive(self, text_data=None, bytes_data=None):
        await self.channel_layer.group_send("members", {"type": "tell", "text": text_data})

    async def tell(self, event):
        await self.send(text_data=event["text"])


application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("", Echo.as_asgi()), path("members/", Member.as_asgi())]),
    }
)
