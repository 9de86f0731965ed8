"""Tests of several workers in one process."""

import threading
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from channels.routing import route
from channels.signals import worker_ready
from channels.worker import WorkerGroup
from tests.waiting import wait_until
from tests.worker.workers import make_layer, running


def make_group(layer: Any, n_threads: int, **options: Any) -> WorkerGroup:
    return WorkerGroup(layer, signal_handlers=False, n_threads=n_threads, **options)


def test_as_many_consumers_run_at_a_time_as_there_are_threads():
    together = threading.Barrier(3, timeout=10)
    met = []

    def meet(message):
        together.wait()
        met.append(threading.current_thread())

    layer = make_layer([route("meet", meet)])

    with running(make_group(layer, 3)):
        for _ in range(3):
            layer.send("meet", {})
        wait_until(lambda: len(met) == 3)

    assert len(set(met)) == 3


def test_each_message_is_handled_once():
    seen = []
    layer = make_layer([route("chat", lambda message: seen.append(message["n"]))])

    with running(make_group(layer, 4)):
        for n in range(500):
            layer.send("chat", {"n": n})
        wait_until(lambda: len(seen) >= 500)

    assert sorted(seen) == list(range(500))


def test_stopping_lets_every_thread_finish_its_consumer():
    started, finish = threading.Semaphore(0), threading.Event()
    finished = []

    def slow(message):
        started.release()
        assert finish.wait(10)
        finished.append(1)

    layer = make_layer([route("slow", slow)])
    group = make_group(layer, 3)

    with running(group) as thread:
        for _ in range(2):  # the third thread is idle
            layer.send("slow", {})
        for _ in range(2):
            assert started.acquire(timeout=10)
        group.stop()
        assert thread.is_alive()
        finish.set()

    assert finished == [1, 1]
    assert not group.workers


def test_a_thread_that_dies_is_replaced_and_its_death_logged(caplog):
    threads = []

    def consumer(message):
        threads.append(threading.current_thread())
        if message["n"] == 1:
            raise KeyboardInterrupt  # what no consumer may hide from its thread

    layer = make_layer([route("chat", consumer)])

    with running(make_group(layer, 1)):
        layer.send("chat", {"n": 1})
        layer.send("chat", {"n": 2})
        wait_until(lambda: len(threads) == 2)

    assert threads[0] is not threads[1]
    record = next(r for r in caplog.records if "worker thread died" in r.getMessage())
    assert "KeyboardInterrupt" in record.getMessage()
    assert isinstance(record.exc_info[1], KeyboardInterrupt)


@pytest.mark.parametrize(("sound_after", "longest"), [(3600.0, 0.4), (-1.0, 0.1)])
def test_successors_of_threads_that_were_not_sound_wait_longer(
    caplog, monkeypatch, sound_after, longest
):
    monkeypatch.setattr("channels.worker.group.SOUND_AFTER", sound_after)

    def consumer(message):
        raise KeyboardInterrupt

    layer = make_layer([route("chat", consumer)])

    def deaths() -> list[Any]:
        return [r for r in caplog.records if "worker thread died" in r.getMessage()]

    with running(make_group(layer, 1)):
        for _ in range(3):
            layer.send("chat", {})
        wait_until(lambda: len(deaths()) == 3)

    delay = deaths()[2].args[1]
    assert longest / 2 <= delay <= longest


def test_a_thread_that_ends_closes_its_database_connections():
    closed, ran = [], threading.Event()

    def consumer(message):
        connection = connections["default"]  # this thread's own
        connection.close = lambda: closed.append(threading.current_thread())
        ran.set()

    layer = make_layer([route("chat", consumer)])

    with running(make_group(layer, 1)) as thread:
        layer.send("chat", {})
        assert ran.wait(10)

    assert len(closed) == 1
    assert closed[0] is not thread


def test_while_one_thread_is_replaced_the_others_go_on():
    seen = []

    def consumer(message):
        seen.append(message["n"])
        if message["n"] == 0:
            raise KeyboardInterrupt

    layer = make_layer([route("chat", consumer)])
    group = make_group(layer, 2)
    group._delays._ceiling = 3600.0

    with running(group):
        layer.send("chat", {"n": 0})
        layer.send("chat", {"n": 1})
        wait_until(lambda: sorted(seen) == [0, 1])


def test_a_consumer_that_exits_does_not_end_its_thread():
    threads = []

    def consumer(message):
        threads.append(threading.current_thread())
        raise SystemExit(1)

    layer = make_layer([route("chat", consumer)])

    with running(make_group(layer, 1)):
        layer.send("chat", {})
        layer.send("chat", {})
        wait_until(lambda: len(threads) == 2)

    assert threads[0] is threads[1]


def test_each_worker_says_that_it_is_ready_in_its_own_thread():
    ready = []

    def note(sender: Any, **kwargs: Any) -> None:
        ready.append((sender, threading.current_thread()))

    group = make_group(make_layer([route("chat", lambda message: None)]), 3)
    worker_ready.connect(note)
    try:
        group.ready()
        with running(group):
            wait_until(lambda: len(ready) == 3)
    finally:
        worker_ready.disconnect(note)

    assert len({worker for worker, _ in ready}) == 3
    assert len({thread for _, thread in ready}) == 3


def test_a_group_without_threads_is_refused():
    layer = make_layer([route("chat", lambda message: None)])

    with pytest.raises(ValueError, match="n_threads must be 1 or more, not 0"):
        make_group(layer, 0)


def test_filters_that_leave_nothing_are_refused_before_threads_start():
    layer = make_layer([route("chat", lambda message: None)])

    with pytest.raises(ImproperlyConfigured, match="leave none of"):
        make_group(layer, 2, only_channels=["http.*"]).run()


def test_the_options_reach_every_worker():
    seen, called = [], []
    layer = make_layer([route(["chat", "other"], lambda message: seen.append(message["n"]))])
    group = make_group(
        layer,
        2,
        callback=lambda channel, message: called.append(channel),
        exclude_channels=["other"],
    )

    with running(group):
        layer.send("other", {"n": 1})
        layer.send("chat", {"n": 2})
        wait_until(lambda: seen)

    assert (seen, called) == ([2], ["chat"])
