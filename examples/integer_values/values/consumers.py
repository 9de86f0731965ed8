"""The socket of a page."""

from collections.abc import Iterable
from typing import Any

from channels.generic.websockets import WebsocketDemultiplexer
from values.binding import IntegerValueBinding


class Demultiplexer(WebsocketDemultiplexer):
    """Hands what pages ask for to the binding, and has them told of each change."""

    http_user = True
    consumers = {"intval": IntegerValueBinding.consumer}

    def connection_groups(self, **kwargs: Any) -> Iterable[str]:
        return ["intval-updates"]
