"""WebSockets through a whole server, with another project's client library at the other end."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from socket import SHUT_WR
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from channels.layers.inmemory import ChannelLayer
from channels.spec import websocket_reply
from tests.daphne.clients import HttpClient
from tests.daphne.protocol.socket_driver import TEXT, client_frame, close_frame
from tests.reactor import in_reactor
from tests.waiting import wait_until


def accept(message: dict[str, Any]) -> Any:
    """Accepts every handshake."""
    return {"accept": True}


def echo(message: dict[str, Any]) -> Any:
    """Sends back what came."""
    return {key: message[key] for key in ("text", "bytes") if message.get(key) is not None}


def nothing(message: dict[str, Any]) -> None:
    """Answers nothing."""


def upgraded(client: HttpClient, path: str = "/") -> HttpClient:
    """A client that does nothing but what it is told, after its handshake."""
    client.request(
        path,
        Upgrade="websocket",
        Connection="Upgrade",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        Sec_WebSocket_Version="13",
    )
    assert client.response().status == 101
    return client


@pytest.fixture
def sockets(serve: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Starts a server with an application, and gives a function that opens sockets to it."""
    stack = ExitStack()

    def make(layer: Any = None, options: dict[str, Any] | None = None, **handlers: Any) -> Any:
        one = serve(layer, **(options or {})) if layer is not None else serve(**(options or {}))
        defaults = {
            "websocket_connect": accept,
            "websocket_receive": echo,
            "websocket_disconnect": nothing,
        }
        one.app = one.application(**defaults | handlers)

        def open_socket(path: str = "/", **kwargs: Any) -> ClientConnection:
            kwargs.setdefault("open_timeout", 10)
            return stack.enter_context(connect(one.url + path, **kwargs))

        one.open = open_socket
        return one

    with stack:
        yield make


@contextmanager
def closed_with(code: int) -> Iterator[None]:
    """The block meets the end of the socket with this code."""
    with pytest.raises(ConnectionClosed) as caught:
        yield
    assert caught.value.rcvd is not None and caught.value.rcvd.code == code


def test_text_and_bytes_come_back(sockets):
    socket = sockets().open()
    for data in ("hello", "", "ä" * 10_000, b"bytes", b"", b"\x00" * 70_000):
        socket.send(data)
        assert socket.recv(10) == data


@pytest.mark.parametrize("on", [False, True])
def test_messages_are_compressed_where_that_is_on(sockets, on):
    # This client offers it.
    socket = sockets(options={"websocket_compression": on}).open()
    assert [extension.name for extension in socket.protocol.extensions] == (
        ["permessage-deflate"] if on else []
    )
    for data in ("hello", "", "ä" * 10_000, b"bytes" * 20, b"", b"\x00" * 70_000):
        socket.send(data)
        assert socket.recv(10) == data


def test_the_connect_message_is_what_the_specification_says(sockets):
    one = sockets(options={"root_path": "/mounted"})
    one.open("/caf%C3%A9?a=%20b", additional_headers=[("X-Two", "1"), ("X-Two", "2")])
    (message,) = one.app.messages("websocket.connect")
    assert message["path"] == "/café"
    assert message["query_string"] == b"a=%20b"
    assert message["scheme"] == "ws"
    assert message["root_path"] in (b"/mounted", "/mounted")
    assert message["order"] == 0
    assert [v for k, v in message["headers"] if k == b"x-two"] == [b"1", b"2"]
    assert message["client"][0] == "127.0.0.1"


def test_messages_are_numbered(sockets):
    one = sockets()
    socket = one.open("/path")
    for text in ("a", "b", "c"):
        socket.send(text)
        socket.recv(10)
    socket.close(4000)
    wait_until(lambda: one.app.messages("websocket.disconnect"))
    received = one.app.messages("websocket.receive")
    assert [message["order"] for message in received] == [1, 2, 3]
    assert {message["path"] for message in received} == {"/path"}
    (message,) = one.app.messages("websocket.disconnect")
    assert (message["order"], message["code"], message["path"]) == (4, 4000, "/path")
    assert message["reply_channel"] == received[0]["reply_channel"]


def test_a_client_that_vanishes_gives_1006(sockets):
    one = sockets()
    one.open().socket.close()
    wait_until(lambda: one.app.messages("websocket.disconnect"))
    assert one.app.messages("websocket.disconnect")[0]["code"] == 1006


@pytest.mark.parametrize("reply", [{"accept": False}, {"close": True}])
def test_a_refused_handshake_is_a_403(sockets, reply):
    with pytest.raises(InvalidStatus) as caught:
        sockets(websocket_connect=lambda m: reply).open()
    assert caught.value.response.status_code == 403


