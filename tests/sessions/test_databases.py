"""Tests of sessions in PostgreSQL and in a file of SQLite, with several workers at once."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connections, router
from django.test import override_settings

from channels.layers.ipc import IPCChannelLayer
from channels.sessions import channel_session, session_for_reply_channel
from tests.layers.ipc.segments import fresh_prefix, needs_extension, remove
from tests.servers.postgresql import PostgresServer
from tests.sessions.crews import Journal, Traffic, processes
from tests.sessions.ordered import check, routing_of
from tests.sessions.sockets import Socket

ALIAS = "sessions"


class SessionsApart:
    """Has sessions live in a database of their own."""

    def db_for_read(self, model: type, **hints: Any) -> str | None:
        return ALIAS if model is Session else None

    db_for_write = db_for_read


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("initdb", "postgres"))]
)
def apart(request, tmp_path, monkeypatch) -> Iterator[str]:
    """Each database in turn, with the table of sessions."""
    options: dict[str, Any] = {"NAME": str(tmp_path / "sessions.sqlite3")}
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        options = server.create_database(fresh_prefix())
    kept = {"CONN_MAX_AGE": None}
    connections.settings[ALIAS] = {**connections.settings["default"], **kept, **options}
    monkeypatch.setattr(router, "routers", [SessionsApart()])
    with connections[ALIAS].schema_editor() as editor:
        editor.create_model(Session)
    connections[ALIAS].close()  # children of a fork make connections of their own
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"):
        yield request.param
    connections[ALIAS].close()
    del connections[ALIAS], connections.settings[ALIAS]


@pytest.mark.parametrize("kind", [pytest.param(IPCChannelLayer, marks=needs_extension)])
def test_order_is_kept_by_sessions_in_a_database(apart, tmp_path, kind):
    journal, prefix = Journal(tmp_path / "journal"), fresh_prefix()
    try:
        layer = kind(prefix=prefix)
        traffic = Traffic(layer, sockets=2, messages=200 if apart == "postgresql" else 100)
        with processes(lambda: kind(prefix=prefix), routing_of(journal), journal):
            traffic.run()
            check(traffic, journal)
        assert Session.objects.count() == 0
        layer.close()
    finally:
        remove(prefix)


def test_workers_that_create_a_session_at_once_make_one_row(apart):
    socket, barrier = Socket(), threading.Barrier(4)
    errors: list[Exception] = []

    @channel_session
    def store(message, number):
        message.channel_session[f"number {number}"] = number
        barrier.wait(20)

    def work(number: int) -> None:
        try:
            store(socket.receive(number), number)
        except Exception as error:
            errors.append(error)
        finally:
            connections[ALIAS].close()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert errors == []
    assert Session.objects.count() == 1
    assert session_for_reply_channel(socket.name).keys()
