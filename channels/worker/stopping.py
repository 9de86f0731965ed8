"""SIGTERM and SIGINT as a request to stop, for a main thread that may be anywhere when they come.

A Python signal handler runs between two bytecodes of the main thread, which may hold any lock at
that moment: the channel layer's, that of a condition, that of a log handler. So the handler takes
none. It puts the signal's number into a ``queue.SimpleQueue``, whose ``put`` is documented to be
reentrant, and a thread that waits at the other end does the rest. The handler raises nothing
either: an exception out of a blocking receive could lose the message that was just popped.
"""

import logging
import queue
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

__all__ = ["StopSignals"]

logger = logging.getLogger("django.channels")

#: The signals that ask for an orderly end: what supervisors send, and Ctrl-C.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Calls ``stop`` in a thread of its own when the process gets SIGTERM or SIGINT.

    The second signal of either kind ends the process at once, as the system does by default: a
    consumer that never returns must not make it immortal. As a context manager it puts the earlier
    handlers back at the end.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._received: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._earlier: dict[signal.Signals, Any] = {}
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "StopSignals":
        self.install()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.restore()

    def install(self) -> None:
        """Take over the signals. Raises ``RuntimeError`` outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                f"signal handlers can only be installed by the main thread, this is "
                f"{threading.current_thread().name!r}; give the worker signal_handlers=False and "
                "call its stop()"
            )
        if self._thread is not None:
            return
        self._received = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._relay, name="stop-signals", daemon=True)
        self._thread.start()
        for number in STOP_SIGNALS:
            self._earlier[number] = signal.signal(number, self.handle)

    def restore(self) -> None:
        """Put back the handlers that were there before, and end the thread."""
        for number, handler in self._earlier.items():
            # A handler that was not installed from Python reads as None and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._earlier.clear()
        self._received.put(None)
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler: see the module's docstring for what it must not do."""
        for each in STOP_SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self._received.put(number)

    def _relay(self) -> None:
        number = self._received.get()
        if number is None:
            return
        logger.info(
            "%s received: the running consumers are finished first. Another one ends the process "
            "at once.",
            signal.Signals(number).name,
        )
        self._stop()
