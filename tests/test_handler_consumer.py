"""``ViewConsumer``: responses reach the reply channel, at the client's pace, or are given up."""

import asyncio
import threading
from contextlib import contextmanager

import pytest
from django.core.signals import request_finished
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.utils import translation

from channels import Channel
from channels.exceptions import ChannelFull, InvalidMessage, LayerUnavailable
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
    return answering_consumer(lambda request: StreamingHttpResponse(make_parts()))


def answering_consumer(view):
    """A consumer that answers every request by ``view``."""

    class Handler(AsgiHandler):
        def get_response(self, request):
            return view(request)

    class Consumer(ViewConsumer):
        handler_class = Handler

    return Consumer()


def test_a_response_goes_to_the_reply_channel(layer):
    ViewConsumer()(request_message("/hello/", layer=layer))
    (reply,) = replies(layer)
    assert (reply["status"], reply["content"]) == (200, b"Hello, world")


@contextmanager
def consuming():
    """What a worker does around a consumer."""
    consumer_started.send(sender=object)
    try:
        yield
    finally:
        consumer_finished.send(sender=object)


def test_a_short_one_leaves_when_the_consumer_ends(layer):
    with consuming():
        ViewConsumer()(request_message("/hello/", layer=layer))
        assert replies(layer) == []
    (reply,) = replies(layer)
    assert (reply["status"], reply["content"]) == (200, b"Hello, world")


@pytest.mark.parametrize(
    "response",
    [
        lambda: HttpResponse(b"x" * 65_536),
        lambda: HttpResponse(headers={"X-Long": "x" * 65_536}),
        lambda: StreamingHttpResponse([b"part"]),
    ],
    ids=["long content", "long header", "streamed"],
)
def test_any_other_leaves_at_once_also_within_a_worker(layer, response):
    consumer = answering_consumer(lambda request: response())
    with consuming():
        consumer(request_message(layer=layer))
        assert replies(layer)
    assert replies(layer) == []


def test_it_waits_for_nothing_that_the_view_has_left_to_be_sent(layer):
    def view(request):
        Channel("task", channel_layer=layer).send({})
        return HttpResponse(b"done")

    with consuming():
        answering_consumer(view)(request_message(layer=layer))
        assert [reply["content"] for reply in replies(layer)] == [b"done"]
        assert layer.receive(["task"])[0] is None
    assert layer.receive(["task"])[0] == "task"


def test_it_waits_for_nobody_who_works_after_the_request(layer):
    found = []

    def finished(**kwargs):
        found.extend(replies(layer))

    request_finished.connect(finished)
    try:
        with consuming():
            ViewConsumer()(request_message("/hello/", layer=layer))
    finally:
        request_finished.disconnect(finished)
    assert [reply["content"] for reply in found] == [b"Hello, world"]


def test_a_short_one_waits_longer_for_room_than_other_messages(layer, monkeypatch):
    monkeypatch.setattr(pending_message_store, "retry_time", 0)
    full = ChannelLayer(capacity=1)
    full.send(REPLY_CHANNEL, {"earlier": True})
    reader = threading.Thread(target=full.receive, args=([QUEUE],))
    real = full.wait_for_room
    monkeypatch.setattr(full, "wait_for_room", lambda *args: reader.start() or real(*args))
    with consuming():
        ViewConsumer()(request_message("/hello/", layer=full))
    reader.join(10)
    assert [reply["content"] for reply in replies(full)] == [b"Hello, world"]


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

    layer.send(CREDIT, http_credit(RESPONSE_WINDOW))
    client = Client(layer)
    worker.join(10)
    client.join(10)
    received += client.messages
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


