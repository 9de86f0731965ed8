"""``ASGIInterface`` where something ends at an awkward moment: connections, waits, the server."""

import asyncio
from typing import Any

import pytest

from channels.exceptions import LayerUnavailable
from channels.interfaces.asgi3 import ASGIInterface
from channels.interfaces.dispatch import ClientGone, Mailbox
from channels.layers.inmemory import ChannelLayer
from tests.interfaces.asgi import Connection, http_scope, running, websocket_scope
from tests.interfaces.test_loop import Remote
from tests.interfaces.workers import everything

CONNECT = {"type": "websocket.connect"}
EMPTY = {"type": "http.request", "body": b"", "more_body": False}


class Hanging(ChannelLayer):
    """Takes a message of one channel, and does not come back to say so."""

    def __init__(self, channel: str) -> None:
        super().__init__()
        self._hanging = channel
        self.taken = asyncio.Event()

    async def send_async(self, channel: str, message: dict[str, Any]) -> None:
        self.send(channel, message)
        if channel == self._hanging:
            self.taken.set()
            await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("channel", "scope", "event", "end"),
    [
        ("http.request", http_scope(), EMPTY, "http.disconnect"),
        ("websocket.connect", websocket_scope(), CONNECT, "websocket.disconnect"),
    ],
)
def test_what_the_layer_may_have_taken_before_a_cancellation_is_ended(channel, scope, event, end):
    layer = Hanging(channel)

    async def test(interface: ASGIInterface) -> None:
        connection = Connection(interface, scope, event)
        await asyncio.wait_for(layer.taken.wait(), 20)
        connection.task.cancel()
        await asyncio.gather(connection.task, return_exceptions=True)

    running(test, ASGIInterface(layer))
    (begun,) = everything(layer, channel)
    assert [m["reply_channel"] for m in everything(layer, end)] == [begun["reply_channel"]]


@pytest.mark.parametrize(
    ("scope", "event", "end"),
    [
        (http_scope(), EMPTY, "http.disconnect"),
        (websocket_scope(), CONNECT, "websocket.disconnect"),
    ],
)
def test_a_connection_that_is_cancelled_twice_leaves_nothing_behind(scope, event, end):
    layer = ChannelLayer()
    read: list[str] = []

    async def stubborn(events: list[dict[str, Any]]) -> dict[str, Any]:
        """Give events; a server that takes a while to stop being read from."""
        if events:
            return events.pop()
        read.append("waits")
        try:
            await asyncio.Event().wait()
        finally:
            read.append("cancelled")
            await asyncio.sleep(0.01)
        return {}

    async def test(interface: ASGIInterface) -> None:
        events = [event]

        async def send(sent: Any) -> None:
            """Take whatever is sent."""

        task = asyncio.ensure_future(interface(scope, lambda: stubborn(events), send))
        channel = "http.request" if end == "http.disconnect" else "websocket.connect"
        _, message = await layer.receive_async([channel])
        assert message is not None
        if channel == "websocket.connect":
            layer.send(message["reply_channel"], {"accept": True})
        while read.count("waits") < 1:
            await asyncio.sleep(0)
        task.cancel()
        while "cancelled" not in read:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert interface._dispatch is not None
        assert interface._dispatch._mailboxes == {}

    running(test, ASGIInterface(layer))
    assert len(everything(layer, end)) == 1


def test_an_end_while_a_write_runs_out_of_time_harms_nobody_else():
    async def test() -> None:
        mailbox = Mailbox("daphne.response.x!y", 10)

        async def slow_to_stop() -> None:
            try:
                await asyncio.Event().wait()
            finally:  # here the time is over, and the write has not ended yet
                mailbox.deliver({"content": bytes(100)}, {})
                mailbox.deliver({"content": bytes(100)}, {})
                mailbox.end(ClientGone())

        with pytest.raises(Exception, match="the client does not read"):
            await mailbox.write(slow_to_stop(), 0.01)

    asyncio.run(test())


def test_the_end_of_the_server_waits_until_the_workers_are_told():
    layer = Remote()

    async def test(interface: ASGIInterface) -> None:
        connection = Connection(interface, websocket_scope(), CONNECT)
        _, message = await ChannelLayer.receive_async(layer, ["websocket.connect"])
        assert message is not None
        await asyncio.to_thread(layer.send, message["reply_channel"], {"accept": True})
        assert (await connection.next())["type"] == "websocket.accept"

    running(test, ASGIInterface(layer, websocket_close_timeout=0.05))

    (message,) = everything(layer, "websocket.disconnect")
    assert message["code"] == 1006


def test_a_reader_that_fails_ends_its_socket():
    layer = ChannelLayer()

    async def test(interface: ASGIInterface) -> None:
        events = [CONNECT]

        async def receive() -> Any:
            if events:
                return events.pop()
            raise RuntimeError("the server has a defect")

        async def send(sent: Any) -> None:
            """Take whatever is sent."""

        task = asyncio.ensure_future(interface(websocket_scope(), receive, send))
        _, message = await layer.receive_async(["websocket.connect"])
        assert message is not None
        layer.send(message["reply_channel"], {"accept": True})
        await asyncio.wait_for(task, 20)

    running(test, ASGIInterface(layer))
    assert len(everything(layer, "websocket.disconnect")) == 1


def test_a_generation_that_could_not_be_read_at_first_ends_no_connection(caplog):
    class Late(ChannelLayer):
        asked = 0

        def generation(self, channel: str | None = None) -> str:
            self.asked += 1
            if self.asked == 1:
                raise LayerUnavailable("not yet connected")
            return super().generation(channel)

    layer = Late()

    async def test(interface: ASGIInterface) -> tuple[int, bytes]:
        connection = Connection(interface, http_scope(), EMPTY)
        _, message = await layer.receive_async(["http.request"])
        assert message is not None
        while layer.asked < 2:
            await asyncio.sleep(0.001)  # a turn of the loop
        layer.send(message["reply_channel"], {"status": 200, "headers": [], "content": b"fine"})
        status, _, body = await connection.response()
        return status, body

    assert running(test, ASGIInterface(layer)) == (200, b"fine")
    assert "not yet connected" in caplog.text
