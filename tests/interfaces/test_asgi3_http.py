"""``ASGIInterface`` and HTTP: what happens to one request, whatever server it comes by."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from channels.exceptions import LayerUnavailable, ResponseAborted
from channels.interfaces.asgi3 import ASGIInterface
from channels.layers.inmemory import ChannelLayer
from channels.spec import BODY_CHUNK, RESPONSE_WINDOW, check_http_request
from tests.daphne.clients import Application
from tests.interfaces.asgi import Connection, http_scope, running
from tests.interfaces.workers import credit_of, django, everything, replying

PARTIAL = {"status": 200, "content": b"begun ", "more_content": True}
EMPTY = {"type": "http.request", "body": b"", "more_body": False}


def parts(body: bytes, size: int = 65536) -> list[dict[str, Any]]:
    """The events of a body that comes in pieces."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    return [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, 1)
    ]


def ask(
    layer: Any, *events: dict[str, Any], options: dict[str, Any] | None = None, **scope: Any
) -> tuple[int, dict[bytes, bytes], bytes]:
    """The response to one request."""

    async def test(interface: ASGIInterface) -> Any:
        connection = Connection(interface, http_scope(**scope), *(events or [EMPTY]))
        response = await connection.response()
        await connection.end()
        return response

    found: tuple[int, dict[bytes, bytes], bytes] = running(
        test, ASGIInterface(layer, **options or {})
    )
    return found


# -- requests --------------------------------------------------------------------------------------


def test_the_message_is_what_the_scope_says(layer, start):
    application = start(replying, layer, {"status": 204})

    ask(
        layer,
        *parts(b"body"),
        path="/shop/caf\u00e9",
        method="PUT",
        root_path="/shop",
        query_string=b"a=%20",
        scheme="https",
        http_version="2",
        headers=[(b"Host", b"x"), (b"accept", b"a"), (b"accept", b"b"), (b"x_forged", b"1")],
        server=("/run/server.sock", None),
    )

    (message,) = application.messages("http.request")
    assert check_http_request(message, strict=True)
    assert message.pop("reply_channel").startswith("daphne.response.")
    assert message == {
        "http_version": "2",
        "method": "PUT",
        "scheme": "https",
        "path": "/shop/caf\u00e9",
        "query_string": b"a=%20",
        "root_path": "/shop",
        "headers": [[b"host", b"x"], [b"accept", b"a"], [b"accept", b"b"]],
        "body": b"body",
        "client": ["203.0.113.9", 50000],
        "server": None,
    }


def test_octets_that_are_no_utf8_stay_escaped(layer, start):
    application = start(replying, layer, {"status": 204})

    ask(layer, path="/a\ufffd", raw_path=b"/a%FF")

    assert application.messages("http.request")[0]["path"] == "/a%FF"


@override_settings(MIDDLEWARE=[], DATA_UPLOAD_MAX_MEMORY_SIZE=None)
@pytest.mark.parametrize("size", [0, 1, BODY_CHUNK, BODY_CHUNK + 1, 5 * BODY_CHUNK + 7])
def test_bodies_of_any_size_arrive_whole(layer, start, size):
    body = os.urandom(size)
    start(django, layer)
    headers = [(b"content-length", b"%d" % size)]

    found = ask(layer, *parts(body), path="/echo/", method="POST", headers=headers)

    assert (found[0], found[2]) == (200, body)


def test_a_full_body_channel_is_waited_for(start):
    layer = ChannelLayer(channel_capacity={"http.request.body*": 1})

    def read(message):
        received, more = len(message["body"]), True
        while more:
            _, chunk = layer.receive([message["body_channel"]], block=True, timeout=10)
            received += len(chunk["content"])
            more = chunk["more_content"]
        return {"status": 200, "content": b"%d" % received}

    start(Application, layer, http_request=read)

    assert ask(layer, *parts(bytes(6 * BODY_CHUNK)), method="POST")[2] == b"%d" % (6 * BODY_CHUNK)


