"""``WSGIInterface``: WSGI servers pass requests to the workers of a layer and wait for them."""

import http.client
import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, ClassVar
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
import waitress.server
from django.test import override_settings

from channels.exceptions import LayerUnavailable, ResponseAborted
from channels.interfaces.wsgi import WSGIInterface
from channels.interfaces.wsgi_request import request_of
from channels.layers.inmemory import ChannelLayer
from channels.spec import (
    BODY_CHUNK,
    RESPONSE_WINDOW,
    check_http_disconnect,
    check_http_request,
    credit_channel,
)
from tests.daphne.clients import Application
from tests.interfaces.workers import TEXT, django, replying
from tests.waiting import wait_until

PARTIAL = {"status": 200, "headers": TEXT, "content": b"begun ", "more_content": True}


@pytest.fixture
def layer() -> ChannelLayer:
    return ChannelLayer(capacity=100)


@pytest.fixture
def start() -> Iterator[Callable[..., Application]]:
    """Starts workers, which end with the test."""
    running: list[Application] = []

    def start(kind: Callable[..., Application], *args: Any, **kwargs: Any) -> Application:
        running.append(kind(*args, **kwargs))
        return running[-1]

    yield start
    for application in running:
        application.stop()


def environ(path: str = "/", body: bytes | None = None, **variables: Any) -> dict[str, Any]:
    """A request as a server hands it over; ``body`` comes with its length."""
    found: dict[str, Any] = {"PATH_INFO": path.encode().decode("latin-1"), "SCRIPT_NAME": ""}
    if body is not None:
        found |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        found |= {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "text/plain"}
    found |= variables
    setup_testing_defaults(found)
    return found


@pytest.fixture(autouse=True)
def calls() -> Iterator[None]:
    """Closes what a test has not read to its end, as a server does."""
    yield
    while Call.made:
        Call.made.pop().result.close()


class Call:
    """One request, by the rules that the standard library's validator knows."""

    made: ClassVar[list["Call"]] = []

    def __init__(self, application: Any, environ: dict[str, Any]) -> None:
        environ.setdefault("QUERY_STRING", "")
        self.status, self.headers = "", {}
        self.result = validator(application)(environ, self._start_response)
        self.parts = iter(self.result)
        Call.made.append(self)

    def _start_response(self, status: str, headers: list[Any], exc_info: Any = None) -> Any:
        self.status, self.headers = status, dict(headers)
        return lambda data: None

    def read(self) -> bytes:
        """The whole body."""
        with closing(self.result):
            return b"".join(self.parts)


def ask(layer: Any, *args: Any, options: dict[str, Any] | None = None, **kwargs: Any) -> Call:
    return Call(WSGIInterface(layer, **options or {}), environ(*args, **kwargs))


# -- requests --------------------------------------------------------------------------------------


def test_the_message_is_what_the_environ_says():
    message = request_of(
        environ(
            "/caf\u00e9/%",
            SCRIPT_NAME="/shop",
            QUERY_STRING="a=%20&b=\xe9",
            SERVER_PROTOCOL="HTTP/1.0",
            SERVER_NAME="shop.example",
            SERVER_PORT="8080",
            REMOTE_ADDR="203.0.113.9",
            REMOTE_PORT="50000",
            HTTP_ACCEPT="a,b",
            HTTP_X_LATIN="\xe9",
            HTTP_HOST="shop.example",
            CONTENT_TYPE="text/plain",
            CONTENT_LENGTH="",
            **{"wsgi.url_scheme": "https"},
        ),
        "daphne.response.x!y",
    )

    assert check_http_request(message, strict=True)["client"] == ["203.0.113.9", 50000]
    headers = sorted(message.pop("headers"))
    assert headers == [
        [b"accept", b"a,b"],
        [b"content-type", b"text/plain"],
        [b"host", b"shop.example"],
        [b"x-latin", b"\xe9"],
    ]
    del message["body"]
    assert {key: value for key, value in message.items() if value is not None} == {
        "reply_channel": "daphne.response.x!y",
        "http_version": "1.0",
        "method": "GET",
        "scheme": "https",
        "path": "/shop/caf\u00e9/%",
        "query_string": b"a=%20&b=\xe9",
        "root_path": "/shop",
        "client": ["203.0.113.9", 50000],
        "server": ["shop.example", 8080],
    }


