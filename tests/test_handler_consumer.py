"""``ViewConsumer``: responses reach the reply channel, at the client's pace, or are given up."""

import threading

import pytest
from django.http import StreamingHttpResponse
from django.test import override_settings
from django.utils import translation

from channels.exceptions import ChannelFull, InvalidMessage
from channels.handler import AsgiHandler, ViewConsumer
from channels.handler.flow import ResponseSender
from channels.layers.inmemory import ChannelLayer
from channels.message import Message, pending_message_store
from channels.signals import consumer_finished, consumer_started
from channels.spec import (
    BODY_CHUNK,
    HTTP_REQUEST,
    RESPONSE_WINDOW,
    credit_channel,
    http_credit,
    http_response_chunk,
)
from tests import views
from tests.http_messages import REPLY_CHANNEL, request_message
from tests.waiting import wait_until

QUEUE = REPLY_CHANNEL.partition("!")[0] + "!"
CREDIT = credit_channel(REPLY_CHANNEL)

pytestmark = pytest.mark.usefixtures("plain_settings")


@pytest.fixture
def plain_settings():
    with override_settings(MIDDLEWARE=[]):
        yield


@pytest.fixture
def layer():
    return ChannelLayer(capacity=100)


def replies(layer) -> list[dict]:
    """Everything in the reply channel now."""
    found = []
    while True:
        channel, message = layer.receive([QUEUE])
        if channel is None:
            return found
        assert channel == REPLY_CHANNEL
        found.append(message)


class Client(threading.Thread):
    """An interface server that sends everything on at once, and gives credit for it."""

    def __init__(self, layer, credit=True):
        super().__init__(daemon=True)
        self.layer = layer
        self.credit = credit
        self.messages: list[dict] = []
        self.start()

    def run(self):
        more = True
        while more:
            _, message = self.layer.receive([QUEUE], block=True, timeout=10)
            self.messages.append(message)
            more = bool(message) and message.get("more_content", False)
            if self.credit and more:
                self.layer.send(CREDIT, http_credit(len(message["content"])))


def streaming_consumer(make_parts):
    """A consumer whose every response streams ``make_parts()``."""

    class Handler(AsgiHandler):
        def get_response(self, request):
            return StreamingHttpResponse(make_parts())

    class Consumer(ViewConsumer):
        handler_class = Handler

    return Consumer()


def test_a_response_goes_to_the_reply_channel(layer):
    ViewConsumer()(request_message("/hello/", layer=layer))
    (reply,) = replies(layer)
    assert (reply["status"], reply["content"]) == (200, b"Hello, world")


def test_it_is_sent_at_once_also_within_a_worker(layer):
    consumer_started.send(sender=None)
    try:
        ViewConsumer()(request_message("/hello/", layer=layer))
        assert pending_message_store.active
        assert len(replies(layer)) == 1
    finally:
        consumer_finished.send(sender=None)


def test_a_request_without_a_reply_channel_is_refused(layer):
    message = Message({"path": "/", "method": "GET"}, HTTP_REQUEST, layer)
    with pytest.raises(InvalidMessage, match="reply_channel"):
        ViewConsumer()(message)


def test_nothing_that_a_request_activates_is_met_by_the_next_consumer(layer):
    with translation.override("en"):
        ViewConsumer()(request_message("/language/", layer=layer))
        assert translation.get_language() == "en"
    assert replies(layer)[0]["content"] == b"eo"


def test_a_full_reply_channel_is_waited_for():
    layer = ChannelLayer(capacity=1)
    client = Client(layer, credit=False)
    ViewConsumer()(request_message("/streamed/", layer=layer))
    client.join(10)
    assert b"".join(m["content"] for m in client.messages) == b"first" + b"m" * 600_000 + b"last"


class Forgetful:
    """A layer of a third party without ``wait_for_room``, whose channel is full for a while."""

    class ChannelFull(Exception):
        """Not ours."""

    def __init__(self, refusals):
        self.refusals = refusals
        self.sent: list[dict] = []

    def send(self, channel, message):
        if self.refusals:
            self.refusals -= 1
            raise self.ChannelFull
        self.sent.append(message)


def test_a_layer_that_cannot_wait_for_room_is_asked_again():
    layer = Forgetful(refusals=2)
    ViewConsumer()(request_message("/hello/", layer=layer))
    assert len(layer.sent) == 1


@pytest.mark.parametrize("forgetful", [False, True])
def test_a_channel_that_stays_full_is_given_up_with_an_error(forgetful, caplog, monkeypatch):
    monkeypatch.setattr(ResponseSender, "room_timeout", 0.05)
    layer = Forgetful(refusals=1000) if forgetful else ChannelLayer(capacity=1)
    message = request_message("/streamed/", layer=layer)
    if not forgetful:
        layer.send(REPLY_CHANNEL, {"content": b""})
    views.closed_streams.clear()
    ViewConsumer()(message)
    assert views.closed_streams == ["streamed"]
    assert "was given up" in caplog.text
    assert REPLY_CHANNEL in caplog.text


