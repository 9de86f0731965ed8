"""Asynchronous middleware and views under the synchronous handler."""

import asyncio
import threading

import pytest
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.decorators import async_only_middleware, sync_only_middleware

from channels.exceptions import RequestAborted, RequestTimeout, ResponseLater
from channels.handler import AsgiHandler, ViewConsumer
from channels.layers.inmemory import ChannelLayer
from tests.http_messages import REPLY_CHANNEL, request_message

ASYNC = f"{__name__}.waiting_middleware"
SYNC = f"{__name__}.plain_middleware"

#: What the middleware and the views did, in order.
steps: list[str] = []

RAISED = {
    "timeout": RequestTimeout,
    "aborted": RequestAborted,
    "later": ResponseLater,
    "error": ZeroDivisionError,
}


@async_only_middleware
def waiting_middleware(get_response):
    async def middleware(request):
        steps.append("before, async")
        await asyncio.sleep(0)
        if request.GET.get("in") == "middleware":
            raise RAISED[request.GET["raise"]]
        response = await get_response(request)
        steps.append(f"after, async {response.status_code}")
        return response

    return middleware


@sync_only_middleware
def plain_middleware(get_response):
    def middleware(request):
        steps.append("before, sync")
        response = get_response(request)
        steps.append(f"after, sync {response.status_code}")
        return response

    return middleware


def synchronous(request):
    if request.GET.get("in") == "view":
        raise RAISED[request.GET["raise"]]
    return HttpResponse(str(threading.get_ident()))


async def asynchronous(request):
    await asyncio.sleep(0)
    return synchronous(request)


urlpatterns = [path("sync/", synchronous), path("async/", asynchronous)]


@pytest.fixture(params=[[ASYNC], [ASYNC, SYNC], [SYNC, ASYNC], [ASYNC, SYNC, ASYNC]], ids=len)
def middleware(request):
    steps.clear()
    with override_settings(MIDDLEWARE=request.param, ROOT_URLCONF=__name__):
        yield ["async" if path == ASYNC else "sync" for path in request.param]


@pytest.mark.parametrize("view", ["sync", "async"])
def test_middleware_of_both_kinds_runs_around_views_of_both(middleware, view):
    (message,) = AsgiHandler()(request_message(f"/{view}/"))
    assert message["status"] == 200
    assert steps == [
        *(f"before, {kind}" for kind in middleware),
        *(f"after, {kind} 200" for kind in reversed(middleware)),
    ]


def test_a_synchronous_view_runs_on_the_worker_s_thread(middleware):
    (message,) = AsgiHandler()(request_message("/sync/"))
    assert message["content"] == str(threading.get_ident()).encode()


@pytest.mark.parametrize("place", ["view", "middleware"])
@pytest.mark.parametrize("view", ["sync", "async"])
@pytest.mark.parametrize(
    ("raised", "replies"), [("timeout", [408]), ("aborted", []), ("later", []), ("error", [500])]
)
def test_exceptions_lead_to_the_same_from_everywhere(middleware, view, place, raised, replies):
    query = f"in={place}&raise={raised}".encode()
    messages = AsgiHandler()(request_message(f"/{view}/", query_string=query))
    assert [message["status"] for message in messages] == replies


def test_one_consumer_serves_many_threads_at_once(middleware):
    consumer = ViewConsumer()
    layer = ChannelLayer(capacity=100)

    def serve():
        for view in ("sync", "async") * 5:
            consumer(request_message(f"/{view}/", layer=layer))

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    statuses = [layer.receive([REPLY_CHANNEL.split("!")[0] + "!"])[1]["status"] for _ in range(40)]
    assert statuses == [200] * 40