def test_data_accepts_the_handshake(sockets):
    socket = sockets(websocket_connect=lambda m: {"text": "welcome"}).open()
    assert socket.recv(10) == "welcome"


def test_a_group_message_accepts_the_handshake(sockets, layer):
    one = sockets(websocket_connect=lambda m: layer.group_add("all", m["reply_channel"]))
    opened: list[ClientConnection] = []
    thread = threading.Thread(target=lambda: opened.append(one.open()))
    thread.start()
    wait_until(lambda: layer.group_channels("all"))
    layer.send_group("all", {"text": "to all"})
    thread.join()
    assert opened[0].recv(10) == "to all"


def test_a_handshake_that_nobody_answers_is_refused(sockets):
    options = {"websocket_connect_timeout": 0.1}
    with pytest.raises(InvalidStatus):
        sockets(options=options, websocket_connect=nothing).open()


def test_a_full_connect_queue_is_a_503(serve, layer):
    one = serve()
    for _ in range(layer.capacity):
        layer.send("websocket.connect", {})
    with pytest.raises(InvalidStatus) as caught, connect(one.url, open_timeout=10):
        pass
    assert caught.value.response.status_code == 503


def test_the_first_offered_protocol_that_is_spoken_is_chosen(sockets):
    one = sockets(options={"ws_protocols": ["b", "a"]})
    assert one.open(subprotocols=["x", "a", "b"]).subprotocol == "a"
    assert one.open().subprotocol is None


@pytest.mark.parametrize(("close", "code"), [(True, 1000), (1001, 1001), (4321, 4321)])
def test_the_application_closes_with_a_code(sockets, close, code):
    socket = sockets(websocket_receive=lambda m: {"close": close}).open()
    socket.send("x")
    with closed_with(code):
        socket.recv(10)


def test_data_and_close_together_are_sent_in_this_order(sockets):
    socket = sockets(websocket_receive=lambda m: {"text": "bye", "close": True}).open()
    socket.send("x")
    assert socket.recv(10) == "bye"
    with closed_with(1000):
        socket.recv(10)


def test_a_message_over_the_limit_is_closed_by_1009(sockets):
    options = {"websocket_max_message": 1000, "websocket_max_frame": 1000}
    socket = sockets(options=options).open()
    socket.send("x" * 1000)
    assert socket.recv(10) == "x" * 1000
    with closed_with(1009):
        socket.send("x" * 1001)
        socket.recv(10)


def test_a_ping_is_answered(sockets):
    assert sockets().open().ping("data").wait(10)


def test_a_silent_client_is_sent_pings_and_stays(sockets):
    one = sockets(options={"ping_interval": 0.05, "ping_timeout": 5})
    socket = one.open(ping_interval=None)
    wait_until(lambda: one.connections() == 1)
    threading.Event().wait(0.3)  # several intervals; the library answers each ping
    socket.send("still here")
    assert socket.recv(10) == "still here"


def test_a_client_that_answers_no_ping_is_dropped(serve):
    one = serve(ping_interval=0.05, ping_timeout=0.05)
    application = one.application(websocket_connect=accept, websocket_disconnect=nothing)
    client = one.client()
    client.request(
        "/",
        Upgrade="websocket",
        Connection="Upgrade",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        Sec_WebSocket_Version="13",
    )
    response = client.response()
    assert response.status == 101
    assert response.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    wait_until(lambda: application.messages("websocket.disconnect"))
    wait_until(lambda: one.connections() == 0)


def test_a_socket_ends_with_its_longest_life(sockets):
    socket = sockets(options={"websocket_timeout": 0.2}).open()
    with pytest.raises(ConnectionClosed):
        socket.recv(10)


def test_one_group_send_reaches_every_socket(sockets):
    layer = ChannelLayer(capacity=200)
    one = sockets(
        layer,
        websocket_connect=lambda m: layer.group_add("all", m["reply_channel"]) or accept(m),
    )
    opened = [one.open(compression="deflate" if n % 2 else None) for n in range(40)]
    layer.send_group("all", websocket_reply(text="to all"))
    assert [socket.recv(10) for socket in opened] == ["to all"] * 40


def test_a_full_receive_queue_pauses_the_socket_and_loses_nothing(sockets):
    layer = ChannelLayer(capacity=3, channel_capacity={"daphne.response.*": 100})
    go_on = threading.Event()

    def slow(message: dict[str, Any]) -> Any:
        go_on.wait(10)
        return echo(message)

    socket = sockets(layer, websocket_receive=slow).open()
    for number in range(50):
        socket.send(str(number))
    go_on.set()
    assert [socket.recv(10) for _ in range(50)] == [str(number) for number in range(50)]


