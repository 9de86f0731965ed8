"""Clients that do not read, and clients that send too much: what becomes of them and of others."""

from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from channels.layers.inmemory import ChannelLayer
from daphne.protocol.operations import Write
from tests.daphne.clients import HttpClient
from tests.daphne.cores import Script
from tests.reactor import in_reactor
from tests.waiting import wait_until

#: Larger than what two sockets' buffers hold, with a few of them.
LOAD = "x" * 300_000


def joined(layer: ChannelLayer) -> Callable[[dict[str, Any]], Any]:
    """Accepts, and adds to the group ``all``."""

    def join(message: dict[str, Any]) -> Any:
        layer.group_add("all", message["reply_channel"])
        return {"accept": True}

    return join


def nothing(message: dict[str, Any]) -> None:
    """Answers nothing."""


def silent(one: Any) -> HttpClient:
    """A client that takes part in a handshake, and reads nothing after it."""
    client: HttpClient = one.client(buffer=4096)
    client.request(
        "/silent",
        Upgrade="websocket",
        Connection="Upgrade",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        Sec_WebSocket_Version="13",
    )
    assert client.response().status == 101
    return client


@pytest.mark.parametrize("policy", ["close", "drop"])
def test_slow_consumer_outgoing_buffer_is_bounded_and_others_are_not_slowed(serve, caplog, policy):
    """The row "Slow consumer" of the requirements, through sockets and by both policies."""
    layer = ChannelLayer(capacity=1000)
    one = serve(
        layer,
        admin="127.0.0.1:0",
        websocket_write_limit=1_000_000,
        websocket_slow_consumer=policy,
        websocket_close_timeout=0.5,
    )
    application = one.application(
        websocket_connect=joined(layer), websocket_receive=nothing, websocket_disconnect=nothing
    )
    client = silent(one)
    meters = one.server._meters
    with connect(one.url, max_size=None) as reader:
        for number in range(40):  # 12 MB
            layer.send_group("all", {"text": f"{number} {LOAD}"})
            text = reader.recv(10)
            assert isinstance(text, str) and text.startswith(f"{number} ")
        if policy == "drop":
            assert in_reactor(lambda: meters.dropped) > 20
            assert caplog.text.count("its client does not read") == 1
            assert one.connections() == 2
        else:
            wait_until(lambda: one.connections() == 1)
            assert in_reactor(lambda: meters.closes[1006]) == 1
            assert "127.0.0.1:" in caplog.text and "does not read; closing" in caplog.text
            wait_until(lambda: application.messages("websocket.disconnect"))
    client.close()


def test_a_core_that_writes_much_in_one_turn_hears_that_it_is_too_much(shell):
    piece = b"x" * 50_000
    script = Script(deliver=lambda core, *message: core.emit(Write(piece)))
    one = shell(script)
    client = one.connect(4096)
    wait_until(lambda: script.cores)
    core = script.cores[0]

    def deliver_all() -> list[str]:
        for _ in range(200):
            one.only.deliver("local", {}, {})
        return core.names()

    assert "pause_writing" in in_reactor(deliver_all)
    received = 0
    while received < 200 * len(piece):
        received += len(client.recv(65536))
    wait_until(lambda: core.drained_bytes == 200 * len(piece))


def test_message_floods_are_closed_by_1008_and_others_are_unaffected(serve):
    """The row "Message floods" of the requirements, through sockets."""
    layer = ChannelLayer(capacity=10_000)
    one = serve(layer, websocket_message_rate=20)
    one.application(
        websocket_connect=lambda message: {"accept": True},
        websocket_receive=lambda message: {"text": message["text"]},
        websocket_disconnect=nothing,
    )
    with connect(one.url) as flood, connect(one.url) as other:
        with pytest.raises(ConnectionClosed) as caught:
            for number in range(400):  # twice what may come at once
                flood.send(f"{number}")
            while True:
                flood.recv(10)
        for number in range(20):
            other.send(f"{number}")
            assert other.recv(10) == f"{number}"
    assert caught.value.rcvd is not None and caught.value.rcvd.code == 1008
    assert "websocket_message_rate" in caught.value.rcvd.reason
