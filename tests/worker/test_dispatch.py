"""Tests of what happens to one message: its consumer, and everything that can go wrong."""

import inspect
import logging
from typing import Any

import pytest
from django.db import connections

from channels.channel import Channel
from channels.exceptions import (
    ChannelSocketException,
    ConsumeLater,
    DenyConnection,
    WebsocketCloseException,
)
from channels.layers.inmemory import ChannelLayer
from channels.message import Message
from channels.routing import route
from channels.signals import ConsumerSignal, consumer_finished, consumer_started
from channels.worker.dispatch import Dispatcher
from tests.worker.workers import make_layer

#: The connect message of a socket, as far as these tests need one.
CONNECT = {"reply_channel": "daphne.response.abc!def", "path": "/"}


def make_dispatcher(*routes: Any, **options: Any) -> Dispatcher:
    return Dispatcher(make_layer(list(routes)), sender=Dispatcher, **options)


def sent(dispatcher: Dispatcher, channel: str) -> Any:
    """The next message on ``channel``, or None."""
    return dispatcher.channel_layer.receive([channel])[1]


def errors(caplog: pytest.LogCaptureFixture) -> str:
    records = [r for r in caplog.records if r.name == "django.channels"]
    assert len(records) == 1, caplog.text
    return records[0].getMessage()


def test_a_consumer_gets_its_message_and_what_the_filters_captured():
    calls = []

    def consumer(message, **kwargs):
        calls.append((message, kwargs))

    dispatcher = make_dispatcher(route("chat", consumer, room=r"^(?P<name>\w+)$"))
    dispatcher.dispatch("chat", {"room": "lobby"})

    (message, kwargs) = calls[0]
    assert isinstance(message, Message)
    assert (message.content, message.channel.name) == ({"room": "lobby"}, "chat")
    assert message.channel_layer is dispatcher.channel_layer
    assert kwargs == {"name": "lobby"}


def test_the_callback_sees_each_message_before_its_consumer():
    order = []
    dispatcher = make_dispatcher(
        route("chat", lambda message: order.append("consumer")),
        callback=lambda channel, message: order.append((channel, message.content)),
    )

    dispatcher.dispatch("chat", {"a": 1})

    assert order == [("chat", {"a": 1}), "consumer"]


def test_signals_surround_the_consumer():
    order = []

    def started(sender, environ, **kwargs):
        order.append(("started", sender, environ))

    def finished(sender, environ, **kwargs):
        order.append(("finished", sender, environ))

    dispatcher = make_dispatcher(route("chat", lambda message: order.append("consumer")))
    consumer_started.connect(started)
    consumer_finished.connect(finished)
    try:
        dispatcher.dispatch("chat", {})
    finally:
        consumer_started.disconnect(started)
        consumer_finished.disconnect(finished)

    assert order == [("started", Dispatcher, {}), "consumer", ("finished", Dispatcher, {})]


def test_what_a_consumer_sends_leaves_when_it_has_ended():
    seen = []

    def consumer(message):
        Channel("out", channel_layer=message.channel_layer).send({"n": 1})
        seen.append(sent(dispatcher, "out"))

    dispatcher = make_dispatcher(route("chat", consumer))
    dispatcher.dispatch("chat", {})

    assert seen == [None]
    assert sent(dispatcher, "out") == {"n": 1}


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), MemoryError()], ids=repr)
def test_an_exception_is_logged_with_the_consumer_and_its_sends_leave(caplog, error):
    def broken_consumer(message):
        Channel("out", channel_layer=message.channel_layer).send({"n": 1})
        raise error

    dispatcher = make_dispatcher(route("chat", broken_consumer))
    dispatcher.dispatch("chat", {})

    text = errors(caplog)
    assert text.startswith("Error processing message with consumer tests.worker.test_dispatch.")
    assert text.endswith("broken_consumer:")
    assert caplog.records[0].exc_info[1] is error
    assert sent(dispatcher, "out") == {"n": 1}


def test_ctrl_c_is_not_swallowed_where_no_signal_handlers_are_installed():
    def interrupted(message):
        raise KeyboardInterrupt

    finished = []
    dispatcher = make_dispatcher(route("chat", interrupted))

    def note(**kwargs):
        finished.append(1)

    consumer_finished.connect(note)
    try:
        with pytest.raises(KeyboardInterrupt):
            dispatcher.dispatch("chat", {})
    finally:
        consumer_finished.disconnect(note)

    assert finished


