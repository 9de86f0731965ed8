"""Tests of the loop of one worker. Signals to a process of its own are in test_signals."""

import logging
import threading
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from channels.exceptions import InvalidStoredMessage, LayerUnavailable
from channels.layers.inmemory import ChannelLayer
from channels.routing import route
from channels.signals import worker_ready
from channels.worker import Worker
from tests.waiting import wait_until
from tests.worker.workers import make_layer, running


def make_worker(layer: Any, **options: Any) -> Worker:
    return Worker(layer, signal_handlers=False, **options)


def collector() -> tuple[list[Any], Any]:
    """A list, and a consumer that appends to it what it gets."""
    collected: list[Any] = []
    return collected, lambda message: collected.append(message.content)


def test_it_runs_the_consumers_of_what_arrives_in_order():
    collected, consumer = collector()
    layer = make_layer([route("chat", consumer)])

    with running(make_worker(layer)):
        for n in range(100):
            layer.send("chat", {"n": n})
        wait_until(lambda: len(collected) == 100)

    assert collected == [{"n": n} for n in range(100)]


def test_it_goes_on_after_an_exception():
    collected, consumer = collector()

    def broken(message):
        raise RuntimeError("broken")

    layer = make_layer([route("broken", broken), route("chat", consumer)])

    with running(make_worker(layer)):
        layer.send("broken", {})
        layer.send("chat", {"n": 1})
        wait_until(lambda: collected)


def test_stopping_an_idle_worker_ends_it_without_a_message():
    layer = make_layer([route("chat", lambda message: None)])

    with running(make_worker(layer)) as thread:
        assert thread.is_alive()


def test_a_worker_stopped_before_it_runs_takes_nothing():
    collected, consumer = collector()
    layer = make_layer([route("chat", consumer)])
    layer.send("chat", {})
    worker = make_worker(layer)

    worker.stop()
    worker.run()

    assert not collected
    assert layer.receive(["chat"]) == ("chat", {})


def test_stopping_a_busy_worker_finishes_the_consumer_and_takes_no_further_message():
    started, finish = threading.Event(), threading.Event()
    finished = []

    def slow(message):
        started.set()
        assert finish.wait(10)
        message.reply_channel.send({"done": True})
        finished.append(1)

    layer = make_layer([route("slow", slow)])
    worker = make_worker(layer)

    with running(worker) as thread:
        layer.send("slow", {"reply_channel": "reply"})
        layer.send("slow", {"reply_channel": "reply"})
        assert started.wait(10)
        assert worker.in_job
        worker.stop()
        assert worker.termed
        assert thread.is_alive()
        finish.set()
        thread.join(10)

    assert finished == [1]
    assert layer.receive(["reply"]) == ("reply", {"done": True})
    assert layer.receive(["slow"])[0] == "slow"


def test_a_message_popped_while_the_stop_came_is_handled():
    collected, consumer = collector()
    layer = make_layer([route("chat", consumer)])
    worker = make_worker(layer)

    def receive(*args: Any, **kwargs: Any) -> Any:
        worker.stop()
        return "chat", {"n": 1}

    layer.receive = receive  # set on the wrapper, which the worker honours
    worker.run()

    assert collected == [{"n": 1}]


def test_an_idle_worker_does_not_look_for_messages_again():
    calls = []
    layer = make_layer([route("chat", lambda message: None)])
    receive = layer.channel_layer.receive

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(kwargs)
        return receive(*args, **kwargs)

    layer.receive = counted
    with running(make_worker(layer)):
        wait_until(lambda: layer.has_listener("chat") and len(calls) > 1)

    # The first only shows that the layer is there.
    assert [call["timeout"] for call in calls] == [0.0, None]
    assert calls[1]["block"] is True


def test_signal_handlers_can_only_be_installed_by_the_main_thread():
    errors = []

    def run() -> None:
        try:
            Worker(make_layer([route("chat", lambda message: None)])).run()
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert "signal_handlers=False" in errors[0]


def test_ready_sends_worker_ready():
    workers = []

    def ready(sender: Any, **kwargs: Any) -> None:
        workers.append(sender)

    worker = make_worker(make_layer([route("chat", lambda message: None)]))
    worker_ready.connect(ready)
    try:
        worker.ready()
    finally:
        worker_ready.disconnect(ready)

    assert workers == [worker]


# -- Channels --------------------------------------------------------------------------------------

CHANNELS = ["http.request", "Thumbnail", "websocket.connect", "websocket.receive"]


@pytest.mark.parametrize(
    ("only", "exclude", "expected"),
    [
        (None, None, CHANNELS),
        (["http.*"], None, ["http.request"]),
        (["http.*", "websocket.c*"], None, ["http.request", "websocket.connect"]),
        (None, ["Thumbnail"], ["http.request", "websocket.connect", "websocket.receive"]),
        (None, ["thumbnail"], CHANNELS),
        (["websocket.*"], ["*.receive"], ["websocket.connect"]),
    ],
)
def test_channels_are_filtered_by_globs_and_case(only, exclude, expected):
    layer = make_layer([route(CHANNELS, lambda message: None)])
    worker = make_worker(layer, only_channels=only, exclude_channels=exclude)

    assert worker.apply_channel_filters(CHANNELS) == expected
    assert worker.channels() == sorted(expected)


def test_messages_of_excluded_channels_stay_in_the_layer():
    collected, consumer = collector()
    layer = make_layer([route(["chat", "thumbnail"], consumer)])

    with running(make_worker(layer, exclude_channels=["thumb*"])):
        layer.send("thumbnail", {"n": 1})
        layer.send("chat", {"n": 2})
        wait_until(lambda: collected)

    assert collected == [{"n": 2}]
    assert layer.receive(["thumbnail"]) == ("thumbnail", {"n": 1})