def test_a_response_within_the_window_never_looks_for_credit():
    class Unlistened(ChannelLayer):
        def receive(self, channels, *args, **kwargs):
            raise AssertionError(f"received on {channels}")

    layer = Unlistened()
    ViewConsumer()(request_message("/large/", layer=layer))


def test_a_stream_stops_at_the_window_and_goes_on_with_credit(layer):
    made = []

    def parts():
        for number in range(12):
            made.append(number)
            yield bytes(BODY_CHUNK)

    consumer = streaming_consumer(parts)
    worker = threading.Thread(target=consumer, args=[request_message(layer=layer)], daemon=True)
    worker.start()
    in_window = RESPONSE_WINDOW // BODY_CHUNK

    # One part more than the window has been made, and waits for credit.
    wait_until(lambda: len(made) == in_window + 1)
    received = []
    wait_until(lambda: received.extend(replies(layer)) or len(received) == in_window)
    assert worker.is_alive()

    layer.send(CREDIT, http_credit(2 * BODY_CHUNK))
    wait_until(lambda: len(made) == in_window + 3)
    wait_until(lambda: received.extend(replies(layer)) or len(received) == in_window + 2)

    for _ in range(2):
        layer.send(CREDIT, http_credit(RESPONSE_WINDOW))
    worker.join(10)
    received += replies(layer)
    assert len(received) == 13
    assert [message["more_content"] for message in received] == [True] * 12 + [False]


def test_a_stream_of_any_size_passes_a_client_that_keeps_up(layer):
    client = Client(layer)
    streaming_consumer(lambda: iter([bytes(BODY_CHUNK)] * 40))(request_message(layer=layer))
    client.join(10)
    assert sum(len(message["content"]) for message in client.messages) == 40 * BODY_CHUNK


def test_credit_that_is_still_on_its_way_does_not_hold_up_large_parts(layer):
    class Large(AsgiHandler):
        chunk_size = RESPONSE_WINDOW + 1

        def get_response(self, request):
            return StreamingHttpResponse([bytes(RESPONSE_WINDOW + 1)] * 2)

    class Consumer(ViewConsumer):
        handler_class = Large

    # All but a quarter of the window: no more is announced until the next part has come.
    layer.send(CREDIT, http_credit(RESPONSE_WINDOW + 1 - RESPONSE_WINDOW // 4))
    Consumer()(request_message(layer=layer))
    assert [len(m["content"]) for m in replies(layer)] == [RESPONSE_WINDOW + 1] * 2 + [0]


def test_a_client_that_goes_away_ends_the_response(layer, caplog):
    closed = []

    def parts():
        try:
            while True:
                yield bytes(BODY_CHUNK)
        finally:
            closed.append(True)

    layer.send(CREDIT, http_credit(closed=True))
    streaming_consumer(parts)(request_message(layer=layer))
    assert closed == [True]
    assert len(replies(layer)) == RESPONSE_WINDOW // BODY_CHUNK
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("tick", [b"tick", b""])
def test_a_slow_stream_notices_that_its_client_is_gone(layer, monkeypatch, tick):
    monkeypatch.setattr("channels.handler.flow._LOOK_INTERVAL", 0)
    made = []

    def parts():
        while True:
            made.append(True)
            if len(made) == 3:
                layer.send(CREDIT, http_credit(closed=True))
            yield tick

    streaming_consumer(parts)(request_message(layer=layer))
    assert len(made) == 3


def test_a_client_that_takes_nothing_is_given_up(layer, monkeypatch, caplog):
    monkeypatch.setattr(ResponseSender, "credit_timeout", 0.05)
    endless = iter(lambda: bytes(BODY_CHUNK), None)
    streaming_consumer(lambda: endless)(request_message(layer=layer))
    sent = replies(layer)
    assert len(sent) == RESPONSE_WINDOW // BODY_CHUNK + 1
    assert sent[-1] == {"closed": True}
    assert "was given up" in caplog.text


def test_other_servers_give_no_credit_and_are_not_waited_for(layer):
    message = request_message(layer=layer)
    message.reply_channel.name = "http.response!other"
    parts = [bytes(BODY_CHUNK)] * (RESPONSE_WINDOW // BODY_CHUNK + 3)
    streaming_consumer(lambda: parts)(message)
    received = [layer.receive(["http.response!"])[1] for _ in range(len(parts) + 1)]
    assert received[-1] == http_response_chunk(b"")


def test_channel_full_is_not_hidden_from_the_sender_of_anything_else(layer):
    def parts():
        raise ChannelFull("of another channel")
        yield

    streaming_consumer(parts)(request_message(layer=layer))
    assert replies(layer)[0]["status"] == 500