def test_a_message_that_no_route_takes_is_logged_and_dropped(caplog):
    dispatcher = make_dispatcher(route("chat", lambda message: None, room="^lobby$"))

    dispatcher.dispatch("chat", {"room": "attic", "user": "eve"})

    text = errors(caplog)
    assert "'chat'" in text
    assert "room, user" in text
    assert "ROUTING of layer default" in text


def test_a_consumer_that_is_not_callable_is_logged_and_the_message_dropped(caplog):
    class Routing:
        def channel_names(self):
            return {"chat"}

        def match(self, message):
            return "not a function", {}

    make_dispatcher(Routing()).dispatch("chat", {})

    assert "'not a function'" in errors(caplog)
    assert "not callable" in errors(caplog)


@pytest.mark.parametrize("answer", [RuntimeError("broken routing"), "not a pair"], ids=repr)
def test_a_routing_object_that_fails_is_logged_and_the_message_dropped(caplog, answer):
    class Routing:
        def channel_names(self):
            return {"chat"}

        def match(self, message):
            if isinstance(answer, Exception):
                raise answer
            return answer

    make_dispatcher(Routing()).dispatch("chat", {})

    assert "Error finding the consumer of a message on channel 'chat'" in errors(caplog)


def test_a_message_that_cannot_be_made_sense_of_is_logged_and_dropped(caplog):
    dispatcher = make_dispatcher(route("chat", lambda message: None))

    dispatcher.dispatch("chat", {"reply_channel": b"\xff"})

    assert "Error finding the consumer of a message on channel 'chat'" in errors(caplog)


def test_a_coroutine_function_is_told_to_be_wrapped(caplog):
    async def work():
        pass

    coroutine = work()
    make_dispatcher(route("chat", lambda message: coroutine)).dispatch("chat", {})

    assert "lambda" in errors(caplog)
    assert "async_to_sync" in str(caplog.records[0].exc_info[1])
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_a_message_that_cannot_be_serialised_is_logged_and_the_others_leave(caplog):
    def consumer(message):
        out = Channel("out", channel_layer=message.channel_layer)
        out.send({"n": 1})
        out.send({"what": object()})
        out.send({"n": 2})

    dispatcher = make_dispatcher(route("chat", consumer))
    dispatcher.dispatch("chat", {})

    text = errors(caplog)
    assert "consumer" in text
    assert "message['what']" in text
    assert [sent(dispatcher, "out"), sent(dispatcher, "out")] == [{"n": 1}, {"n": 2}]


def test_without_other_receivers_the_same_is_done_without_the_signals(caplog, monkeypatch):
    done = []
    connection = connections["default"]
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: done.append("close"))
    monkeypatch.setattr("channels.signals._connected", True)
    monkeypatch.setattr(ConsumerSignal, "has_own_only", True)
    monkeypatch.setattr(ConsumerSignal, "send_robust", None)

    def consumer(message):
        done.append("consumer")
        Channel("out", channel_layer=message.channel_layer).send({"n": 1})

    dispatcher = make_dispatcher(route("chat", consumer))
    dispatcher.dispatch("chat", {})

    assert done == ["close", "consumer", "close"]
    assert sent(dispatcher, "out") == {"n": 1}


def test_connections_that_cannot_be_closed_do_not_keep_a_consumer_from_running(caplog, monkeypatch):
    def failing():
        raise RuntimeError("no")

    monkeypatch.setattr("channels.worker.dispatch.close_connections_if_any", failing)
    monkeypatch.setattr(ConsumerSignal, "has_own_only", True)

    def consumer(message):
        Channel("out", channel_layer=message.channel_layer).send({"n": 1})

    dispatcher = make_dispatcher(route("chat", consumer))
    dispatcher.dispatch("chat", {})

    assert ["failing" in record.getMessage() for record in caplog.records] == [True, True]
    assert sent(dispatcher, "out") == {"n": 1}


def test_one_failing_receiver_of_a_signal_does_not_keep_the_others_from_running(caplog):
    def failing(**kwargs):
        raise RuntimeError("receiver")

    def consumer(message):
        Channel("out", channel_layer=message.channel_layer).send({"n": 1})

    dispatcher = make_dispatcher(route("chat", consumer))
    consumer_started.connect(failing)
    try:
        dispatcher.dispatch("chat", {})
    finally:
        consumer_started.disconnect(failing)

    assert "failing" in errors(caplog)
    assert sent(dispatcher, "out") == {"n": 1}


# -- ConsumeLater ----------------------------------------------------------------------------------


def postpone(message):
    raise ConsumeLater


def test_consume_later_puts_the_message_back_with_a_count():
    dispatcher = make_dispatcher(route("chat", postpone))

    dispatcher.dispatch("chat", {"text": "hi"})

    assert sent(dispatcher, "chat") == {"text": "hi", "__retries__": 1}


