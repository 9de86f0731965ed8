"""``ASGIInterface`` and WebSocket: what happens to one socket, whatever server it comes by."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from channels.exceptions import ChannelFull, LayerUnavailable, MessageTooLarge
from channels.interfaces import asgi3_websocket
from channels.interfaces.asgi3 import ASGIInterface
from channels.layers.inmemory import ChannelLayer
from channels.spec import (
    check_websocket_connect,
    check_websocket_disconnect,
    check_websocket_receive,
)
from tests.interfaces.asgi import PATIENCE, Connection, running, websocket_scope

CONNECT = {"type": "websocket.connect"}


class Worker:
    """Takes the messages of one socket, and answers."""

    def __init__(self, layer: ChannelLayer) -> None:
        self.layer = layer
        self.reply_channel = ""

    async def take(self, channel: str) -> dict[str, Any]:
        """The next message of a channel."""
        _, message = await asyncio.wait_for(self.layer.receive_async([channel]), PATIENCE)
        assert message is not None
        self.reply_channel = message["reply_channel"]
        return message

    def reply(self, **keys: Any) -> None:
        self.layer.send(self.reply_channel, keys)

    async def accept(self) -> dict[str, Any]:
        message = await self.take("websocket.connect")
        self.reply(accept=True)
        return message


async def opened(
    interface: ASGIInterface, path: str = "/", **scope: Any
) -> tuple[Connection, Worker]:
    """An accepted socket."""
    connection = Connection(interface, websocket_scope(path, **scope), CONNECT)
    worker = Worker(interface.layer)
    await worker.accept()
    assert (await connection.next())["type"] == "websocket.accept"
    return connection, worker


def with_socket(
    test: Callable[[Connection, Worker], Awaitable[Any]], layer: Any = None, **options: Any
) -> Any:
    """What ``test`` returns, run with an open socket."""

    async def run(interface: ASGIInterface) -> Any:
        connection, worker = await opened(interface)
        result = await test(connection, worker)
        if not connection.task.done():
            connection.client("websocket.disconnect", code=1001)
            await connection.end()
        return result

    return running(run, ASGIInterface(layer or ChannelLayer(capacity=100), **options))


def handshake(
    *replies: dict[str, Any], layer: Any = None, options: Any = None, **scope: Any
) -> list[dict[str, Any]]:
    """What a handshake that is answered by ``replies`` leads to, up to a refusal or acceptance."""

    async def run(interface: ASGIInterface) -> list[dict[str, Any]]:
        connection = Connection(interface, websocket_scope(**scope), CONNECT)
        if replies:
            worker = Worker(interface.layer)
            await worker.take("websocket.connect")
            for reply in replies:
                worker.reply(**reply)
        sent = [await connection.next()]
        connection.client("websocket.disconnect", code=1001)
        await connection.end()
        while not connection.sent.empty():
            sent.append(connection.sent.get_nowait())
        return sent

    found: list[dict[str, Any]] = running(
        run, ASGIInterface(layer or ChannelLayer(capacity=100), **options or {})
    )
    return found


# -- the handshake ---------------------------------------------------------------------------------


def test_the_connect_message_is_what_the_scope_says():
    layer = ChannelLayer()

    async def test(interface: ASGIInterface) -> None:
        scope = websocket_scope(
            "/caf\u00e9",
            scheme="wss",
            query_string=b"a=1",
            root_path="/shop",
            headers=[(b"Cookie", b"a=1"), (b"cookie", b"b=2"), (b"x_forged", b"1")],
        )
        connection = Connection(interface, scope, CONNECT)
        message = await Worker(layer).take("websocket.connect")
        assert check_websocket_connect(message, strict=True)
        assert message.pop("reply_channel").startswith("daphne.response.")
        assert message == {
            "scheme": "wss",
            "path": "/caf\u00e9",
            "query_string": b"a=1",
            "root_path": b"/shop",
            "headers": [[b"cookie", b"a=1"], [b"cookie", b"b=2"]],
            "client": ["203.0.113.9", 50000],
            "server": ["127.0.0.1", 8000],
            "order": 0,
        }
        connection.task.cancel()

    running(test, ASGIInterface(layer))


ACCEPTED = {"type": "websocket.accept", "subprotocol": None}
REFUSED = {"type": "websocket.close", "code": 1013}


@pytest.mark.parametrize(
    ("replies", "first"),
    [
        ([{"accept": True}], ACCEPTED),
        ([{"text": "hello"}], ACCEPTED),
        ([{"bytes": b"x"}], ACCEPTED),
        ([{"text": "bye", "close": True}], ACCEPTED),
        ([{"accept": False}], REFUSED),
        ([{"accept": False, "text": "x"}], REFUSED),
        ([{"close": True}], REFUSED),
        ([{"close": 4000}], REFUSED),
        ([{}, {"text": ""}, {"close": 0}, {"accept": None}, {"accept": True}], ACCEPTED),
        ([{"text": "a", "bytes": b"b"}, {"what": 1}, {"accept": 5}, {"close": True}], REFUSED),
    ],
)
def test_replies_accept_and_reject_as_they_do_in_daphne(replies, first):
    assert handshake(*replies)[0] == first


def test_data_that_accepts_is_sent():
    sent = handshake({"accept": True, "text": ""})

    assert sent[1] == {"type": "websocket.send", "text": ""}


def test_the_first_subprotocol_that_is_offered_and_spoken_is_chosen():
    options = {"ws_protocols": ["b", "c"]}

    for offered, chosen in ((["a", "c", "b"], "c"), (["a"], None), ([], None)):
        sent = handshake({"accept": True}, options=options, subprotocols=offered)
        assert sent[0]["subprotocol"] == chosen


@pytest.mark.parametrize("denial", [True, False])
def test_refusals_have_their_status_where_the_server_can_send_it(denial):
    extensions = {"websocket.http.response": {}} if denial else {}
    full = ChannelLayer(capacity=1)
    full.send("websocket.connect", {})

    refusals = [
        (403, handshake({"close": True}, extensions=extensions)),
        (503, handshake(layer=full, extensions=extensions)),
        (503, handshake(options={"websocket_connect_timeout": 0.05}, extensions=extensions)),
    ]

    for status, sent in refusals:
        if denial:
            assert [event["type"] for event in sent] == [
                "websocket.http.response.start",
                "websocket.http.response.body",
            ]
            assert sent[0]["status"] == status
        else:
            assert sent == [REFUSED]


def test_a_layer_that_is_away_refuses(caplog):
    class Away(ChannelLayer):
        def send(self, channel: str, message: dict[str, Any]) -> None:
            raise LayerUnavailable("no answer from the store")

    assert handshake(layer=Away()) == [REFUSED]
    assert "no answer from the store" in caplog.text


def test_a_socket_that_was_rejected_is_disconnected():
    layer = ChannelLayer()

    handshake({"close": True}, layer=layer)

    _, message = layer.receive(["websocket.disconnect"])
    assert (message["code"], message["order"]) == (1006, 1)


# -- frames ----------------------------------------------------------------------------------------


def test_frames_reach_the_application_in_their_order():
    async def test(connection: Connection, worker: Worker) -> list[dict[str, Any]]:
        for keys in ({"text": "a"}, {"bytes": b"b"}, {"text": "", "bytes": None}, {"bytes": b""}):
            connection.client("websocket.receive", **keys)
        return [await worker.take("websocket.receive") for _ in range(4)]

    messages = with_socket(test)

    assert all(check_websocket_receive(message, strict=True) for message in messages)
    assert [(m["order"], m["text"], m["bytes"]) for m in messages] == [
        (1, "a", None), (2, None, b"b"), (3, "", None), (4, None, b"")
    ]  # fmt: skip


def test_replies_reach_the_client_in_their_order():
    async def test(connection: Connection, worker: Worker) -> list[dict[str, Any]]:
        for keys in (
            {"text": "a"},
            {"bytes": b"b"},
            {"accept": True},
            {"text": ""},
            {"bytes": b""},
        ):
            worker.reply(**keys)
        return [await connection.next() for _ in range(4)]

    assert with_socket(test) == [
        {"type": "websocket.send", "text": "a"},
        {"type": "websocket.send", "bytes": b"b"},
        {"type": "websocket.send", "text": ""},
        {"type": "websocket.send", "bytes": b""},
    ]


def test_what_is_no_reply_is_logged_and_ignored(caplog):
    async def test(connection: Connection, worker: Worker) -> dict[str, Any]:
        for keys in ({"text": "a", "bytes": b"b"}, {"what": 1}, {"text": 5}, {"text": "right"}):
            worker.reply(**keys)
        return await connection.next()

    assert with_socket(test) == {"type": "websocket.send", "text": "right"}
    assert caplog.text.count("was ignored") == 3


def test_a_group_reaches_every_socket_and_is_read_once(monkeypatch):
    reads = []

    def counting(message: Any) -> Any:
        reads.append(message)
        return read(message)

    read = asgi3_websocket.read_meaning
    monkeypatch.setattr(asgi3_websocket, "read_meaning", counting)
    layer = ChannelLayer()

    async def test(interface: ASGIInterface) -> None:
        sockets = [await opened(interface) for _ in range(20)]
        for _, worker in sockets:
            layer.group_add("everybody", worker.reply_channel)
        reads.clear()
        layer.send_group("everybody", {"text": "hello"})
        for connection, _ in sockets:
            assert await connection.next() == {"type": "websocket.send", "text": "hello"}
            connection.client("websocket.disconnect", code=1000)
            await connection.end()

    running(test, ASGIInterface(layer))
    assert len(reads) == 1


# -- the end ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "code"), [({"code": 4002}, 4002), ({}, 1005), ({"code": 1006}, 1006)]
)
def test_the_end_is_told_after_the_frames(keys, code):
    layer = ChannelLayer()

    async def test(connection: Connection, worker: Worker) -> None:
        for _ in range(3):
            connection.client("websocket.receive", text="x")
        connection.client("websocket.disconnect", **keys)
        await connection.end()

    with_socket(test, layer)

    _, message = layer.receive(["websocket.disconnect"])
    assert check_websocket_disconnect(message, strict=True)
    assert (message["code"], message["order"]) == (code, 4)


@pytest.mark.parametrize(
    ("close", "code"), [(True, 1000), (1000, 1000), (4001, 4001), (1005, 1011), (999, 1011)]
)
def test_the_application_closes(close, code):
    layer = ChannelLayer()

    async def test(connection: Connection, worker: Worker) -> dict[str, Any]:
        worker.reply(close=close)
        event = await connection.next()
        connection.client("websocket.disconnect", code=code)
        await connection.end()
        return event

    event = with_socket(test, layer)

    assert event == {"type": "websocket.close", "code": code, "reason": ""}
    assert layer.receive(["websocket.disconnect"])[1]["code"] == code


def test_data_goes_before_the_close():
    async def test(connection: Connection, worker: Worker) -> list[str]:
        worker.reply(text="bye", close=True)
        return [(await connection.next())["type"] for _ in range(2)]

    assert with_socket(test) == ["websocket.send", "websocket.close"]


def test_a_client_that_does_not_answer_the_close_is_left():
    layer = ChannelLayer()

    async def test(connection: Connection, worker: Worker) -> None:
        worker.reply(close=True)
        await connection.end()

    with_socket(test, layer, websocket_close_timeout=0.05)

    assert layer.receive(["websocket.disconnect"])[1]["code"] == 1006


def closing(layer: Any = None, frame: str = "x", **options: Any) -> tuple[int, str]:
    """Code and reason with which the server closes after the client has sent a frame."""

    async def test(connection: Connection, worker: Worker) -> tuple[int, str]:
        connection.client("websocket.receive", text=frame)
        event = await connection.next()
        assert event["type"] == "websocket.close"
        return event["code"], event["reason"]

    found: tuple[int, str] = with_socket(test, layer, **options)
    return found


def test_a_queue_that_stays_full_closes_by_1013():
    layer = ChannelLayer(capacity=1)
    layer.send("websocket.receive", {})

    assert closing(layer, websocket_receive_wait=0.05) == (1013, "queue full")


def test_room_in_a_full_queue_is_waited_for_and_nothing_lost():
    layer = ChannelLayer(channel_capacity={"websocket.receive": 1})

    async def test(connection: Connection, worker: Worker) -> list[str]:
        for number in range(20):
            connection.client("websocket.receive", text=str(number))
        return [(await worker.take("websocket.receive"))["text"] for _ in range(20)]

    assert with_socket(test, layer) == [str(number) for number in range(20)]


def failing_with(error: Exception) -> ChannelLayer:
    """A layer that takes no frames."""

    class Failing(ChannelLayer):
        def send(self, channel: str, message: dict[str, Any]) -> None:
            if channel == "websocket.receive":
                raise error
            super().send(channel, message)

    return Failing()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MessageTooLarge("too large"), 1009),
        (LayerUnavailable("no answer from the store"), 1013),
        (RuntimeError("a defect"), 1011),
    ],
)
def test_a_frame_that_the_layer_does_not_take_closes(error, code, caplog):
    assert closing(failing_with(error))[0] == code
    assert str(error) in caplog.text


def test_after_the_layer_refused_a_frame_no_later_one_is_sent():
    sent = []

    class Failing(ChannelLayer):
        def send(self, channel: str, message: dict[str, Any]) -> None:
            if channel == "websocket.receive":
                sent.append(message["text"])
                raise ChannelFull("for good")
            super().send(channel, message)

    layer = Failing()

    async def test(connection: Connection, worker: Worker) -> None:
        for text in "abc":
            connection.client("websocket.receive", text=text)
        assert (await connection.next())["code"] == 1013

    with_socket(test, layer, websocket_receive_wait=0)
    assert sent == ["a"]
    assert layer.receive(["websocket.disconnect"])[1]["order"] == 1


def test_the_time_of_a_connection_is_bounded():
    async def test(connection: Connection, worker: Worker) -> int:
        return int((await connection.next())["code"])

    assert with_socket(test, websocket_timeout=0.05) == 1000


def test_the_bound_is_the_layers_group_expiry_by_default():
    assert ASGIInterface(ChannelLayer(group_expiry=77)).options.websocket_timeout == 77


def test_a_client_that_reads_nothing_is_given_up_at_the_limit():
    layer = ChannelLayer(capacity=100)

    async def test(connection: Connection, worker: Worker) -> None:
        connection.writable.clear()
        for _ in range(20):
            worker.reply(bytes=bytes(1000))
        await connection.end()

    with_socket(test, layer, websocket_write_limit=10_000, websocket_close_timeout=0.05)

    assert layer.receive(["websocket.disconnect"])[1]["code"] == 1006


def test_a_layer_that_was_emptied_closes_by_1012():
    layer = ChannelLayer()

    async def test(connection: Connection, worker: Worker) -> int:
        layer.flush()
        return int((await connection.next())["code"])

    assert with_socket(test, layer) == 1012


def test_a_process_channel_that_was_evicted_closes_by_1012():
    layer = ChannelLayer(expiry=0.05)

    async def test(interface: ASGIInterface) -> int:
        connection, worker = await opened(interface)
        loop_is_stuck(layer, worker.reply_channel)
        code = int((await connection.next())["code"])
        connection.client("websocket.disconnect", code=code)
        return code

    assert running(test, ASGIInterface(layer)) == 1012


def loop_is_stuck(layer: ChannelLayer, reply_channel: str) -> None:
    """Block the event loop until a message that it should have taken has expired."""
    layer.send(reply_channel, {"text": "unread"})
    while layer.channels():
        pass


def test_a_handshake_is_refused_when_the_layer_is_emptied():
    layer = ChannelLayer()

    async def test(interface: ASGIInterface) -> dict[str, Any]:
        connection = Connection(interface, websocket_scope(), CONNECT)
        await Worker(layer).take("websocket.connect")
        layer.flush()
        return await connection.next()

    assert running(test, ASGIInterface(layer)) == REFUSED


def test_the_end_of_the_server_closes_by_1012():
    codes = []

    async def test(interface: ASGIInterface) -> None:
        connection, _ = await opened(interface)
        assert interface._dispatch is not None
        interface._dispatch.shed("the server stops")
        codes.append((await connection.next())["code"])
        connection.client("websocket.disconnect", code=1012)

    running(test, ASGIInterface(ChannelLayer()))
    assert codes == [1012]
