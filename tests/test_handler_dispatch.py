"""``AsgiHandler``: Django's cycle on messages."""

import logging
import re

import pytest
from django.core.signals import got_request_exception, request_finished, request_started
from django.http import HttpResponse
from django.test import override_settings
from django.urls import get_script_prefix, get_urlconf, set_script_prefix

from channels.exceptions import InvalidMessage, RequestTimeout
from channels.handler import AsgiHandler, AsgiRequest
from channels.spec import check_http_response, check_http_response_chunk
from tests import views
from tests.http_messages import request_message

pytestmark = pytest.mark.usefixtures("plain_settings")


@pytest.fixture
def plain_settings():
    with override_settings(MIDDLEWARE=[]):
        yield


@pytest.fixture
def events():
    """The signals of requests, in order, as (name, sender)."""
    seen = []

    def started(sender, **kwargs):
        seen.append(("started", sender))

    def finished(sender, **kwargs):
        seen.append(("finished", sender))

    request_started.connect(started)
    request_finished.connect(finished)
    yield seen
    request_started.disconnect(started)
    request_finished.disconnect(finished)


def answer(path="/", handler=None, **keys):
    """All messages of a response, each checked against its format."""
    messages = list((handler or AsgiHandler())(request_message(path, **keys)))
    for number, message in enumerate(messages):
        if "closed" not in message:
            (check_http_response_chunk if number else check_http_response)(message, strict=True)
    return messages


def body_of(messages) -> bytes:
    return b"".join(message["content"] for message in messages)


#: What every request gives, whatever its outcome.
STARTED_FINISHED = [("started", AsgiHandler), ("finished", AsgiHandler)]


# Responses


def test_a_short_response_is_one_message():
    assert answer("/hello/") == [
        {
            "status": 200,
            "headers": [(b"Content-Type", b"text/html; charset=utf-8")],
            "content": b"Hello, world",
            "more_content": False,
        }
    ]


def test_headers_keep_their_case_and_cookies_come_last():
    (message,) = answer("/headers/")
    names = [name for name, _ in message["headers"]]
    assert message["status"] == 201
    assert (b"X-Camel-Case", "caf\u00e9".encode("latin-1")) in message["headers"]
    assert (b"content-language", b"eo") in message["headers"]
    assert names[-3:] == [b"Set-Cookie"] * 3


def test_a_large_response_is_cut_into_chunks():
    messages = answer("/large/")
    assert [len(message["content"]) for message in messages] == [524_288, 524_288, 151_424]
    assert [message["more_content"] for message in messages] == [True, True, False]
    assert [sorted(message) for message in messages[1:]] == [["content", "more_content"]] * 2


@pytest.mark.parametrize(
    ("size", "expected"), [(0, [0]), (9, [9]), (10, [10]), (11, [10, 1]), (20, [10, 10])]
)
def test_chunks_end_exactly_where_the_content_does(size, expected):
    class Small(AsgiHandler):
        chunk_size = 10

    messages = list(Small.encode_response(HttpResponse(b"x" * size)))
    assert [len(message["content"]) for message in messages] == expected
    assert [message["more_content"] for message in messages][-1] is False
    chunks = list(Small.chunk_bytes(b"x" * size))
    assert [len(chunk) for chunk, _ in chunks] == expected
    assert [last for _, last in chunks] == [False] * (len(expected) - 1) + [True]


@pytest.mark.parametrize("path", ["/streamed/", "/streamed/async/"])
def test_a_streamed_response_is_one_message_a_part_and_an_empty_one(path):
    messages = answer(path)
    sizes = [len(message["content"]) for message in messages]
    assert sizes == [5, 524_288, 600_000 - 524_288, 4, 0]
    assert [message["more_content"] for message in messages] == [True] * 4 + [False]
    assert "status" in messages[0]


@pytest.mark.parametrize("path", ["/streamed/", "/streamed/async/"])
def test_parts_are_made_as_they_are_asked_for_and_finished_when_nobody_asks(path, events):
    views.closed_streams.clear()
    messages = AsgiHandler()(request_message(path))
    assert next(messages)["content"] == b"first"
    assert views.closed_streams == []
    assert events == [("started", AsgiHandler)]
    messages.close()
    assert views.closed_streams == [path.strip("/").replace("/", "_")]
    assert events == STARTED_FINISHED


def test_a_stream_without_parts_is_one_message():
    (message,) = answer("/streamed/empty/")
    assert (message["status"], message["content"], message["more_content"]) == (200, b"", False)


def test_a_file_is_sent_in_chunks_with_its_length():
    messages = answer("/file/")
    assert body_of(messages) == views.CONTENT_OF_FILE
    assert (b"Content-Length", b"%d" % len(views.CONTENT_OF_FILE)) in messages[0]["headers"]
    assert [len(message["content"]) for message in messages] == [524_288, 524_288, 231_424, 0]


