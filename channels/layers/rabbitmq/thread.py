"""The loop of a layer in a process without a reactor: a thread, in which pika's connection lives.

A connection belongs to one thread; any thread may hand work to it here. The thread does
nothing between two events, and answers the broker's heartbeats while consumers run.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pika.connection import Connection, Parameters

from channels.exceptions import LayerUnavailable
from channels.layers.rabbitmq.connection import LoopConnection
from channels.layers.rabbitmq.engine import Engine, guarded
from channels.layers.rabbitmq.loop import Loop
from channels.layers.rabbitmq.replies import Reply, start
from channels.layers.waiting import ThreadWaiter

__all__ = ["EngineThread"]

T = TypeVar("T")

#: Seconds for which the broker may take its leave.
_FAREWELL = 1.0


class EngineThread:
    """An engine in a thread of its own, which is a link at the same time.

    ``timeout`` is the number of seconds within which the broker has to answer.
    """

    def __init__(self, make_engine: Callable[["EngineThread"], Engine], timeout: float) -> None:
        self._timeout = timeout
        self._loop = Loop()
        self._connection: LoopConnection | None = None
        self._work: deque[Callable[[], object]] = deque()
        self._woken = self._ended = False
        self._hears, self._wakes = os.pipe()
        for descriptor in (self._hears, self._wakes):
            os.set_blocking(descriptor, False)
        self._loop.add_reader(self._hears, self._run_work)
        self._thread = threading.Thread(target=self._run, name="channels-rabbitmq", daemon=True)
        self.engine: Engine
        self.call(lambda: setattr(self, "engine", make_engine(self)))
        self._thread.start()

    def _run(self) -> None:
        self._loop.run()
        self._ended = True
        os.close(self._hears)
        self._do_work()

    # For other threads

    def call(self, function: Callable[[], object]) -> None:
        """Call ``function`` in the thread. Takes no lock."""
        self._work.append(function)
        if self._ended:
            self._do_work()  # the engine is closed, and has nothing to do with the thread any more
        elif not self._woken:
            self._woken = True
            os.write(self._wakes, b"x")

    def result(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the coroutine returns that ``function`` makes.

        Raises ``LayerUnavailable`` where the broker does not answer in time.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "a channel layer was called in the middle of one of its own operations, by a "
                "finaliser or a callback; leave that to a thread"
            )
        waiter = ThreadWaiter()
        outcome: list[Reply[T]] = []

        def begin() -> None:
            outcome.append(start(function()))
            outcome[0].when_settled(waiter.notify)

        self.call(begin)
        waiter.wait(self._timeout)
        if not outcome or not outcome[0].settled:
            raise LayerUnavailable(f"RabbitMQ did not answer within {self._timeout} s")
        try:
            return outcome[0].result()
        except Exception as error:
            raise guarded(error) from error.__cause__

    def stop(self) -> None:
        """Close the connection and end the thread."""
        self.call(self._stop)
        self._thread.join(self._timeout)
        os.close(self._wakes)

    def abandon(self) -> None:
        """In the child of a fork: close the copies of what belongs to the parent."""
        os.close(self._hears)
        os.close(self._wakes)

    def _stop(self) -> None:
        if self.engine.session is not None and self._connection is not None:
            self._connection.add_on_close_callback(lambda *_: self._loop.stop())
            self._loop.call_later(_FAREWELL, self._loop.stop)
        else:
            self._loop.call_later(0.0, self._loop.stop)
        self.engine.close()

    # In the thread

    def _run_work(self) -> None:
        os.read(self._hears, 4096)
        self._woken = False
        connection = self._connection
        if connection is None:
            self._do_work()
            return
        connection.cork()
        try:
            self._do_work()
        finally:
            connection.uncork()

    def _do_work(self) -> None:
        while self._work:
            self._work.popleft()()

    def call_later(self, delay: float, function: Callable[[], None]) -> None:
        """See ``Link``."""
        self._loop.call_later(delay, function)

    def connect(
        self,
        parameters: Parameters,
        opened: Callable[[Connection], None],
        failed: Callable[[BaseException], None],
        closed: Callable[[BaseException], None],
    ) -> None:
        """See ``Link``."""
        try:
            self._connection = LoopConnection(parameters, self._loop, opened, failed, closed)
        except OSError as error:
            failed(error)