def test_a_foreign_count_of_retries_is_started_over():
    dispatcher = make_dispatcher(route("chat", postpone))

    dispatcher.dispatch("chat", {"__retries__": "many"})

    assert sent(dispatcher, "chat") == {"__retries__": 1}


def test_a_message_that_a_consumer_made_unsendable_cannot_be_put_back(caplog):
    def consumer(message):
        message["self"] = message.content
        raise ConsumeLater

    dispatcher = make_dispatcher(route("chat", consumer))
    dispatcher.dispatch("chat", {})

    assert "consumer" in errors(caplog)
    assert sent(dispatcher, "chat") is None


def test_consume_later_goes_back_after_what_the_consumer_sent():
    def consumer(message):
        Channel("chat", channel_layer=message.channel_layer).send({"text": "mine"})
        raise ConsumeLater

    dispatcher = make_dispatcher(route("chat", consumer))
    dispatcher.dispatch("chat", {"text": "hi"})

    assert sent(dispatcher, "chat") == {"text": "mine"}
    assert sent(dispatcher, "chat")["text"] == "hi"


def test_after_the_last_retry_the_message_is_dropped_with_a_warning(caplog):
    dispatcher = make_dispatcher(route("chat", postpone))
    runs, content = 0, {"text": "hi"}

    while content:
        dispatcher.dispatch("chat", content)
        content = sent(dispatcher, "chat")
        runs += 1

    assert runs == 11  # the first time and ten retries
    record = caplog.records[-1]
    assert record.levelno == logging.WARNING
    assert "postpone raised ConsumeLater 11 times" in record.getMessage()


def test_a_message_put_back_waits_for_room():
    layer = make_layer([route("chat", postpone)], ChannelLayer(capacity=1))
    layer.send("chat", {"n": 0})
    dispatcher = Dispatcher(layer, sender=Dispatcher)
    waited = []

    def make_room(channel, timeout):
        waited.append(timeout)
        return layer.receive(["chat"])[0] is not None

    layer.wait_for_room = make_room
    dispatcher.dispatch("chat", {"text": "hi"})

    assert len(waited) == 1
    assert 0 < waited[0] <= 2
    assert sent(dispatcher, "chat") == {"text": "hi", "__retries__": 1}


# -- Exceptions that end a socket ------------------------------------------------------------------


def raising(error: Exception) -> Any:
    def consumer(message):
        raise error

    return consumer


def test_deny_connection_rejects_the_handshake():
    dispatcher = make_dispatcher(route("websocket.connect", raising(DenyConnection())))

    dispatcher.dispatch("websocket.connect", CONNECT)

    assert sent(dispatcher, "daphne.response.abc!") == {"close": True}


@pytest.mark.parametrize(("code", "close"), [(None, True), (1000, 1000), (4001, 4001)])
def test_websocket_close_exception_closes_with_its_code(code, close):
    dispatcher = make_dispatcher(route("websocket.receive", raising(WebsocketCloseException(code))))

    dispatcher.dispatch("websocket.receive", CONNECT)

    assert sent(dispatcher, "daphne.response.abc!") == {"close": close}


def test_deny_connection_elsewhere_is_logged_with_the_consumer(caplog):
    dispatcher = make_dispatcher(route("websocket.receive", raising(DenyConnection())))

    dispatcher.dispatch("websocket.receive", CONNECT)

    assert "raising" in errors(caplog)
    assert "DenyConnection was raised by" in str(caplog.records[0].exc_info[1])
    assert "Raise WebsocketCloseException" in str(caplog.records[0].exc_info[1])
    assert sent(dispatcher, "daphne.response.abc!") is None


@pytest.mark.parametrize("error", [DenyConnection(), WebsocketCloseException()], ids=repr)
def test_ending_a_socket_without_one_is_logged_with_the_consumer(caplog, error):
    make_dispatcher(route("tasks", raising(error))).dispatch("tasks", {})

    assert "raising" in errors(caplog)
    assert "no reply_channel" in str(caplog.records[0].exc_info[1])


def test_a_socket_exception_of_the_application_runs_its_own_code():
    class SayGoodbye(ChannelSocketException):
        def run(self, message):
            message.reply_channel.send({"text": "bye", "close": True})

    dispatcher = make_dispatcher(route("websocket.receive", raising(SayGoodbye())))

    dispatcher.dispatch("websocket.receive", CONNECT)

    assert sent(dispatcher, "daphne.response.abc!") == {"text": "bye", "close": True}