def send_and_close(one: Any, count: int) -> None:
    """Send numbered frames and a close frame in one piece, and wait for the end of it."""
    client = upgraded(one.client())
    frames = [client_frame(TEXT, str(number).encode()) for number in range(count)]
    client.send(b"".join([*frames, close_frame(4000)]))
    client.socket.shutdown(SHUT_WR)
    wait_until(lambda: one.connections() == 0)


def test_frames_before_a_close_find_room_after_it(sockets):
    go_on = threading.Event()

    def slow(message: dict[str, Any]) -> None:
        go_on.wait(10)

    one = sockets(ChannelLayer(capacity=3), websocket_receive=slow)
    send_and_close(one, 50)
    assert len(one.app.messages("websocket.receive")) < 50
    go_on.set()
    wait_until(lambda: one.app.messages("websocket.disconnect"))
    received = one.app.messages("websocket.receive")
    assert [message["text"] for message in received] == [str(number) for number in range(50)]
    (message,) = one.app.messages("websocket.disconnect")
    assert (message["order"], message["code"]) == (51, 4000)


def test_a_server_that_stops_does_not_wait_for_room(serve):
    one = serve(ChannelLayer(capacity=3), websocket_receive_wait=60)
    app = one.application(websocket_connect=accept, websocket_disconnect=nothing)
    send_and_close(one, 20)
    assert not app.messages("websocket.disconnect")
    in_reactor(one.server.shut_down)
    wait_until(lambda: app.messages("websocket.disconnect"))
    assert app.messages("websocket.disconnect")[0]["order"] == 4


def test_a_receive_queue_that_stays_full_is_closed_by_1013(serve):
    layer = ChannelLayer(capacity=3)
    one = serve(layer, websocket_receive_wait=0.1)
    one.application(websocket_connect=accept)
    with connect(one.url, open_timeout=10) as socket:
        for number in range(20):
            socket.send(str(number))
        with closed_with(1013):
            socket.recv(10)


def test_a_client_that_does_not_read_is_dropped_and_others_are_served(sockets):
    layer = ChannelLayer(capacity=100)

    def join(message: dict[str, Any]) -> Any:
        layer.group_add("all", message["reply_channel"])
        return {"accept": True}

    one = sockets(
        layer,
        {"websocket_write_limit": 500_000, "websocket_close_timeout": 0.1},
        websocket_connect=join,
    )
    reader = one.open(compression=None, max_size=None)
    upgraded(one.client(buffer=4096), "/lazy")
    payload = b"x" * 200_000
    for _ in range(60):
        layer.send_group("all", websocket_reply(bytes=payload))
        assert reader.recv(10) == payload
        if one.app.messages("websocket.disconnect"):
            break
    wait_until(lambda: one.app.messages("websocket.disconnect"))
    assert one.app.messages("websocket.disconnect")[0]["path"] == "/lazy"


def test_an_emptied_layer_closes_sockets_so_that_clients_come_back(sockets, layer):
    one = sockets()
    socket = one.open()
    layer.flush()
    with pytest.raises(ConnectionClosed):
        socket.recv(10)
    again = one.open()
    again.send("back")
    assert again.recv(10) == "back"


def test_a_wrong_reply_is_logged_and_the_socket_stays(sockets, caplog):
    replies = iter([{"text": "a", "bytes": b"b"}, {"nonsense": 1}])
    socket = sockets(websocket_receive=lambda m: next(replies, None) or echo(m)).open()
    for data in ("1", "2", "3"):
        socket.send(data)
    assert socket.recv(10) == "3"
    assert "daphne" in {record.name.partition(".")[0] for record in caplog.records}


def test_each_step_is_reported_to_the_action_logger(sockets):
    one = sockets()
    one.open("/logged").close()
    wait_until(lambda: [entry for entry in one.logged if entry[1] == "disconnected"])
    steps = [(protocol, action) for protocol, action, _ in one.logged]
    assert steps == [("websocket", name) for name in ("connecting", "connected", "disconnected")]
    assert all(details["path"] == "/logged" for _, _, details in one.logged)


def test_a_rejection_is_reported_too(sockets):
    one = sockets(websocket_connect=lambda m: {"close": True})
    with pytest.raises(InvalidStatus):
        one.open()
    wait_until(lambda: one.logged and one.logged[-1][1] == "rejected")


def test_sockets_close_in_order_when_the_server_stops(sockets):
    one = sockets()
    socket = one.open()
    threading.Thread(target=one.close).start()
    with closed_with(1012):
        socket.recv(10)
