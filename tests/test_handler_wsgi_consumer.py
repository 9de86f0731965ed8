"""``WSGIConsumer``: any WSGI application answers requests, by the rules of PEP 3333."""

import contextvars
import io
import sys
import threading
from contextlib import closing
from wsgiref.validate import validator

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings

from channels.exceptions import InvalidMessage
from channels.handler import AsgiHandler
from channels.handler.wsgi import WSGIConsumer, make_environ
from channels.layers.inmemory import ChannelLayer
from channels.message import Message
from channels.spec import (
    BODY_CHUNK,
    HTTP_REQUEST,
    RESPONSE_WINDOW,
    credit_channel,
    http_credit,
    http_request_body_chunk,
)
from tests.http_messages import REPLY_CHANNEL, environ_of, request_message
from tests.waiting import wait_until

QUEUE = REPLY_CHANNEL.partition("!")[0] + "!"
CREDIT = credit_channel(REPLY_CHANNEL)


@pytest.fixture
def layer():
    return ChannelLayer(capacity=100)


def replies(layer) -> list[dict]:
    """Everything in the reply channel now."""
    found = []
    while (received := layer.receive([QUEUE]))[0] is not None:
        found.append(received[1])
    return found


def answer(application, layer=None, **keys) -> list[dict]:
    """The messages by which ``application`` answers a request."""
    layer = layer or ChannelLayer(capacity=100)
    WSGIConsumer(application)(request_message(layer=layer, **keys))
    return replies(layer)


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


# -- the environ -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        {"path": "/"},
        {"path": "/caf\u00e9 \u2603/", "query_string": b"a=%C3%A9&b"},
        {"path": "/shop/list", "root_path": "/shop"},
        {"path": "/\u00e9shop/list", "root_path": "/\u00e9shop", "scheme": "https"},
        {"method": "POST", "body": b"a=1", "headers": [(b"content-length", b"3")]},
        {"headers": [(b"accept", b"a"), (b"x-latin", b"\xe9"), (b"accept", b"b")]},
        {"http_version": "1.0"},
    ],
    ids=str,
)
def test_the_environ_is_what_a_wsgi_server_makes_of_the_request(keys):
    message = request_message(**keys)

    environ = make_environ(message)

    expected = environ_of(message) | {"REMOTE_PORT": "50000"}
    with closing(environ.pop("wsgi.input")) as body:
        assert body.read() == expected.pop("wsgi.input").read()
    assert environ.pop("wsgi.input_terminated") is True
    assert callable(environ.pop("wsgi.file_wrapper"))
    assert environ == expected | {"wsgi.run_once": False}


def test_the_root_path_itself_is_the_root_of_the_application():
    environ = make_environ(request_message("/shop", root_path="/shop/"))

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", "/")


def test_without_client_and_server_the_environ_is_valid_all_the_same():
    environ = make_environ(request_message(client=None, server=None))

    assert "REMOTE_ADDR" not in environ
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("unknown", "0")


def test_a_body_whose_length_was_not_announced_has_one_where_it_is_known():
    assert make_environ(request_message(method="POST", body=b"12345"))["CONTENT_LENGTH"] == "5"


def test_nothing_of_a_request_is_left_for_the_next_one(layer):
    trace, inputs, seen = contextvars.ContextVar("trace", default=None), [], []

    def application(environ, start_response):
        seen.append(trace.get())
        trace.set(environ["PATH_INFO"])
        inputs.append(environ["wsgi.input"])
        return hello(environ, start_response)

    for _ in range(2):
        answer(application, layer)

    assert seen == [None, None]
    assert [stream.closed for stream in inputs] == [True, True]


def test_several_threads_are_announced(layer):
    seen = []

    def application(environ, start_response):
        seen.append(environ["wsgi.multithread"])
        return hello(environ, start_response)

    for multithread in (False, True):
        WSGIConsumer(application, multithread)(request_message(layer=layer))

    assert seen == [False, True]


def test_a_large_body_is_read_from_its_channel(layer):
    def application(environ, start_response):
        start_response("200 OK", [])
        lines = environ["wsgi.input"]
        return [b"%d " % len(lines.readline()), b"%d" % sum(map(len, lines))]

    channel = "http.request.body?abc"
    layer.send(channel, http_request_body_chunk(b"x" * BODY_CHUNK + b"\nrest", True))
    layer.send(channel, http_request_body_chunk(b"end", False))

    found = answer(application, layer, method="POST", body=b"start ", body_channel=channel)

    assert b"".join(message["content"] for message in found) == b"%d 7" % (BODY_CHUNK + 7)


# -- the response ----------------------------------------------------------------------------------


