"""A test's database connections, which no consumer and no view may close."""

import threading

import pytest
from django.db import connections
from django.http import HttpResponse
from django.test import Client as DjangoClient
from django.test import override_settings
from django.urls import path

from channels import route
from channels.handler import ViewConsumer
from channels.signals import consumer_finished
from channels.test import ChannelTestCase, Client, TransactionChannelTestCase, apply_routes
from channels.test.connections import keep_connections
from tests.test.cases import run

ALIAS = "kept"


def view(request):
    return HttpResponse("a view")


urlpatterns = [path("", view)]


@pytest.fixture(autouse=True)
def database(tmp_path):
    """A database in a file, whose connections Django really closes."""
    name = str(tmp_path / "database.sqlite3")
    connections.settings[ALIAS] = {**connections.settings["default"], "NAME": name}
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[]):
        yield
    connections[ALIAS].close()
    del connections[ALIAS], connections.settings[ALIAS]


def opened():
    """The open connection of this thread, opened where there is none."""
    connections[ALIAS].ensure_connection()
    return connections[ALIAS].connection


def consume_everything() -> None:
    routes = [route("http.request", ViewConsumer()), route("task", lambda message: None)]
    client = Client()
    with apply_routes(routes):
        client.send_and_consume("task")
        client.send_and_consume("http.request", {"path": "/", "method": "GET"})
        assert client.receive()["content"] == b"a view"


@pytest.mark.parametrize("base", [ChannelTestCase, TransactionChannelTestCase])
def test_consumers_and_views_of_a_test_leave_its_connections_open(base):
    class Case(base):
        databases = {"default", ALIAS}

        def test(self):
            mine = opened()
            consume_everything()
            DjangoClient().get("/")
            consume_everything()
            assert connections[ALIAS].connection is mine

    result = run(Case)
    assert result.wasSuccessful(), result.errors + result.failures


def test_a_client_keeps_them_outside_of_a_test_case_too():
    mine = opened()
    consume_everything()
    assert connections[ALIAS].connection is mine
    consumer_finished.send(sender=object)
    assert connections[ALIAS].connection is None


def test_other_threads_lose_theirs_as_ever():
    left = []

    def consume():
        opened()
        consumer_finished.send(sender=object)
        left.append(connections[ALIAS].connection)

    with keep_connections():
        mine = opened()
        thread = threading.Thread(target=consume)
        thread.start()
        thread.join()
        assert connections[ALIAS].connection is mine
    assert left == [None]


def test_keeping_nests():
    mine = opened()
    with keep_connections():
        with keep_connections():
            pass
        consumer_finished.send(sender=object)
        assert connections[ALIAS].connection is mine
    consumer_finished.send(sender=object)
    assert connections[ALIAS].connection is None
