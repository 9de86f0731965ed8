"""A socket as a consumer sees it: messages in, and what it would be sent out."""

import json
from typing import Any

from channels import route, route_class
from channels.asgi import ChannelLayerWrapper
from channels.layers.inmemory import ChannelLayer
from channels.routing import Router
from channels.worker.dispatch import Dispatcher

REPLY_CHANNEL = "daphne.response.ab!cd"

_EVENTS = ["websocket.connect", "websocket.receive", "websocket.disconnect"]


class Socket:
    """Sends messages through a routing as a worker does, and reads what the socket gets."""

    def __init__(self, consumer: Any = None, **filters: Any) -> None:
        layer = ChannelLayer()
        self.layer = ChannelLayerWrapper(layer, "default", None)
        entry = consumer if hasattr(consumer, "match") else route_class(consumer, **filters)
        self.layer.router = Router([entry])
        self._dispatcher = Dispatcher(self.layer, Socket)
        self._order = 0

    def does(self, event: str, **content: Any) -> list[dict[str, Any]]:
        """Pass on a message of ``websocket.<event>``; what the socket gets then."""
        message = {
            "reply_channel": REPLY_CHANNEL,
            "path": "/path/",
            "order": self._order,
            **({"text": None, "bytes": None} if event == "receive" else {}),
            **({"headers": [], "query_string": b""} if event == "connect" else {}),
            **content,
        }
        self._order = message["order"] + 1
        self._dispatcher.dispatch(f"websocket.{event}", message)
        while (received := self.layer.receive(_EVENTS))[0] is not None:  # those put back
            self._dispatcher.dispatch(*received)
        return self.gets()

    def says(self, content: Any) -> list[dict[str, Any]]:
        """Pass on a frame of JSON; what the socket gets then."""
        return self.does("receive", text=json.dumps(content))

    def gets(self) -> list[dict[str, Any]]:
        """What was sent to the socket."""
        found = []
        while (received := self.layer.receive(["daphne.response.ab!"]))[1] is not None:
            found.append(received[1])
        return found


def routed(channel: str, consumer: Any) -> Any:
    """A routing entry of a function."""
    return route(channel, consumer)