def test_a_list_of_one_part_is_one_message():
    assert answer(hello) == [
        {
            "status": 200,
            "headers": [[b"Content-Type", b"text/plain"], [b"Content-Length", b"5"]],
            "content": b"hello",
            "more_content": False,
        }
    ]


def test_each_part_leaves_by_itself_and_the_last_of_a_list_is_known():
    def application(environ, start_response):
        start_response("404 Whatever It Says", [])
        return [b"one", b"", b"two", b"three"]

    found = answer(application)

    assert [(m["content"], m["more_content"]) for m in found] == [
        (b"one", True), (b"two", True), (b"three", False)
    ]  # fmt: skip
    assert [m.get("status") for m in found] == [404, None, None]


def test_parts_of_a_generator_leave_before_the_next_is_made(layer):
    seen = []

    def application(environ, start_response):
        start_response("200 OK", [])
        for part in (b"one", b"two"):
            yield part
            seen.append(replies(layer))

    rest = answer(application, layer)

    assert [[m["content"] for m in found] for found in seen] == [[b"one"], [b"two"]]
    assert [(m["content"], m["more_content"]) for m in rest] == [(b"", False)]


def test_a_part_larger_than_a_message_is_cut():
    def application(environ, start_response):
        start_response("200 OK", [])
        return [bytes(BODY_CHUNK + 1), b"end"]

    assert [(len(m["content"]), m["more_content"]) for m in answer(application)] == [
        (BODY_CHUNK, True), (1, True), (3, False)
    ]  # fmt: skip


@pytest.mark.parametrize("parts", [[], [b""], iter([b"", b""])])
def test_an_empty_body_is_one_message(parts):
    def application(environ, start_response):
        start_response("204 No Content", [])
        return parts

    (message,) = answer(application)
    assert (message["status"], message["content"], message["more_content"]) == (204, b"", False)


def test_the_head_of_a_response_is_all_that_head_asks_for():
    read = []

    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", "6")])
        for part in (b"one", b"two"):
            read.append(part)
            yield part

    (message,) = answer(application, method="HEAD")

    assert (message["status"], message["content"], message["more_content"]) == (200, b"", False)
    assert read == [b"one"]


def test_write_sends_before_the_application_goes_on(layer):
    seen = []

    def application(environ, start_response):
        write = start_response("200 OK", [])
        write(b"written")
        seen.extend(replies(layer))
        return [b"returned"]

    rest = answer(application, layer)

    assert [(m["status"], m["content"], m["more_content"]) for m in seen] == [
        (200, b"written", True)
    ]
    assert [(m["content"], m["more_content"]) for m in rest] == [(b"returned", False)]


def test_what_is_written_after_the_head_of_a_response_to_head_is_not_sent():
    def application(environ, start_response):
        write = start_response("200 OK", [])
        write(b"one")
        write(b"two")
        return [b"three"]

    (message,) = answer(application, method="HEAD")

    assert (message["content"], message.get("more_content", False)) == (b"", False)


def test_a_file_travels_in_whole_messages():
    def application(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](io.BytesIO(bytes(2 * BODY_CHUNK)), 4096)

    sizes = [len(message["content"]) for message in answer(application)]

    assert sizes == [BODY_CHUNK, BODY_CHUNK, 0]


class Parts:
    """An iterable that can be closed."""

    def __init__(self, *parts):
        self.parts = iter(parts)
        self.closed = 0

    def __iter__(self):
        return self

    def __next__(self):
        part = next(self.parts)
        if isinstance(part, Exception):
            raise part
        return part

    def close(self):
        self.closed += 1


@pytest.mark.parametrize("content", [[b"one", b"two"], [], [ValueError("broken")]])
def test_the_iterable_is_closed_however_it_ends(content):
    parts = Parts(*content)

    def application(environ, start_response):
        start_response("200 OK", [])
        return parts

    answer(application)

    assert parts.closed == 1


# -- errors ----------------------------------------------------------------------------------------


def test_the_status_may_be_replaced_until_the_first_part_has_left():
    def application(environ, start_response):
        start_response("200 OK", [("X-First", "1")])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", [("X-Second", "2")], sys.exc_info())
        return [b"sorry"]

    (message,) = answer(application)

    assert (message["status"], message["headers"]) == (500, [[b"X-Second", b"2"]])


def test_a_replacement_that_comes_too_late_raises_what_happened(caplog):
    def application(environ, start_response):
        write = start_response("200 OK", [])
        write(b"begun")
        try:
            raise ValueError("in the middle")
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())
        return [b"not reached"]

    first, second = answer(application)

    assert first["content"] == b"begun"
    assert second == {"closed": True}
    assert "in the middle" in caplog.text