def test_head_of_a_stream_makes_none_of_it():
    views.closed_streams.clear()
    messages = answer("/streamed/", method="HEAD")
    assert [(m["content"], m["more_content"]) for m in messages] == [(b"", True), (b"", False)]
    assert views.closed_streams == []


def test_an_asynchronous_view_answers():
    assert body_of(answer("/async/")) == b'{"method": "GET"}'


def test_encode_response_answers_for_views_that_ended_before(events):
    messages = list(AsgiHandler.encode_response(HttpResponse("later", status=202)))
    assert [message["status"] for message in messages] == [202]
    assert events == []


@override_settings(
    MIDDLEWARE=[
        "django.middleware.cache.UpdateCacheMiddleware",
        "django.middleware.cache.FetchFromCacheMiddleware",
    ],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
)
def test_streaming_responses_are_never_cached():
    handler = AsgiHandler()
    for _ in range(2):
        views.closed_streams.clear()
        assert len(answer("/streamed/", handler)) == 5
        assert views.closed_streams == ["streamed"]


# Requests


def test_the_body_reaches_the_view():
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"4")]
    assert body_of(answer("/echo/", method="POST", headers=headers, body=b"body")) == b"body"


def test_a_path_that_is_no_utf_8_is_400(events, caplog):
    message = request_message()
    message.content["path"] = b"/\xff"
    (reply,) = AsgiHandler()(message)
    assert reply["status"] == 400
    assert "UnicodeDecodeError" in caplog.text
    assert events == STARTED_FINISHED


@pytest.mark.parametrize(
    ("content_type", "query", "fault"),
    [
        (b"text/plain; charset=rot13", b"a=1", "LookupError"),
        (b"text/plain; charset=hex", b"a=1", "LookupError"),
        (b"text/plain; charset=idna", b"xn--a-%ff", "UnicodeError|TooManyFieldsSent"),
        (b"text/plain; charset*=latin-1'en'x; a*=no-such''x", b"", "ValueError|BadRequest"),
        (b"text/plain; charset=latin-1", b"&a" * 2000, "TooManyFieldsSent"),
    ],
)
def test_headers_of_which_no_request_can_be_made_are_400(
    content_type, query, fault, events, caplog
):
    headers = [(b"content-type", content_type)]
    (reply,) = answer("/hello/", headers=headers, query_string=query)
    assert (reply["status"], reply["content"]) == (400, b"")
    assert re.search(rf"Bad Request \(({fault})\)", caplog.text)
    assert events == STARTED_FINISHED


def test_a_message_that_is_no_request_is_an_error_for_the_worker(events):
    message = request_message()
    del message.content["path"]
    with pytest.raises(InvalidMessage, match="path"):
        list(AsgiHandler()(message))
    assert events == STARTED_FINISHED


@override_settings(ALLOWED_HOSTS=["good.example"])
def test_a_bad_host_is_400_and_not_echoed():
    (message,) = answer("/host/", headers={"host": b"<script>.example"})
    assert message["status"] == 400
    assert b"script" not in message["content"]


# Errors


@pytest.mark.parametrize(
    ("kind", "status"),
    [("missing", 404), ("denied", 403), ("bad", 400), ("suspicious", 400), ("exit", 500)],
)
def test_exceptions_give_the_pages_of_django(kind, status, events):
    (message,) = answer(f"/error/{kind}/")
    assert message["status"] == status
    assert b"the view raised" not in message["content"]
    assert events == STARTED_FINISHED


@override_settings(DEBUG=True, ALLOWED_HOSTS=["*"])
def test_debug_pages_are_those_of_django():
    messages = answer("/error/exit/")
    assert b"ZeroDivisionError" in body_of(messages)
    assert b"Traceback" in body_of(messages)
    assert b"Page not found" in body_of(answer("/no/such/page/"))


def test_an_error_handler_that_fails_gives_plain_text(events, caplog):
    with override_settings(ROOT_URLCONF="tests.urls_of_broken_handlers"):
        (message,) = answer("/error/exit/")
        assert message["status"] == 500
        assert message["content"] == b"Internal Server Error"
        with override_settings(DEBUG=True):
            (message,) = answer("/no/such/page/", handler=Failing())
            assert b"Traceback" in message["content"]
    assert "Internal Server Error: /error/exit/" in caplog.text
    assert events[:2] == STARTED_FINISHED


class Failing(AsgiHandler):
    """A handler whose own machinery fails."""

    def get_response(self, request):
        raise RuntimeError("no response")


@override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True)
def test_exceptions_are_propagated_where_the_settings_say_so(events):
    with pytest.raises(ZeroDivisionError):
        answer("/error/exit/")
    assert events == STARTED_FINISHED


@pytest.mark.parametrize(
    "where", ["value", "name", "nul", "reason", "cookie", "redirect", "unencodable"]
)
def test_a_response_that_would_be_split_is_500(where, events, caplog):
    (message,) = answer(f"/unsafe/{where}/")
    assert message["status"] == 500
    assert not any(b"\r" in value or b"\n" in value for _, value in message["headers"])
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name == "django.request"
    # Later Djangos refuse a split reason themselves.
    assert "InvalidMessage" in caplog.text or "BadHeaderError" in caplog.text
    assert events == STARTED_FINISHED


