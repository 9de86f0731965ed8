"""``WSGIInterface`` under many requests: their reply channels, and a whole server."""

import http.client
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import waitress.server
from django.test import override_settings
from waitress import wasyncore

from channels.interfaces.wsgi import WSGIInterface
from channels.layers.inmemory import ChannelLayer
from channels.spec import BODY_CHUNK, credit_channel
from tests.daphne.clients import Application
from tests.interfaces.calls import Call, environ
from tests.interfaces.workers import TEXT, django, everything, replying
from tests.waiting import wait_until

PARTIAL = {"status": 200, "headers": TEXT, "content": b"begun ", "more_content": True}

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
    # in its own thread, which else waits for descriptors that are no more
    running.trigger.pull_trigger(lambda: wasyncore.close_all(running._map))
    thread.join(10)
    assert not thread.is_alive()
    running.task_dispatcher.shutdown()


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