def test_octets_that_are_no_utf8_stay_escaped():
    found = request_of(environ() | {"PATH_INFO": "/a\xff"}, "x!y")

    assert found["path"] == "/a%FF"


@pytest.mark.parametrize(
    ("variables", "client"),
    [
        ({"REMOTE_ADDR": ""}, None),
        ({"REMOTE_ADDR": "::1"}, ["::1", 0]),
        ({"REMOTE_ADDR": "::1", "REMOTE_PORT": 7}, ["::1", 7]),
        ({"REMOTE_ADDR": "x", "REMOTE_PORT": "none"}, None),
    ],
)
def test_what_is_not_known_of_the_client_is_left_out(variables, client):
    assert request_of(environ(**variables), "x!y")["client"] == client


@override_settings(MIDDLEWARE=[])
def test_django_finds_itself_below_the_root_path(layer, start):
    start(django, layer)

    call = ask(layer, "/name/caf\u00e9/", SCRIPT_NAME="/shop")

    found = json.loads(call.read())
    assert (found["name"], found["path"], found["prefix"]) == (
        "caf\u00e9", "/shop/name/caf\u00e9/", "/shop/"
    )  # fmt: skip


@override_settings(MIDDLEWARE=[], DATA_UPLOAD_MAX_MEMORY_SIZE=None)
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", [0, 1, BODY_CHUNK, BODY_CHUNK + 1, 5 * BODY_CHUNK + 7])
def test_bodies_of_any_size_arrive_whole(layer, start, size, announced):
    body = os.urandom(size)
    start(django, layer)
    variables = environ("/echo/", body)
    if not announced:
        del variables["CONTENT_LENGTH"]
        variables["wsgi.input_terminated"] = True

    call = Call(WSGIInterface(layer), variables)

    assert call.status == "200 OK"
    assert call.read() == body


@override_settings(MIDDLEWARE=[])
def test_without_a_length_there_is_no_body_where_the_server_does_not_mark_its_end(layer, start):
    start(django, layer)
    variables = environ("/echo/", b"unknown")
    del variables["CONTENT_LENGTH"]

    assert Call(WSGIInterface(layer), variables).read() == b""


def test_a_large_body_travels_in_parts_while_it_comes(layer, start):
    taken = start(Application, layer, http_request=lambda message: {"status": 204})

    ask(layer, body=bytes(3 * BODY_CHUNK))

    (message,) = taken.messages("http.request")
    assert len(message["body"]) == BODY_CHUNK
    assert message["body_channel"].startswith("http.request.body?")


def test_a_full_body_channel_is_waited_for(start):
    layer = ChannelLayer(channel_capacity={"http.request.body*": 1})

    def read(message):
        received, more = len(message["body"]), True
        while more:
            _, chunk = layer.receive([message["body_channel"]], block=True, timeout=10)
            received += len(chunk["content"])
            more = chunk["more_content"]
        return {"status": 200, "headers": TEXT, "content": b"%d" % received}

    start(Application, layer, http_request=read)

    assert ask(layer, body=bytes(6 * BODY_CHUNK)).read() == b"%d" % (6 * BODY_CHUNK)


def test_a_response_that_comes_before_the_body_is_read_ends_the_upload(start, monkeypatch):
    monkeypatch.setattr("channels.interfaces.wsgi._LOOK_INTERVAL", 0.02)
    layer = ChannelLayer(channel_capacity={"http.request.body*": 1})
    application = start(
        Application, layer, http_request=lambda message: {"status": 413, "headers": TEXT}
    )

    call = ask(layer, body=bytes(6 * BODY_CHUNK))

    assert call.status.startswith("413 ")
    assert application.messages("http.request")


def test_a_body_that_ends_early_is_a_400_and_its_reader_is_told(layer):
    call = ask(layer, body=bytes(2 * BODY_CHUNK), CONTENT_LENGTH=str(3 * BODY_CHUNK))

    assert call.status == "400 Bad Request"
    _, message = layer.receive(["http.request"])
    chunks = [layer.receive([message["body_channel"]])[1] for _ in range(2)]
    assert [chunk.get("closed", False) for chunk in chunks] == [False, True]


