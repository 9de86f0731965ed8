"""Static files under the consumer of runserver."""

import pytest
from django.core.signals import request_finished
from django.test import override_settings

from channels.layers.inmemory import ChannelLayer
from channels.staticfiles import StaticFilesConsumer, StaticFilesHandler
from tests.http_messages import request_message

pytestmark = pytest.mark.usefixtures("plain_settings")


@pytest.fixture
def plain_settings():
    with override_settings(MIDDLEWARE=[]):
        yield


def answer(path, **keys):
    messages = list(StaticFilesHandler()(request_message(path, **keys)))
    content = b"".join(message["content"] for message in messages)
    return messages[0]["status"], dict(messages[0]["headers"]), content


def test_a_static_file_is_served_without_debug():
    status, headers, content = answer("/static/admin/css/base.css")
    assert status == 200
    assert headers[b"Content-Type"].startswith(b"text/css")
    assert int(headers[b"Content-Length"]) == len(content) > 1000


def test_it_is_not_sent_again_where_it_is_unchanged():
    _, headers, _ = answer("/static/admin/css/base.css")
    since = [(b"if-modified-since", headers[b"Last-Modified"])]
    assert answer("/static/admin/css/base.css", headers=since)[0] == 304


@pytest.mark.parametrize("path", ["/static/no/such.css", "/static/", "/static/admin/"])
def test_what_is_no_static_file_is_404(path):
    assert answer(path)[0] == 404


def test_a_path_that_leads_out_is_400():
    assert answer("/static/../tests/settings.py")[0] == 400


def test_other_paths_go_to_the_views():
    assert answer("/hello/")[2] == b"Hello, world"


def test_the_middleware_is_for_the_views_only():
    with override_settings(MIDDLEWARE=["tests.test_staticfiles.marking_middleware"]):
        assert b"X-Marked" in answer("/hello/")[1]
        assert b"X-Marked" not in answer("/static/admin/css/base.css")[1]


def marking_middleware(get_response):
    """Marks every response."""

    def middleware(request):
        response = get_response(request)
        response["X-Marked"] = "yes"
        return response

    return middleware


def test_files_are_found_below_the_root_path_as_well():
    assert answer("/app/static/admin/css/base.css", root_path="/app")[0] == 200
    with override_settings(STATIC_URL="/app/static/"):
        assert answer("/app/static/admin/css/base.css", root_path="/app")[0] == 200


def test_a_static_url_on_another_host_is_never_served():
    with override_settings(STATIC_URL="https://cdn.example/static/"):
        assert answer("/static/admin/css/base.css")[0] == 404


def test_the_request_is_finished_once():
    seen = []

    def note(sender, **kwargs):
        seen.append(sender)

    request_finished.connect(note)
    answer("/static/admin/css/base.css")
    request_finished.disconnect(note)
    assert seen == [StaticFilesHandler]
    assert StaticFilesHandler.handles_files


def test_the_consumer_sends_the_file():
    layer = ChannelLayer()
    message = request_message("/static/admin/css/base.css", layer=layer)
    StaticFilesConsumer()(message)
    channel, reply = layer.receive(["daphne.response.tests!"])
    assert channel == message.reply_channel.name
    assert reply["status"] == 200
