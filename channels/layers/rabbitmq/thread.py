"""The engine of a process without a reactor, and the thread that hears the broker for it.

One thread at a time works with the engine: the loop's, when the broker says something, or whoever
calls the layer. So a send is written by its own thread, and only the answer comes from another one.
The loop's thread does nothing between two events, and answers heartbeats while consumers run.
"""

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pika.connection import Connection, Parameters

from channels.layers.rabbitmq.connection import LoopConnection
from channels.layers.rabbitmq.engine import Engine
from channels.layers.rabbitmq.failures import guarded, no_answer
from channels.layers.rabbitmq.loop import Loop
from channels.layers.rabbitmq.replies import Reply, start
from channels.layers.waiting import ThreadWaiter

__all__ = ["EngineThread"]

logger = logging.getLogger("channels.layers")

T = TypeVar("T")

#: Seconds for which the broker may take its leave.
_FAREWELL = 1.0


class EngineThread:
    """An engine in a thread of its own, which is a link at the same time.

    ``timeout`` is the number of seconds within which ``broker``, as errors call it, has to answer.
    """

    def __init__(
        self, make_engine: Callable[["EngineThread"], Engine], timeout: float, broker: str
    ) -> None:
        self._timeout = timeout
        self._broker = broker
        self._hears, self._wakes = os.pipe()
        for descriptor in (self._hears, self._wakes):
            os.set_blocking(descriptor, False)
        self._thread = threading.Thread(target=self._run, name="channels-rabbitmq", daemon=True)
        self._ended = False
        self._loop = Loop(self._hold, self._wake)
        self._loop.add_reader(self._hears, lambda: os.read(self._hears, 4096))
        self._connection: LoopConnection | None = None
        self._work: deque[Callable[[], object]] = deque()
        self._lock = threading.Lock()
        #: The thread that has the lock.
        self._holder: int | None = None
        self.engine: Engine
        self.call(lambda: setattr(self, "engine", make_engine(self)))
        self._thread.start()

    def _run(self) -> None:
        self._loop.run()
        self._ended = True
        os.close(self._hears)

    def _wake(self) -> None:
        """Have the loop look at what has changed."""
        if threading.current_thread() is not self._thread and not self._ended:
            with contextlib.suppress(OSError):  # it is awake, or has ended just now
                os.write(self._wakes, b"x")

    # Whoever has the lock does all that there is to do

    def _hold(self, function: Callable[[], object] | None = None) -> None:
        """Call ``function`` with the engine to oneself, and do the work of others that came
        meanwhile. What is sent goes in one write."""
        self._lock.acquire()
        self._work_with_lock(function)
        self._work_off()

    def _work_off(self) -> None:
        while self._work and self._lock.acquire(blocking=False):
            self._work_with_lock(None)

    def _work_with_lock(self, function: Callable[[], object] | None) -> None:
        self._holder = threading.get_ident()
        connection = self._connection
        if connection is not None:
            connection.cork()
        try:
            if function is not None:
                function()
            while self._work:
                self._do(self._work.popleft())
        finally:
            if connection is not None:
                connection.uncork()
            self._holder = None
            self._lock.release()

    def _do(self, function: Callable[[], object]) -> None:
        try:
            function()
        except Exception:
            logger.exception("An error in the RabbitMQ layer")

    # For all threads

    def call(self, function: Callable[[], object]) -> None:
        """Call ``function`` with the engine to itself: now, or where somebody else works with the
        engine, by them when they are done. Never blocks."""
        self._work.append(function)
        self._work_off()

    def check_free(self) -> None:
        """Raise ``RuntimeError`` where the calling thread works with the engine already."""
        if self._holder == threading.get_ident():
            raise RuntimeError(
                "a channel layer was called in the middle of one of its own operations, by a "
                "finaliser or a callback; leave that to a thread"
            )

    def result(
        self,
        function: Callable[[], Coroutine[Any, Any, T]],
        unwanted: Callable[[T], object] | None = None,
    ) -> T:
        """What the coroutine returns that ``function`` makes.

        Raises ``LayerUnavailable`` where the broker does not answer in time. ``unwanted`` gets what
        comes when nobody waits for it any more.
        """
        self.check_free()
        waiter = ThreadWaiter()
        outcome: list[Reply[T]] = []

        def begin() -> None:
            outcome.append(start(function()))
            outcome[0].when_settled(waiter.notify)

        self.call(begin)
        try:
            waiter.wait(self._timeout)
            if not outcome or not outcome[0].settled:
                raise no_answer(self._broker, self._timeout)
        except BaseException:
            if unwanted is not None:
                self.call(lambda: _pass_on(outcome[0], unwanted))
            raise
        try:
            return outcome[0].result()
        except Exception as error:
            raise guarded(error) from error.__cause__

    def stop(self) -> None:
        """Close the connection and end the thread."""
        self.call(self._stop)
        self._thread.join(self._timeout)
        self._ended = True
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

    # The link

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


def _pass_on(outcome: Reply[T], function: Callable[[T], object]) -> None:
    """Call ``function`` with what comes, if something does."""

    def settled() -> None:
        with contextlib.suppress(Exception):  # it was raised, or nobody waits for it
            function(outcome.result())

    outcome.when_settled(settled)