def test_encode_response_refuses_a_response_that_would_be_split():
    response = HttpResponse("x")
    response["X-A"] = "a\x00b"
    with pytest.raises(InvalidMessage, match="'X-A'|b'X-A'"):
        list(AsgiHandler.encode_response(response))


@pytest.mark.parametrize("kind", ["exit_worker", "cancelled"])
def test_what_would_end_a_server_is_500_for_its_client(kind, events, caplog):
    (message,) = answer(f"/error/{kind}/")
    assert (message["status"], message["content"]) == (500, b"Internal Server Error")
    assert "the view raised" in caplog.text
    assert events == STARTED_FINISHED


def test_a_stream_that_fails_at_once_gives_an_error_page(events, caplog):
    (message,) = answer("/streamed/broken/0/")
    assert message["status"] == 500
    assert "the stream broke" in caplog.text
    assert events == STARTED_FINISHED


def test_a_stream_that_fails_later_is_cut_off(events, caplog):
    seen = []

    def note(request, **kwargs):
        seen.append(request.path)

    got_request_exception.connect(note)
    messages = answer("/streamed/broken/2/")
    got_request_exception.disconnect(note)
    assert [message.get("content") for message in messages] == [b"part 0", b"part 1", None]
    assert messages[-1] == {"closed": True}
    assert "the stream broke" in caplog.text
    assert seen == ["/streamed/broken/2/"]
    assert events == STARTED_FINISHED


def test_servers_that_know_no_cut_off_are_sent_none():
    message = request_message("/streamed/broken/1/")
    message.reply_channel.name = "http.response!other"
    assert [part["content"] for part in AsgiHandler()(message)] == [b"part 0"]


# Endings


def test_response_later_sends_nothing(events, caplog):
    assert answer("/later/") == []
    assert events == STARTED_FINISHED
    assert caplog.records == []


def test_a_request_that_the_client_gave_up_sends_nothing(events):
    assert answer("/error/aborted/") == []
    assert events == STARTED_FINISHED


def test_an_upload_that_is_too_slow_is_408(events):
    class Impatient(AsgiRequest):
        body_receive_timeout = 0

    class Handler(AsgiHandler):
        request_class = Impatient

    (message,) = answer("/echo/", Handler(), method="POST", body_channel="http.request.body?x")
    assert message["status"] == 408
    assert message["content"] == b"408 Request Timeout (upload too slow)"
    assert events == [("started", Handler), ("finished", Handler)]


def reading_middleware(get_response):
    """Reads the body before any view, and lets the exception through."""

    def middleware(request):
        if request.path == "/echo/":
            raise RequestTimeout("too slow")
        return get_response(request)

    return middleware


class NotingMiddleware:
    """Notes what passes by."""

    seen: list[object] = []

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        self.seen.append(response.status_code)
        return response

    def process_exception(self, request, exception):
        self.seen.append(exception)


@override_settings(MIDDLEWARE=["tests.test_handler_dispatch.reading_middleware"])
def test_a_slow_upload_is_408_also_where_a_middleware_reads_it(events):
    (message,) = answer("/echo/", method="POST")
    assert message["status"] == 408
    assert events == STARTED_FINISHED


@override_settings(MIDDLEWARE=["tests.test_handler_dispatch.NotingMiddleware"])
def test_endings_pass_the_middleware_as_responses_not_as_exceptions():
    from_here = type(AsgiHandler()._middleware_chain.__wrapped__).seen
    from_here.clear()
    answer("/later/")
    answer("/error/slow/")
    answer("/error/exit/")
    assert from_here[:2] == [204, 408]
    assert isinstance(from_here[2], ZeroDivisionError)


# Signals, threads


def test_signals_come_once_and_in_time(events):
    messages = AsgiHandler()(request_message("/hello/"))
    assert events == []
    next(messages)
    assert events == [("started", AsgiHandler)]
    assert list(messages) == []
    assert events == STARTED_FINISHED


def test_request_started_carries_the_message():
    seen = []

    def note(sender, **kwargs):
        seen.append(kwargs)

    request_started.connect(note)
    message = request_message()
    list(AsgiHandler()(message))
    request_started.disconnect(note)
    assert seen[0]["message"] is message


def test_a_generator_that_is_never_asked_does_nothing(events):
    AsgiHandler()(request_message()).close()
    assert events == []


def test_the_script_prefix_and_the_urlconf_do_not_outlive_the_request():
    set_script_prefix("/before/")
    try:
        (message,) = answer("/app/name/x/", root_path="/app")
        assert b'"reversed": "/app/name/x/"' in message["content"]
        assert get_script_prefix() == "/before/"
        assert get_urlconf() is None
    finally:
        set_script_prefix("/")