class Broken(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError("the client is gone")


def test_a_body_that_cannot_be_read_is_a_400(layer):
    call = ask(layer, body=b"x", **{"wsgi.input": Broken()})

    assert call.status == "400 Bad Request"
    assert layer.channels() == []


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_a_413(layer, announced):
    variables = environ("/", b"12345")
    if not announced:
        del variables["CONTENT_LENGTH"]
        variables["wsgi.input_terminated"] = True

    call = Call(WSGIInterface(layer, max_body=4), variables)

    assert call.status.startswith("413 ")
    assert layer.channels() == []


# -- responses -------------------------------------------------------------------------------------


def test_status_and_headers_are_the_applications(layer, start):
    headers = [
        [b"X-One", b"1"],
        [b"Set-Cookie", b"a=1"],
        [b"Set-Cookie", b"b=\xe9"],
        [b"Connection", b"close"],
        [b"Transfer-Encoding", b"chunked"],
    ]
    start(replying, layer, {"status": 299, "headers": headers, "content": b"x"})
    started = []

    result = WSGIInterface(layer)(environ(), lambda *args: started.append(args))

    assert started == [
        ("299 Unknown", [("x-one", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=\xe9")])
    ]
    assert list(result) == [b"x"]


def test_parts_of_a_response_are_handed_on_as_they_come(layer, start):
    start(Application, layer, http_request=lambda message: replies.append(message) or PARTIAL)
    replies: list[Any] = []

    call = ask(layer)

    assert next(call.parts) == b"begun "
    channel = replies[0]["reply_channel"]
    layer.send(channel, {"content": b"", "more_content": True})
    layer.send(channel, {"content": b"more ", "more_content": True})
    assert next(call.parts) == b"more "
    layer.send(channel, {"content": b"end"})
    assert call.read() == b"end"


@override_settings(MIDDLEWARE=[])
def test_a_streamed_response_of_any_size_arrives(layer, start):
    start(django, layer)

    assert ask(layer, "/streamed/").read() == b"first" + b"m" * 600_000 + b"last"


def test_the_worker_is_given_credit_for_what_was_taken(layer, start):
    parts = [{"content": bytes(BODY_CHUNK), "more_content": True}] * 10
    application = start(replying, layer, PARTIAL, *parts, {"content": b""})

    body = ask(layer).read()

    assert len(body) == len(PARTIAL["content"]) + 10 * BODY_CHUNK
    credit = everything(layer, credit_of(application))
    assert sum(message["bytes"] for message in credit) >= 10 * BODY_CHUNK - RESPONSE_WINDOW // 4


def credit_of(application: Application) -> str:
    """The channel on which the only request's worker is given credit."""
    (request,) = application.messages("http.request")
    return str(credit_channel(request["reply_channel"]))


def everything(layer: ChannelLayer, channel: str) -> list[dict[str, Any]]:
    found = []
    while (received := layer.receive([channel]))[1] is not None:
        found.append(received[1])
    return found


def test_a_client_that_leaves_is_told_to_the_workers(layer, start):
    application = start(replying, layer, PARTIAL)
    layer.announce_listening("a worker", ["http.request", "http.disconnect"])

    call = ask(layer, "/where/")
    next(call.parts)
    call.result.close()  # what a server does when its client leaves

    assert everything(layer, credit_of(application)) == [{"closed": True}]
    (message,) = everything(layer, "http.disconnect")
    assert check_http_disconnect(message, strict=True)["path"] == "/where/"
    assert message["reply_channel"] == application.messages("http.request")[0]["reply_channel"]


def test_the_end_of_a_response_is_told_where_somebody_listens(layer, start):
    start(replying, layer, {"status": 200})

    for listened_to in (["http.request"], ["http.disconnect"]):
        layer.announce_listening("a worker", listened_to)
        ask(layer).read()
        found = everything(layer, "http.disconnect")
        assert len(found) == ("http.disconnect" in listened_to)


def test_a_full_disconnect_channel_does_not_matter(start):
    layer = ChannelLayer(channel_capacity={"http.disconnect": 1})
    start(replying, layer, {"status": 200, "content": b"fine"})

    for _ in range(3):
        assert ask(layer).read() == b"fine"


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_have_none(layer, start, status):
    start(replying, layer, {"status": status, "content": b"x", "more_content": True})

    assert ask(layer).read() == b""


def test_head_has_no_body(layer, start):
    headers = [[b"content-type", b"text/plain"], [b"content-length", b"5"]]
    start(replying, layer, {"status": 200, "headers": headers, "content": b"hello"})

    call = ask(layer, REQUEST_METHOD="HEAD")

    assert (call.headers["content-length"], call.read()) == ("5", b"")


def test_server_pushes_are_dropped(layer, start):
    push = {"request": {"path": "/style.css"}}
    start(replying, layer, push, {"status": 200, "content": b"after"})

    assert ask(layer).read() == b"after"


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_full_queue_is_a_503():
    layer = ChannelLayer(capacity=1)
    layer.send("http.request", {})

    call = ask(layer, body=bytes(BODY_CHUNK + 1))

    assert call.status == "503 Service Unavailable"
    assert b"Request queue full." in call.read()


def test_a_worker_that_does_not_answer_in_time_is_a_503(layer):
    call = ask(layer, options={"http_timeout": 0.05})

    assert call.status == "503 Service Unavailable"
    assert b"failed to respond within time limit" in call.read()


def test_a_body_that_nobody_reads_in_time_is_a_503(monkeypatch):
    monkeypatch.setattr("channels.interfaces.wsgi._LOOK_INTERVAL", 0.02)
    layer = ChannelLayer(channel_capacity={"http.request.body*": 1})

    call = ask(layer, body=bytes(9 * BODY_CHUNK), options={"http_timeout": 0.05})

    assert call.status == "503 Service Unavailable"


def test_a_response_that_stops_is_cut(layer, start):
    application = start(replying, layer, PARTIAL)

    call = ask(layer, options={"http_timeout": 0.05})

    with pytest.raises(ResponseAborted, match="within time limit"), closing(call.result):
        list(call.parts)
    assert everything(layer, credit_of(application)) == [{"closed": True}]


@pytest.mark.parametrize(
    "second", [{"closed": True}, {"status": 200}, {"content": "text"}, {"content": None}]
)
def test_a_response_that_its_worker_cannot_finish_is_cut(layer, start, second):
    start(replying, layer, PARTIAL, second)

    call = ask(layer)

    with pytest.raises(ResponseAborted), closing(call.result):
        list(call.parts)


@pytest.mark.parametrize(
    "reply",
    [
        {"content": b"no status"},
        {"status": 100},
        {"status": "200"},
        {"status": 200, "headers": [[b"x", b"a\r\nb: c"]]},
        {"status": 200, "content": "text"},
    ],
)
def test_a_reply_that_is_no_response_is_a_500(layer, start, reply, caplog):
    start(replying, layer, reply)

    call = ask(layer)

    assert call.status == "500 Internal Server Error"
    assert b"invalid response" in call.read()
    assert "The response to GET '/' is wrong" in caplog.text


class Away(ChannelLayer):
    def send(self, channel: str, message: dict[str, Any]) -> None:
        raise LayerUnavailable("no answer from the store")


def test_a_layer_that_is_away_is_a_503(caplog):
    call = ask(Away())

    assert call.status == "503 Service Unavailable"
    assert "no answer from the store" in caplog.text


def test_a_layer_that_is_flushed_meanwhile_is_a_503_at_once(layer, start):
    start(Application, layer, http_request=lambda message: layer.flush())

    assert ask(layer).status == "503 Service Unavailable"


@pytest.mark.parametrize("options", [{"http_timeout": -1}, {"max_body": "1"}])
def test_options_that_cannot_work_are_refused(layer, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        WSGIInterface(layer, **options)


# -- reply channels --------------------------------------------------------------------------------


def test_a_late_reply_reaches_no_later_request(layer, start):
    application = start(Application, layer, http_request=lambda message: None)
    interface = WSGIInterface(layer, http_timeout=0.05)
    assert Call(interface, environ()).status.startswith("503 ")
    (first,) = application.messages("http.request")

    layer.send(first["reply_channel"], {"status": 200, "content": b"late", "more_content": True})
    interface.http_timeout = 10
    application.stop()
    start(replying, layer, {"status": 200, "content": b"in time"})

    assert Call(interface, environ()).read() == b"in time"
    assert everything(layer, str(credit_channel(first["reply_channel"]))) == [{"closed": True}]


def test_requests_one_after_the_other_share_a_process_channel(layer, start):
    application = start(replying, layer, {"status": 200})
    interface = WSGIInterface(layer)

    for _ in range(5):
        Call(interface, environ()).read()

    names = [message["reply_channel"] for message in application.messages("http.request")]
    assert len({name.partition("!")[0] for name in names}) == 1
    assert len(set(names)) == 5
    assert all(name.startswith("daphne.response.") for name in names)


def test_requests_at_a_time_have_process_channels_of_their_own(layer, start):
    application = start(replying, layer, PARTIAL)
    interface = WSGIInterface(layer)

    for _ in range(5):
        Call(interface, environ())

    names = [message["reply_channel"] for message in application.messages("http.request")]
    assert len({name.partition("!")[0] for name in names}) == 5


def test_the_child_of_a_fork_reads_none_of_its_parents_channels(layer, start):
    application = start(replying, layer, {"status": 200})
    interface = WSGIInterface(layer)
    Call(interface, environ()).read()
    reading, writing = os.pipe()

    if (child := os.fork()) == 0:
        os.write(writing, interface._take_inbox().name.encode())
        os._exit(0)
    os.waitpid(child, 0)

    (message,) = application.messages("http.request")
    name = os.read(reading, 1000).decode()
    os.close(reading)
    os.close(writing)
    assert name.startswith("daphne.response.")
    assert not message["reply_channel"].startswith(name)


# -- a whole server --------------------------------------------------------------------------------


@pytest.fixture
def server(layer: ChannelLayer) -> Iterator[tuple[str, int]]:
    """A WSGI server on a free port, in a thread."""
    running = waitress.server.create_server(
        WSGIInterface(layer),
        host="127.0.0.1",
        port=0,
        threads=8,
        clear_untrusted_proxy_headers=True,
    )
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    yield ("127.0.0.1", running.effective_port)
    running.close()
    running.task_dispatcher.shutdown()
    thread.join(10)


def fetch(address: tuple[str, int], path: str, **options: Any) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(*address, timeout=30)) as connection:
        connection.request(options.pop("method", "GET"), path, **options)
        response = connection.getresponse()
        return response.status, response.read()


@override_settings(MIDDLEWARE=[], DATA_UPLOAD_MAX_MEMORY_SIZE=None)
def test_a_server_answers_many_at_a_time_each_with_its_own(layer, start, server):
    for _ in range(2):
        start(django, layer)
    found: dict[int, tuple[int, bytes]] = {}

    def client(number: int) -> None:
        body = b"%d" % number * (number * 10_000)
        found[number] = fetch(server, "/echo/", method="POST", body=body)

    clients = [threading.Thread(target=client, args=[number]) for number in range(16)]
    for one in clients:
        one.start()
    for one in clients:
        one.join(60)

    assert found == {n: (200, b"%d" % n * (n * 10_000)) for n in range(16)}
    assert fetch(server, "/streamed/") == (200, b"first" + b"m" * 600_000 + b"last")


def test_a_client_that_leaves_a_server_ends_its_stream(layer, start, server):
    sent = []

    def stream(message: dict[str, Any]) -> None:
        layer.send(message["reply_channel"], PARTIAL)
        sent.append(message["reply_channel"])

    start(Application, layer, http_request=stream)
    connection = http.client.HTTPConnection(*server, timeout=30)
    connection.request("GET", "/")
    assert connection.getresponse().read(5) == b"begun"
    connection.sock.close() if connection.sock else None
    connection.close()
    credit = str(credit_channel(sent[0]))

    def is_told() -> bool:
        try:
            layer.send(sent[0], {"content": bytes(BODY_CHUNK), "more_content": True})
        except layer.ChannelFull:
            time.sleep(0)
        return {"closed": True} in everything(layer, credit)

    wait_until(is_told)
