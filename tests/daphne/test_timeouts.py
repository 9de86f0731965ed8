"""Connections of every kind end at their time, and the application hears of it."""

from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from channels.layers.inmemory import ChannelLayer
from tests.waiting import wait_until


def nothing(message: dict[str, Any]) -> None:
    """Answers nothing."""


def only(application: Any, channel: str) -> dict[str, Any]:
    """The one message of a channel, once it is there."""
    wait_until(lambda: application.messages(channel))
    (message,) = application.messages(channel)
    result: dict[str, Any] = message
    return result


def test_a_request_without_an_answer(serve):
    one = serve(http_timeout=0.1)
    application = one.application(http_request=nothing, http_disconnect=nothing)
    assert one.client().get("/late").status == 503
    message = only(application, "http.disconnect")
    assert message == {
        "reply_channel": only(application, "http.request")["reply_channel"],
        "path": "/late",
    }


def test_a_response_that_does_not_go_on(serve):
    one = serve(http_timeout=0.1)
    application = one.application(
        http_request=lambda m: {"status": 200, "content": b"part", "more_content": True},
        http_disconnect=nothing,
    )
    client = one.client()
    client.request("/late")
    with pytest.raises((ConnectionError, ValueError)):
        client.response()
    assert only(application, "http.disconnect")["path"] == "/late"


def test_a_handshake_without_an_answer(serve):
    one = serve(websocket_connect_timeout=0.1)
    application = one.application(websocket_connect=nothing, websocket_disconnect=nothing)
    with pytest.raises(InvalidStatus) as caught, connect(one.url, open_timeout=10):
        pass
    assert caught.value.response.status_code == 503
    message = only(application, "websocket.disconnect")
    assert (message["code"], message["order"]) == (1006, 1)


def test_a_websocket_lives_as_long_as_memberships_of_the_layer(serve):
    one = serve(ChannelLayer(group_expiry=1))
    application = one.application(
        websocket_connect=lambda m: {"accept": True}, websocket_disconnect=nothing
    )
    with connect(one.url, open_timeout=10) as socket, pytest.raises(ConnectionClosed) as caught:
        socket.recv(10)
    assert caught.value.rcvd is not None and caught.value.rcvd.code == 1000
    message = only(application, "websocket.disconnect")
    assert message["reply_channel"] == only(application, "websocket.connect")["reply_channel"]
    assert (message["code"], message["order"], message["path"]) == (1000, 1, "/")


def test_a_websocket_whose_client_is_gone(serve):
    one = serve(ping_interval=0.05, ping_timeout=0.05)
    application = one.application(
        websocket_connect=lambda m: {"accept": True}, websocket_disconnect=nothing
    )
    client = one.client()
    client.request(
        "/gone",
        Upgrade="websocket",
        Connection="Upgrade",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        Sec_WebSocket_Version="13",
    )
    assert client.response().status == 101
    message = only(application, "websocket.disconnect")
    assert (message["code"], message["path"]) == (1006, "/gone")