def test_credit_that_expired_during_a_pause_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("channels.handler.flow._LOOK_INTERVAL", 0)
    monkeypatch.setattr(ResponseSender, "credit_timeout", 0)
    layer = ChannelLayer(expiry=0.1, capacity=100)
    received = []

    def parts():
        for _ in range(3):
            # When the next part is made, all that came before has reached the client.
            for _ in range(RESPONSE_WINDOW // BODY_CHUNK):
                yield bytes(BODY_CHUNK)
            received.extend(replies(layer))
            layer.send(CREDIT, http_credit(RESPONSE_WINDOW))
            wait_until(lambda: CREDIT not in layer.channels())

    streaming_consumer(parts)(request_message(layer=layer))
    received.extend(replies(layer))
    assert len(received) == 3 * RESPONSE_WINDOW // BODY_CHUNK + 1
    assert received[-1] == http_response_chunk(b"")


def test_a_long_wait_for_credit_is_no_pause(monkeypatch):
    class SlowlyCredited(ChannelLayer):
        """Gives credit for one part, after longer than messages live, and then no more."""

        credits = iter([http_credit(BODY_CHUNK)])

        def receive(self, channels, block=False, timeout=None):
            if channels != [CREDIT] or not block:
                return super().receive(channels, block)
            self.send("clock", {})
            wait_until(lambda: "clock" not in self.channels())
            return CREDIT, next(self.credits, None)

    monkeypatch.setattr("channels.handler.flow._LOOK_INTERVAL", 0)
    monkeypatch.setattr(ResponseSender, "credit_timeout", 0.05)
    layer = SlowlyCredited(expiry=0.1, capacity=100)
    made = []
    endless = iter(lambda: made.append(True) or bytes(BODY_CHUNK), None)
    streaming_consumer(lambda: endless)(request_message(layer=layer))
    assert len(made) == RESPONSE_WINDOW // BODY_CHUNK + 2


@pytest.mark.parametrize("extra", [RESPONSE_WINDOW, 100 * RESPONSE_WINDOW])
def test_credit_that_comes_twice_lets_no_more_than_the_window_ahead(layer, monkeypatch, extra):
    monkeypatch.setattr("channels.handler.flow._LOOK_INTERVAL", 0)
    monkeypatch.setattr(ResponseSender, "credit_timeout", 0)
    for _ in range(2):
        layer.send(CREDIT, http_credit(extra))
    endless = iter(lambda: bytes(BODY_CHUNK), None)
    streaming_consumer(lambda: endless)(request_message(layer=layer))
    # The first part is sent without a look at the credit, which then stands for that part.
    assert len(replies(layer)) == RESPONSE_WINDOW // BODY_CHUNK + 2


def test_credit_that_is_none_ends_the_response_with_an_error(layer, monkeypatch):
    monkeypatch.setattr("channels.handler.flow._LOOK_INTERVAL", 0)
    layer.send(CREDIT, {"bytes": -1})
    with pytest.raises(InvalidMessage, match="'bytes' is -1"):
        streaming_consumer(lambda: iter([b"one", b"two"]))(request_message(layer=layer))
    assert replies(layer)[1:] == [{"closed": True}]


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


@pytest.mark.parametrize("ending", [SystemExit, asyncio.CancelledError])
def test_a_stream_that_would_end_a_server_is_cut_off(layer, ending):
    def parts():
        yield b"one"
        raise ending

    streaming_consumer(parts)(request_message(layer=layer))
    assert replies(layer)[1:] == [{"closed": True}]


# Messages that the layer does not take


class TooLarge(Exception):
    """As a layer of a third party has its own."""


class Narrow:
    """A layer of a third party that takes short messages only."""

    MessageTooLarge = TooLarge

    def __init__(self, limit):
        self.limit = limit
        self.sent: list[dict] = []

    def send(self, channel, message):
        if len(str(message)) > self.limit:
            raise TooLarge(f"more than {self.limit}")
        self.sent.append(message)


def large_header(request):
    return HttpResponse("short", headers={"X-Large": "x" * 5_000_000})


@pytest.mark.parametrize("narrow", [False, True])
def test_a_response_that_is_too_large_for_the_layer_is_a_logged_500(layer, narrow, caplog):
    layer = Narrow(1000) if narrow else layer
    consumer = answering_consumer(large_header)
    consumer(request_message(layer=layer))
    (reply,) = layer.sent if narrow else replies(layer)
    assert (reply["status"], reply["more_content"]) == (500, False)
    assert b"Server Error" in reply["content"]
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (record.name, record.status_code) == ("django.request", 500)
    assert "TooLarge" in caplog.text


def test_an_error_page_that_is_too_large_as_well_is_an_error_for_the_worker(caplog):
    layer = Narrow(10)
    with pytest.raises(TooLarge):
        answering_consumer(large_header)(request_message(layer=layer))
    assert layer.sent == []


def test_a_chunk_that_is_too_large_cuts_the_response_off(caplog):
    layer = Narrow(1000)
    closed = []

    def parts():
        try:
            yield b"one"
            yield b"x" * 2000
            yield b"three"
        finally:
            closed.append(True)

    streaming_consumer(parts)(request_message(layer=layer))
    assert [message.get("content") for message in layer.sent] == [b"one", None]
    assert layer.sent[-1] == {"closed": True}
    assert closed == [True]
    assert "Response failed after its start" in caplog.text


def test_a_layer_that_fails_in_the_midst_of_a_response_is_an_error_for_the_worker():
    class Failing(Narrow):
        def send(self, channel, message):
            if message.get("content") == b"two":
                raise LayerUnavailable("gone")
            super().send(channel, message)

    layer = Failing(1000)
    with pytest.raises(LayerUnavailable):
        streaming_consumer(lambda: iter([b"one", b"two"]))(request_message(layer=layer))
    assert layer.sent[1:] == [{"closed": True}]


def test_channel_full_is_not_hidden_from_the_sender_of_anything_else(layer):
    def parts():
        raise ChannelFull("of another channel")
        yield

    streaming_consumer(parts)(request_message(layer=layer))
    assert replies(layer)[0]["status"] == 500