def failing(environ, start_response):
    raise ValueError("out of order")


def exiting(environ, start_response):
    sys.exit(1)


def starting_twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return []


def never_starting(environ, start_response):
    return [b"hello"]


def splitting(environ, start_response):
    start_response("200 OK", [("X-Name", "a\r\nSet-Cookie: b")])
    return [b"hello"]


def texting(environ, start_response):
    start_response("200 OK", [])
    return ["text"]


@pytest.mark.parametrize(
    "application", [failing, exiting, starting_twice, never_starting, splitting, texting]
)
def test_an_application_that_fails_before_its_response_is_a_500(application, caplog):
    (message,) = answer(application, path="/where/")

    assert (message["status"], message["content"]) == (500, b"Internal Server Error")
    assert "failed at /where/" in caplog.text
    assert caplog.records[-1].exc_info


def test_a_request_without_a_reply_channel_is_refused(layer):
    with pytest.raises(InvalidMessage, match="reply_channel"):
        WSGIConsumer(hello)(Message({"path": "/", "method": "GET"}, HTTP_REQUEST, layer))


def reading(environ, start_response):
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


def test_an_upload_that_stops_is_a_408(layer, monkeypatch):
    monkeypatch.setattr("channels.handler.wsgi._BODY_TIMEOUT", 0)

    (message,) = answer(reading, layer, method="POST", body_channel="http.request.body?x")

    assert message["status"] == 408


def test_a_client_that_leaves_during_its_upload_is_not_answered(layer, caplog):
    layer.send("http.request.body?x", http_request_body_chunk(closed=True))

    assert answer(reading, layer, method="POST", body_channel="http.request.body?x") == []
    assert caplog.records == []


def test_a_client_that_leaves_ends_the_response(layer, caplog):
    parts = Parts(*[bytes(BODY_CHUNK)] * 100)

    def application(environ, start_response):
        start_response("200 OK", [])
        return parts

    layer.send(CREDIT, http_credit(closed=True))
    answer(application, layer)

    assert parts.closed == 1
    assert next(parts)  # there would have been more
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_stream_waits_for_its_client(layer):
    made = []

    def application(environ, start_response):
        start_response("200 OK", [])
        for number in range(20):
            made.append(number)
            yield bytes(BODY_CHUNK)

    consumer = WSGIConsumer(application)
    message = request_message(layer=layer)
    worker = threading.Thread(target=consumer, args=[message], daemon=True)
    worker.start()
    wait_until(lambda: len(made) == RESPONSE_WINDOW // BODY_CHUNK + 1)
    assert worker.is_alive()

    received, more = 0, True
    while more:
        _, message = layer.receive([QUEUE], block=True, timeout=10)
        received += len(message["content"])
        more = message["more_content"]
        layer.send(CREDIT, http_credit(len(message["content"])))
    worker.join(10)

    assert received == 20 * BODY_CHUNK


# -- whole applications ----------------------------------------------------------------------------


@validator
def strict(environ, start_response):
    """An application that uses whatever PEP 3333 has, as it asks for."""
    body = environ["wsgi.input"]
    content = body.readline() + body.read(3) + b"".join(body.readlines()) + b"".join(body)
    environ["wsgi.errors"].write("")
    environ["wsgi.errors"].flush()
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"written, ")
    return [content]


@pytest.mark.parametrize("client", [["203.0.113.9", 50000], None])
@pytest.mark.parametrize("root_path", ["", "/shop/"])
def test_the_validator_of_the_standard_library_has_nothing_to_object(client, root_path, layer):
    found = answer(
        strict,
        layer,
        path=root_path.rstrip("/") + "/list",
        root_path=root_path,
        client=client,
        method="POST",
        body=b"one\ntwo three\nfour",
    )

    assert b"".join(m["content"] for m in found) == b"written, one\ntwo three\nfour"


@pytest.mark.parametrize("path", ["/hello/", "/streamed/", "/file/", "/no/such/", "/name/\u00e9/"])
def test_django_as_a_wsgi_application_answers_as_it_does_without_the_detour(path):
    with override_settings(MIDDLEWARE=[]):
        found = answer(WSGIHandler(), path=path)
        expected = list(AsgiHandler()(request_message(path)))

    assert found[0]["status"] == expected[0]["status"]
    assert sorted(map(tuple, found[0]["headers"])) == sorted(map(tuple, expected[0]["headers"]))
    assert [b"".join(m["content"] for m in all) for all in (found, expected)] == [
        b"".join(m["content"] for m in expected)
    ] * 2