def test_the_client_is_read_no_faster_than_the_layer_takes_its_body(start):
    layer = ChannelLayer(channel_capacity={"http.request.body*": 2})
    start(Application, layer, http_request=lambda message: None)

    async def test(interface: ASGIInterface) -> int:
        events = parts(bytes(20 * BODY_CHUNK))
        connection = Connection(interface, http_scope(method="POST"), *events)
        left = await settled(connection.events.qsize)
        connection.task.cancel()
        return len(events) - left

    taken = running(test, ASGIInterface(layer))
    assert taken * 65536 < 6 * BODY_CHUNK


async def settled(count: Callable[[], int]) -> int:
    """The value of ``count`` once it stays the same."""
    seen = [count()]
    while len(seen) < 100 or seen[-1] != seen[-100]:
        await asyncio.sleep(0.002)  # between two looks
        seen.append(count())
    return seen[-1]


def test_a_trickle_is_passed_on_after_a_while(layer, start, monkeypatch):
    monkeypatch.setattr("channels.interfaces.asgi3_http._LATE", 0)
    application = start(Application, layer, http_request=lambda message: None)

    async def test(interface: ASGIInterface) -> Any:
        events = parts(bytes(BODY_CHUNK + 1))
        events[-1]["more_body"] = True
        connection = Connection(interface, http_scope(method="POST"), *events)
        channel = await channel_of(application)
        connection.client("http.request", body=b"drop", more_body=True)
        chunks: list[bytes] = []
        while b"drop" not in b"".join(chunks):
            _, chunk = await asyncio.wait_for(layer.receive_async([channel]), 10)
            chunks.append(chunk["content"])
        connection.client("http.disconnect")
        await connection.end()
        return await asyncio.wait_for(layer.receive_async([channel]), 10)

    assert running(test, ASGIInterface(layer))[1]["closed"] is True


async def channel_of(application: Application) -> str:
    """The body channel of the only request, once it was taken."""
    return str((await taken_by(application))["body_channel"])


async def taken_by(application: Application) -> dict[str, Any]:
    """The only request, once a worker has taken it."""
    while not application.messages("http.request"):
        await asyncio.sleep(0.002)  # between two looks
    return application.messages("http.request")[0]


def test_a_body_over_the_limit_is_a_413(layer, start):
    options = {"max_body": 4}

    assert ask(layer, *parts(b"12345"), options=options, method="POST")[0] == 413
    assert layer.channels() == []


def test_a_body_over_the_limit_that_was_announced_is_a_413_and_its_reader_is_told(layer):
    options = {"max_body": 2 * BODY_CHUNK}

    status, _, _ = ask(layer, *parts(bytes(3 * BODY_CHUNK)), options=options, method="POST")

    assert status == 413
    _, message = layer.receive(["http.request"])
    assert everything(layer, message["body_channel"])[-1]["closed"] is True


def test_a_client_that_leaves_before_its_body_is_whole_is_nobodys_business(layer):
    async def test(interface: ASGIInterface) -> None:
        event = {"type": "http.request", "body": b"x", "more_body": True}
        connection = Connection(interface, http_scope(), event)
        connection.client("http.disconnect")
        await connection.end()
        assert connection.sent.empty()

    running(test, ASGIInterface(layer))
    assert layer.channels() == []


# -- responses -------------------------------------------------------------------------------------


def test_headers_are_lower_case_and_those_about_the_connection_are_left_out(layer, start):
    headers = [[b"X-One", b"1"], [b"Connection", b"close"], [b"Transfer-Encoding", b"chunked"]]
    start(replying, layer, {"status": 299, "headers": headers, "content": b"x"})

    assert ask(layer) == (299, {b"x-one": b"1"}, b"x")


@override_settings(MIDDLEWARE=[])
def test_a_streamed_response_arrives(layer, start):
    start(django, layer)

    assert ask(layer, path="/streamed/")[2] == b"first" + b"m" * 600_000 + b"last"


@pytest.mark.parametrize(("scope", "status"), [({"method": "HEAD"}, 200), ({}, 204), ({}, 304)])
def test_where_there_is_no_body_none_is_sent(layer, start, scope, status):
    start(replying, layer, {"status": status, "content": b"x", "more_content": True})

    assert ask(layer, **scope)[2] == b""


def test_server_pushes_are_dropped(layer, start):
    start(replying, layer, {"request": {"path": "/"}}, {"status": 200, "content": b"after"})

    assert ask(layer)[2] == b"after"


