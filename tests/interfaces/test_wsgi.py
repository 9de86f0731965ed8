"""``WSGIInterface``: WSGI servers pass requests to the workers of a layer and wait for them."""

import io
import json
import os
from contextlib import closing
from typing import Any

import pytest
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
)
from tests.daphne.clients import Application
from tests.interfaces.calls import Call, ask, environ
from tests.interfaces.workers import TEXT, credit_of, django, everything, replying

PARTIAL = {"status": 200, "headers": TEXT, "content": b"begun ", "more_content": True}


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


def test_headers_that_the_server_refuses_end_the_request(layer, start):
    application = start(replying, layer, PARTIAL)

    def refuse(status: str, headers: list[Any]) -> Any:
        raise ValueError("a server may refuse more than we do")

    with pytest.raises(ValueError, match="refuse more"):
        WSGIInterface(layer)(environ(), refuse)

    assert everything(layer, credit_of(application)) == [{"closed": True}]
    assert len(everything(layer, "http.disconnect")) == 1


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204)])
def test_who_streams_what_no_client_may_get_is_told_to_stop(layer, start, method, status):
    headers = TEXT if status == 200 else []
    application = start(replying, layer, PARTIAL | {"status": status, "headers": headers})

    assert ask(layer, REQUEST_METHOD=method).read() == b""

    assert everything(layer, credit_of(application)) == [{"closed": True}]


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