def test_filters_that_leave_nothing_are_refused_by_name():
    layer = make_layer([route("chat", lambda message: None)])

    with pytest.raises(ImproperlyConfigured, match=r"only_channels=\['http\.\*'\].*\['chat'\]"):
        make_worker(layer, only_channels=["http.*"]).run()


def test_a_bare_string_is_no_list_of_patterns():
    layer = make_layer([route("chat", lambda message: None)])

    with pytest.raises(TypeError, match=r"only_channels must be a list.*\['http\.\*'\]"):
        make_worker(layer, only_channels="http.*")


# -- What workers listen to ------------------------------------------------------------------------


def test_the_layer_knows_what_a_running_worker_listens_to():
    layer = make_layer([route("chat", lambda message: None)])
    layer.announce_listening("another worker", ["http.request"])

    with running(make_worker(layer)):
        wait_until(lambda: layer.has_listener("chat"))
        assert not layer.has_listener("http.disconnect")

    assert not layer.has_listener("chat")


def test_it_says_so_again_after_a_flush():
    layer = make_layer([route("chat", lambda message: None)])
    announcements = []
    announce = layer.channel_layer.announce_listening

    def counted(listener: str, channels: Any) -> None:
        announcements.append(list(channels))
        announce(listener, channels)

    layer.announce_listening = counted
    with running(make_worker(layer)):
        wait_until(lambda: announcements)
        before = len(announcements)

        def flushed_again() -> bool:
            layer.flush()
            return len(announcements) > before

        wait_until(flushed_again)

    assert announcements[-1] == []


class SharedLayer(ChannelLayer):
    """Stands for a layer that other processes read, where announcements have an end."""

    is_local = False
    announcement_expiry = 0.02


def test_on_a_shared_layer_the_announcement_is_refreshed_at_receive_time_outs():
    layer = make_layer([route("chat", lambda message: None)], SharedLayer())
    announcements = []
    layer.announce_listening = lambda listener, channels: announcements.append(list(channels))

    with running(make_worker(layer)):
        wait_until(lambda: len(announcements) > 3)

    assert announcements[:3] == [["chat"]] * 3
    assert announcements[-1] == []


# -- A layer that fails ----------------------------------------------------------------------------


class FailingLayer(ChannelLayer):
    """A layer in memory whose ``receive`` raises ``errors``, one at a call, before it works."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    def receive(self, *args: Any, **kwargs: Any) -> Any:
        if self.errors:
            raise self.errors.pop(0)
        return super().receive(*args, **kwargs)


def test_a_layer_that_went_away_is_waited_for(caplog):
    caplog.set_level(logging.INFO, "django.channels")
    collected, consumer = collector()
    failing = FailingLayer(LayerUnavailable("gone"), ConnectionError("refused"))
    layer = make_layer([route("chat", consumer)], failing)
    layer.send("chat", {"n": 1})

    with running(make_worker(layer)):
        wait_until(lambda: collected)

    assert collected == [{"n": 1}]
    lines = [r.getMessage() for r in caplog.records if r.name == "django.channels"]
    assert len(lines) == 1  # the second failure came too soon after the first, and so did the end
    assert "Layer default (tests.worker.test_worker.FailingLayer) failed" in lines[0]


class FailingSharedLayer(FailingLayer):
    """The same, for several processes; no announcement ends during a test."""

    is_local = False
    announcement_expiry = 3600.0


def test_a_layer_that_came_back_is_told_again_what_the_worker_listens_to():
    collected, consumer = collector()
    layer = make_layer([route("chat", consumer)], FailingSharedLayer(LayerUnavailable("gone")))
    announcements = []
    layer.announce_listening = lambda listener, channels: announcements.append(list(channels))
    layer.send("chat", {"n": 1})

    with running(make_worker(layer)):
        wait_until(lambda: len(announcements) == 2)

    assert announcements == [["chat"], ["chat"], []]


class StoppingLayer(ChannelLayer):
    """A layer whose worker is stopped just before its first receive blocks."""

    worker: Worker

    def receive(self, *args: Any, **kwargs: Any) -> Any:
        self.worker.stop()
        return super().receive(*args, **kwargs)


def test_a_stop_between_the_look_at_the_flag_and_the_receive_is_felt():
    layer = StoppingLayer()
    worker = layer.worker = make_worker(make_layer([route("chat", lambda message: None)], layer))
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()

    thread.join(10)

    assert not thread.is_alive()


def test_waiting_for_a_layer_ends_when_the_worker_is_stopped():
    failing = FailingLayer(*[LayerUnavailable("gone")] * 10_000)
    layer = make_layer([route("chat", lambda message: None)], failing)
    worker = make_worker(layer)
    worker._backoff.first = worker._backoff.most = worker._backoff._ceiling = 3600.0

    with running(worker):
        wait_until(lambda: len(failing.errors) < 10_000)


def test_a_damaged_message_is_dropped_without_waiting(caplog):
    collected, consumer = collector()
    failing = FailingLayer(*[InvalidStoredMessage("version 9")] * 50)
    layer = make_layer([route("chat", consumer)], failing)
    layer.send("chat", {"n": 1})
    worker = make_worker(layer)
    worker._backoff.first = worker._backoff.most = worker._backoff._ceiling = 3600.0

    with running(worker):
        wait_until(lambda: collected)

    assert "A message in layer default" in caplog.text


def test_a_layer_that_takes_no_announcements_is_still_read():
    collected, consumer = collector()
    layer = make_layer([route("chat", consumer)])

    def refuse(listener: str, channels: Any) -> None:
        raise LayerUnavailable("gone")

    layer.announce_listening = refuse
    with running(make_worker(layer)):
        layer.send("chat", {"n": 1})
        wait_until(lambda: collected)