def test_the_worker_is_given_credit_for_what_was_taken(layer, start):
    chunks = [{"content": bytes(BODY_CHUNK), "more_content": True}] * 10
    application = start(replying, layer, PARTIAL, *chunks, {"content": b""})

    assert len(ask(layer)[2]) == 6 + 10 * BODY_CHUNK
    credit = everything(layer, credit_of(application))
    assert sum(message["bytes"] for message in credit) >= 10 * BODY_CHUNK - RESPONSE_WINDOW // 4


def test_no_credit_is_given_for_what_the_client_has_not_taken(layer, start):
    chunks = [{"content": bytes(BODY_CHUNK), "more_content": True}] * 10
    application = start(replying, layer, PARTIAL, *chunks)

    async def test(interface: ASGIInterface) -> list[Any]:
        connection = Connection(interface, http_scope(), EMPTY)
        connection.writable.clear()
        await taken_by(application)
        await settled(lambda: len(layer.channels()))
        found = everything(layer, credit_of(application))
        connection.client("http.disconnect")
        await connection.end()
        return found

    assert running(test, ASGIInterface(layer)) == []
    assert everything(layer, credit_of(application)) == [{"closed": True}]


def test_a_client_that_leaves_ends_the_response_and_is_told_to_the_workers(layer, start):
    application = start(replying, layer, PARTIAL)
    layer.announce_listening("a worker", ["http.request", "http.disconnect"])

    async def test(interface: ASGIInterface) -> None:
        connection = Connection(interface, http_scope("/where/"), EMPTY)
        await connection.next()
        connection.client("http.disconnect")
        await connection.end()

    running(test, ASGIInterface(layer))
    assert everything(layer, credit_of(application)) == [{"closed": True}]
    (message,) = everything(layer, "http.disconnect")
    (request,) = application.messages("http.request")
    assert message == {"reply_channel": request["reply_channel"], "path": "/where/"}


def test_a_late_part_for_a_client_that_has_left_stops_its_worker(layer, start):
    application = start(replying, layer, {"status": 200})

    async def test(interface: ASGIInterface) -> None:
        connection = Connection(interface, http_scope(), EMPTY)
        await connection.response()
        await connection.end()
        (request,) = application.messages("http.request")
        layer.send(request["reply_channel"], {"content": b"late", "more_content": True})
        received = await asyncio.wait_for(layer.receive_async([credit_of(application)]), 10)
        assert received[1] == {"closed": True}

    running(test, ASGIInterface(layer))


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_full_queue_is_a_503():
    layer = ChannelLayer(capacity=1)
    layer.send("http.request", {})

    status, headers, body = ask(layer, *parts(bytes(2 * BODY_CHUNK)))

    assert (status, headers[b"content-type"]) == (503, b"text/html; charset=utf-8")
    assert b"Request queue full." in body


def test_a_worker_that_does_not_answer_in_time_is_a_503(layer):
    status, _, body = ask(layer, options={"http_timeout": 0.05})

    assert status == 503
    assert b"failed to respond within time limit" in body


def cut(layer: Any, **options: Any) -> None:
    """A request whose response is cut by the server, because the application raised."""

    async def test(interface: ASGIInterface) -> None:
        connection = Connection(interface, http_scope(), EMPTY)
        assert (await connection.next())["status"] == 200
        with pytest.raises(ResponseAborted):
            await connection.end()

    running(test, ASGIInterface(layer, **options))


def test_a_response_that_stops_is_cut(layer, start):
    start(replying, layer, PARTIAL)

    cut(layer, http_timeout=0.05)


@pytest.mark.parametrize(
    "second", [{"closed": True}, {"status": 200}, {"content": "text"}, {"content": None}]
)
def test_a_response_that_its_worker_cannot_finish_is_cut(layer, start, second):
    application = start(replying, layer, PARTIAL, second)

    cut(layer)

    assert everything(layer, credit_of(application)) == [{"closed": True}]


