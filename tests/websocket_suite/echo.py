"""Daphne with an echo in its own process, in place of a layer and workers. Prints its port."""

from typing import Any

from twisted.internet.defer import Deferred, succeed

from channels.layers.entries import Delivery
from channels.names import split_name
from daphne.server import Server

#: Larger than anything that the cases send.
LIMIT = 64 * 1024 * 1024


class Echo:
    """A layer that accepts each socket, and has each message in its queue again at once."""

    group_expiry = 86400

    def __init__(self) -> None:
        self._ready: list[Delivery] = []
        self._waiting: Deferred[list[Delivery]] | None = None

    def send_twisted(self, channel: str, message: dict[str, Any]) -> "Deferred[None]":
        """Take a message, and have the answer to it."""
        answer = {
            "websocket.connect": {"accept": True},
            "websocket.receive": {key: message.get(key) for key in ("text", "bytes")},
        }.get(channel)
        if answer is not None:
            queue, local = split_name(message["reply_channel"])
            self._ready.append(Delivery(queue, (local,), answer))
            self._hand_out()
        return succeed(None)

    def _hand_out(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            ready, self._ready = self._ready, []
            waiting.callback(ready)

    def receive_deliveries_twisted(self, channels: list[str]) -> "Deferred[list[Delivery]]":
        """The answers that are there, or the next one."""
        if self._ready:
            ready, self._ready = self._ready, []
            return succeed(ready)
        self._waiting = Deferred()
        return self._waiting

    def generation(self, channel: str) -> str:
        """Nothing is ever lost here."""
        return ""

    def has_listener(self, channel: str) -> bool:
        """Every message is taken."""
        return True

    def new_channel_twisted(self, pattern: str) -> "Deferred[str]":
        """No case needs one."""
        raise NotImplementedError

    room_twisted = new_channel_twisted


def _listens(server: Server) -> None:
    print(server.addresses[0].port, flush=True)


if __name__ == "__main__":
    Server(
        Echo(),
        endpoints=["tcp:0:interface=127.0.0.1"],
        ready=_listens,
        verbosity=0,
        websocket_compression=True,
        websocket_max_frame=LIMIT,
        websocket_max_message=LIMIT,
        websocket_max_fragments=LIMIT,
        websocket_write_limit=LIMIT,
    ).run()
