"""When workers say that they are ready: once they receive, all of them."""

import os
import threading
from typing import Any

from channels.exceptions import LayerUnavailable
from channels.layers.inmemory import ChannelLayer
from channels.readiness import Readiness, is_ready
from channels.routing import route
from channels.worker import Worker, WorkerGroup
from tests.waiting import wait_until
from tests.worker.workers import make_layer, running


class AwayLayer(ChannelLayer):
    """A layer whose receives fail while ``away`` says so, the first of each thread in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: list[str] = []
        self.back = threading.Semaphore(0)
        self._passed = threading.local()

    def receive(self, *args: Any, **kwargs: Any) -> Any:
        if not getattr(self._passed, "through", False):
            if not self.back.acquire(blocking=False):
                self.failed.append(threading.current_thread().name)
                raise LayerUnavailable("away")
            self._passed.through = True
        return super().receive(*args, **kwargs)


def test_a_worker_is_ready_once_its_layer_is_there_until_it_is_told_to_stop(tmp_path):
    file, away = tmp_path / "ready", AwayLayer()
    started, finish = threading.Event(), threading.Event()

    def slow(message):
        started.set()
        assert finish.wait(10)

    layer = make_layer([route("slow", slow)], away)
    worker = Worker(layer, signal_handlers=False)
    worker.readiness = Readiness(str(file), {})
    with running(worker):
        wait_until(lambda: len(away.failed) > 1)
        assert not file.exists()
        away.back.release()
        wait_until(lambda: is_ready(file, os.getpid()))
        layer.send("slow", {})
        assert started.wait(10)
        assert file.exists()
        worker.stop()
        assert not file.exists()  # although a consumer still runs
        finish.set()


def test_a_group_is_ready_when_all_of_its_threads_are(tmp_path):
    file, away = tmp_path / "ready", AwayLayer()
    layer = make_layer([route("chat", lambda message: None)], away)
    group = WorkerGroup(layer, signal_handlers=False, n_threads=2)
    group.readiness = Readiness(str(file), {})
    with running(group):
        away.back.release()
        wait_until(lambda: sum(worker.receives for worker in group.workers) == 1)
        assert not file.exists()
        away.back.release()
        wait_until(lambda: is_ready(file, os.getpid()))
    assert not file.exists()
