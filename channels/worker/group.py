"""Several workers in one process, each in a thread of its own."""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable

from django.db import connections

from channels.asgi import ChannelLayerWrapper
from channels.outage import Backoff
from channels.readiness import Readiness

from .dispatch import Callback
from .worker import Worker

__all__ = ["WorkerGroup"]

logger = logging.getLogger("django.channels")

#: A thread that lived for so many seconds was sound; when it dies, its successor starts without a
#: delay.
SOUND_AFTER = 60.0


class _Member(Readiness):
    """The readiness of one worker of a group, which hears of it."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__(environ={})
        self._hear = hear

    def ready(self, status: str = "") -> None:
        self._hear(status)


class WorkerGroup(Worker):
    """``n_threads`` workers on one layer; by default as many as there are processors.

    ``run`` blocks in the calling thread, which runs no consumers: it replaces threads that die, and
    so it feels signals at once. Its return, after ``stop`` or a signal, means that every thread has
    finished its consumer. The other arguments are those of ``Worker``.
    """

    def __init__(
        self,
        channel_layer: ChannelLayerWrapper,
        callback: Callback | None = None,
        message_retries: int = 10,
        signal_handlers: bool = True,
        only_channels: Iterable[str] | None = None,
        exclude_channels: Iterable[str] | None = None,
        n_threads: int | None = None,
        prefetch: int = 1,
    ) -> None:
        super().__init__(
            channel_layer,
            callback,
            message_retries,
            signal_handlers,
            only_channels,
            exclude_channels,
            prefetch,
        )
        self.n_threads = (os.cpu_count() or 1) if n_threads is None else n_threads
        if self.n_threads < 1:
            raise ValueError(f"n_threads must be 1 or more, not {n_threads!r}")
        #: The workers at this moment, one for each thread.
        self.workers: list[Worker] = []
        self._lock = threading.Lock()
        self._ended: queue.SimpleQueue[tuple[Worker, BaseException | None]] = queue.SimpleQueue()
        self._delays = Backoff()

    def ready(self) -> None:
        """Does nothing: each worker sends ``worker_ready`` in its own thread when it starts."""

    def run(self) -> None:
        """Start the threads, replace those that die, and return when all have stopped."""
        self.channels()
        with self.signals_taken_over():
            try:
                for _ in range(self.n_threads):
                    self._start_thread(delay=0.0)
                self._supervise()
            finally:
                # Left by an exception: the threads must not go on without a supervisor.
                self.stop()

    def request_stop(self) -> None:
        """The first half of ``stop``, for every worker before any of them is woken."""
        with self._lock:
            super().request_stop()
            for worker in self.workers:
                worker.request_stop()

    def wake(self) -> None:
        """The second half of ``stop``, for every worker."""
        for worker in self._current():
            worker.wake()

    def one_is_ready(self, status: str) -> None:
        """A worker receives; when all of them do, the group does."""
        with self._lock:
            complete = len(self.workers) == self.n_threads
            self.receives = complete and all(worker.receives for worker in self.workers)
        if self.receives:
            self.readiness.ready(f"{status}, with {self.n_threads} threads")

    def _current(self) -> list[Worker]:
        with self._lock:
            return list(self.workers)

    def _start_thread(self, delay: float) -> None:
        worker = Worker(
            self.channel_layer,
            callback=self.callback,
            message_retries=self.message_retries,
            signal_handlers=False,
            only_channels=self.only_channels,
            exclude_channels=self.exclude_channels,
            prefetch=self.prefetch,
        )
        worker.readiness = _Member(self.one_is_ready)
        worker.watch = self.watch
        with self._lock:
            if self.termed:
                return
            self.workers.append(worker)
        threading.Thread(
            target=self._run_worker, args=(worker, delay), name="worker", daemon=True
        ).start()

    def _run_worker(self, worker: Worker, delay: float) -> None:
        """The life of one thread; how it ended goes to the supervisor."""
        death: BaseException | None = None
        try:
            worker.pause(delay)
            worker.ready()
            worker.run()
        except BaseException as exception:
            death = exception
        finally:
            connections.close_all()
            self._ended.put((worker, death))

    def _supervise(self) -> None:
        sound = time.monotonic()
        while self._current():
            worker, death = self._ended.get()
            with self._lock:
                self.workers.remove(worker)
            if death is None:
                continue
            now = time.monotonic()
            if now - sound > SOUND_AFTER:
                self._delays.reset()
            sound = now
            delay = self._delays.next_delay()
            logger.error(
                "A worker thread died of %s; another one takes its place in %.1f s:",
                type(death).__name__,
                delay,
                exc_info=death,
            )
            self._start_thread(delay)