def test_a_client_that_reads_nothing_is_cut_at_the_limit(layer, start):
    chunks = [{"content": bytes(BODY_CHUNK), "more_content": True}] * 10
    start(replying, layer, PARTIAL, *chunks)

    async def test(interface: ASGIInterface) -> None:
        connection = Connection(interface, http_scope(), EMPTY)
        connection.writable.clear()
        with pytest.raises(ResponseAborted, match="does not read"):
            await connection.end()

    running(test, ASGIInterface(layer, response_write_limit=2 * BODY_CHUNK))


def test_a_client_that_reads_nothing_for_long_is_cut(layer, start):
    start(replying, layer, PARTIAL)

    async def test(interface: ASGIInterface) -> None:
        connection = Connection(interface, http_scope(), EMPTY)
        connection.writable.clear()
        with pytest.raises(ResponseAborted, match="does not read"):
            await connection.end()

    running(test, ASGIInterface(layer, write_timeout=0.05))


@pytest.mark.parametrize(
    "reply",
    [
        {"content": b"no status"},
        {"status": 100},
        {"status": 200, "headers": [[b"x", b"a\r\nb: c"]]},
        {"status": 200, "content": "text"},
    ],
)
def test_a_reply_that_is_no_response_is_a_500(layer, start, reply, caplog):
    start(replying, layer, reply)

    assert ask(layer)[0] == 500
    assert "The response to GET '/' is wrong" in caplog.text


class Away(ChannelLayer):
    """Takes no requests."""

    def send(self, channel: str, message: dict[str, Any]) -> None:
        if channel == "http.request":
            raise LayerUnavailable("no answer from the store")
        super().send(channel, message)


def test_a_server_that_tells_by_an_error_that_the_client_has_left_is_understood(layer, start):
    """As those of ASGI 2.4 do."""
    application = start(replying, layer, PARTIAL)

    async def gone(event: Any) -> None:
        raise ConnectionResetError

    async def test(interface: ASGIInterface) -> None:
        events: asyncio.Queue[Any] = asyncio.Queue()
        events.put_nowait(EMPTY)
        await asyncio.wait_for(interface(http_scope(), events.get, gone), 10)

    running(test, ASGIInterface(layer))
    assert everything(layer, credit_of(application)) == [{"closed": True}]


def test_a_layer_that_is_away_is_a_503(caplog):
    assert ask(Away())[0] == 503
    assert "no answer from the store" in caplog.text


class NoBodies(ChannelLayer):
    """Takes no bodies."""

    def send(self, channel: str, message: dict[str, Any]) -> None:
        if channel.startswith("http.request.body"):
            raise LayerUnavailable("no answer from the store")
        super().send(channel, message)


def test_a_layer_that_goes_away_during_an_upload_is_a_503():
    assert ask(NoBodies(), *parts(bytes(3 * BODY_CHUNK)))[0] == 503


def test_a_layer_that_is_flushed_meanwhile_is_a_503_at_once(layer, start):
    start(Application, layer, http_request=lambda message: layer.flush())

    assert ask(layer)[0] == 503


def test_a_layer_that_fails_to_receive_is_a_503_once_it_counts_as_lost(caplog, monkeypatch):
    class Broken(ChannelLayer):
        async def receive_deliveries_async(self, channels: Any) -> Any:
            raise LayerUnavailable("no answer from the store")

    assert ask(Broken())[0] == 503
    assert "trying again in" in caplog.text


@pytest.mark.parametrize("options", [{"http_timeout": -1}, {"max_body": "1"}])
def test_options_that_cannot_work_are_refused(layer, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ASGIInterface(layer, **options)


def test_options_about_sockets_are_refused(layer):
    with pytest.raises(TypeError, match="no option ping_interval; it has http_timeout"):
        ASGIInterface(layer, ping_interval=1)


def test_another_protocol_is_refused(layer):
    with pytest.raises(ValueError, match="not 'telnet'"):
        asyncio.run(ASGIInterface(layer)({"type": "telnet"}, None, None))  # type: ignore[arg-type]


def test_without_a_lifespan_it_starts_with_the_first_request(layer, start):
    start(replying, layer, {"status": 200, "content": b"x"})
    interface = ASGIInterface(layer)

    async def request() -> Any:
        return await Connection(interface, http_scope(), EMPTY).response()

    for _ in range(2):  # each time in another loop
        assert asyncio.run(request())[2] == b"x"
