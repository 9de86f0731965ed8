"""Database connections and transactions around views, with a database that is a file.

One in memory is never closed.
"""

import threading

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from channels.exceptions import ResponseLater
from channels.handler import AsgiHandler, ViewConsumer
from channels.layers.inmemory import ChannelLayer
from tests.http_messages import request_message

ALIAS = "requests"

#: Connection objects of the views that keep theirs here.
used: list[object] = []


@pytest.fixture
def configure(tmp_path):
    """Adds the database with further settings, and returns this thread's connection to it."""

    def add(**options):
        name = str(tmp_path / "database.sqlite3")
        connections.settings[ALIAS] = {**connections.settings["default"], "NAME": name, **options}
        connection = connections[ALIAS]
        execute("CREATE TABLE visits (number integer)")
        connection.close()
        return connection

    used.clear()
    with override_settings(MIDDLEWARE=[], ROOT_URLCONF=__name__):
        yield add
    connections[ALIAS].close()
    del connections[ALIAS], connections.settings[ALIAS]


def execute(statement):
    with connections[ALIAS].cursor() as cursor:
        return cursor.execute(statement).fetchall()


def visits() -> int:
    return execute("SELECT count(*) FROM visits")[0][0]


def visit(request):
    execute("INSERT INTO visits VALUES (1)")
    return HttpResponse(str(visits()))


def failing(request):
    visit(request)
    raise ZeroDivisionError


def later(request):
    visit(request)
    raise ResponseLater


@transaction.non_atomic_requests(using=ALIAS)
def failing_without_transaction(request):
    failing(request)


def streaming(request):
    return StreamingHttpResponse(str(visits()) for _ in range(2))


async def asynchronous(request):
    thread = await sync_to_async(threading.get_ident)()
    response = await sync_to_async(visit)(request)
    return HttpResponse(b"%d %b" % (thread, response.content))


async def streaming_asynchronously(request):
    return StreamingHttpResponse(_counts())


async def _counts():
    for _ in range(2):
        count = await sync_to_async(visits)()
        used.append((await sync_to_async(connections.__getitem__)(ALIAS), threading.get_ident()))
        yield str(count)


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (
        visit,
        failing,
        later,
        failing_without_transaction,
        streaming,
        asynchronous,
        streaming_asynchronously,
    )
]


def answer(path):
    return list(AsgiHandler()(request_message(path)))


def test_the_connection_is_closed_when_the_response_was_made(configure):
    connection = configure()
    messages = AsgiHandler()(request_message("/visit/"))
    assert next(messages)["content"] == b"1"
    assert connection.connection is not None
    assert list(messages) == []
    assert connection.connection is None


def test_the_connection_stays_open_to_the_end_of_a_stream(configure):
    connection = configure()
    messages = AsgiHandler()(request_message("/streaming/"))
    next(messages)
    first = connection.connection
    assert first is not None
    next(messages)
    assert connection.connection is first
    messages.close()
    assert connection.connection is None


def test_a_connection_without_maximum_age_serves_one_request_after_the_other(configure):
    connection = configure(CONN_MAX_AGE=None)
    answer("/visit/")
    first = connection.connection
    assert first is not None
    (message,) = answer("/visit/")
    assert message["content"] == b"2"
    assert connection.connection is first


def test_a_connection_over_its_maximum_age_is_closed_before_the_request(configure):
    connection = configure(CONN_MAX_AGE=1000)
    answer("/visit/")
    first = connection.connection
    assert first is not None
    connection.close_at = 0  # as if a thousand seconds had passed
    messages = AsgiHandler()(request_message("/visit/"))
    assert next(messages)["content"] == b"2"
    assert connection.connection is not first
    messages.close()


@pytest.mark.parametrize(
    ("view", "replies", "kept"),
    [
        ("visit", [200], 1),
        ("failing", [500], 0),
        ("later", [], 0),
        ("failing_without_transaction", [500], 1),
        ("asynchronous", [500], 0),  # Django has no transactions around them, and says so
    ],
)
def test_atomic_requests_are_rolled_back_where_the_view_raises(
    configure, caplog, view, replies, kept
):
    configure(ATOMIC_REQUESTS=True)
    assert [message["status"] for message in answer(f"/{view}/")] == replies
    assert visits() == kept
    assert ("ATOMIC_REQUESTS with async views" in caplog.text) is (view == "asynchronous")


def test_what_an_asynchronous_view_does_synchronously_runs_on_the_worker_s_thread(configure):
    connection = configure()
    layer = ChannelLayer()
    ViewConsumer()(request_message("/asynchronous/", layer=layer))
    _, message = layer.receive(["daphne.response.tests!"])
    assert message["content"] == b"%d 1" % threading.get_ident()
    assert connection.connection is None


@pytest.mark.parametrize("parts", [1, 3], ids=["closed early", "to the end"])
def test_the_connection_of_an_asynchronous_stream_is_closed_at_its_end(configure, parts):
    connection = configure(CONN_MAX_AGE=None)
    messages = AsgiHandler()(request_message("/streaming_asynchronously/"))
    for _ in range(parts):
        next(messages)
    messages.close()
    assert len(used) == min(parts, 2)
    for other, thread in used:
        assert other is not connection
        assert other.connection is None
        assert thread == threading.get_ident()
